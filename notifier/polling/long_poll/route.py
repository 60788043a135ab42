"""Keeps what is known of a provider's long-polls (`support`), and tells the log what was learned."""

import structlog

from notifier.domain.errors import ProviderBusy
from notifier.domain.settings import ProviderSettings
from notifier.polling.long_poll.support import QUICK, LongPollSupport, Mode, showed
from notifier.runtime import log_events
from notifier.runtime.clock import Clock

_log = structlog.get_logger()


class LongPollRoute:
    """Of one provider. `patience` is for how many seconds the API keeps a request; None if it has no long-polls."""

    def __init__(self, settings: ProviderSettings, patience: float | None, clock: Clock) -> None:
        self._patience = patience
        self._clock = clock
        self.apply(settings)

    def apply(self, settings: ProviderSettings) -> None:
        """Use these from now on; what was learned under the old ones is forgotten."""
        self._settings = settings
        self.support = LongPollSupport(mode=Mode(settings.long_poll), patience=self._patience)

    def answered(self, *, took: float, reached: int, asked: int) -> None:
        """A long-poll of `asked` IDs was answered after `took` seconds, with so many of them at the target."""
        now = self._clock.monotonic()
        if asked == 1:
            self._note(self.support.kept(took=took, reached=reached > 0).judged(now))
        else:
            shown = showed(took=took, patience=self._patience or 0.0, reached=reached, asked=asked)
            self._note(self.support.learned(shown, now))

    def broke(self, error: ProviderBusy, *, took: float, asked: int) -> bool:
        """A long-poll failed. True if that speaks against long-polls, and not against the provider."""
        if took < QUICK or error.retry_after is not None:
            return False
        now = self._clock.monotonic()
        self._note(self.support.broke(asked=asked, since=now - took, now=now))
        return True

    def forgo_single(self) -> None:
        """The single route fails for IDs about which the batch route answers."""
        self._note(self.support.without(self._clock.monotonic()))

    def _note(self, support: LongPollSupport) -> None:
        before, self.support = self.support, support
        now = self._clock.monotonic()
        if before.any(now) != support.any(now):
            _log.info(log_events.LONG_POLL_LEARNED, provider=self._settings.name, many=support.any(now))
        if before.single(now) and not support.single(now):
            note = (
                "it answers at once, or its gateway cuts long requests off: "
                "tried again in 10 minutes, or set long_poll: off"
            )
            _log.info(log_events.LONG_POLL_LEARNED, provider=self._settings.name, single=False, note=note)

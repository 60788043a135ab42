"""Keeps in the store what is wrong now with a provider or with one of its generations, so that people can see it.

`show` and `list` read the store beside the daemon. A row is written when the trouble begins, says something else, or
ends; besides after 2, 4, 8 … failures and once a minute, so that "14 times" does not stay "once": never at each poll.
After a restart what was known goes on: an ID that was known to be bad is polled singly, and a provider's trouble
lasts until it answers.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from notifier.domain.errors import StoreUnavailable
from notifier.domain.ids import GenerationId
from notifier.polling.provider_state import ProviderState
from notifier.polling.rejections import Rejections
from notifier.polling.scheduling.open_generations import OpenGenerations
from notifier.runtime.clock import Clock
from notifier.runtime.health import Health
from notifier.store.ports import PollStore
from notifier.store.records import Trouble

#: Seconds between two comparisons.
EVERY: Final = 1.0
#: A trouble that only goes on is written again after this time.
AGAIN: Final = timedelta(minutes=1)
#: The kind of trouble with an ID that the provider answers about, and does not know.
ABSENT: Final = "absent"
_REASON: Final = "The provider does not know this ID: is it right, and one of this provider's?"
#: Polls in a row that missed it before that is written.
_TOLD_FROM: Final = 2
#: Generations that are remembered though nobody watches them any more.
_MOST: Final = 1_000

Troubles = Mapping[GenerationId | None, Trouble]


@dataclass(slots=True, kw_only=True, eq=False)
class Notes:
    """Of one provider."""

    generations: OpenGenerations
    provider: ProviderState
    rejections: Rejections
    store: PollStore
    clock: Clock
    health: Health
    #: What is in the store.
    _written: dict[GenerationId | None, Trouble] = field(default_factory=dict)
    _next: float = float("-inf")

    async def load(self) -> None:
        """What the last run left; once the open generations are known."""
        self._written = dict(await self.store.troubles(self.provider.name))
        for id_, trouble in self._written.items():
            if id_ is None:
                self.provider.remember(trouble)
            elif trouble.kind != ABSENT:
                self.rejections.remember(id_, trouble)

    async def keep(self) -> None:
        """Write down what has changed."""
        now = self.clock.monotonic()
        if now < self._next or not self.health.store_up:
            return
        self._next = now + EVERY
        changes = self._changes()
        if not changes:
            return
        try:
            await self.store.save_troubles(self.provider.name, changes)
        except StoreUnavailable as error:
            self.health.store_failed(error)
            return
        for id_, trouble in changes.items():
            if trouble is None:
                self._written.pop(id_, None)
            else:
                self._written[id_] = trouble

    def _changes(self) -> dict[GenerationId | None, Trouble | None]:
        now: dict[GenerationId | None, Trouble] = {**dict(self._absent()), **dict(self.rejections.troubles())}
        if (trouble := self.provider.trouble) is not None:
            now[None] = trouble
        changes: dict[GenerationId | None, Trouble | None] = {
            id_: trouble for id_, trouble in now.items() if _is_news(trouble, self._written.get(id_))
        }
        for id_ in self._written.keys() - now.keys():
            if id_ is None:
                if self.provider.answers:
                    changes[id_] = None
            elif self.generations.get(id_) is not None:
                changes[id_] = None
            elif len(self._written) > _MOST:  # it keeps the last that was written of it
                del self._written[id_]
        return changes

    def _absent(self) -> Iterator[tuple[GenerationId, Trouble]]:
        """IDs that the provider does not know, more than once: a new one may not be readable yet."""
        wall, elapsed = self.clock.now(), self.clock.monotonic()
        for entry in self.generations.missing():
            misses, before = entry.misses, self._written.get(entry.id)
            if misses.count < _TOLD_FROM or misses.first_at is None or misses.last_at is None:
                continue
            since = wall - timedelta(seconds=elapsed - misses.first_at)
            yield (
                entry.id,
                Trouble(
                    kind=ABSENT,
                    reason=_REASON,
                    since=before.since if before is not None and before.kind == ABSENT else since,
                    last=wall - timedelta(seconds=elapsed - misses.last_at),
                    times=misses.count,
                ),
            )


def _is_news(trouble: Trouble, written: Trouble | None) -> bool:
    return (
        written is None
        or (trouble.kind, trouble.reason, trouble.since) != (written.kind, written.reason, written.since)
        or trouble.last - written.last >= AGAIN
        or trouble.times >= 2 * written.times
    )

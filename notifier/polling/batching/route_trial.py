"""Whether requests about several IDs hang because of the multi route, and not because of one of the IDs. Pure.

The halves of a batch that is not answered tell which ID is why. If the route is why, each of them hangs too, down to
the pairs, half a minute a step. So once a batch is late, and the route answered nothing since that was sent, two of its
IDs are asked about alone, one after the other. If both are there, they are asked for together: no answer to that, for
as long as makes a batch late, is the proof. In an outage the first question is not answered, and is the only one.

Times are monotonic seconds.
"""

from collections.abc import Callable, Sequence
from typing import Final

from notifier.domain.ids import GenerationId
from notifier.polling.batching.blame import from_the_middle

#: IDs that are asked about alone in one trial, at most.
_MOST: Final = 8
_TOGETHER: Final = 2
_NEVER: Final = float("-inf")


class RouteTrial:
    """Of one provider."""

    def __init__(self) -> None:
        #: When the route last answered, whatever it said.
        self._answered_at = _NEVER
        self._began_at = _NEVER
        self._candidates: list[GenerationId] = []
        #: The one that is asked about alone now.
        self._asked: GenerationId | None = None
        self._held: list[GenerationId] = []
        self._together_at: float | None = None

    def late(self, ids: Sequence[GenerationId], now: float, *, sent_at: float) -> None:
        """A batch that was sent then is not answered for long, or was not at all: try the route, if that may be why."""
        if sent_at <= max(self._answered_at, self._began_at):
            return
        self._end()
        self._began_at = now
        self._candidates = from_the_middle(ids)[:_MOST]

    def answered(self, now: float) -> None:
        """The multi route answered: it does not hang."""
        self._answered_at = now
        self._end()

    def alone(self, id_: GenerationId, *, held: bool) -> None:
        """A request about this one alone is over."""
        if id_ == self._asked:
            self._asked = None
            if held:
                self._held.append(id_)

    @property
    def waits(self) -> bool:
        """Whether there may be something to ask for now."""
        under_way = self._asked is not None or self._together_at is not None
        return not under_way and bool(self._candidates or len(self._held) == _TOGETHER)

    def next(self, now: float, *, fit: Callable[[GenerationId], bool]) -> tuple[GenerationId, ...] | None:
        """What to ask for now if it `waits`, one ID by the single route or two by the other."""
        if len(self._held) == _TOGETHER:
            self._together_at = now
            return tuple(self._held)
        while self._candidates:
            if fit(id_ := self._candidates.pop(0)):
                self._asked = id_
                return (id_,)
        return None

    def proved(self, now: float, late_after: float) -> bool:
        """Whether the two are not answered together for so long."""
        return self._together_at is not None and now - self._together_at >= late_after

    def _end(self) -> None:
        self._candidates, self._asked, self._held, self._together_at = [], None, [], None

"""Whether requests for several IDs hang because of the batch route, and not because of one of the IDs. Pure.

If a batch is not answered, its halves show which ID is the reason. If the route is the reason, each half hangs too,
down to the pairs, for half a minute at each step. So once a batch is late, and the route has answered nothing since the
batch was sent, two of its IDs are asked for alone, one after the other. If both are found, they are asked for together:
if that is not answered either, for as long as makes a batch late, the route is the reason. In an outage the first of
these requests is not answered, and no other follows.

Times are monotonic seconds.
"""

from collections.abc import Callable, Sequence
from typing import Final

from notifier.domain.ids import GenerationId
from notifier.polling.batching.blame import from_the_middle

#: IDs that are asked for alone in one trial, at most.
_MOST: Final = 8
_TOGETHER: Final = 2
_NEVER: Final = float("-inf")


class RouteTrial:
    """Of one provider."""

    def __init__(self) -> None:
        #: When the route last answered, whatever it said.
        self._answered_at = _NEVER
        self._began_at = _NEVER
        self._reset()

    def _reset(self) -> None:
        self._candidates: list[GenerationId] = []
        #: The ID that is being asked for alone.
        self._asked: GenerationId | None = None
        self._found: list[GenerationId] = []
        self._together_at: float | None = None

    def late(self, ids: Sequence[GenerationId], now: float, *, sent_at: float) -> None:
        """A batch sent then has no answer for long, or never got one: begin a trial, if the route may be the reason."""
        if sent_at <= max(self._answered_at, self._began_at):
            return
        self._reset()
        self._began_at = now
        self._candidates = from_the_middle(ids)[:_MOST]

    def answered(self, now: float) -> None:
        """The batch route answered: it does not hang."""
        self._answered_at = now
        self._reset()

    def single_answered(self, id_: GenerationId, *, found: bool) -> None:
        """A request for this ID alone is over."""
        if id_ == self._asked:
            self._asked = None
            if found:
                self._found.append(id_)

    @property
    def pending(self) -> bool:
        """Whether there may be something to ask for now."""
        under_way = self._asked is not None or self._together_at is not None
        return not under_way and bool(self._candidates or len(self._found) == _TOGETHER)

    def next(self, now: float, *, fit: Callable[[GenerationId], bool]) -> tuple[GenerationId, ...] | None:
        """The IDs to ask for now if a trial is `pending`: one by the single route, or two by the batch route."""
        if len(self._found) == _TOGETHER:
            self._together_at = now
            return tuple(self._found)
        while self._candidates:
            if fit(id_ := self._candidates.pop(0)):
                self._asked = id_
                return (id_,)
        return None

    def proved(self, now: float, late_after: float) -> bool:
        """Whether the two have had no answer together for so long."""
        return self._together_at is not None and now - self._together_at >= late_after

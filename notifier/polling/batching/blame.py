"""Whose failure it is, the provider's or one ID's, as far as failures and answers tell. Pure.

A request may fail because of one of the IDs in it: the provider's backend breaks on that record, or hangs. Another
request may fail in the same way because the provider is down. One failure does not show which, so something else is
asked for first: the halves of the batch, or other IDs. Rules:
- An answer speaks for the provider. If a request failed that was sent no later than an answered one, it failed because
  of its own IDs.
- Failures of several sets of IDs that have no ID in common, with no answer in between, speak against the provider:
  three IDs, or two batches. So does the failure of all IDs there are. If the next answer shows that the provider was
  well after all, many IDs are bad: twice as many failures are needed then (`doubled`), or each of these IDs would
  cause a pause.
- If a part of a set has failed too, the set says nothing more than that part: one bad ID explains both.

Times are monotonic seconds, except in `Setback`.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, Self, TypeVar

from notifier.domain.ids import GenerationId

#: Seconds from one failure of an ID to the next poll of it: the first wait and the longest; the wait doubles.
_FIRST: Final = 5.0
LONGEST: Final = 300.0
#: Seconds in which an ID fails `EXPIRES_AFTER` times, if each failure comes at once.
_FAILS_FOR: Final = 15.0
#: Doublings after which the wait is the longest; keeps the power small.
_DOUBLINGS: Final = 20
#: The weight at which the provider is to blame, and the weight of a failed request for one ID, or for several: that
#: each of several batches has a bad ID in it is less likely.
_ENOUGH: Final = 3.0
#: How often `_ENOUGH` is doubled, at most.
MOST_DOUBLED: Final = 3
_ONE, _SEVERAL = 1.0, 1.5
#: Failed sets of IDs that are remembered.
_MOST: Final = 1_000
#: Failures in a row after which an ID may expire without an answer: one or two may be chance.
EXPIRES_AFTER: Final = 3

Ids = frozenset[GenerationId]
T = TypeVar("T")


class Evidence:
    """The requests that failed since the provider last answered."""

    def __init__(self) -> None:
        #: No two of them have an ID in common; the one that failed last is the last.
        self._sets: list[Ids] = []
        #: When the first failed request was sent.
        self.since = float("inf")
        #: When the last answered request was sent.
        self.answered_at = float("-inf")

    def __bool__(self) -> bool:
        return bool(self._sets)

    def failed(self, ids: Collection[GenerationId], *, sent_at: float) -> None:
        """A request for these failed, and one of them may be the reason."""
        if sent_at <= self.answered_at:
            return
        failed = frozenset(ids)
        if any(each < failed or (each & failed and not failed <= each) for each in self._sets):
            return
        others = [each for each in self._sets if not failed <= each]
        self._sets = [*others[1 - _MOST :], failed]
        self.since = min(self.since, sent_at)

    def answered(self, *, sent_at: float) -> bool:
        """A request was answered; True if that ends all doubt about the provider."""
        self.answered_at = max(self.answered_at, sent_at)
        if sent_at < self.since:
            return False
        self._sets.clear()
        self.since = float("inf")
        return True

    def against_provider(self, *, watched: int, doubled: int = 0) -> bool:
        """Whether the provider is to blame; `watched` is how many open IDs are not known to be bad."""
        weight = sum(_ONE if len(each) == 1 else _SEVERAL for each in self._sets)
        return weight >= _ENOUGH * 2 ** min(doubled, MOST_DOUBLED) or self.of_all(watched=watched)

    def of_all(self, *, watched: int) -> bool:
        """Whether all open IDs have failed, each of them alone: nothing else can be asked for."""
        return bool(self._sets) and all(len(each) == 1 for each in self._sets) and len(self._sets) >= watched

    def ids(self) -> Iterator[GenerationId]:
        """All failed IDs, those that failed longest ago first."""
        for each in self._sets:
            yield from from_the_middle(sorted(each))


@dataclass(frozen=True, slots=True, kw_only=True)
class Setback:
    """The failures in a row of requests for one ID alone."""

    #: How many there were while the provider was not in trouble.
    count: int = 0
    #: When the first and the last of them failed, in wall time.
    since: datetime
    last: datetime
    #: When the first of them was sent, monotonic seconds.
    sent_at: float
    #: What the last failure said.
    reason: str

    def again(self, reason: str, *, last: datetime) -> Self:
        """One more failure."""
        return replace(self, count=self.count + 1, last=last, reason=reason)

    @property
    def wait(self) -> float:
        """Seconds until the next poll."""
        return min(LONGEST, _FIRST * 2.0 ** min(max(0, self.count - 1), _DOUBLINGS))

    def proved(self, answered_at: float) -> bool:
        """Whether the ID is to blame: since then another was answered, in a request sent at `answered_at`."""
        return answered_at >= self.sent_at

    def may_expire(self, answered_at: float, now: float) -> bool:
        """Whether its watches may expire at their deadline although the provider does not answer about it.

        An ID on which the provider hangs fails rarely: its second failure is enough after `_FAILS_FOR`.
        """
        often = self.count >= EXPIRES_AFTER or (self.count > 1 and now - self.sent_at >= _FAILS_FOR)
        return often and self.proved(answered_at)


def from_the_middle(some: Sequence[T]) -> list[T]:
    """In an order that starts in the middle: bad IDs are often the first, or the last."""
    return [*some[len(some) // 2 :], *some[: len(some) // 2]]

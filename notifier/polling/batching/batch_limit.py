"""How many IDs one batch poll may ask for, as experience with the provider corrects it. Pure."""

from dataclasses import dataclass, replace
from typing import Final, Self

#: Batch polls of the full size that must be answered before a larger size is tried.
GOOD_BATCHES: Final = 20
#: The same at most, however often a larger size was refused.
_MOST_GOOD_BATCHES: Final = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchLimit:
    """How many IDs the provider takes in one batch poll, as far as we know.

    No provider documents it. The limit goes down when a refusal speaks of size, or when a batch is refused and both of
    its halves are not: to the largest batch that was answered since the limit was last halved, or else to half. It goes
    up by a quarter after `enough` answered batches of the full size, so that one bad moment does not make batches small
    for ever. Each time that the larger size is refused, `enough` doubles.
    """

    limit: int
    #: `max_ids`: the limit is never above it.
    ceiling: int
    #: The largest batch that was answered since the limit was last halved.
    answered: int = 0
    #: Answered batches of the full size since the limit last changed, and how many it takes to try more.
    good: int = 0
    enough: int = GOOD_BATCHES

    @classmethod
    def of(cls, max_ids: int) -> Self:
        return cls(limit=max_ids, ceiling=max_ids)

    def refused(self, size: int) -> Self:
        """A batch of `size` IDs was too large."""
        if 0 < self.answered < size:
            enough = min(_MOST_GOOD_BATCHES, 2 * self.enough)
            return replace(self, limit=min(self.limit, self.answered), good=0, enough=enough)
        return replace(self, limit=max(1, min(self.limit, size // 2)), answered=0, good=0)

    def proved(self, size: int) -> Self:
        """A batch of `size` IDs was answered."""
        answered = max(self.answered, size)
        if size < self.limit or self.limit >= self.ceiling:
            return self if answered == self.answered else replace(self, answered=answered)
        if self.good + 1 < self.enough:
            return replace(self, good=self.good + 1, answered=answered)
        more = min(self.ceiling, self.limit + max(1, self.limit // 4))
        return replace(self, limit=more, good=0, answered=answered)

"""The bisection of a batch that was refused or that failed, down to its bad IDs. Pure.

The caller asks for the part that `next` gives, and reports the result. The left half of the left half goes first, so
that the first single IDs are reached after few requests. If the batch was not refused but `failed` (an error, or no
answer), the other half is asked for before a half is divided further: if both fail, it may be the provider, and that
must be known after few requests.

The diagnosis is made when every part was answered:
- Both halves were answered: the batch was too large, and no ID is bad. The same if the reply was too large and no ID
  alone has such a reply, however small the parts had to be; pairs then say nothing about the batch route.
- Single IDs are found while even pairs of them are refused: the batch route is unusable.
- No ID was found at all: it is not the IDs, it is the provider (its key, its address or its kind).
- Otherwise the IDs that were missed, or failed, when they were asked for alone are the bad ones.
"""

from collections.abc import Sequence
from enum import Enum, auto
from typing import Final

from notifier.domain.ids import GenerationId

_PAIR: Final = 2

Part = tuple[GenerationId, ...]


class Diagnosis(Enum):
    TOO_LARGE = auto()
    BATCH_ROUTE_UNUSABLE = auto()
    PROVIDER_KNOWS_NONE = auto()
    BAD_IDS = auto()


class Bisection:
    """Of one batch."""

    def __init__(
        self,
        ids: Sequence[GenerationId],
        reason: str,
        *,
        failed: bool = False,
        too_large: bool = False,
        sent_at: float = 0.0,
    ) -> None:
        self.ids = tuple(ids)
        #: What the provider said when it refused the batch, or what failed.
        self.reason = reason
        #: True if the batch was not refused.
        self.failed = failed
        #: True if the provider spoke of the size. If it did not, and the batch failed, answered halves may be chance.
        self.too_large = too_large
        #: When the batch was sent.
        self.sent_at = sent_at
        #: IDs in the largest part that was answered.
        self.largest_answered = 0
        self._todo: list[Part] = []
        #: How many parts are being asked for.
        self._under_way = 0
        self._parts_refused = False
        self._batches_answered = 0
        self._found: set[GenerationId] = set()
        self._single_missed = self._single_failed = False
        self._refused_pairs: list[Part] = []
        #: Left half -> right half.
        self._right_of: dict[Part, Part] = {}
        self._divide(self.ids)

    def _divide(self, ids: Part) -> None:
        left, right = halves(ids)
        self._todo += [right, left]
        self._right_of[left] = right
        if len(ids) == _PAIR and not self.too_large:
            self._refused_pairs.append(ids)

    @property
    def next_is_batch(self) -> bool:
        return bool(self._todo) and len(self._todo[-1]) > 1

    def next(self) -> Part | None:
        """The IDs to ask for next, in one request; None if nothing is left or all of it is under way."""
        if not self._todo:
            return None
        self._under_way += 1
        return self._todo.pop()

    def refused(self, ids: Part) -> None:
        """Note that this part was refused, or failed, too."""
        self._under_way -= 1
        self._parts_refused = True
        right = self._right_of.get(ids)
        if self.failed and right in self._todo:
            self._todo.remove(right)
            self._divide(ids)
            self._todo.append(right)  # it comes next
        else:
            self._divide(ids)

    def single_failed(self) -> None:
        """Note that a part of one ID failed: that ID is bad."""
        self._under_way -= 1
        self._parts_refused = self._single_missed = self._single_failed = True

    def answered(self, ids: Part, found: Sequence[GenerationId]) -> None:
        """Note that this part was answered, and that these of its IDs were found."""
        self._under_way -= 1
        self.largest_answered = max(self.largest_answered, len(ids))
        if len(ids) > 1:
            self._batches_answered += 1
        elif not found:
            self._single_missed = True
        self._found.update(found)

    def not_asked(self, ids: Part) -> None:
        """Note that this part could not be asked for; it comes again."""
        self._under_way -= 1
        self._todo.append(ids)

    @property
    def done(self) -> bool:
        """Whether the diagnosis can be made: every part was answered, or the route is known to be unusable."""
        return (not self._todo and not self._under_way) or self._route_unusable()

    def abandon(self) -> list[GenerationId]:
        """Ask for nothing more; returns the IDs that were not asked for yet."""
        left = [id_ for ids in self._todo for id_ in ids]
        self._todo.clear()
        return left

    def _route_unusable(self) -> bool:
        return any(self._found.issuperset(pair) for pair in self._refused_pairs)

    def diagnosis(self) -> Diagnosis:
        """What was wrong; once `done`."""
        if self._batches_answered and not self._parts_refused and not self._single_missed:
            return Diagnosis.TOO_LARGE
        if self.too_large and self._found and not self._single_missed:
            return Diagnosis.TOO_LARGE
        if self._route_unusable():
            return Diagnosis.BATCH_ROUTE_UNUSABLE
        if not self._found and not self._single_failed:
            return Diagnosis.PROVIDER_KNOWS_NONE
        return Diagnosis.BAD_IDS


def halves(ids: Sequence[GenerationId]) -> tuple[Part, Part]:
    """The two halves of a refused batch, neither of them empty; `ids` has two or more."""
    middle = (len(ids) + 1) // 2
    return tuple(ids[:middle]), tuple(ids[middle:])

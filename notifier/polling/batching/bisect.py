"""A refused batch on its way down to the one bad ID. Pure: `exchange` asks for `next` and reports the answers.

The left half of the left half goes first, so that the first single IDs are reached after few requests. Of a batch that
was not refused but `failed` (an error, no answer) the other half is asked for before a half is divided further: where
both fail it may be the provider, and that is to be known after few requests.
What the whole of it teaches is read at the end:
- both halves were taken: the batch was too large, no ID is bad. So it was if the reply was too large and no ID alone
  has such a reply, however small the parts had to be; and then pairs say nothing of the multi route;
- single IDs are held by the provider while even pairs of them are refused: the multi route is unusable;
- nothing at all was held: it is not the IDs, it is the provider (its key, its address, its kind);
- otherwise the IDs that were missed, or failed, as singles are the bad ones.
"""

from collections.abc import Sequence
from enum import Enum, auto

from notifier.domain.ids import GenerationId
from notifier.polling.batching.plan import split


class Diagnosis(Enum):
    TOO_LARGE = auto()
    MULTI_UNUSABLE = auto()
    PROVIDER_KNOWS_NONE = auto()
    BAD_IDS = auto()


class Bisection:
    """One refused batch."""

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
        #: The provider's words when it refused the batch, or what failed.
        self.reason = reason
        #: True where it was no refusal.
        self.failed = failed
        #: True where it spoke of the size: of a request that failed otherwise that may be chance.
        self.too_large = too_large
        #: When the batch was sent.
        self.sent_at = sent_at
        self._todo: list[tuple[GenerationId, ...]] = []
        self._out = 0
        self._halves_refused = False
        self._batches_taken = 0
        #: IDs in the largest part that was taken.
        self.taken = 0
        self._held: set[GenerationId] = set()
        self._single_missed = False
        self._single_failed = False
        self._pairs: list[tuple[GenerationId, ...]] = []
        #: Parts that were made together, the left one first.
        self._halves: set[tuple[tuple[GenerationId, ...], tuple[GenerationId, ...]]] = set()
        self._push(tuple(ids))

    def _push(self, ids: tuple[GenerationId, ...]) -> None:
        left, right = split(ids)
        self._todo += [right, left]
        if self.failed:
            self._halves.add((left, right))
        if len(ids) == 2 and not self.too_large:  # noqa: PLR2004  a pair is two
            self._pairs.append(ids)

    @property
    def next_is_batch(self) -> bool:
        return bool(self._todo) and len(self._todo[-1]) > 1

    def next(self) -> tuple[GenerationId, ...] | None:
        """The IDs to ask for next, in one request; None where nothing is left or all of it is under way."""
        if not self._todo:
            return None
        self._out += 1
        return self._todo.pop()

    def refused(self, ids: tuple[GenerationId, ...]) -> None:
        """Take note that this part was refused, or failed, too."""
        self._out -= 1
        self._halves_refused = True
        other = self._other_half(ids) if self.failed else None
        if other is not None:
            self._todo.remove(other)
        self._push(ids)
        if other is not None:
            self._todo.append(other)

    def _other_half(self, ids: tuple[GenerationId, ...]) -> tuple[GenerationId, ...] | None:
        """The part that was made together with this one, where it was not asked about yet."""
        return next((part for part in self._todo if (ids, part) in self._halves), None)

    def lone_failed(self) -> None:
        """Take note that a part of one ID failed, which names it."""
        self._out -= 1
        self._halves_refused = True
        self._single_missed = self._single_failed = True

    def answered(self, ids: tuple[GenerationId, ...], held: Sequence[GenerationId]) -> None:
        """Take note that this part was answered, and the answer held these of its IDs."""
        self._out -= 1
        self.taken = max(self.taken, len(ids))
        if len(ids) > 1:
            self._batches_taken += 1
        elif not held:
            self._single_missed = True
        self._held.update(held)

    def unasked(self, ids: tuple[GenerationId, ...]) -> None:
        """Take note that this part could not be asked; it comes again."""
        self._out -= 1
        self._todo.append(ids)

    @property
    def done(self) -> bool:
        """Whether it has taught what it can: every part was answered, or the route is known to be unusable."""
        return (not self._todo and not self._out) or self._route_unusable()

    def abandon(self) -> list[GenerationId]:
        """Ask no further; the IDs that were not asked about yet."""
        left = [id_ for ids in self._todo for id_ in ids]
        self._todo.clear()
        return left

    def _route_unusable(self) -> bool:
        return any(self._held.issuperset(pair) for pair in self._pairs)

    def diagnosis(self) -> Diagnosis:
        """What it came to; once `done`."""
        if self._batches_taken and not self._halves_refused and not self._single_missed:
            return Diagnosis.TOO_LARGE
        if self.too_large and self._held and not self._single_missed:
            return Diagnosis.TOO_LARGE
        if self._route_unusable():
            return Diagnosis.MULTI_UNUSABLE
        if not self._held and not self._single_failed:
            return Diagnosis.PROVIDER_KNOWS_NONE
        return Diagnosis.BAD_IDS

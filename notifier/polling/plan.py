"""Which requests to make now, for one provider. Pure: the poller only sends what it was given.

Owns grouping into sweeps, the share of IDs that must be asked alone, the halving of a refused batch, and the size of a
batch as experience corrects it. Refuses to encode (the codec's) and to say when (`cadence`).
Rules: never more requests than there is room for; the longest overdue ID goes first; an ID that stands alone never
rejoins a batch, and such IDs use only the room set apart for them, so that bad IDs cannot starve good ones.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Self

from notifier.ids import GenerationId

#: Good sweeps at the learned size before a larger one is tried.
GOOD_SWEEPS: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One ID that is due."""

    id: GenerationId
    #: True where it must be asked by itself: a batch was refused because of it, or it is to be confirmed as unknown.
    alone: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """One request to make."""

    looks: tuple[Look, ...]
    #: True for the multi route.
    multi: bool

    @property
    def ids(self) -> tuple[GenerationId, ...]:
        return tuple(look.id for look in self.looks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    asks: tuple[Planned, ...]
    #: What there was no room for, in the order given: due at once again.
    rest: tuple[Look, ...]


def plan(
    due: Sequence[Look],
    *,
    fit: Callable[[Sequence[GenerationId]], int],
    batch_limit: int,
    multi: bool,
    room: int,
    single_room: int,
) -> Plan:
    """The requests to make now for `due`, which stands longest overdue first.

    `fit` says how many of some IDs, from the first, fit in one sweep (at least 1). `batch_limit` caps that. Without
    `multi` every ID is asked by itself. At most `room` requests, of which `single_room` for IDs that stand alone.
    """
    together = [look for look in due if multi and not look.alone]
    asks: list[Planned] = []
    asked: set[GenerationId] = set()
    begun = 0  # how many of `together` are in a batch
    for look in due:
        if len(asks) >= room:
            break
        if look.id in asked or (look.alone and single_room <= 0):
            continue
        if multi and not look.alone:
            looks = _batch(together[begun : begun + batch_limit], fit)
            begun += len(looks)
        else:
            looks = (look,)
            single_room -= look.alone
        asks.append(Planned(looks=looks, multi=multi and not look.alone))
        asked.update(member.id for member in looks)
    return Plan(asks=tuple(asks), rest=tuple(look for look in due if look.id not in asked))


def _batch(looks: Sequence[Look], fit: Callable[[Sequence[GenerationId]], int]) -> tuple[Look, ...]:
    return tuple(looks[: fit([look.id for look in looks])])


def split(ids: Sequence[GenerationId]) -> tuple[tuple[GenerationId, ...], tuple[GenerationId, ...]]:
    """The two halves of a refused batch, neither of them empty; `ids` holds two or more."""
    middle = (len(ids) + 1) // 2
    return tuple(ids[:middle]), tuple(ids[middle:])


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchLimit:
    """How many IDs the provider takes in one sweep, as far as it was found out.

    No provider says it. A refusal that speaks of size, or one that both halves of the batch escape, halves the limit.
    It is tried a quarter larger after twenty good sweeps at it, so that one bad moment does not cost batches for ever.
    """

    limit: int
    #: `max_ids`: never above.
    ceiling: int
    #: Good sweeps of the full limit since it last changed.
    good: int = 0

    @classmethod
    def of(cls, max_ids: int) -> Self:
        return cls(limit=max_ids, ceiling=max_ids)

    def refused(self, size: int) -> Self:
        """A batch of `size` IDs was too large."""
        return replace(self, limit=max(1, min(self.limit, size // 2)), good=0)

    def proved(self, size: int) -> Self:
        """A batch of `size` IDs was answered."""
        if size < self.limit or self.limit >= self.ceiling:
            return self
        if self.good + 1 < GOOD_SWEEPS:
            return replace(self, good=self.good + 1)
        return replace(self, limit=min(self.ceiling, self.limit + max(1, self.limit // 4)), good=0)

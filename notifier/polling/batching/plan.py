"""Which requests to make now, for one provider. Pure: the poller only sends what it was given.

Owns grouping into sweeps, the share of IDs that must be asked alone, the halving of a refused batch, and the size of a
batch as experience corrects it. Refuses to encode (the codec's) and to say when (`cadence`).
Rules: never more requests than there is room for; the longest overdue ID goes first; an ID that stands alone never
rejoins a batch, and beside batches such IDs use only the room set apart for them, so that bad IDs cannot starve good
ones. Where every ID is asked by itself there is no such difference.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Generic, Protocol, Self, TypeVar

from notifier.domain.ids import GenerationId

#: Good sweeps at the learned size before a larger one is tried.
GOOD_BATCHES: Final = 20
#: However often it went wrong.
_MOST_SWEEPS: Final = 2_000


class Look(Protocol):
    """One ID that is due."""

    id: GenerationId
    #: True where it must be asked by itself: a batch was refused because of it, or it is to be confirmed as unknown.
    poll_singly: bool


L = TypeVar("L", bound=Look)


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned(Generic[L]):
    """One request to make."""

    looks: Sequence[L]
    #: True for the multi route.
    multi: bool

    @property
    def ids(self) -> tuple[GenerationId, ...]:
        return tuple([look.id for look in self.looks])

    @property
    def poll_singly(self) -> bool:
        """Whether it uses the room set apart."""
        return self.looks[0].poll_singly


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan(Generic[L]):
    asks: Sequence[Planned[L]]
    #: What there was no room for, in the order given: due at once again.
    rest: Sequence[L]


def plan(
    due: Sequence[L],
    *,
    fit: Callable[[Sequence[GenerationId]], int],
    batch_limit: int,
    multi: bool,
    room: int,
    single_room: int,
) -> Plan[L]:
    """The requests to make now for `due`, which stands longest overdue first, each ID once.

    `fit` says how many of some IDs, from the first, fit in one sweep (at least 1). `batch_limit` caps that. Without
    `multi` every ID is asked by itself. At most `room` requests, of which `single_room` for IDs that stand alone.
    """
    if not multi:  # there is nothing that a bad ID must be kept out of
        asks = [Planned(looks=(look,), multi=False) for look in due[:room]]
        return Plan(asks=asks, rest=due[room:])
    alone: list[L] = []
    together: list[L] = []
    for look in due:
        (alone if look.poll_singly else together).append(look)
    # A batch goes where its first ID stands.
    batches, over = _batches(together, fit, batch_limit, room)
    ranks = {id(look): rank for rank, look in enumerate(due)} if alone else {}
    begun = [Planned(looks=batch, multi=True) for batch in batches]
    begun += [Planned(looks=(look,), multi=False) for look in alone[: max(0, single_room)]]
    if alone:
        begun.sort(key=lambda ask: ranks[id(ask.looks[0])])
    over += alone[max(0, single_room) :]
    for ask in begun[room:]:
        over += ask.looks
    if alone:
        over.sort(key=lambda look: ranks[id(look)])
    return Plan(asks=begun[:room], rest=over)


def _batches(
    together: Sequence[L], fit: Callable[[Sequence[GenerationId]], int], limit: int, most: int
) -> tuple[list[Sequence[L]], list[L]]:
    """At most `most` batches, and what is in none of them."""
    batches: list[Sequence[L]] = []
    begin = 0
    while begin < len(together) and len(batches) < most:
        some = together[begin : begin + limit]
        count = fit([look.id for look in some])
        batches.append(some[:count])
        begin += count
    return batches, list(together[begin:])


def split(ids: Sequence[GenerationId]) -> tuple[tuple[GenerationId, ...], tuple[GenerationId, ...]]:
    """The two halves of a refused batch, neither of them empty; `ids` holds two or more."""
    middle = (len(ids) + 1) // 2
    return tuple(ids[:middle]), tuple(ids[middle:])


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchLimit:
    """How many IDs the provider takes in one sweep, as far as it was found out.

    No provider says it. A refusal that speaks of size, or one that both halves of the batch escape, lowers the limit:
    to what was answered since it was last lowered, or else to half. A quarter more is tried after some good sweeps at
    the limit, so that one bad moment does not cost batches for ever; twice as many each time that this goes wrong.
    """

    limit: int
    #: `max_ids`: never above.
    ceiling: int
    #: The largest batch that was answered since the limit was last halved.
    answered: int = 0
    #: Good sweeps of the full limit since it last changed, and how many it takes to try more.
    good: int = 0
    enough: int = GOOD_BATCHES

    @classmethod
    def of(cls, max_ids: int) -> Self:
        return cls(limit=max_ids, ceiling=max_ids)

    def refused(self, size: int) -> Self:
        """A batch of `size` IDs was too large."""
        if 0 < self.answered < size:
            enough = min(_MOST_SWEEPS, 2 * self.enough)
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

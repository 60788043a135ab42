"""Which IDs the next requests to one provider ask for: the batch of each, and single IDs. Pure.

Owns the grouping of due IDs into batch polls, and the room for IDs that are polled singly. How many IDs a batch may
have is decided by `batch_limit` (experience) and by the codec (`fit`: the length of the URL); when an ID is due, by
`scheduling`; what fills the free slots of the last batch, by `OpenGenerations.fill_batch`. The provider loop only
sends the plan. Rules:
- There are never more requests than there is room for.
- The ID that is overdue for longest goes first.
- An ID that is polled singly never joins a batch. Beside batches such IDs use only the room that is reserved for them,
  so that bad IDs cannot starve good ones. Without a batch route every ID is asked for by itself, and nothing is
  reserved.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from notifier.domain.ids import GenerationId
from notifier.polling.scheduling.open_generation import TrackedGeneration


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedRequest:
    """One request to make."""

    entries: Sequence[TrackedGeneration]
    #: True for the batch route.
    multi: bool

    @property
    def ids(self) -> tuple[GenerationId, ...]:
        return tuple([entry.id for entry in self.entries])

    @property
    def poll_singly(self) -> bool:
        """Whether it uses the reserved room."""
        return self.entries[0].poll_singly


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    requests: Sequence[PlannedRequest]
    #: Entries that there was no room for, in the order given: due at once again.
    rest: Sequence[TrackedGeneration]


def plan(
    due: Sequence[TrackedGeneration],
    *,
    fit: Callable[[Sequence[GenerationId]], int],
    batch_limit: int,
    multi: bool,
    room: int,
    single_room: int,
) -> Plan:
    """The requests to make now for `due`, which is in order (longest overdue first) and has each ID once.

    `fit` says how many of some IDs, from the first, fit in one batch poll (at least 1). `batch_limit` caps that.
    Without `multi` every ID is asked for by itself. At most `room` requests, of which `single_room` for IDs polled
    singly.
    """
    if not multi:  # there is no batch that a bad ID must be kept out of
        requests = [PlannedRequest(entries=(entry,), multi=False) for entry in due[:room]]
        return Plan(requests=requests, rest=due[room:])
    singles = [entry for entry in due if entry.poll_singly]
    together = [entry for entry in due if not entry.poll_singly] if singles else due
    batches, rest = _batches(together, fit, batch_limit, room)
    requests = [PlannedRequest(entries=batch, multi=True) for batch in batches]
    if not singles:
        return Plan(requests=requests, rest=rest)
    single_room = max(0, single_room)
    requests += [PlannedRequest(entries=(entry,), multi=False) for entry in singles[:single_room]]
    # A batch goes where its first ID would.
    order = {id(entry): place for place, entry in enumerate(due)}
    requests.sort(key=lambda request: order[id(request.entries[0])])
    rest += singles[single_room:]
    for request in requests[room:]:
        rest += request.entries
    rest.sort(key=lambda entry: order[id(entry)])
    return Plan(requests=requests[:room], rest=rest)


def _batches(
    together: Sequence[TrackedGeneration], fit: Callable[[Sequence[GenerationId]], int], limit: int, most: int
) -> tuple[list[Sequence[TrackedGeneration]], list[TrackedGeneration]]:
    """At most `most` batches, and the entries that are in none of them."""
    batches: list[Sequence[TrackedGeneration]] = []
    begin = 0
    while begin < len(together) and len(batches) < most:
        some = together[begin : begin + limit]
        count = fit([entry.id for entry in some])
        batches.append(some[:count])
        begin += count
    return batches, list(together[begin:])

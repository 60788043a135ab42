"""Where each open generation of one provider waits for its next look. Pure: monotonic seconds come as arguments.

Three agendas, so that IDs that are missed, or are asked alone, stand in nobody's way:
- `usual`: everybody else.
- `missed`: the last look did not find them. Many of them fit in one request.
- `alone`: a batch was refused or failed because of them, or they are to be confirmed as unknown: a request for each.

The last two are taken only as far as there are requests set apart for them. What they are short of they wait for here,
longest overdue first; in one agenda with the others, thousands of them would fill every take and be put back again.

An entry may change its nature while it waits: it stays where it is, and goes to its own place the next time.
"""

from typing import Final

from notifier.polling.agenda import Agenda
from notifier.polling.watched import Watched

#: Of those asked alone, seen by who looks for candidates of holds.
_SOME: Final = 64


class Queues:
    """`width` is that of the agendas' buckets, seconds."""

    def __init__(self, width: float) -> None:
        self.usual: Agenda[Watched] = Agenda(width)
        self._missed: Agenda[Watched] = Agenda(width)
        self._alone: Agenda[Watched] = Agenda(width)

    def add(self, entry: Watched, at: float, now: float) -> None:
        """Look at it next at `at`; one that waits already is moved."""
        (self._alone if entry.alone else self._missed if entry.aside else self.usual).add(entry, at, now)

    def drop(self, entry: Watched) -> None:
        self.usual.drop(entry)  # wherever it is

    def due(self, entry: Watched) -> float | None:
        return self.usual.due(entry)

    def soonest(self, limit: int) -> list[Watched]:
        """Of those that are not missed, what falls due next; it stays."""
        return self.usual.soonest(limit) + self._alone.soonest(min(limit, _SOME))

    def earliest_apart(self) -> float | None:
        """When the next one falls due that is missed or asked alone; None where there is none."""
        heads = (self._missed.earliest(), self._alone.earliest())
        return min((at for at in heads if at is not None), default=None)

    def take_apart(self, now: float, requests: int, batch: int) -> list[list[Watched]]:
        """Those that are due, longest overdue first, for so many requests at most: each for one, or for many missed."""
        taken: list[list[Watched]] = []
        while len(taken) < requests and (agenda := self._longest_overdue(now)) is not None:
            taken.append(agenda.take(now, batch if agenda is self._missed else 1))
        return taken

    def overdue_missed(self, now: float, limit: int) -> list[Watched]:
        """Missed ones that are due, for free seats; they stay."""
        found = dict.fromkeys(self._missed.soonest(limit))
        return [entry for entry in found if (at := self.due(entry)) is not None and at <= now]

    def _longest_overdue(self, now: float) -> Agenda[Watched] | None:
        heads = [
            (at, agenda)
            for agenda in (self._missed, self._alone)
            if (at := agenda.earliest()) is not None and at <= now
        ]
        return min(heads, key=lambda head: head[0])[1] if heads else None

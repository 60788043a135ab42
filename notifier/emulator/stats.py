"""Counts of what the emulator was asked for. No decision reads them."""

from collections import Counter
from dataclasses import dataclass, field, fields
from typing import Any


@dataclass(slots=True, kw_only=True)
class Stats:
    """Counts since the start, of requests to the API; the emulator's own routes are not counted."""

    #: By route: create, single, multi, other.
    requests: Counter[str] = field(default_factory=Counter)
    #: By status answered; a dropped connection is 0.
    statuses: Counter[int] = field(default_factory=Counter)
    #: By kind of injected fault.
    faults: Counter[str] = field(default_factory=Counter)
    #: IDs in single and multi requests that were read, each as often as it was asked for.
    ids_asked: int = 0
    #: IDs in the largest multi request.
    largest: int = 0
    long_polls_now: int = 0
    long_polls_most: int = 0

    def count_ids(self, number: int) -> None:
        self.ids_asked += number
        self.largest = max(self.largest, number)

    def long_poll_begins(self) -> None:
        self.long_polls_now += 1
        self.long_polls_most = max(self.long_polls_most, self.long_polls_now)

    def long_poll_ends(self) -> None:
        self.long_polls_now -= 1

    def as_json(self) -> dict[str, Any]:
        return {each.name: getattr(self, each.name) for each in fields(self)}

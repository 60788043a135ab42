"""Which sets of destinations no callback can be sent to now. Pure, memory only.

A generation whose watches have only such destinations is polled rarely. Thousands of generations share the same few
tuples of destinations: each tuple is one object here, and is judged once.
"""

from collections.abc import Callable, Iterable
from typing import Final

from notifier.domain.ids import Destination

Destinations = tuple[Destination, ...]

#: Destinations of one generation that are told apart. A generation with more counts as deliverable: it is likely, and
#: thousands of watches with callback URLs of their own must not cost time that grows with each.
_MOST: Final = 64
#: Tuples kept beyond twice what open generations have.
_SPARE: Final = 1_024


class Undeliverable:
    """Of one provider."""

    def __init__(self) -> None:
        #: Whether nothing can be sent to a destination now.
        self._is_undeliverable: Callable[[Destination], bool] = lambda _: False
        #: Each tuple in use, as one object.
        self._known: dict[Destinations, Destinations] = {}
        self._undeliverable: set[Destinations] = set()

    def __contains__(self, destinations: Destinations) -> bool:
        """Whether nothing can be sent to any of these."""
        return bool(self._undeliverable) and destinations in self._undeliverable

    def add(self, destinations: Destinations) -> Destinations:
        """The one object that is equal to these; empty if they are too many to be told apart."""
        if len(destinations) > _MOST:
            destinations = ()
        if destinations and destinations not in self._known and all(map(self._is_undeliverable, destinations)):
            self._undeliverable.add(destinations)
        return self._known.setdefault(destinations, destinations)

    def apply(self, is_undeliverable: Callable[[Destination], bool]) -> set[Destinations]:
        """Judge all anew. Returns those that something can be sent to again."""
        before, self._is_undeliverable = self._undeliverable, is_undeliverable
        self._undeliverable = {each for each in self._known if each and all(map(is_undeliverable, each))}
        return before - self._undeliverable

    def has_unused(self, open_: int) -> bool:
        """Whether most tuples are of generations that are gone, while so many are open."""
        return len(self._known) > 2 * open_ + _SPARE

    def keep(self, used: Iterable[Destinations]) -> None:
        """Forget all others."""
        self._known = {each: each for each in used}
        self._undeliverable &= self._known.keys()

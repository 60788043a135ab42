"""Whose next look is decided anew, and when: waits that were fixed while everything was scarcer are too long. Pure.

A wait is fixed once, after a look, by what the budget allows then. When the provider takes more requests again, or many
others are done, those waits would go on for as long as they were meant to: minutes after the storm has passed.

All that wait are gone through, some thousand at a time: a million at once would stop the loop for seconds.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final, Generic, TypeVar

E = TypeVar("E")

#: Gone through at a time: it takes some milliseconds.
_AT_A_TIME: Final = 2_000
#: ClockShift are too long once looks could be so many times closer together.
_EASED: Final = 1.5


class Review(Generic[E]):
    """Of one provider."""

    def __init__(self) -> None:
        #: The longest even spread since all waits were decided anew, seconds.
        self._longest = 0.0
        self._left: Iterator[E] = iter(())

    def due(self, even: float, every: float) -> bool:
        """Whether the budget has become so much less scarce: looks `even` seconds apart if they were evenly spread."""
        self._longest = max(self._longest, even)
        return self._longest > every and even * _EASED < self._longest

    def begin(self, entries: Iterable[E], even: float) -> None:
        """Go through these, from the first again."""
        self._longest, self._left = even, iter(list(entries))

    def some(self) -> Iterator[E]:
        """The next ones to go through."""
        return islice(self._left, _AT_A_TIME)

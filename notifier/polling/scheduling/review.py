"""For which generations the next poll is decided anew, and when: waits fixed while all was scarcer are too long. Pure.

A wait is fixed once, after a poll, by what the budget allows then. When the provider takes more requests again, or many
other generations are done, those waits would last as long as they were meant to: minutes after the storm is over.

All that wait are reviewed, some thousand at a time: a million at once would stop the loop for seconds.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final, Generic, TypeVar

E = TypeVar("E")

#: Reviewed at a time: it takes some milliseconds.
_AT_A_TIME: Final = 2_000
#: Waits are too long once polls could be so many times closer together.
_EASED: Final = 1.5


class Review(Generic[E]):
    """Of one provider."""

    def __init__(self) -> None:
        #: The longest even interval since all waits were last decided anew, seconds.
        self._longest = 0.0
        self._left: Iterator[E] = iter(())

    def due(self, even_interval: float, every: float) -> bool:
        """Whether the budget is so much less scarce that a review is due; `every` is `poll_every` in seconds."""
        self._longest = max(self._longest, even_interval)
        return self._longest > every and even_interval * _EASED < self._longest

    def begin(self, entries: Iterable[E], even_interval: float) -> None:
        """Review these, from the first again."""
        self._longest, self._left = even_interval, iter(list(entries))

    def some(self) -> Iterator[E]:
        """The next ones to review."""
        return islice(self._left, _AT_A_TIME)

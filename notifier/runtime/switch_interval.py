"""How long a thread may keep the interpreter (`sys.setswitchinterval`) while others wait for it.

Python's 5 ms are right as a rule: shorter turns slow a burst of callbacks by a tenth. But the store's thread releases
the interpreter at every statement, so while another thread only computes (parses a large file) it does 6 times less. So
turns are short while such a file is read, and only then.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

#: Seconds.
_SHORT: Final = 0.001


class ShortTurns:
    """For the whole process; used only by the event loop's thread."""

    def __init__(self) -> None:
        self._readers = 0
        self._usual = sys.getswitchinterval()

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Short turns while another thread reads a large file."""
        if not self._readers:
            self._usual = sys.getswitchinterval()
            sys.setswitchinterval(_SHORT)
        self._readers += 1
        try:
            yield
        finally:
            self._readers -= 1
            if not self._readers:
                sys.setswitchinterval(self._usual)


short_turns: Final = ShortTurns()

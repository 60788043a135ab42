"""How long a thread may keep the interpreter while others wait for it.

Python's 5 ms are right as a rule: shorter turns cost a burst of callbacks a tenth of its speed. But beside a thread
that only computes, because it reads a large file, the store's thread, which gives the interpreter up at every
statement, gets 6 times less done. So turns are short while such a file is read, and only then.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

#: Seconds.
_SHORT: Final = 0.001


class ShortTurns:
    """Of the whole process; used by the event loop's thread alone."""

    def __init__(self) -> None:
        self._readers = 0
        self._usual = sys.getswitchinterval()

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """While something large is read in another thread."""
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

"""Large drop files wait for their turn: one is read at a time, while small ones go on beside it.

Whose turn it is: a file waits for those of its size that came before it, and for smaller ones that came a little later:
a second for each MiB that it is larger. So a small file passes large ones, and none waits for ever.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from notifier.intake.drop.inspect_file import Waiting

#: Bytes beyond which a file is large: it takes about a quarter of a second to read.
LARGE: Final = 256 * 1024
_BYTES_A_SECOND: Final = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One file that waits for its turn."""

    waiting: Waiting
    #: Bytes.
    size: int
    #: When it began to wait, by the monotonic clock.
    since: float


def next_turn(turns: Mapping[str, Turn]) -> str | None:
    """The name of the file to read now."""
    return min(turns, key=lambda name: turns[name].since + turns[name].size / _BYTES_A_SECOND, default=None)

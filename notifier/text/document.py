"""A YAML or JSON document that was read: its value, and where its parts are in the text. Pure.

Drop files, watch files, API requests and the configuration are all read by `strict_yaml` and `strict_json`. These two
decide what may be in a document at all; what it means is decided by their callers, who also bound its size in bytes. A
refused document names every fault that could be found, each with its line and what to write instead.
"""

from collections.abc import Sequence
from typing import Any, Final

from notifier.domain.errors import Fault, NotifierError
from notifier.text.printable import Path

#: Lists and mappings inside one another, at most.
MAX_DEPTH: Final = 64
#: Digits of one number, at most; beyond, a number is meant as text.
MAX_DIGITS: Final = 40
#: Values in one document at most, lists and mappings among them: twelve for each of 100,000 watches. Bytes alone are no
#: bound: 16 MiB of `{},` take 1.2 GB once they are built.
MAX_VALUES: Final = 1_200_000
TOO_MANY: Final = f"It holds too many values: about {MAX_VALUES:,} may be in one file. Split it."
#: Items of its outermost list at most: as many as may be watched.
MAX_ITEMS: Final = 100_000
#: Behind a key, in quotes.
TWICE: Final = " is here twice; keep one."
TOO_LONG: Final = f"There are more than {MAX_ITEMS:,} items in this list; split it."


class Document:
    """A document's value, and where its parts are in the text."""

    __slots__ = ("_spots", "value")

    def __init__(self, value: Any, spots: Any = None) -> None:
        self.value = value
        #: A tree like `value`: (line, [spots in the order of keys or items]) for a collection, (line, written) for a
        #: scalar that is not text, a line for text; None if lines are not known.
        self._spots = spots

    def line(self, path: Path) -> int | None:
        """The 1-based line of what is at `path`, or of its nearest ancestor that is there; None without lines."""
        spot = self._spot(path, nearest=True)
        line: int | None = spot[0] if isinstance(spot, tuple) else spot
        return line

    def written(self, path: Path) -> str | None:
        """How the scalar at `path` is written, if it is not text (`0x1F`, `yes`); else None."""
        spot = self._spot(path, nearest=False)
        return spot[1] if isinstance(spot, tuple) and isinstance(spot[1], str) else None

    def _spot(self, path: Path, *, nearest: bool) -> Any:
        spot, value = self._spots, self.value
        for step in path:
            try:
                spot = spot[1][step if type(value) is list else list(value).index(step)]
                value = value[step]
            except (KeyError, IndexError, TypeError, ValueError):
                return spot if nearest else None
        return spot


class TextError(NotifierError):
    """The document cannot be read as it is. Callers make it InvalidWatch or ConfigError."""

    def __init__(self, faults: Sequence[Fault], document: Document | None = None) -> None:
        super().__init__("\n".join(map(str, faults)))
        self.faults = tuple(faults)
        #: What could be read in spite of the faults, doubtful parts as text: only for finding more faults.
        self.document = document


# ---- bytes --------------------------------------------------------------------------------------------------------
def decode(data: bytes) -> str:
    """UTF-8 text without its byte order mark; `TextError` with the line of the first byte that is no text."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")):
        raise TextError([Fault(message="The file is UTF-16 or UTF-32. Save it as UTF-8.", line=1)])
    nul = data.find(b"\0")
    if nul >= 0:
        line = data.count(b"\n", 0, nul) + 1
        raise TextError([Fault(message="The file holds NUL bytes, as UTF-16 does. Save it as UTF-8.", line=line)])
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        message = f"Byte 0x{data[error.start]:02x} is not UTF-8. Save the file as UTF-8."
        raise TextError([Fault(message=message, line=line)]) from None
    return text.removeprefix("\ufeff")

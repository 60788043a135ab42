"""A document that was read: its value, where its parts stand, and how a part of it is shown to a person.

Everything that came from outside passes `printable` before a log, a terminal or an `.error` file: control, ANSI, line
ends and bidi characters would write lines of their own there.
"""

import difflib
import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

from notifier.errors import Fault, NotifierError

Path = tuple[str | int, ...]

#: Lists and mappings inside one another, at most.
MAX_DEPTH: Final = 64
#: Faults listed of one document, at most; reading stops there.
MAX_FAULTS: Final = 200
#: Names listed by `did_you_mean`, at most.
_MAX_NAMES: Final = 20
#: Characters that people and their editors put around words; of these only " and ' mean anything to YAML and JSON.
QUOTES: Final = tuple("\"'`\u201c\u201d\u201e\u201f\u2018\u2019\u201a\u201b\u00ab\u00bb\u2032\u2033")
#: Digits of one number, at most; beyond, a number is meant as text.
MAX_DIGITS: Final = 40
#: Values in one document at most, lists and mappings among them: twelve for each of 100,000 watches. Bytes alone are no
#: bound: 16 MiB of `{},` take 1.2 GB once they are built.
MAX_VALUES: Final = 1_200_000
TOO_MANY: Final = f"It holds too many values: about {MAX_VALUES:,} may be in one file. Split it."
#: Items of its outermost list at most: as many as may be watched.
MAX_ITEMS: Final = 100_000
TOO_LONG: Final = f"There are more than {MAX_ITEMS:,} items in this list; split it."


class Document:
    """A document's value, and where its parts stand in the text."""

    __slots__ = ("_spots", "value")

    def __init__(self, value: Any, spots: Any = None) -> None:
        self.value = value
        #: A tree like `value`: (line, [spots in the order of keys or items]) for a collection, (line, written) for a
        #: scalar that is not text, a line for text; None where lines are not known.
        self._spots = spots

    def line(self, path: Path) -> int | None:
        """The 1-based line of what stands at `path`, or of its nearest ancestor that is there; None without lines."""
        spot = self._spot(path, nearest=True)
        line: int | None = spot[0] if isinstance(spot, tuple) else spot
        return line

    def written(self, path: Path) -> str | None:
        """How the scalar at `path` stands in the text, where it is not text itself (`0x1F`, `yes`); else None."""
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
    """The document cannot be read as it stands. Callers make it InvalidWatch or ConfigError."""

    def __init__(self, faults: Sequence[Fault], document: Document | None = None) -> None:
        super().__init__("\n".join(map(str, faults)))
        self.faults = tuple(faults)
        #: What could be read all the same, doubtful parts as text: for finding more faults, and for nothing else.
        self.document = document


# ---- for a person's eyes ------------------------------------------------------------------------------------------
def printable(text: str, limit: int) -> str:
    """`text` on one line of at most `limit` characters, cut with "…"; control, ANSI and bidi become visible escapes."""
    if len(text) <= limit and text.isprintable():
        return text
    shown = "".join(map(_shown, text[: limit + 1]))
    return shown if len(text) <= limit and len(shown) <= limit else shown[: max(limit - 1, 0)] + "…"


def _shown(char: str) -> str:
    if char.isprintable():
        return char
    known = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(char)
    code = ord(char)
    return known or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}")  # noqa: PLR2004  widths of the three escapes


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A sentence to put after "unknown …", with a space before it: ' Did you mean "api_key"?' or ' Known: a, b.'."""
    names = list(known)
    if (bare := word[:64].strip("\\" + "".join(QUOTES))) != word and bare in names:
        return f" The quotes are a part of it here; write {printable(bare, 64)} without them."
    if (close := closest(word[:64], names)) is not None:
        return f' Did you mean "{printable(close, 64)}"?'
    shown = [printable(name, 64) for name in names[:_MAX_NAMES]] + (["…"] if len(names) > _MAX_NAMES else [])
    return f" Known: {', '.join(shown)}." if shown else ""


def closest(word: str, names: Sequence[str]) -> str | None:
    """The one of `names` that `word` is close to. A beginning that they share, as `generation.`, does not count."""
    if (same := next((name for name in names if name.casefold() == word.casefold()), None)) is not None:
        return same
    likely = difflib.get_close_matches(word, names, n=3)
    return next((name for name in likely if difflib.get_close_matches(*_ends(word, name), n=1)), None)


def _ends(word: str, name: str) -> tuple[str, list[str]]:
    """What stands behind the parts that both begin with."""
    common = next((at for at, pair in enumerate(zip(word, name, strict=False)) if pair[0] != pair[1]), 0)
    shared = max(word.rfind(mark, 0, common) for mark in ".-") + 1
    return word[shared:], [name[shared:]]


def show_path(path: Path) -> str:
    """`("watches", 3, "id")` as `watches[3].id`; the first eight steps of it."""
    shown = ""
    for step in path[:8]:
        if isinstance(step, int):
            shown += f"[{step}]"
        elif re.fullmatch(r"[\w-]{1,64}", step, re.ASCII):
            shown += f".{step}" if shown else step
        else:
            shown += f'["{printable(step, 64)}"]'
    return shown


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

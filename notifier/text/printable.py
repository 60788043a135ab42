"""How text from outside is shown to a person, and which known name a wrong one may mean. Pure.

Everything that came from outside passes `printable` before a log, a terminal or an `.error` file: control, ANSI, line
ends and bidi characters would write lines of their own there.
"""

import difflib
import re
from collections.abc import Iterable, Sequence
from typing import Final

Path = tuple[str | int, ...]

#: Names listed by `did_you_mean`, at most.
_MAX_NAMES: Final = 20
#: Characters that people and their editors put around words; of these only " and ' mean anything to YAML and JSON.
QUOTES: Final = tuple("\"'`\u201c\u201d\u201e\u201f\u2018\u2019\u201a\u201b\u00ab\u00bb\u2032\u2033")


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
    """What comes after the parts that both begin with."""
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

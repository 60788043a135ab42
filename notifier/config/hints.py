"""A word on why a line is not YAML, and what to write instead: the parser's own words tell an operator neither.

Owns the sentence behind the parser's; refuses to judge what is YAML. A hint is given only where the lines themselves
bear it out, because a wrong one sends people to brackets that are not there. It quotes nothing: a secret may stand in
them.
"""

import re
from collections.abc import Sequence
from typing import Final

from notifier.domain.errors import Fault
from notifier.text.yaml_faults import COLON, OPEN, STRAY

_BRACES: Final = ' Inside { } and [ ] put quotes around "${NAME}".'
_COLUMNS: Final = " Keys of one mapping begin in the same column; compare with the line above."
_COLON: Final = ' Put text that has ": " in it in quotes.'
_NO_KEY: Final = ' The line above has no ": " in it, a colon and a blank: write KEY: VALUE there.'
_KEY_ENDS: Final = re.compile(rb":(?=\s|$)")
#: A dash of a list counts as a blank: the first key behind it begins where the others do.
_INDENT: Final = re.compile(rb"(?: |-(?= ))*")
_COMMENT: Final = re.compile(rb"(?<!\S)#.*")


def hint(fault: Fault, content: bytes) -> str:
    """The most usual reason for a fault of syntax, as a sentence to put behind it; empty where none is likely."""
    lines = content.splitlines()
    if not fault.message.startswith("Not YAML") or fault.line is None or not 0 < fault.line <= len(lines):
        return ""
    if fault.message.startswith(OPEN.partition("{")[0]):
        return _BRACES if b"${" in lines[fault.line - 1] else ""
    if fault.message not in (COLON, STRAY):
        return ""
    if fault.message == COLON and fault.line > 1 and _is_no_key(lines[fault.line - 2], lines[fault.line - 1]):
        return _NO_KEY
    if _strays(lines[: fault.line]):
        return _COLUMNS
    return _COLON if fault.message == COLON else ""


def _is_no_key(above: bytes, line: bytes) -> bool:
    """Whether `above` stands where a key does, as `line` does, and is none."""
    bare = _COMMENT.sub(b"", above).strip()
    return bool(bare) and _column(above) == _column(line) and not _KEY_ENDS.search(bare)


def _strays(lines: Sequence[bytes]) -> bool:
    """Whether the last of `lines`, one at least, begins in a column that nothing above it opened."""
    column = _column(lines[-1])
    above = [bare for bare in (_COMMENT.sub(b"", line).rstrip() for line in reversed(lines[:-1])) if bare]
    for depth, line in enumerate(above):
        if _column(line) <= column:
            return _column(line) < column and not (depth == 0 and line.endswith(b":"))
    return bool(above)


def _column(line: bytes) -> int:
    return len(_INDENT.match(line)[0])  # type: ignore[index]  # it matches nothing at least

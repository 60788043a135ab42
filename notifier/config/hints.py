"""Why a line is not YAML, and what to write instead: the parser's own message says neither to an operator.

Owns the sentence that follows the parser's message; does not decide what is YAML. A hint is given only if the lines
themselves show that it is right, because a wrong one makes people look for brackets that are not there. It quotes
nothing, because the lines may contain a secret.
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
#: A dash of a list counts as a blank, because the first key after it is in the same column as the others.
_INDENT: Final = re.compile(rb"(?: |-(?= ))*")
_COMMENT: Final = re.compile(rb"(?<!\S)#.*")


def hint(fault: Fault, content: bytes) -> str:
    """The most usual reason for a syntax error, as a sentence to append to it; empty if none is likely."""
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
    """Whether `above` is in the column of `line`, where a key should be, and is not a key."""
    bare = _COMMENT.sub(b"", above).strip()
    return bool(bare) and _column(above) == _column(line) and not _KEY_ENDS.search(bare)


def _strays(lines: Sequence[bytes]) -> bool:
    """Whether the last of `lines`, at least one, begins in a column that no line above it opened."""
    column = _column(lines[-1])
    above = [bare for bare in (_COMMENT.sub(b"", line).rstrip() for line in reversed(lines[:-1])) if bare]
    for depth, line in enumerate(above):
        if _column(line) <= column:
            return _column(line) < column and not (depth == 0 and line.endswith(b":"))
    return bool(above)


def _column(line: bytes) -> int:
    return len(_INDENT.match(line)[0])  # type: ignore[index]  # it matches nothing at least

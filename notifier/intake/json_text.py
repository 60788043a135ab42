"""JSON, as strictly as YAML here: no key twice, no NaN or infinity, bounded depth, no half surrogate pairs.

The standard library reads it: orjson takes the last of two equal keys without a word. Values have no lines (a path is
enough to find them); a syntax fault has its line.
"""

import json
import math
import re
from typing import Any, Final

from notifier.errors import Fault
from notifier.intake.document import (
    MAX_DEPTH,
    MAX_DIGITS,
    MAX_FAULTS,
    Document,
    Path,
    TextError,
    decode,
    printable,
    show_path,
)

#: An escape that may be half a surrogate pair: such text cannot be written as UTF-8.
_SURROGATE: Final = re.compile(r"\\u[dD][89a-fA-F]")


class _Json:
    """The hooks of one reading, and what they found."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        #: id of an object -> a key it has twice.
        self.twice: dict[int, str] = {}

    def pairs(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        if len(made) != len(pairs):
            seen: set[str] = set()
            self.twice[id(made)] = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]  # add() answers None, which is the point
        return made

    def integer(self, text: str) -> int | str:
        return int(text) if len(text) <= MAX_DIGITS else self._refuse(text, "has too many digits")

    def float(self, text: str) -> float | str:
        value = float(text)
        return value if math.isfinite(value) else self._refuse(text, "is too large a number")

    def constant(self, text: str) -> str:
        return self._refuse(text, "is not a JSON number")

    def _refuse(self, text: str, what: str) -> str:
        if len(self.messages) < MAX_FAULTS:
            self.messages.append(f"{printable(text, 40)} {what}; quote it if it is text.")
        return text


def read_json(data: bytes) -> Document:
    """One JSON value, as strict as YAML here; without lines, but a syntax fault has its line. Raises `TextError`."""
    text = decode(data)
    hooks = _Json()
    try:
        value = json.loads(
            text,
            object_pairs_hook=hooks.pairs,
            parse_int=hooks.integer,
            parse_float=hooks.float,
            parse_constant=hooks.constant,
        )
    except json.JSONDecodeError as error:
        message = f"Not JSON: {error.msg} (column {error.colno})."
        raise TextError([Fault(message=message, line=error.lineno)]) from None
    except RecursionError:
        raise TextError([Fault(message=f"Lists and objects are more than {MAX_DEPTH} deep.")]) from None
    faults = [Fault(message=message) for message in hooks.messages]
    faults += _walk(value, hooks.twice, surrogates=_SURROGATE.search(text) is not None)
    if faults:
        deep = any("deep" in fault.message for fault in faults)
        raise TextError(faults, None if deep else Document(value))
    return Document(value)


def _walk(value: Any, twice: dict[int, str], *, surrogates: bool) -> list[Fault]:
    """Faults of depth, of keys that stand twice, and of half surrogate pairs, with their paths."""
    faults: list[Fault] = []
    waiting: list[tuple[Path, Any]] = [((), value)]
    while waiting and len(faults) < MAX_FAULTS:
        path, item = waiting.pop()
        if len(path) > MAX_DEPTH:
            return [Fault(message=f"Lists and objects are more than {MAX_DEPTH} deep.", path=show_path(path[:4]))]
        if id(item) in twice:
            key = twice[id(item)]
            faults.append(Fault(message=f'"{printable(key, 64)}" stands twice here; keep one.', path=show_path(path)))
        members = item.items() if type(item) is dict else enumerate(item) if type(item) is list else ()
        for step, member in members:
            if surrogates and (_half(step) or _half(member)):
                at = path if _half(step) else (*path, step)
                faults.append(Fault(message="Half of a surrogate pair (\\ud8…) is not text.", path=show_path(at)))
            if type(member) is dict or type(member) is list:
                waiting.append(((*path, step), member))
    if surrogates and _half(value):
        faults.append(Fault(message="Half of a surrogate pair (\\ud8…) is not text."))
    return faults


def _half(value: Any) -> bool:
    return type(value) is str and any("\ud800" <= char <= "\udfff" for char in value)

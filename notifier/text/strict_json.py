"""JSON, as strictly as YAML here: no key twice, no NaN or infinity, bounded depth, no half surrogate pairs.

The standard library reads it: orjson takes the last of two equal keys without a word. Values have no lines (a path is
enough to find them); a syntax fault has its line.

What it builds is bounded before it is built. Commas and opening brackets are counted in the bytes, and in a large text
each item of the outer list is read out of a window: one object of a million pairs takes 300 MB on its way to a dict.
"""

import json
import math
import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

from notifier.domain.errors import MAX_FAULTS, Fault
from notifier.text.document import (
    MAX_DEPTH,
    MAX_DIGITS,
    MAX_ITEMS,
    MAX_VALUES,
    TOO_LONG,
    TOO_MANY,
    TWICE,
    Document,
    TextError,
    decode,
)
from notifier.text.printable import QUOTES, Path, printable, show_path

#: An escape that may be half a surrogate pair: such text cannot be written as UTF-8.
_SURROGATE: Final = re.compile(r"\\u[dD][89a-fA-F]")
_HALF: Final = re.compile("[\ud800-\udfff]")
#: A text, which may be cut off, or a mark that opens or closes a list or an object.
_NESTING: Final = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)
_TOO_DEEP: Final = f"Lists and objects are more than {MAX_DEPTH} deep."
_BLANKS: Final = re.compile(r"[ \t\n\r]*")
_CONSTANTS: Final = {"True": "true", "False": "false", "None": "null", "TRUE": "true", "FALSE": "false", "NULL": "null"}
#: Characters of a text that is read at once, and of the window into a larger one.
_WINDOW: Final = 1_048_576
#: Characters of one item of a larger one, at most.
_ITEM: Final = 262_144


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
    if sum(map(data.count, (b",", b"{", b"["))) > MAX_VALUES:
        raise TextError([Fault(message=TOO_MANY)])
    text = decode(data)
    # Brackets that nothing closes; those inside texts count too.
    left_open = sum(map(data.count, (b"[", b"{"))) - sum(map(data.count, (b"]", b"}")))
    if left_open > MAX_DEPTH and _too_deep(text):
        raise TextError([Fault(message=_TOO_DEEP)])
    hooks = _Json()
    decoder = json.JSONDecoder(
        object_pairs_hook=hooks.pairs,
        parse_int=hooks.integer,
        parse_float=hooks.float,
        parse_constant=hooks.constant,
    )
    try:
        value = decoder.decode(text) if len(text) <= _WINDOW else list(_items(text, decoder))
    except json.JSONDecodeError as error:
        message = f"Not JSON: {error.msg} (column {error.colno}).{_cure(error)}"
        raise TextError([Fault(message=message, line=error.lineno)]) from None
    except RecursionError:
        raise TextError([Fault(message=_TOO_DEEP)]) from None
    faults = [Fault(message=message) for message in hooks.messages]
    faults += _walk(value, hooks.twice, surrogates=_SURROGATE.search(text) is not None)
    if faults:
        deep = any("deep" in fault.message for fault in faults)
        raise TextError(faults, None if deep else Document(value))
    return Document(value)


def _too_deep(text: str) -> bool:
    """Whether more is open somewhere than may be, in a text that is cut off: then that is what is wrong with it.

    Python 3.14 reads 100,000 open brackets without a RecursionError, and misses what comes behind them.
    """
    depth = 0
    for found in _NESTING.finditer(text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(found[0], 0)
        if depth > MAX_DEPTH:
            return True
    return False


def _cure(error: json.JSONDecodeError) -> str:
    """What to write instead, if the text there shows what was meant; with a blank before it."""
    there = error.doc[error.pos : error.pos + 64]
    is_key = error.msg.startswith("Expecting property name")
    word = re.match(r"[A-Za-z_][\w-]*", there)
    if there[:1] in QUOTES and there[:1] != '"':
        return ' JSON knows the plain double quote only: write ", around keys too.'
    if there.startswith('\\"'):
        return ' Write " without a backslash before it.'
    if is_key and word:
        return f' A key has double quotes around it: write "{word[0]}".'
    if word and word[0] in _CONSTANTS:
        return f" Write {_CONSTANTS[word[0]]}."
    before_end = there[:1] in ("}", "]") and error.doc[: error.pos][-64:].rstrip().endswith(",")
    if before_end or re.match(r",\s*[}\]]", there):  # Python 3.13 points at the comma itself
        return " There is no comma after the last one."
    return ""


def _items(text: str, decoder: json.JSONDecoder) -> Iterator[Any]:
    """The items of a list too large to be read at once."""
    at = _past(text, 0)
    if text[at : at + 1] != "[":
        message = f"This is longer than {_WINDOW:,} characters, and not a list; only a list of watches may be."
        raise TextError([Fault(message=message)])
    at = _past(text, at + 1)
    begin, window = at, text[at : at + _WINDOW]
    count, mark = 0, ","
    if text[at : at + 1] == "]":
        mark, at = "]", _past(text, at + 1)
    while mark == ",":
        if begin + len(window) - at < _ITEM:
            begin, window = at, text[at : at + _WINDOW]
        item, end = _item(text, begin, window, at, decoder)
        count += 1
        if count > MAX_ITEMS:
            raise TextError([Fault(message=TOO_LONG, line=text.count("\n", 0, at) + 1)])
        yield item
        end = _past(text, end)
        mark, at = text[end : end + 1], _past(text, end + 1)
        if mark not in ("]", ","):
            raise json.JSONDecodeError("Expecting ',' delimiter", text, end)
    if at < len(text):
        raise json.JSONDecodeError("Extra data", text, at)


def _item(text: str, begin: int, window: str, at: int, decoder: json.JSONDecoder) -> tuple[Any, int]:
    """The item at `at`, and where it ends. `window` is the text from `begin`."""
    try:
        item, end = decoder.raw_decode(window, at - begin)
    except json.JSONDecodeError as error:
        cut = begin + len(window) < len(text)
        if cut and (error.msg.startswith("Unterminated") or error.pos > len(window) - 8):
            line = text.count("\n", 0, at) + 1
            raise TextError([Fault(message=f"One item is longer than {_ITEM:,} characters.", line=line)]) from None
        raise json.JSONDecodeError(error.msg, text, begin + error.pos) from None
    return item, begin + end


def _past(text: str, at: int) -> int:
    """Where the blanks at `at` end."""
    blanks = _BLANKS.match(text, at)
    return blanks.end() if blanks else at


def _walk(value: Any, twice: dict[int, str], *, surrogates: bool) -> list[Fault]:
    """Faults of depth, of keys that are there twice, and of half surrogate pairs, with their paths."""
    faults: list[Fault] = []
    for path, item in _parts(value, ()):
        if len(path) > MAX_DEPTH:
            return [Fault(message=_TOO_DEEP, path=show_path(path[:4]))]
        if id(item) in twice:
            key = twice[id(item)]
            faults.append(Fault(message=f'"{printable(key, 64)}"{TWICE}', path=show_path(path)))
        if surrogates:
            at = (at for at, text in _texts(item, path) if _HALF.search(text))
            faults += [Fault(message="Half of a surrogate pair (\\ud8…) is not text.", path=show_path(p)) for p in at]
        if len(faults) >= MAX_FAULTS:
            break
    return faults[:MAX_FAULTS]


def _parts(item: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    """`item` and every collection in it, down to one level too deep."""
    yield path, item
    if len(path) > MAX_DEPTH:
        return
    for step, member in _members(item):
        if type(member) is dict or type(member) is list:
            yield from _parts(member, (*path, step))


def _members(item: Any) -> Iterable[tuple[str | int, Any]]:
    return item.items() if type(item) is dict else enumerate(item) if type(item) is list else ()


def _texts(item: Any, path: Path) -> Iterator[tuple[Path, str]]:
    """The texts directly in `item`, its keys among them."""
    if type(item) is str:
        yield path, item
    for step, member in _members(item):
        if type(step) is str:
            yield path, step
        if type(member) is str:
            yield (*path, step), member

"""YAML, strictly: parser events into plain dicts, lists and scalars, each with its line.

Refused: anchors and aliases (so no bomb can be written), tags, duplicate and non-string keys, several documents,
infinity and NaN, dates, and numbers that YAML 1.1, YAML 1.2 and a person read in three ways (`0123`, `12:30`, `1_000`,
`1e5`). Reading goes on after a fault that leaves the rest readable, so that a person sees every fault at once.
Directives are bounded before anything is parsed: the parser compares each %TAG with all before it, and 16 MiB of them
would hold the interpreter for half an hour.

It reads events, never PyYAML's composer: that one recurses in C, builds everything before the first check, and cannot
stop early. `yes`, `no`, `on` and `off` are booleans, as operators are used to from YAML 1.1.
"""

import math
import re
from typing import Any, Final

import yaml

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
from notifier.text.printable import Path, printable, show_path
from notifier.text.yaml_faults import NOT_SUPPORTED, TOO_DEEP, syntax_fault

_NULL: Final = frozenset(("", "~", "null", "Null", "NULL"))
_TRUE: Final = frozenset(word for w in ("yes", "true", "on") for word in (w, w.title(), w.upper()))
_FALSE: Final = frozenset(word for w in ("no", "false", "off") for word in (w, w.title(), w.upper()))
#: The first characters of all plain scalars that may be something else than text.
_NOT_TEXT: Final = frozenset("0123456789+-.~nNyYtTfFoO<")
_INT: Final = re.compile(r"[-+]?(?:0|[1-9][0-9]*|0x[0-9a-fA-F]+)")
_FLOAT: Final = re.compile(r"[-+]?[0-9]+\.[0-9]*(?:[eE][-+]?[0-9]+)?|[-+]?\.[0-9]+(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE: Final = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:(?:[Tt]|[ \t]+)[0-9].*)?")
_DOUBTFUL: Final = re.compile(
    r"[-+]?0[0-9_]+|[-+]?0b[01_]+|[-+]?0o[0-7]+|[-+]?0x[0-9a-fA-F_]+"
    r"|[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?"
    r"|[-+]?[0-9][0-9_]*(?:\.[0-9_]*)?(?:[eE][-+]?[0-9]+)?"  # `\.?[0-9_]*` would try every way to share the digits out
)
#: Any of these. It is asked first, for many a text begins with a digit: most UUIDs do.
_NO_TEXT: Final = re.compile("|".join(each.pattern for each in (_INT, _FLOAT, _NOT_FINITE, _DATE, _DOUBTFUL)))

#: Where a directive may stand: at the beginning of a line, by all line ends that the parser knows.
_DIRECTIVE: Final = re.compile("(?:\\A|[\n\r\x85\u2028\u2029])%")
#: Lines like that, at most.
_DIRECTIVES: Final = 16
#: Values that a list or mapping counts for: with its lines it takes as much memory.
_COLLECTION: Final = 3
#: Keys that are kept once for all mappings, at most.
_KEYS: Final = 256


class _Doubt(Exception):
    """A plain scalar that must not be guessed at; carries the sentence."""


def _plain(text: str) -> Any:
    """What a plain (unquoted) scalar means; `_Doubt` if people and parsers disagree."""
    if not text or text in _NULL:
        return None
    if text[0] not in _NOT_TEXT:
        return text
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    if text == "<<":
        raise _Doubt("merging with << is not supported; write the keys out.")
    return _number(text) if _NO_TEXT.fullmatch(text) else text


def _number(text: str) -> Any:
    """The number that everybody reads in it; `_Doubt` if not everybody reads the same one."""
    shown = printable(text, 64)
    if _INT.fullmatch(text) and len(text) <= MAX_DIGITS:
        return int(text, 16 if "x" in text else 10)
    if _FLOAT.fullmatch(text) and math.isfinite(float(text)):
        return float(text)
    if _NOT_FINITE.fullmatch(text) or _FLOAT.fullmatch(text):
        raise _Doubt(f'{shown} is not a finite number; quote it if it is text: "{shown}".')
    if _DATE.fullmatch(text):
        raise _Doubt(f'{shown} is a date to YAML; quote it: "{shown}".')
    if _DOUBTFUL.fullmatch(text):
        raise _Doubt(f'{shown} is read as different numbers by different YAML parsers; quote it: "{shown}".')
    return text


class _Frame:
    """One open list or mapping."""

    __slots__ = ("is_map", "key", "key_line", "pending", "spots", "value")

    def __init__(self, *, is_map: bool) -> None:
        self.is_map = is_map
        self.value: Any = {} if is_map else []
        #: In the order of `value`.
        self.spots: list[Any] = []
        #: The key read last.
        self.key = ""
        #: True if the value of `key` comes next.
        self.pending = False
        self.key_line = 0


class _Stop(Exception):
    """Nothing more can be read."""


class _Reading:
    """Builds one document out of parser events, without recursion."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self.frames: list[_Frame] = []
        self.value: Any = None
        self.spots: Any = None
        self._documents = 0
        #: An anchor, an alias or a tag was met: what the parser cannot read behind it may only follow from that.
        self._undone = False
        #: Here keys count too, and a list or mapping thrice: 100,000 whole watches must fit nevertheless.
        self._room = 2 * MAX_VALUES
        #: Keys that were met first: the parser makes a new text of each.
        self._keys: dict[str, str] = {}

    def read(self, text: str) -> Document:
        _bound_directives(text)
        try:
            self._events(yaml.CSafeLoader(text))
        except _Stop:
            pass
        except yaml.YAMLError as error:
            if not self._undone:
                self.faults.append(syntax_fault(error, text))
            raise TextError(self.faults) from None
        document = Document(self.value, self.spots)
        if self.faults:
            raise TextError(self.faults, document)
        return document

    def _events(self, parser: Any) -> None:
        following = parser.get_event
        while True:
            event = following()
            kind = type(event)
            if kind is yaml.ScalarEvent:
                self._scalar(event)
            elif kind is yaml.MappingStartEvent or kind is yaml.SequenceStartEvent:
                self._open(event, is_map=kind is yaml.MappingStartEvent)
            elif kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
                self.frames.pop()
            elif kind is yaml.AliasEvent:
                self._undone = True
                if not (self.frames and self.frames[-1].pending and self.frames[-1].key == "<<"):  # that has a fault
                    self._fault(event, f"Aliases (*name) are {NOT_SUPPORTED.format('*')}")
                self._put(None, event.start_mark.line + 1)
            elif kind is yaml.DocumentStartEvent:
                self._start(event)
            elif kind is yaml.StreamEndEvent:
                return

    def _start(self, event: Any) -> None:
        self._documents += 1
        if self._documents > 1:
            self._fault(event, "A second document begins here (---); only one is allowed in a file.")
            raise _Stop

    def _scalar(self, event: Any) -> None:
        line = event.start_mark.line + 1
        text = event.value
        if event.anchor is not None or event.tag is not None:
            self._decorated(event)
        if event.style or not event.implicit[0]:
            self._put(text, line)
            return
        try:
            value = _plain(text)
        except _Doubt as doubt:
            self._fault(event, f"{doubt}")
            value = text
        self._put(value, line if type(value) is str else (line, text))

    def _open(self, event: Any, *, is_map: bool) -> None:
        if event.anchor is not None or event.tag is not None:
            self._decorated(event)
        if len(self.frames) >= MAX_DEPTH:
            self._fault(event, TOO_DEEP)
            raise _Stop
        self._room -= _COLLECTION - 1
        frame = _Frame(is_map=is_map)
        self._put(frame.value, (event.start_mark.line + 1, frame.spots))
        self.frames.append(frame)

    def _decorated(self, event: Any) -> None:
        self._undone = True
        if event.anchor is not None:
            self._fault(event, f"Anchors (&{printable(event.anchor, 64)}) are {NOT_SUPPORTED.format('&')}")
        if event.tag is not None:
            self._fault(event, f"Tags ({printable(event.tag, 64)}) are {NOT_SUPPORTED.format('!')}")

    def _put(self, value: Any, spot: Any) -> None:
        """Place a value: in the open list, as a key or a value of the open mapping, or as the document."""
        if not self.frames:
            self.value, self.spots = value, spot
            return
        self._room -= 1
        if self._room < 0:
            raise self._too_large(TOO_MANY, spot)
        frame = self.frames[-1]
        if not frame.is_map:
            if len(frame.value) == MAX_ITEMS:
                raise self._too_large(TOO_LONG, spot)
            frame.value.append(value)
            frame.spots.append(spot)
        elif not frame.pending:
            self._key(frame, value, spot)
        else:
            # A key's line is where a person looks; the first of two equal keys is kept.
            if frame.key not in frame.value:
                frame.value[frame.key] = value
                frame.spots.append(frame.key_line if type(spot) is int else (frame.key_line, spot[1]))
            frame.pending = False

    def _key(self, frame: _Frame, value: Any, spot: Any) -> None:
        line = spot if type(spot) is int else spot[0]
        frame.key_line = line
        frame.pending = True
        if type(value) is str:
            frame.key = self._keys.get(value) or value
            if len(self._keys) < _KEYS:
                self._keys[frame.key] = frame.key
            if value in frame.value:
                path = (*self._path(), value)
                self._add(f'"{printable(value, 64)}"{TWICE}', path, line)
        elif type(spot) is tuple and isinstance(spot[1], str):
            shown = printable(spot[1], 64)
            self._add(f'A key must be text; quote it: "{shown}".', self._path(), line)
            frame.key = spot[1]
        else:
            self._add("A key must be text, not a list or a mapping.", self._path(), line)
            raise _Stop

    @staticmethod
    def _too_large(message: str, spot: Any) -> TextError:
        """Nothing else is looked for: what was read so far is dropped."""
        return TextError([Fault(message=message, line=spot if type(spot) is int else spot[0])])

    def _path(self) -> Path:
        """Of the innermost open collection."""
        return tuple(frame.key if frame.is_map else len(frame.value) - 1 for frame in self.frames[:-1])

    def _fault(self, event: Any, message: str) -> None:
        path = self._path()
        if self.frames:
            frame = self.frames[-1]
            if not frame.is_map:
                path = (*path, len(frame.value))
            elif frame.pending:
                path = (*path, frame.key)
        self._add(message, path, event.start_mark.line + 1)

    def _add(self, message: str, path: Path, line: int) -> None:
        self.faults.append(Fault(message=message, path=show_path(path), line=line))
        if len(self.faults) >= MAX_FAULTS:
            raise _Stop


def _bound_directives(text: str) -> None:
    """`TextError` if there are more than anybody writes."""
    for count, found in enumerate(_DIRECTIVE.finditer(text)):
        if count == _DIRECTIVES:
            message = f"More than {_DIRECTIVES} lines begin with %, as directives do; take them out."
            raise TextError([Fault(message=message, line=text.count("\n", 0, found.end()) + 1)])


def read_yaml(data: bytes) -> Document:
    """One YAML document as plain dicts, lists and scalars, with lines; an empty one is None. Raises `TextError`."""
    return _Reading().read(decode(data))

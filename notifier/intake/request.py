"""Bytes or values that came from outside, made into `WatchRequest`s, or refused with every fault at once. Pure.

Owns the forms of a drop file: one watch or a list of them as JSON or YAML, or one ID a line in a `.txt` file; and how
large a file may be. What an entry may say is `entry`'s.
"""

from typing import Any, Final

from notifier.errors import Fault, InvalidWatch
from notifier.intake.entry import MAX_WATCHES, Known, KnownProvider, Reading
from notifier.intake.quantity import parse_duration, parse_rate
from notifier.intake.text import Document, Path, TextError, decode, read_json, read_yaml
from notifier.model import WatchRequest

__all__ = [
    "MAX_BYTES",
    "MAX_WATCHES",
    "SUFFIXES",
    "Known",
    "KnownProvider",
    "Unreadable",
    "parse_document",
    "parse_drop",
    "parse_duration",
    "parse_rate",
    "requests_from",
    "suffix_of",
]

#: Size of one file at most.
MAX_BYTES: Final = 16 * 1024 * 1024
#: Kinds of drop file.
SUFFIXES: Final = (".json", ".yaml", ".yml", ".txt")


def requests_from(
    value: Any, known: Known, *, lines: Document | None, source: str, root: Path = ()
) -> list[WatchRequest]:
    """The watches of `value`: one entry, a list of them, or None for none.

    `root` is where `value` stands in `lines`. Raises `InvalidWatch` with every fault, the first 200 of them at most.
    """
    reading = Reading(known, lines, source)
    reading.read(value, root)
    if reading.faults:
        raise InvalidWatch(reading.faults)
    return reading.requests


# ---- drop files ---------------------------------------------------------------------------------------------------
def suffix_of(name: str) -> str | None:
    """Which of `SUFFIXES` a file's name has, in any case."""
    return next((suffix for suffix in SUFFIXES if name.lower().endswith(suffix)), None)


class Unreadable(InvalidWatch):
    """The bytes are no JSON or YAML at all: the file may not be complete yet."""


def parse_drop(name: str, data: bytes, known: Known) -> list[WatchRequest]:
    """The watches in a drop file called `name`, at least one. Raises `InvalidWatch` with every fault."""
    suffix = suffix_of(name)
    if suffix is None:
        raise InvalidWatch([Fault(message=f"What kind of file is this? Its name must end in {', '.join(SUFFIXES)}.")])
    if len(data) > MAX_BYTES:
        raise InvalidWatch([Fault(message=f"The file is larger than {MAX_BYTES // 2**20} MiB; split it.")])
    if suffix == ".txt":
        return _parse_lines(data, known)
    return parse_document(data, known, json=suffix == ".json", source="", empty="The file holds no watch.")


def parse_document(
    data: bytes, known: Known, *, json: bool, source: str, empty: str | None = None
) -> list[WatchRequest]:
    """The watches in a JSON or YAML document. Where there is none, `empty` is the fault; None allows it."""
    try:
        document = read_json(data) if json else read_yaml(data)
    except TextError as error:
        kind = Unreadable if error.document is None else InvalidWatch
        raise kind(_all_faults(error, known, source)) from None
    if empty is not None and document.value in (None, [], {}):
        raise InvalidWatch([Fault(message=empty, source=source)])
    return requests_from(document.value, known, lines=document, source=source)


def _all_faults(error: TextError, known: Known, source: str) -> list[Fault]:
    """The faults of the text, and those of what could be read in spite of them; by line."""
    faults = [Fault(message=f.message, path=f.path, line=f.line, source=source) for f in error.faults]
    if error.document is not None:
        told = {fault.path for fault in faults}
        try:
            requests_from(error.document.value, known, lines=error.document, source=source)
        except InvalidWatch as more:
            faults += [fault for fault in more.faults if fault.path not in told]
    return sorted(faults, key=lambda fault: fault.line or 0)


def _parse_lines(data: bytes, known: Known) -> list[WatchRequest]:
    """One ID a line; blank lines and lines that begin with # are skipped."""
    try:
        text = decode(data)
    except TextError as error:
        raise InvalidWatch(error.faults) from None
    ids = [(number, line.strip()) for number, line in enumerate(text.split("\n"), start=1)]
    ids = [(number, id_) for number, id_ in ids if id_ and not id_.startswith("#")]
    if not ids:
        raise InvalidWatch([Fault(message="The file holds no ID; write one a line.")])
    spots = (1, [(number, {"id": number}) for number, _ in ids])
    lines = Document([{"id": id_} for _, id_ in ids], spots)
    try:
        return requests_from(lines.value, known, lines=lines, source="")
    except InvalidWatch as error:
        raise InvalidWatch([Fault(message=f.message, line=f.line) for f in error.faults]) from None

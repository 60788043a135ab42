"""Bytes or values that came from outside, made into `WatchRequest`s, or refused with every fault at once. Pure.

Owns the forms of a drop file: one watch or a list of them as JSON or YAML, or one ID a line in a `.txt` file; and how
large a file may be. What an entry may say is `entry`'s.
"""

import re
from codecs import BOM_UTF8
from io import BytesIO
from typing import Any, Final

from notifier.domain.errors import MAX_FAULTS, Fault, InvalidWatch
from notifier.domain.model import WatchRequest
from notifier.intake.entry import MAX_WATCHES, Known, Reading
from notifier.text.document import Document, TextError, decode
from notifier.text.printable import Path
from notifier.text.strict_json import read_json
from notifier.text.strict_yaml import read_yaml

#: Size of one file at most.
MAX_BYTES: Final = 16 * 1024 * 1024
#: Kinds of drop file.
SUFFIXES: Final = (".json", ".yaml", ".yml", ".txt")
UNKNOWN_KIND: Final = f"What kind of file is this? Its name must end in {', '.join(SUFFIXES)}."
#: What shows that a line of a `.txt` file is more than an ID.
_NOT_AN_ID: Final = re.compile(r"^[{\[\"']|\s")
_NO_LINE: Final = (
    "This is more than one ID. Write one ID a line, without quotes; JSON and YAML go in .json and .yaml files."
)


def requests_from(
    value: Any, known: Known, *, lines: Document | None, source: str, root: Path = ()
) -> list[WatchRequest]:
    """The watches of `value`: one entry, a list of them, or None for none.

    `root` is the path of `value` in `lines`. Raises `InvalidWatch` with every fault, the first 200 of them at most.
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


class Unparsable(InvalidWatch):
    """The bytes are no JSON or YAML at all: the file may not be complete yet."""


def parse_drop(name: str, data: bytes, known: Known) -> list[WatchRequest]:
    """The watches in a drop file called `name`, at least one. Raises `InvalidWatch` with every fault."""
    suffix = suffix_of(name)
    if suffix is None:
        raise InvalidWatch([Fault(message=UNKNOWN_KIND)])
    if len(data) > MAX_BYTES:
        raise InvalidWatch([Fault(message=f"The file is larger than {MAX_BYTES // 2**20} MiB; split it.")])
    if suffix == ".txt":
        return _parse_lines(data, known)
    return parse_document(data, known, json=suffix == ".json", source="", empty="The file holds no watch.")


def parse_document(
    data: bytes, known: Known, *, json: bool, source: str, empty: str | None = None
) -> list[WatchRequest]:
    """The watches in a JSON or YAML document. If there is none, `empty` is the fault; None allows it."""
    try:
        document = read_json(data) if json else read_yaml(data)
    except TextError as error:
        kind = Unparsable if error.document is None else InvalidWatch
        raise kind(_all_faults(error, known, source)) from None
    if empty is not None and document.value in (None, [], {}):
        raise InvalidWatch([Fault(message=empty, source=source)])
    return requests_from(document.value, known, lines=document, source=source)


def _all_faults(error: TextError, known: Known, source: str) -> list[Fault]:
    """The faults of the text, and those of what could be read in spite of them; by line."""
    faults = [Fault(message=f.message, path=f.path, line=f.line, source=source) for f in error.faults]
    if error.document is not None:
        noted = {fault.path for fault in faults}
        try:
            requests_from(error.document.value, known, lines=error.document, source=source)
        except InvalidWatch as more:
            faults += [fault for fault in more.faults if fault.path not in noted]
    return sorted(faults, key=lambda fault: fault.line or 0)


def _parse_lines(data: bytes, known: Known) -> list[WatchRequest]:
    """One ID a line; blank lines and lines that begin with # are skipped."""
    try:
        ids = _ids(data)
    except TextError as error:
        raise InvalidWatch(error.faults) from None
    if not ids:
        raise InvalidWatch([Fault(message="The file holds no ID; write one a line.")])
    faults = [Fault(message=_NO_LINE, line=number) for number, id_ in ids if _NOT_AN_ID.search(id_)]
    ids = [(number, id_) for number, id_ in ids if not _NOT_AN_ID.search(id_)] if faults else ids
    lines = Document([{"id": id_} for _, id_ in ids], (1, [(number, [number]) for number, _ in ids]))
    requests: list[WatchRequest] = []
    try:
        requests = requests_from(lines.value, known, lines=lines, source="")
    except InvalidWatch as error:
        faults += [Fault(message=f.message, line=f.line) for f in error.faults]
    if faults:
        raise InvalidWatch(sorted(faults, key=lambda fault: fault.line or 0)[:MAX_FAULTS])
    return requests


def _ids(data: bytes) -> list[tuple[int, str]]:
    """IDs and their lines. It goes line by line: a list of all lines that a file may hold takes 1 GB."""
    decode(data)  # refuses what is not UTF-8
    found: list[tuple[int, str]] = []
    for number, raw in enumerate(BytesIO(data.removeprefix(BOM_UTF8)), start=1):
        id_ = raw.decode().strip()
        if not id_ or id_.startswith("#"):
            continue
        if len(found) == MAX_WATCHES:
            message = f"There are more than {MAX_WATCHES:,} IDs in this file; split it."
            raise TextError([Fault(message=message, line=number)])
        found.append((number, id_))
    return found

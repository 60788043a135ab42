"""Parses the bytes of a reply as JSON, and tolerates faults in fields that are not needed. Pure.

orjson reads what is right, which is nearly everything. A tolerant parser reads what orjson refuses, because half an
emoji in one echoed prompt would otherwise hide a hundred generations:
- Half surrogate pairs and bytes that are not UTF-8 become U+FFFD.
- NaN, Infinity, numbers too large for a double, and what is nested deeper than `DEEPEST` become null.
- Control characters in texts are kept. A byte order mark, UTF-16 and UTF-32 are understood.
- Several JSON texts one after another are a list. What follows the JSON and is not JSON is left out.
- A reply that was cut off is an error: half a list could hide that an ID is there.

What comes out can be written again as JSON in UTF-8, unless it is nested too deep for that (see `can_be_written`).

The size is bounded before anything is parsed: no other thread runs while orjson parses, so a thread alone would not
keep the event loop going. Text costs 1 ms a MiB, and `client` bounds the length of a reply. A value costs up to
0.17 µs, a list or an object 0.18 µs. So one reply may hold 100,000 values (a log of 25,000 lines has that many) and
30,000 lists and objects, and one about several IDs half as many more. Nine replies at a time, each the worst that fits,
stopped the loop for 26 ms at the longest. Commas and opening brackets are counted, those in texts too.
"""

import json
import re
from collections.abc import Sequence
from typing import Any, Final

import orjson

from notifier.domain.errors import ProviderBusy, ReplyTooLarge
from notifier.domain.ids import GenerationId
from notifier.text.printable import printable

#: Values, and lists and objects among them, in a reply at most.
VALUES_ONE, CONTAINERS_ONE = 100_000, 30_000
VALUES_MANY, CONTAINERS_MANY = 150_000, 50_000

#: Lists and objects inside one another at most, in what the tolerant parser reads.
DEEPEST: Final = 200
_LEAST_INT, _MOST_INT = -(2**63), 2**64 - 1
#: Digits that a 64-bit number has at most.
_DIGITS: Final = 20
_BOMS: Final = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")
_PAIR: Final = r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
#: In JSON text: whole pairs and all other escapes. The number at a time is bounded: no other thread runs during a
#: match.
_WHOLE: Final = re.compile(rf"(?:[^\\]++|{_PAIR}|\\(?!u[dD][89a-fA-F][0-9a-fA-F]{{2}}).){{0,20000}}+", re.DOTALL)
_HALF: Final = re.compile(rf"(?!{_PAIR})\\u[dD][89a-fA-F][0-9a-fA-F]{{2}}")
_TOKEN: Final = re.compile(r'"(?:[^"\\]++|\\.)*+"|[\[\]{}]', re.DOTALL)
_BLANKS: Final = re.compile(r"[\s\0]*")
_MANY: Final = 50_000


def read_json(body: bytes, ids: Sequence[GenerationId] = ()) -> Any:
    """The parsed body of a reply about `ids`; `ReplyTooLarge` if it holds more than is read.

    `ProviderBusy` if no API wrote it: an HTML page, a truncated reply, a number, nothing.
    """
    if not body.strip():
        raise ProviderBusy("The provider answered with an empty body.")
    containers = body.count(b"{") + body.count(b"[")
    values = containers + body.count(b",")
    if values > (most := VALUES_MANY if len(ids) > 1 else VALUES_ONE):
        raise too_large(f"holds {values:,} values, above {most:,}", ids)
    if containers > (most := CONTAINERS_MANY if len(ids) > 1 else CONTAINERS_ONE):
        raise too_large(f"holds {containers:,} lists and objects, above {most:,}", ids)
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        value = _tolerant(body)
    if not (value is None or isinstance(value, dict | list)):
        raise ProviderBusy("The provider's reply is JSON, but neither an object nor a list.")
    return value


def too_large(how: str, ids: Sequence[GenerationId], *, who: str = "") -> ReplyTooLarge:
    """The error, in words for one ID or for several; `who` begins the sentence."""
    if len(ids) > 1:
        return ReplyTooLarge(f"{who}The answer about {len(ids)} IDs {how}, so fewer are asked for at a time.")
    of = f" about {printable(ids[0], 200)}" if ids else ""
    return ReplyTooLarge(
        f"{who}The answer{of} {how}: more than is read of one ID. It is asked for more and more rarely; others go on."
    )


def try_json(body: bytes) -> Any:
    """The same of a body that may be anything: None if it is not JSON."""
    try:
        return read_json(body)
    except ProviderBusy:
        return None


def can_be_written(value: Any) -> bool:
    """Whether `value` can be written as JSON again: what is nested very deep can be read, but not written."""
    try:
        orjson.dumps(value)
    except orjson.JSONEncodeError:
        return False
    return True


def is_page(body: bytes) -> bool:
    """Whether it is a page for people: HTML or XML."""
    return decoded(body[:2_048]).lstrip("\ufeff \t\r\n").startswith("<")


#: What web servers, frameworks and gateways say of a path that nothing answers.
_NO_ROUTE: Final = re.compile(
    r"\bcannot get /|\bno (?:such )?route\b|\broute (?:was )?not found\b|\bno static resource\b|\bpage not found\b"
    r"|\bunknown (?:path|endpoint|url|route)\b|\b(?:invalid|unrecognized request) url\b|\brequested url was not found\b"
    r"|\bendpoint (?:was )?not found\b",
    re.IGNORECASE,
)


def what_else(body: bytes) -> str:
    """What answered in place of an API, for a sentence; empty for the body of an API's error, and for an empty body."""
    if not body.strip():
        return ""
    if is_page(body):
        return "with a page for people"
    cut_off = decoded(body[:64]).lstrip().startswith(("{", "["))
    if not isinstance(try_json(body), dict | list) and not cut_off:
        return f"with the text {beginning(body)}"
    found = _NO_ROUTE.search(decoded(body[:4_096]))
    return f"saying that it has no such route ({printable(found[0], 80)}…)" if found else ""


def beginning(body: bytes) -> str:
    """Its first characters, for a sentence."""
    return printable(decoded(body[:200]), 80)


# ---- the tolerant parser ------------------------------------------------------------------------------------------
def _tolerant(body: bytes) -> Any:
    text = _with_whole_pairs(decoded(body))
    if text.count("[") + text.count("{") > DEEPEST:
        text = _without_the_deepest(text)
    try:
        return _values(text)
    except ValueError:
        what = "a page for people, not the JSON of an API" if is_page(body) else "not the JSON of its API"
        raise ProviderBusy(f"The provider's reply is {what}. It begins: {beginning(body)}") from None


def decoded(body: bytes) -> str:
    """As text; bytes that are not text become U+FFFD."""
    encoding = json.detect_encoding(body) if body.startswith(_BOMS) or b"\0" in body[:4] else "utf-8"
    return body.decode(encoding, "replace").removeprefix("\ufeff")


def _with_whole_pairs(text: str) -> str:
    """The text with half surrogate pairs, which only escapes can write, replaced."""
    if "\\ud" not in text and "\\uD" not in text:
        return text
    parts: list[str] = []
    at = 0
    while whole := _WHOLE.match(text, at):
        parts.append(whole[0])
        at = whole.end()
        if half := _HALF.match(text, at):
            parts.append("\ufffd")
            at = half.end()
        elif not whole[0]:
            break
    return "".join(parts) + text[at:]


def _without_the_deepest(text: str) -> str:
    """The text with null in place of what is nested deeper than `DEEPEST`."""
    parts: list[str] = []
    depth = kept = 0
    for token in _TOKEN.finditer(text):
        bracket = token[0]
        if bracket in ("[", "{"):
            depth += 1
            if depth == DEEPEST + 1:
                parts.append(text[kept : token.start()])
        elif bracket in ("]", "}"):
            if depth == DEEPEST + 1:
                parts.append("null")
                kept = token.end()
            depth -= 1
    return "".join(parts) + text[kept:] if depth <= DEEPEST else ""


def _values(text: str) -> Any:
    """The only JSON text, or a list of all if there are several, one after another; `ValueError` if there is none."""
    read = _DECODER.raw_decode
    value, end = read(text, _blanks(text, 0))
    values = [value]
    while (start := _blanks(text, end)) < len(text) and len(values) < _MANY:
        try:
            more, end = read(text, start)
        except ValueError:
            if text[start] in "[{":  # the rest of the records were cut off
                raise
            break
        values.append(more)
    if start < len(text) and not isinstance(value, dict | list):
        raise ValueError(text[:1])
    return value if len(values) == 1 else values


def _blanks(text: str, at: int) -> int:
    found = _BLANKS.match(text, at)
    return found.end() if found else at


def _whole_number(digits: str) -> int | float | None:
    if len(digits) <= _DIGITS and _LEAST_INT <= (number := int(digits)) <= _MOST_INT:
        return number
    return _number(digits)  # as orjson reads it


def _number(digits: str) -> float | None:
    number = float(digits)
    return number if abs(number) < float("inf") else None


#: A constant is NaN, Infinity or -Infinity.
_DECODER: Final = json.JSONDecoder(
    strict=False, parse_int=_whole_number, parse_float=_number, parse_constant=lambda _: None
)

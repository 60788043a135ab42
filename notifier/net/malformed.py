"""What is wrong with an answer that is not well-formed HTTP/1.1, as one line for a person. Pure.

The parser says only that it gave up. What came until then is examined again here, in the parser's order, so that the
sentence names the line at which it gave up and shows what came.
"""

import re
from typing import Final

from notifier.text.printable import printable

#: Bytes of one line of a head: of the first line, or of a header with its name.
LINE_LIMIT: Final = 64 * 1024
#: Headers of one answer.
HEADERS_LIMIT: Final = 500
#: Bytes of a head as a whole: the two limits above would allow 31 MiB.
HEAD_LIMIT: Final = 1024 * 1024

_STATUS: Final = re.compile(rb"HTTP/1\.[01] [1-9]\d{2}(?: .*)?", re.DOTALL)
_HEADER: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[^\x00-\x08\x0a-\x1f\x7f]*")
#: First bytes of a TLS record: an alert, or a handshake.
_TLS: Final = (b"\x15\x03", b"\x16\x03")
_PREFACE: Final = b"PRI * HTTP/2"
#: Types of the HTTP/2 frames that a server may begin with: SETTINGS and GOAWAY. Both belong to stream 0.
_FRAMES: Final = (4, 7)
_FRAME_HEAD: Final = 9
_SHOWN: Final = 60
_BYTES_SHOWN: Final = 12


def malformed(head: bytes | None) -> str:
    """`head` is what came of the answer's head until the parser gave up; None if the head was well-formed."""
    if head is None:
        return "the body of the answer is malformed: its chunks do not have the form of HTTP/1.1"
    begin = head.lstrip(b"\r\n")
    if begin.startswith(_TLS):
        return "the answer is TLS: write https:// in the url, not http://"
    is_frame = len(begin) >= _FRAME_HEAD and begin[3] in _FRAMES and begin[:1] == b"\0" and begin[5:9] == b"\0\0\0\0"
    if is_frame or begin.startswith(_PREFACE):
        return "the answer is HTTP/2, and notifier speaks HTTP/1.1: let the server answer HTTP/1.1 on this port"
    first, *lines = [line.rstrip(b"\r") for line in begin.split(b"\n")]
    if len(first) > LINE_LIMIT:
        return "the first line of the answer is above 64 KiB"
    if not _STATUS.fullmatch(first):
        other = f"the answer begins with {_show(first, begin)}: is this the right port?"
        return f"the first line of the answer is {_show(first)}" if first.startswith(b"HTTP/") else other
    return _wrong_header(lines) or _wrong_length(lines) or "the headers of the answer contradict each other"


def is_http(head: bytes) -> bool:
    """Whether it begins as an answer of HTTP/1 does: the parser also accepts other protocols that look like it."""
    return bool(_STATUS.match(head.lstrip(b"\r\n")))


def _wrong_header(lines: list[bytes]) -> str | None:
    """The first header that cannot be read; None if each can, by itself."""
    for number, line in enumerate(lines, start=1):
        name, colon, value = line.partition(b":")
        if len(name) + len(value.strip()) > LINE_LIMIT:
            return f"the header {_show(name)} of the answer is above 64 KiB"
        if not line:
            break
        if number > HEADERS_LIMIT:
            return f"the answer has more than {HEADERS_LIMIT} headers"
        last = number == len(lines)  # perhaps not all of it came
        counts = name.lower() != b"content-length" or value.strip().isdigit()
        if (colon or not last) and not (_HEADER.fullmatch(line) and counts):
            return f"the answer has a malformed header: {_show(line)}"
    if sum(map(len, lines)) > HEAD_LIMIT - LINE_LIMIT:
        return "the headers of the answer are above 1 MiB together"
    return None


def _wrong_length(lines: list[bytes]) -> str | None:
    """What is wrong with the body's length, in headers that are each well-formed."""
    pairs = [(name.lower(), value.strip()) for name, _, value in (line.partition(b":") for line in lines)]
    lengths = [value for name, value in pairs if name == b"content-length"]
    if lengths and any(name == b"transfer-encoding" for name, _ in pairs):
        return "the headers of the answer contradict each other: Content-Length and Transfer-Encoding"
    if len(lengths) > 1:
        return f"the answer has the header Content-Length {len(lengths)} times, and may have it once"
    return f"the answer has a Content-Length that is too large: {_show(lengths[0])}" if lengths else None


def _show(line: bytes, whole: bytes = b"") -> str:
    """Its beginning: as text if it is text, else the bytes at the beginning of the whole."""
    if not line:
        return "an empty line"
    text = line[:_SHOWN].decode("utf-8", "replace")
    readable = sum(char.isprintable() and char != "\N{REPLACEMENT CHARACTER}" for char in text)
    if 5 * readable >= 4 * len(text):
        return f'"{printable(text, _SHOWN)}{"…" if len(line) > _SHOWN else ""}"'
    return f"the bytes {(whole or line)[:_BYTES_SHOWN].hex(' ')}"

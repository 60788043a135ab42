r"""Secrets are taken out of text that others sent before it is kept, shown or logged. Pure.

Who is sent a secret may send it back: an API that does not like a key repeats it, and a receiver that is being debugged
answers with every header that it got. Rules:

- A secret is found as it is, and as JSON, a URL, HTML, a shell or base64 writes it: with `\/`, `\u002d`, `\x2d`,
  `\055`, `%2D`, `%u002d`, `&#45;`, `&sol;`, in UTF-16, also if that was done twice. What is found is replaced whole by
  `***`.
- Of a header like `Bearer abc` or `sid=abc; lang=en` the parts are secrets too, and of a login in base64 its password.
- Where text was cut, the beginning of a secret at the cut is one as well: at the end of the text, before "…"
  and before a quote, also if the cut went through one of these signs.
- What is shorter than six characters is not looked for: it would be found everywhere, and hardly keeps anything secret.
"""

import base64
import binascii
import html
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any, Final
from urllib.parse import quote, unquote

#: Characters that a secret, or the beginning of one, has at least.
SHORTEST: Final = 6
#: What takes the place of a URL's query, and of a secret.
_QUERY: Final = "?…"
_MASK: Final = b"***"
#: A text of so many bytes is not in a result by chance.
_SURE: Final = 16
#: How often what was written as something else is read again.
_LAYERS: Final = 3
_ESCAPED: Final = re.compile(
    rb"""(?:\\+|%(?:25)*)u([0-9a-fA-F]{4}) | \\+u\{([0-9a-fA-F]{1,6})\} | \\+x([0-9a-fA-F]{2})
    | %(?:25)*([0-9a-fA-F]{2}) | \\+([0-3][0-7]{2}) | \\+(.) | \0
    | &(?:amp;)*(?:(\#[0-9]{1,7}|\#[xX][0-9a-fA-F]{1,6});?|([a-zA-Z]{2,12});)""",
    re.VERBOSE | re.DOTALL,
)
#: Without any of these nothing is written as something else.
_MARKS: Final = (b"\\", b"%", b"&", b"\0")
#: Here text was cut, or what was quoted ends.
_CUT: Final = re.compile(rb"""\Z|["']|\.\.\.|\xe2\x80\xa6""")
#: The same, behind what a cut left of a sign that was written as something else.
_CUT_SIGN: Final = re.compile(rb"""[%&\\]?[#ux]?\{?[0-9a-fA-F]{0,6}[\0-\x1f]?(?:\Z|["']|\.\.\.|\xe2\x80\xa6)""")
_LETTERS: Final = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"f": b"\f"}

Span = tuple[int, int]


def without_query(url: str) -> str:
    """`https://app.example.com/done?…`: a query may carry a token. What has no query is left as it is."""
    return url.partition("?")[0] + _QUERY if "://" in url and "?" in url else url


# ---- which secrets ------------------------------------------------------------------------------------------------
def parts_of_header(value: str) -> Iterator[str]:
    """A header's value, and what may come back of it alone."""
    yield value
    _, blank, rest = value.partition(" ")
    if blank:
        yield rest
        yield from _login(rest)
    yield from (part.partition("=")[2] for part in re.split(r"[;,&]\s*", value) if "=" in part)


def parts_of_url(url: str) -> Iterator[str]:
    """The query of a URL and its values."""
    query = url.partition("?")[2].partition("#")[0]
    yield query
    for part in query.split("&"):
        _, sign, value = part.partition("=")
        yield from (value, unquote(value)) if sign else (part,)


def _login(text: str) -> Iterator[str]:
    """User and password behind `Basic`."""
    try:
        login = base64.b64decode(text, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return
    if login.isprintable() and ":" in login:
        yield login
        yield login.partition(":")[2]


class Mask:
    """Of some secrets."""

    def __init__(self, secrets: Iterable[str]) -> None:
        plain = {secret.strip().encode() for secret in secrets}
        plain = {secret for secret in plain if len(secret) >= SHORTEST}
        #: The longest first, so that a part does not hide the whole.
        self._forms = sorted(plain | {form for each in plain for form in _in_base64(each)}, key=len, reverse=True)
        long = [form for form in self._forms if len(form) >= _SURE]
        #: Long ones, as data holds them.
        self._sure = list(dict.fromkeys(each for form in long for each in (form, *_in_text(form))))
        self._sure_texts = [form.decode() for form in self._sure]
        #: Text without any of these holds none, in no way of writing it.
        signs = (*_MARKS, *dict.fromkeys(form[:SHORTEST] for form in self._forms))
        self._signs = re.compile(b"|".join(map(re.escape, signs)))
        #: Bytes after a place that must be known to know whether a secret begins there.
        self.reach = min(4_096, 6 * max(map(len, self._forms), default=0))

    def text(self, text: str) -> str:
        """`text` without them."""
        return self.head(text.encode(errors="surrogateescape")).decode(errors="surrogateescape") if text else text

    def head(self, raw: bytes, keep: int | None = None) -> bytes:
        """The first `keep` bytes without them; the rest of `raw`, at least `reach` of it, shows what was cut in two."""
        limit = len(raw) if keep is None else keep
        if len(raw) < SHORTEST or not self._forms or not self._signs.search(raw):  # as a rule, and quick to find out
            return raw[:limit]
        kept, done = bytearray(), 0
        for begin, end in _joined(self._spans(raw)):
            if begin >= limit:
                break
            kept += raw[done:begin] + _MASK
            done = end
        return bytes(kept + raw[done:limit])

    def plain(self, raw: bytes) -> bytes:
        """`raw`, which may be large and is data, without long ones that are in it letter by letter."""
        for form in self._sure:
            raw = raw.replace(form, _MASK)
        return raw

    def data(self, value: Any) -> Any:
        """The same of data that has been read: its escapes are undone."""
        if isinstance(value, str):
            for form in self._sure_texts if len(value) >= _SURE else ():
                value = value.replace(form, _MASK.decode())
            return value
        if isinstance(value, list | tuple):
            return type(value)(map(self.data, value))
        if isinstance(value, dict):
            return {self.data(key): self.data(each) for key, each in value.items()}
        return value

    def _spans(self, raw: bytes) -> Iterator[Span]:
        """Where they are, in any way of writing them."""
        text, origin = raw, None
        for _ in range(_LAYERS):
            for begin, end in self._found(text, _CUT if origin is None else _CUT_SIGN):
                yield (begin, end) if origin is None else (origin[begin][0], origin[end - 1][1])
            decoded = _decoded(text, origin)
            if decoded is None:
                return
            text, origin = decoded

    def _found(self, text: bytes, cut: "re.Pattern[bytes]") -> Iterator[Span]:
        for form in self._forms:
            begin = text.find(form[:SHORTEST])
            while begin >= 0:
                end = begin + _alike(text, begin, form)
                if end - begin == len(form) or cut.match(text, end):
                    yield begin, end
                begin = text.find(form[:SHORTEST], begin + 1)


def _alike(text: bytes, begin: int, form: bytes) -> int:
    """How much of `form` is there."""
    if text.startswith(form, begin):
        return len(form)
    pairs = zip(text[begin : begin + len(form)], form, strict=False)
    return next((count for count, (one, other) in enumerate(pairs) if one != other), len(text) - begin)


def _in_base64(secret: bytes) -> Iterator[bytes]:
    """As it looks inside a longer text in base64, wherever it begins there; without what its neighbours share."""
    for before in range(3):
        coded = base64.b64encode(b"\0" * before + secret)
        first = (before * 8 + 5) // 6
        sure = coded[first : (before + len(secret)) * 8 // 6]
        if len(sure) >= SHORTEST + 2:
            yield sure
            yield sure.translate(bytes.maketrans(b"+/", b"-_"))


def _in_text(secret: bytes) -> Iterator[bytes]:
    """As a URL and HTML have it, with the least that they must write otherwise."""
    yield quote(secret, safe="").encode()
    yield html.escape(secret.decode()).encode()


def _joined(spans: Iterable[Span]) -> Sequence[Span]:
    """In order, those that touch as one."""
    joined: list[Span] = []
    for begin, end in sorted(spans):
        if joined and begin <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(joined[-1][1], end)
        else:
            joined.append((begin, end))
    return joined


def _decoded(text: bytes, origin: Sequence[Span] | None) -> tuple[bytes, list[Span]] | None:
    """The text as it was before it was escaped, and where each byte of it comes from; None if nothing was."""
    plain, places, done = bytearray(), list[Span](), 0
    for found in _ESCAPED.finditer(text):
        begin, end = found.span()
        read = _read(found)
        plain += text[done:begin] + read
        places += pairwise(range(done, begin + 1))
        places += [(begin, end)] * len(read)
        done = end
    if not done:
        return None
    plain += text[done:]
    places += pairwise(range(done, len(text) + 1))
    if origin is not None:
        places = [(origin[begin][0], origin[end - 1][1]) for begin, end in places]
    return bytes(plain), places


def _read(found: "re.Match[bytes]") -> bytes:
    """What one escape means."""
    wide, braced, narrow, percent, octal, letter, number, name = found.groups()
    if wide or braced:
        return chr(min(int(wide or braced, 16), sys.maxunicode)).encode(errors="replace")
    if narrow or percent:
        return bytes([int(narrow or percent, 16)])
    if octal:
        return bytes([int(octal, 8)])
    if letter:
        return _LETTERS.get(letter, bytes(letter))
    if number or name:
        return html.unescape(f"&{(number or name).decode()};").encode(errors="replace")
    return b""  # half of a letter of UTF-16

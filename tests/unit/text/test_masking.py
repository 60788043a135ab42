"""Secrets that come back are found however they are written, and nothing else is."""

import base64
import html
import json
from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifier.text.masking import Mask, parts_of_header, parts_of_url, without_query

KEY = "sk-live/abc+DEF-0123456789"
MASK = Mask([KEY])

WRITTEN: dict[str, Callable[[str], str]] = {
    "as it is": lambda key: key,
    "JSON": lambda key: json.dumps({"error": f"bad key {key}"}),
    "JSON with escaped slashes": lambda key: json.dumps(key).replace("/", "\\/"),
    "JSON with every sign escaped": lambda key: key.replace("-", "\\u002d").replace("/", "\\u002F"),
    "every letter as \\u": lambda key: "".join(f"\\u{ord(letter):04x}" for letter in key),
    "JSON in JSON": lambda key: json.dumps(json.dumps({"k": key}).replace("/", "\\/")),
    "a URL": lambda key: f"https://x.example.com/?key={quote(key, safe='')}&b=1",
    "a URL in lower case": lambda key: quote(key, safe="").replace("%2F", "%2f"),
    "a URL in a URL": lambda key: quote(quote(key, safe=""), safe=""),
    "a URL in JSON": lambda key: json.dumps(quote(key, safe="")).replace("%", "\\u0025"),
    "every letter as %": lambda key: "".join(f"%{ord(letter):02x}" for letter in key),
    "HTML": lambda key: f"<p>{html.escape(key)}</p>".replace("-", "&#45;").replace("/", "&#x2F;"),
    "HTML in HTML": lambda key: html.escape(key.replace("-", "&#45;")),
    "HTML without semicolons": lambda key: "".join(f"&#{ord(letter)}" for letter in key),
    "HTML with names": lambda key: key.replace("/", "&sol;").replace("+", "&plus;").replace("-", "&hyphen;", 0),
    "old JavaScript": lambda key: "".join(f"%u{ord(letter):04X}" for letter in key),
    "new JavaScript": lambda key: "".join(f"\\u{{{ord(letter):x}}}" for letter in key),
    "C": lambda key: "".join(f"\\{ord(letter):03o}" for letter in key),
    "UTF-16": lambda key: key.encode("utf-16-le").decode(),
    "a shell": lambda key: key.replace("-", "\\x2d"),
    "base64": lambda key: base64.b64encode(key.encode()).decode(),
    "base64 of a login": lambda key: base64.b64encode(f"{key}:".encode()).decode(),
    "base64 of a header": lambda key: base64.b64encode(f"Authorization: Bearer {key}\r\n".encode()).decode(),
    "base64 for URLs": lambda key: base64.urlsafe_b64encode(f"aa{key}bb".encode()).decode(),
    "twice": lambda key: f"{key} {key}{key}",
}


def pieces(text: str, length: int = 8) -> set[str]:
    return {text[begin : begin + length] for begin in range(len(text) - length + 1)}


@pytest.mark.parametrize("write", WRITTEN.values(), ids=WRITTEN)
def test_a_secret_is_found_however_it_is_written(write: Callable[[str], str]) -> None:
    """What was written around it stays, and nothing of it."""
    inner = write(KEY)
    shown = MASK.text(f"before {inner} after")
    assert shown.startswith("before ")
    assert shown.endswith(" after")
    assert "***" in shown
    assert not pieces(KEY) & pieces(shown)


@pytest.mark.parametrize("write", [WRITTEN["as it is"], WRITTEN["every letter as \\u"], WRITTEN["a URL"]])
@pytest.mark.parametrize("place", range(0, 40, 3))
def test_a_secret_at_the_cut_is_found(write: Callable[[str], str], place: int) -> None:
    """Wherever the cut goes through it, as long as six letters of it can be seen; it is masked before it is cut."""
    raw = (b"x" * 20 + write(KEY).encode() + b" and more of it" * 90)[: 20 + place + MASK.reach]
    head = MASK.head(raw, 20 + place)
    assert b"sk-liv" not in head
    assert b"\\u0073\\u006b" not in head
    assert head.startswith(b"x" * 20)
    assert len(head) <= 20 + place + 3


@pytest.mark.parametrize("end", ["", "…", '"', "'", "...", '" (12 bytes)'])
@pytest.mark.parametrize("length", [6, 12, len(KEY) - 1])
def test_the_beginning_of_one_is_masked_where_text_was_cut(end: str, length: int) -> None:
    """At the end, or before what says that there was more."""
    assert MASK.text(f'it answered "{KEY[:length]}{end}') == f'it answered "***{end}'


@pytest.mark.parametrize("sign", ["\\u{:04x}", "\\x{:02x}", "%{:02x}", "%u{:04x}", "&#{:d};", "\\{:03o}"])
@pytest.mark.parametrize("length", range(41, 60))
def test_a_cut_through_a_sign_hides_no_beginning(sign: str, length: int) -> None:
    """Sentences quote the first characters of an answer, wherever that ends."""
    cut = "".join(sign.format(ord(letter)) for letter in KEY)[:length]
    assert MASK.text(f"It begins: {cut}…").partition("***")[0] == "It begins: "


@pytest.mark.parametrize("text", ["", "ok", '{"ok": true}', "sk-liv is a prefix", "100% & \\ more", "sk-live/abx " * 9])
def test_other_text_is_left_as_it_is(text: str) -> None:
    """Also if it has the marks of an escape, or a beginning like it in its middle."""
    assert MASK.text(text) == text
    assert Mask([]).text(text) == text


def test_what_is_short_is_not_looked_for() -> None:
    """`on` or `1` in a header would be found in every answer."""
    assert Mask(["on", "1", "", "   ", "yes!!"]).text("on 1 yes!!") == "on 1 yes!!"


PARTS = [
    ("abcdef123", {"abcdef123"}),
    ("Bearer abcdef123", {"Bearer abcdef123", "abcdef123"}),
    ("Basic dXNlcjpodW50ZXIyMg==", {"dXNlcjpodW50ZXIyMg==", "user:hunter22", "hunter22"}),
    ("sid=abcdef; lang=en", {"abcdef", "en"}),
]


@pytest.mark.parametrize(("value", "parts"), PARTS)
def test_the_parts_of_a_header_are_secrets_too(value: str, parts: set[str]) -> None:
    """The token without its scheme, the password of a login, the value of a cookie."""
    assert parts <= set(parts_of_header(value))


def test_the_values_of_a_query_are_secrets() -> None:
    """As they are in the URL, and as they are read."""
    assert {"tok%2Fen-123", "tok/en-123"} <= set(parts_of_url("https://a.example.com/x?token=tok%2Fen-123&b=1#c"))
    assert set(parts_of_url("https://a.example.com/x")) == {""}
    assert without_query("https://a.example.com/x?y") == "https://a.example.com/x?…"
    assert without_query("studio?") == "studio?"


@given(
    secret=st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=8, max_size=40),
    before=st.binary(max_size=30),
    after=st.binary(max_size=30),
)
def test_no_text_around_a_secret_hides_it(secret: str, before: bytes, after: bytes) -> None:
    """Whatever is beside it, broken escapes too; and no text is too strange to be read."""
    head = Mask([secret]).head(before + secret.encode() + after)
    assert secret.encode() not in head or secret.encode() in before + b"***" + after


@given(raw=st.binary(max_size=200))
def test_any_bytes_are_taken(raw: bytes) -> None:
    """Nothing of it is lost if no secret is in it."""
    assert Mask(["never-in-there-0123456789"]).head(raw) == raw


def test_a_reply_that_is_data_loses_only_what_is_surely_a_secret() -> None:
    """A short key may be a word of a result; a long one may not, and goes wherever it is."""
    data = b'{"url": "https://x.example.com/emulator/sk-live/abc+DEF-0123456789.mp4"}'
    assert Mask(["emulator"]).plain(data) == data
    assert Mask(["emulator"]).data({"a": ["emulator", 1, None]}) == {"a": ["emulator", 1, None]}
    assert MASK.data({KEY: [quote(KEY, safe=""), {"a": ("x", html.escape(KEY))}], "b": 1.5}) == {
        "***": ["***", {"a": ("x", "***")}],
        "b": 1.5,
    }
    assert Mask(["emulator", KEY]).plain(data) == b'{"url": "https://x.example.com/emulator/***.mp4"}'

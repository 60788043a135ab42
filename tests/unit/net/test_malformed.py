"""What is wrong with an answer that is no HTTP/1.1, in words."""

import pytest

from notifier.net.malformed import malformed

OK = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("head", "said"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", 'the answer begins with "SSH-2.0-OpenSSH_9.2"'),
        (b"220 mail.example.com ESMTP\r\n", 'the answer begins with "220 mail.example.com ESMTP"'),
        (b"-ERR unknown command 'POST'\r\n", "the answer begins with \"-ERR unknown command 'POST'\""),
        (b"<html>\n<body>", 'the answer begins with "<html>"'),
        (b"\r\n\r\n+OK", 'the answer begins with "+OK"'),
        ("é ü ñ".encode(), 'the answer begins with "é ü ñ"'),
        (b"\x1b[31mred and readable text", r'the answer begins with "\x1b[31mred and readable text"'),
        (b"x" * 100, f'the answer begins with "{"x" * 60}…"'),
        (b"J\x00\x00\x00\n8.0.35\x00\x08", "the answer begins with the bytes 4a 00 00 00 0a 38 2e 30 2e 33 35 00"),
        (b"RTSP/1.0 200 OK\r\n", 'the answer begins with "RTSP/1.0 200 OK"'),
        (b"HTTP/1.1 099 X\r\n", 'the first line of the answer is "HTTP/1.1 099 X"'),
        (b"\xff\x00\xfe\x01\x02", "the answer begins with the bytes ff 00 fe 01 02"),
        (bytes(range(128, 160)), "the answer begins with the bytes 80 81 82 83 84 85 86 87 88 89 8a 8b"),
        (b"\r\n\r\n", "the answer begins with an empty line"),
        (b"HTTP/1.1 twohundred OK\r\n", 'the first line of the answer is "HTTP/1.1 twohundred OK"'),
        (b"HTTP/2 200\r\n", 'the first line of the answer is "HTTP/2 200"'),
        (b"HTTP/1.1 200" + b" OK" * 30_000, "the first line of the answer is above 64 KiB"),
        (b"\x15\x03\x01\x00\x02\x02\x46", "the answer is TLS: write https:// in the url, not http://"),
        (b"\x16\x03\x03\x00\x7a\x02", "the answer is TLS: write https:// in the url, not http://"),
    ],
)
def test_the_beginning_is_shown(head: bytes, said: str) -> None:
    """As text if it is text, and never as Python would write it."""
    assert malformed(head) == said + (": is this the right port?" if "begins with" in said else "")


@pytest.mark.parametrize(
    "head",
    [
        b"\x00\x00\x12\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x80",  # SETTINGS
        b"\x00\x00\x00\x04\x00\x00\x00\x00\x00",  # SETTINGS with nothing in it
        b"\x00\x00\x08\x07\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01",  # GOAWAY
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)
def test_a_server_of_http_2_is_named(head: bytes) -> None:
    """What to do is said with it."""
    assert malformed(head) == (
        "the answer is HTTP/2, and notifier speaks HTTP/1.1: let the server answer HTTP/1.1 on this port"
    )


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (b"X-Big: " + b"x" * 65_537, 'the header "X-Big" of the answer is above 64 KiB'),
        (
            b"A: b\r\nSet-Cookie: " + b"x" * 70_000 + b"\r\nB: c\r\n",
            'the header "Set-Cookie" of the answer is above 64 KiB',
        ),
        (b"N" * 70_000, f'the header "{"N" * 60}…" of the answer is above 64 KiB'),
        (b"X: y\r\n" * 501, "the answer has more than 500 headers"),
        ((b"X: " + b"y" * 9_000 + b"\r\n") * 115, "the headers of the answer are above 1 MiB together"),
        (b"Content-Length: many\r\n\r\n", 'the answer has a malformed header: "Content-Length: many"'),
        (b"no colon here\r\nA: b\r\n\r\n", 'the answer has a malformed header: "no colon here"'),
        (b"A: b\r\nbad name: c\r\n\r\n", 'the answer has a malformed header: "bad name: c"'),
        (b"A: b\x00c\r\n\r\n", r'the answer has a malformed header: "A: b\x00c"'),
        (
            b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "the headers of the answer contradict each other: Content-Length and Transfer-Encoding",
        ),
        (
            b"Content-Length: 2\r\nA: b\r\ncontent-length: 2\r\n\r\n",
            "the answer has the header Content-Length 2 times, and may have it once",
        ),
        (
            b"Content-Length: " + b"9" * 30 + b"\r\n\r\n",
            f'the answer has a Content-Length that is too large: "{"9" * 30}"',
        ),
        (b"A: b\r\n\r\n", "the headers of the answer contradict each other"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_the_header_is_named(lines: bytes, said: str) -> None:
    """The first one that cannot be read."""
    assert malformed(OK + lines) == said


def test_a_malformed_body_is_told_apart() -> None:
    """Its head was well."""
    assert malformed(None) == "the body of the answer is malformed: its chunks do not have the form of HTTP/1.1"

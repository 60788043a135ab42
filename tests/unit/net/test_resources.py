"""Whether an attempt failed because this machine had too little for it."""

import errno

import pytest

from notifier.net.resources import missing

CURES = [
    (errno.EMFILE, "LimitNOFILE="),
    (errno.ENFILE, "fs.file-max"),
    (errno.ENOBUFS, "memory"),
    (errno.ENOMEM, "MemoryMax="),
]


class Wrapping(RuntimeError):
    """As aiohttp keeps what it met."""

    os_error = OSError(errno.EMFILE, "x")


@pytest.mark.parametrize(("number", "cure"), CURES, ids=[errno.errorcode[each[0]] for each in CURES])
def test_each_says_what_helps(number: int, cure: str) -> None:
    """In one printable sentence that says that nothing is lost, and holds no number of the system's."""
    said = missing(OSError(number, "whatever"))
    assert said is not None
    assert cure in said
    assert "nothing is lost" in said
    assert "whatever" not in said
    assert "Errno" not in said


def test_a_cause_is_found_behind_others() -> None:
    """Wrapped, chained, or only met while another one was dealt with."""
    wrapped = Wrapping("a look-up failed")
    chained = OSError("no more words")
    chained.__cause__ = RuntimeError("can't start new thread")
    inside = ValueError("x")
    inside.__context__ = MemoryError()
    assert "LimitNOFILE=" in (missing(wrapped) or "")
    assert "TasksMax=" in (missing(chained) or "")
    assert "memory" in (missing(inside) or "")


def test_what_others_do_is_no_lack_of_ours() -> None:
    """Refused, reset, unreachable, late, a socket that would block; and causes that lead in a ring."""
    for number in (errno.ECONNREFUSED, errno.ECONNRESET, errno.ENETUNREACH, errno.ETIMEDOUT, errno.EAGAIN, errno.EPERM):
        assert missing(OSError(number, "x")) is None
    one, two = ValueError("1"), ValueError("2")
    one.__cause__, two.__cause__ = two, one
    assert missing(one) is None
    assert missing(OSError("without a number")) is None


def test_of_several_addresses_one_is_enough() -> None:
    """The engine tells of the last one alone; of IPv6 the same number says that there is no address of that kind."""
    refused = OSError(errno.ECONNREFUSED, "x")
    assert "ip_local_port_range" in (missing(refused, {"127.0.0.1:80": errno.EADDRNOTAVAIL, "[::1]:80": None}) or "")
    assert "LimitNOFILE=" in (missing(refused, {"127.0.0.1:80": errno.ECONNREFUSED, "[::1]:80": errno.EMFILE}) or "")
    assert missing(refused, {"127.0.0.1:80": errno.ECONNREFUSED, "[::1]:80": errno.EADDRNOTAVAIL}) is None

"""The words exchanged with systemd, over real datagram sockets."""

import io
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from notifier.runtime import systemd


@pytest.fixture(params=["path", "abstract"])
def listening(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[socket.socket]:
    """A socket where systemd would listen, named in $NOTIFY_SOCKET as systemd names it."""
    name = str(tmp_path / "notify")
    if request.param == "abstract":
        name = f"@notifier-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as wire:
        wire.bind(name.replace("@", "\0", 1))
        monkeypatch.setenv("NOTIFY_SOCKET", name)
        yield wire


def test_a_notice_is_one_datagram_of_lines(listening: socket.socket) -> None:
    """All lines of one call arrive together, in order, on a path socket and on an abstract one."""
    systemd.notify(systemd.READY, systemd.status("looking at 12 generations"))
    systemd.notify(systemd.WATCHDOG)
    assert listening.recv(4096) == b"READY=1\nSTATUS=looking at 12 generations"
    assert listening.recv(4096) == b"WATCHDOG=1"


def test_a_full_queue_blocks_nothing(listening: socket.socket) -> None:
    """Notices that nobody reads are lost once the queue is full; the call says so, and earlier ones are still there."""
    assert [systemd.notify(systemd.WATCHDOG) for _ in range(5_000)][::4_999] == [True, False]
    assert listening.recv(4096) == b"WATCHDOG=1"


@pytest.mark.parametrize(
    "named", ["", "relative", "vsock:2:1234", "@", "/nowhere/notify", "/etc/hostname", "/a\0b", "/" + "x" * 200]
)
def test_no_listener_is_no_error(named: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a usable $NOTIFY_SOCKET a notice goes nowhere, in silence."""
    monkeypatch.setattr(os, "environ", {"NOTIFY_SOCKET": named})
    systemd.notify(systemd.READY)


def test_outside_systemd_nothing_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the variable no socket is made at all."""
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    monkeypatch.setattr(socket, "socket", None)  # any use of it would raise
    systemd.notify(systemd.READY)


def test_text_that_is_no_utf8_is_still_sent(listening: socket.socket) -> None:
    """A status made from an undecodable file name is sent with the odd bytes replaced."""
    systemd.notify(systemd.status("read \udcff.json"))
    assert listening.recv(4096) == b"STATUS=read ?.json"


def test_status_is_one_short_line() -> None:
    """Text from outside cannot smuggle in another variable or fill the datagram."""
    assert systemd.status("a\nMAINPID=1\r\n b ") == "STATUS=a MAINPID=1 b"
    assert len(systemd.status("x" * 10_000)) < 500


def test_a_reload_says_when_it_began_in_whole_microseconds() -> None:
    """The time that opens a reload is CLOCK_MONOTONIC in microseconds."""
    assert systemd.reloading(12.000_345_9) == ("RELOADING=1", "MONOTONIC_USEC=12000345")


@pytest.mark.parametrize(
    ("environ", "interval"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "71"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "72"}, None),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": ""}, None),
        ({"WATCHDOG_USEC": "0", "WATCHDOG_PID": "71"}, None),
        ({"WATCHDOG_USEC": "-5"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "²"}, None),
    ],
)
def test_the_watchdog_is_fed_at_half_its_time(environ: dict[str, str], interval: float | None) -> None:
    """Half of WATCHDOG_USEC, only where the variables are meant for this process and make sense."""
    assert systemd.watchdog_interval(environ, pid=71) == interval


def test_the_watchdog_is_this_process_unless_said() -> None:
    """Without `pid` the variables are compared with the running process."""
    assert systemd.watchdog_interval({"WATCHDOG_USEC": "4000000", "WATCHDOG_PID": str(os.getpid())}) == 2.0
    assert systemd.watchdog_interval({"WATCHDOG_USEC": "4000000", "WATCHDOG_PID": str(os.getppid())}) is None


@pytest.mark.parametrize(
    ("level", "prefix"),
    [
        ("critical", "<2>"),
        ("error", "<3>"),
        ("warning", "<4>"),
        ("info", "<6>"),
        ("debug", "<7>"),
        ("trace", "<6>"),
    ],
)
def test_levels_become_journal_priorities(level: str, prefix: str) -> None:
    """Each level has the priority an operator filters by; an unknown one counts as info."""
    assert systemd.journal_prefix(level) == prefix


def test_the_journal_is_recognised_by_the_stream_itself(tmp_path: Path) -> None:
    """An inherited $JOURNAL_STREAM does not count once the output goes to another file."""
    with (tmp_path / "stream").open("w") as stream, (tmp_path / "other").open("w") as other:
        opened = os.fstat(stream.fileno())
        environ = {"JOURNAL_STREAM": f"{opened.st_dev}:{opened.st_ino}"}
        assert systemd.under_journal(environ, stream)
        assert not systemd.under_journal(environ, other)
        assert not systemd.under_journal({}, stream)


def test_a_stream_without_a_descriptor_is_not_the_journal(tmp_path: Path) -> None:
    """Neither a stream in memory nor a closed one is an error."""
    closed = (tmp_path / "closed").open("w")
    closed.close()
    assert not systemd.under_journal({"JOURNAL_STREAM": "1:2"}, io.StringIO())
    assert not systemd.under_journal({"JOURNAL_STREAM": "1:2"}, closed)

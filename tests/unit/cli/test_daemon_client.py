"""How a command finds the daemon, and what it says where it may not."""

import grp
import os
import socket
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from notifier.cli.daemon_client import ask, find
from notifier.cli.main import code_of
from notifier.domain.errors import DaemonRefused, DaemonUnavailable

NOBODY = 65_534
#: One that nobody is in.
GROUP = next(group for group in grp.getgrall() if group.gr_gid not in (0, NOBODY, *os.getgroups()))


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that everybody may enter."""
    with tempfile.TemporaryDirectory() as made:
        Path(made).chmod(0o755)
        yield Path(made)


def live(path: Path) -> socket.socket:
    made = socket.socket(socket.AF_UNIX)
    made.bind(str(path))
    made.listen()
    return made


def test_the_first_place_at_which_somebody_answers_is_taken(place: Path) -> None:
    """One that is not there and one that a killed daemon left behind are passed over."""
    with socket.socket(socket.AF_UNIX) as dead, live(place / "live"):
        dead.bind(str(place / "dead"))
        places = [str(place / name) for name in ("none", "dead", "live")]
        assert find(places, "notifier run") == places[-1]


def test_without_any_it_says_where_it_looked(place: Path) -> None:
    """And what to do: 75, try again."""
    with pytest.raises(DaemonUnavailable) as ended:
        find([str(place / "a"), str(place / ("b" * 200))], "notifier run --config c.yaml")
    assert code_of(ended.value) == 75
    told = str(ended.value)
    assert f"No daemon answers at {place}/a or {place}/bbb" in told
    assert "`notifier run --config c.yaml`" in told


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be somebody else")
@pytest.mark.parametrize(("shut", "mode"), [("a.sock", 0o660), (".", 0o750)])
def test_who_may_not_is_told_which_group_may(place: Path, shut: str, mode: int) -> None:
    """Whether the socket or its directory keeps them out: 78, the operator must change something first."""
    with live(place / "a.sock"):
        os.chown(place / shut, 0, GROUP.gr_gid)
        (place / shut).chmod(mode)
        os.seteuid(NOBODY)
        try:
            with pytest.raises(DaemonRefused) as ended:
                find([str(place / "a.sock")], "notifier run")
        finally:
            os.seteuid(0)
    assert code_of(ended.value) == 78
    assert f"be in the group {GROUP.gr_name}, or use sudo" in str(ended.value)


@pytest.mark.parametrize(
    "environ",
    [
        {"SSL_CERT_FILE": "/none/ca.pem"},
        {"SSL_CERT_DIR": "/none"},
        {"HTTP_PROXY": "socks5://127.0.0.1:9", "ALL_PROXY": "socks5://127.0.0.1:9", "NO_PROXY": "*:[::"},
        {"ALL_PROXY": "not a url", "NETRC": "/none", "SSLKEYLOGFILE": "/none/keys"},
    ],
    ids="+".join,
)
def test_of_the_environments_certificates_and_proxies_nothing_is_read(
    place: Path, monkeypatch: pytest.MonkeyPatch, environ: dict[str, str]
) -> None:
    """What is asked over a unix socket needs none of them, so none of them can be wrong."""
    for name, value in environ.items():
        monkeypatch.setenv(name, value)

    def talk() -> None:
        listening.accept()[0].close()  # who looks whether somebody is there
        with listening.accept()[0] as asking:
            asking.recv(65_536)
            asking.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"a":"b"}')

    with live(place / "a.sock") as listening:
        daemon = threading.Thread(target=talk)
        daemon.start()
        assert ask("no.yaml", str(place / "a.sock"), ["redeliver"], {}) == {"a": "b"}
        daemon.join()


@pytest.mark.parametrize(
    "answer",
    [
        b"200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b"404 None\r\nContent-Length: 2\r\n\r\n{}",
        b"777\r\nContent-Length: 2\r\n\r\n[]",
    ],
    ids=["no JSON", "no sentence", "no status"],
)
def test_another_server_at_the_socket_is_not_taken_for_the_daemon(place: Path, answer: bytes) -> None:
    """A sentence that says what to change, and 78."""

    def talk() -> None:
        listening.accept()[0].close()  # who looks whether somebody is there
        with listening.accept()[0] as asking:
            asking.recv(65_536)
            asking.sendall(b"HTTP/1.1 " + answer)

    with live(place / "a.sock") as listening:
        other = threading.Thread(target=talk)
        other.start()
        with pytest.raises(DaemonRefused) as ended:
            ask("no.yaml", str(place / "a.sock"), ["redeliver"], {})
        other.join()
    assert code_of(ended.value) == 78
    assert f"What answers at {place}/a.sock is not notifier" in str(ended.value)

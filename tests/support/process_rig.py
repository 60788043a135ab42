"""What a process test stands on: stations and the daemon as processes, and ways to wait for what they do.

Nothing here sleeps for luck: every wait is for a line, a notice or a count, with a deadline that only a failure
reaches.
"""

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Protocol, Self

import httpx
import yaml

from tests.support.fork_client import forge

HERE = Path(__file__).parent
KEY = "sk-upstream-0123456789abcdef"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SECRETS = (KEY, SECRET, SECRET.removeprefix("whsec_"))
DEADLINE = 30.0
QUICK_RETRY = ["0s", *["200ms"] * 40]


def some_ids(count: int) -> list[str]:
    return [str(uuid.uuid4()) for _ in range(count)]


class Heard:
    """What a process said so far, piece by piece, for a thread that waits for more of it."""

    def __init__(self) -> None:
        self._said: list[str] = []
        self._moved = threading.Condition()

    def add(self, piece: str) -> None:
        with self._moved:
            self._said.append(piece)
            self._moved.notify_all()

    def all(self) -> list[str]:
        with self._moved:
            return list(self._said)

    def wait(self, *parts: str, after: int = 0, deadline: float = DEADLINE) -> str:
        """The first piece from number `after` on that holds all of `parts`."""
        found: list[str] = []

        def look() -> bool:
            found.extend(piece for piece in self._said[after:] if all(part in piece for part in parts))
            return bool(found)

        with self._moved:
            assert self._moved.wait_for(look, deadline), f"never said {parts}; said {self._said[-20:]}"
        return found[0]

    def __len__(self) -> int:
        with self._moved:
            return len(self._said)


class Station:
    """A station's process, and the port it took."""

    def __init__(self, script: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self.url = f"http://127.0.0.1:{int(self._process.stdout.readline())}"
        self.http = httpx.Client(base_url=self.url, timeout=60, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.terminate()
        self._process.wait(DEADLINE)


class Upstream(Station):
    """The upstream station, told case by case."""

    def __init__(self) -> None:
        super().__init__("upstream_process.py")

    def begin(self, case: str, states: Mapping[str, str], **habit: Any) -> None:
        self.http.put(f"/_/{case}", json={"states": states, "habit": habit}).raise_for_status()

    def move(self, case: str, word: str, ids: Sequence[str] | None = None) -> None:
        told = {"all": word} if ids is None else {"states": dict.fromkeys(ids, word)}
        self.http.post(f"/_/{case}", json=told).raise_for_status()

    def tell(self, case: str, states: Mapping[str, str]) -> None:
        """What has become of some generations."""
        self.http.post(f"/_/{case}", json={"states": states}).raise_for_status()

    def wait(self, case: str, *, asked: int = 0, ids: int = 0) -> list[dict[str, Any]]:
        """The requests so far, once there were `asked` of them about `ids` different IDs."""
        seen = self.http.get(f"/_/{case}", params={"asked": asked, "ids": ids})
        assert seen.status_code == 200, seen.text[:1000]
        requests: list[dict[str, Any]] = seen.json()["requests"]
        return requests


class Receiver(Station):
    """The receiver station, told box by box."""

    def __init__(self) -> None:
        super().__init__("receiver_process.py")

    def begin(self, box: str, **told: Any) -> None:
        self.http.put(f"/_/{box}", json={"secrets": [SECRET], **told}).raise_for_status()

    def release(self, box: str) -> None:
        self.http.post(f"/_/{box}").raise_for_status()

    def kill(self, box: str, pid: int, *, when: str, number: int) -> None:
        """Kill the process at the callback of this number from now on."""
        told = {"pid": pid, "when": when, "number": number}
        self.http.post(f"/_/{box}", json=told).raise_for_status()

    def settled(self) -> None:
        """Once everything that a daemon which is gone has sent was noted."""
        self.http.get("/settled").raise_for_status()

    def wait(self, box: str, **counts: int) -> list[dict[str, Any]]:
        """The ledger, once `entries`, `distinct`, `delivered` or `held` is as given."""
        answer = self.http.get(f"/_/{box}", params=counts)
        ledger: list[dict[str, Any]] = answer.json()
        assert answer.status_code == 200, f"waited for {counts}, got {len(ledger)} entries: {ledger[-5:]}"
        return ledger

    def wait_while_it_grows(self, box: str, **counts: int) -> None:
        """As `wait`, but for as long as more comes; whoever asked looks for himself whether it was enough."""
        before = -1
        while (answer := self.http.get(f"/_/{box}", params=counts)).status_code != 200 and len(answer.json()) > before:
            before = len(answer.json())

    def ledger(self, box: str) -> list[dict[str, Any]]:
        return self.wait(box)

    def hook(self, box: str) -> str:
        return f"{self.url}/hook/{box}"


class Process(Protocol):
    """A process of the product, started whole (a `Popen`) or as a fork (`Forged`)."""

    @property
    def pid(self) -> int: ...

    def poll(self) -> int | None: ...

    def wait(self, timeout: float | None = None) -> int: ...

    def send_signal(self, sig: int) -> None: ...

    def kill(self) -> None: ...


class Notices:
    """$NOTIFY_SOCKET: a datagram socket at a path or, with "@", in the abstract namespace."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.heard = Heard()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def _listen(self) -> None:
        while message := self._socket.recv(65_536):
            self.heard.add(message.decode())

    def close(self) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
            last.sendto(b"", self._socket.getsockname())
        self._thread.join()
        self._socket.close()


class Daemon:
    """`notifier run` as a process, with everything it says. `whole` where how the program begins is the matter too."""

    def __init__(self, config: Path, *, notices: Notices | None = None, whole: bool = False, **environ: str) -> None:
        own = notices is None
        self.notices = notices or Notices(str(config.parent / f"notify-{uuid.uuid4().hex[:8]}"))
        self._own = own
        self.log = Heard()
        self.started = len(self.notices.heard)
        self._said, written = (os.fdopen(end, mode) for end, mode in zip(os.pipe(), ("r", "w"), strict=True))
        words = ["run", "--config", str(config)]
        environ = {**os.environ, "NOTIFY_SOCKET": self.notices.address, **environ}
        with written:
            self._process = (_start_whole if whole else _forge)(words, environ, written.fileno())
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def _listen(self) -> None:
        with self._said:
            for line in self._said:
                self.log.add(line.rstrip())

    @property
    def pid(self) -> int:
        return self._process.pid

    def ready(self) -> Self:
        """Once it said READY; fails at once where it ended before."""
        threading.Thread(target=self._cry_at_end).start()
        notice = self.notices.heard.wait("=", after=self.started)
        while "READY=1" not in notice:
            assert notice != _ENDED, f"the daemon ended: {self.log.all()[-20:]}"
            self.started += 1
            notice = self.notices.heard.wait("=", after=self.started)
        return self

    def _cry_at_end(self) -> None:
        self._process.wait()
        self._thread.join()
        self.notices.heard.add(_ENDED)

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def ended(self, deadline: float = DEADLINE) -> int:
        """Its exit code, once it ended."""
        code = self._process.wait(deadline)
        self._thread.join()
        return code

    def kill(self) -> None:
        """`kill -9`, and wait until it is gone."""
        self.signal(signal.SIGKILL)
        self.ended()

    def stop(self) -> int:
        if self._process.poll() is None:
            self.signal(signal.SIGTERM)
        return self.ended()

    def close(self) -> None:
        """Gone whatever it takes, and no secret in anything it ever said."""
        if self._process.poll() is None:
            self._process.kill()
        self.ended()
        if self._own:
            self.notices.close()
        said = "\n".join(self.log.all() + self.notices.heard.all())
        sys.stdout.write(f"--- daemon {self.pid}\n{said[-20_000:]}\n")
        refuse_secrets(said)


def _start_whole(words: Sequence[str], environ: Mapping[str, str], output: int) -> Process:
    command = [sys.executable, "-m", "notifier", *words]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env={**environ})


def _forge(words: Sequence[str], environ: Mapping[str, str], output: int) -> Process:
    return forge().start(words, environ, output=output, errors=output)


_ENDED = "ENDED=1"


def refuse_secrets(text: str) -> None:
    """Nothing that was printed or logged may hold a key or a secret."""
    for secret in SECRETS:
        assert secret not in text, f"a secret was printed: …{text[max(0, text.index(secret) - 200) :][:200]}"


class Stage:
    """One directory with a configuration in it, and the daemons that were run on it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.config = directory / "config.yaml"
        self.drop = directory / "drop"
        self.store = directory / "store.db"
        self.drop.mkdir(mode=0o700, exist_ok=True)
        self.daemons: list[Daemon] = []
        self.settings: dict[str, Any] = {
            "store": f"sqlite:{self.store}",
            "providers": {},
            "endpoints": {},
            "drop": {"directory": str(self.drop)},
        }

    def provider(self, name: str, upstream: Upstream, **more: Any) -> None:
        """A provider that is the upstream's case of this name, asked quickly unless `more` says otherwise."""
        usual = {
            "kind": "aimlapi-luma",
            "api_key": KEY,
            "base_url": f"{upstream.url}/{name}",
            "poll_every": "200ms",
            "rate": "200/s",
        }
        self.settings["providers"][name] = usual | more

    def endpoint(self, name: str, receiver: Receiver, **more: Any) -> None:
        """An endpoint of this name that is the receiver's box of this name."""
        usual = {"url": receiver.hook(name), "secret": SECRET, "retry": [*QUICK_RETRY]}
        self.settings["endpoints"][name] = usual | more

    def write(self) -> Path:
        self.config.write_text(yaml.safe_dump(self.settings, sort_keys=False))
        self.config.chmod(0o600)
        return self.config

    def start(self, **options: Any) -> Daemon:
        """Write the configuration and start a daemon on it; `ready` waits for it."""
        daemon = Daemon(self.write(), **options)
        self.daemons.append(daemon)
        return daemon

    def put(self, name: str, text: str) -> Path:
        """Rename a file into the drop directory, the documented way."""
        file = self.drop / name
        written = file.with_name(name + ".tmp")
        written.write_text(text)
        return written.rename(file)

    def put_watches(self, name: str, ids: Sequence[str], **more: Any) -> Path:
        return self.put(name + ".json", json.dumps([{"id": id_, **more} for id_ in ids]))

    def command(self, *words: str, environ: Mapping[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
        """A command of the product; `{config}` in words is our configuration. Its output holds no secret."""
        command = [word.format(config=self.config) for word in words]
        done = forge().run(command, {**os.environ, **(environ or {})})
        refuse_secrets(done.stdout + done.stderr)
        return done

    def told(self, *words: str, until: str) -> str:
        """The output of a command, asked again and again until it holds `until`: a record follows its callback."""
        last = time.monotonic() + DEADLINE
        while until not in (said := self.command(*words).stdout):
            assert time.monotonic() < last, f"{words} never said {until}: {said}"
        return said

    def wait_while_it_owes(self) -> None:
        """Until the store owes no message; whoever asked looks for himself what became of them.

        A receiver cannot tell: what it took from a daemon that was then killed is sent again, and may fail this time.
        """
        last = time.monotonic() + DEADLINE
        with closing(sqlite3.connect(f"file:{self.store}?mode=ro", uri=True)) as reader:
            owed = "SELECT EXISTS (SELECT 1 FROM deliveries WHERE status = 'pending')"
            while reader.execute(owed).fetchone()[0] and time.monotonic() < last:
                time.sleep(0.02)  # between two looks


@contextmanager
def staged(directory: Path) -> Iterator[Stage]:
    """A stage whose daemons are all gone afterwards; what they said is shown where a test fails."""
    stage = Stage(directory)
    try:
        yield stage
    finally:
        _close_all(daemon.close for daemon in stage.daemons)


def _close_all(closers: Iterator[Callable[[], None]]) -> None:
    errors = []
    for close in closers:
        try:
            close()
        except AssertionError as error:
            errors.append(error)
    if errors:
        raise errors[0]


def by_message(ledger: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """The entries of a ledger under each `webhook-id`, in their order."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for entry in ledger:
        found.setdefault(entry["id"], []).append(entry)
    return found

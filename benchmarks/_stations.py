"""What the benchmarks run against: an upstream and a receiver, each a process of its own, and the daemon itself.

Both servers are bare asyncio protocols that parse no more of HTTP than they need, so that on two cores they are never
what is measured. Times are `time.monotonic()`, which all processes of a machine share.
"""

import asyncio
import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Self, cast

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
KEY = "sk-benchmark-0123456789abcdef"
PATIENCE = 120.0


# ---- the servers ----------------------------------------------------------------------------------------------------
class _Http(asyncio.Protocol):
    """One connection: hands each complete request to `answer` and writes what it gives."""

    def __init__(self, answer: Callable[[bytes, bytes], bytes]) -> None:
        self._answer = answer
        self._gathered = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by class

    def data_received(self, data: bytes) -> None:
        self._gathered += data
        while (end := self._gathered.find(b"\r\n\r\n")) >= 0:
            head = self._gathered[:end]
            body_ends = end + 4 + _content_length(head)
            if len(self._gathered) < body_ends:
                return
            body, self._gathered = self._gathered[end + 4 : body_ends], self._gathered[body_ends:]
            assert self._transport is not None
            self._transport.write(self._answer(head, body))


def _content_length(head: bytes) -> int:
    low = head.lower()
    at = low.find(b"\r\ncontent-length:")
    return 0 if at < 0 else int(low[at + 17 :].partition(b"\r\n")[0])


def _response(body: bytes, kind: bytes = b"application/json") -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n%b" % (kind, len(body), body)


class _Receiver:
    """Answers 200 and notes when each message came first."""

    def __init__(self) -> None:
        self.came: dict[bytes, float] = {}
        #: Its body, and the wall time.
        self.first: dict[bytes, tuple[bytes, float]] = {}
        self.requests = 0
        self._answer = _response(b"ok", b"text/plain")

    def answer(self, head: bytes, body: bytes) -> bytes:
        now = time.monotonic()
        low = head.lower()
        at = low.find(b"\r\nwebhook-id:") + 13
        self.requests += 1
        id_ = head[at : low.find(b"\r\n", at)].strip()
        self.came.setdefault(id_, now)
        self.first.setdefault(id_, (body, time.time()))  # noqa: TID251  what a body says is wall time
        return self._answer

    def obey(self, order: str, number: Any) -> Any:
        if order == "forget":
            self.came, self.first, self.requests = {}, {}, 0
            return True
        if len(self.came) < number:
            return None
        if order == "waited":
            return [_after_timestamp(*first) for first in self.first.values()]
        if order == "times":
            return sorted(self.came.values())
        return min(self.came.values()), max(self.came.values()), self.requests


def _after_timestamp(body: bytes, came: float) -> float:
    """Seconds from the moment that the body states."""
    return came - datetime.fromisoformat(json.loads(body)["timestamp"]).timestamp()


class _Hanging(_Receiver):
    """Takes everything and never answers."""

    def __init__(self) -> None:
        super().__init__()
        self._answer = b""


class _Failing(_Receiver):
    """Answers 500 at once."""

    def __init__(self) -> None:
        super().__init__()
        self._answer = _response(b"no", b"text/plain").replace(b"200 OK", b"500 No")


class _Upstream:
    """Knows every ID it is told of; all are `dreaming` until the moment all are `completed`, or each is."""

    def __init__(self) -> None:
        self.requests = 0
        #: When each is completed.
        self.complete_at: dict[bytes, float] = {}
        self.seen: dict[bytes, float] = {}
        self.done = False
        self._flip_at: int | None = None

    def answer(self, head: bytes, _body: bytes) -> bytes:
        query = head[head.index(b"?") + 1 : head.index(b" HTTP/")]
        ids = [part.partition(b"=")[2] for part in query.split(b"&") if part.startswith(b"generation_id")]
        now = time.monotonic()
        for id_ in ids:
            self.seen.setdefault(id_, now)
        body = _response(b"[" + b",".join(self._record(id_, now) for id_ in ids) + b"]")
        self.requests += 1
        if self._flip_at is not None and self.requests >= self._flip_at:
            self.done = True
        return body

    def _record(self, id_: bytes, now: float) -> bytes:
        if not self.done and self.complete_at.get(id_, now + 1) > now:
            return b'{"id":"%b","generation_type":"video","state":"dreaming","assets":{"video":null}}' % id_
        return (
            b'{"id":"%b","generation_type":"video","state":"completed","failure_reason":null,'
            b'"created_at":"2026-11-22T12:00:00Z","assets":{"video":"https://cdn.example.com/%b.mp4"},'
            b'"model":"ray-2","request":{"prompt":"a bench at the sea"}}'
        ) % (id_, id_)

    def obey(self, order: str, number: Any) -> Any:  # noqa: PLR0911  an order, an answer
        if order == "forget":
            self.__init__()  # type: ignore[misc]  # begins anew
            return True
        if order == "complete":  # each of these so many seconds from now
            now = time.monotonic()
            self.complete_at = {id_.encode(): now + wait for id_, wait in number.items()}
            return True
        if order == "flip":
            self.done = True
            return True
        if order == "flip at":  # right after this many requests, so that no round of looks is cut in two
            self._flip_at = number
            return True
        if order == "seen":
            return len(self.seen) if len(self.seen) >= number else None
        if order == "first looks":
            return {id_.decode(): at for id_, at in self.seen.items()}
        return self.requests if self.requests >= number else None


async def _serve(kind: str, wire: Connection) -> None:
    kinds: Mapping[str, Callable[[], _Receiver | _Upstream]] = {
        "receiver": _Receiver,
        "hanging": _Hanging,
        "failing": _Failing,
        "upstream": _Upstream,
    }
    made = kinds[kind]()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Http(made.answer), "127.0.0.1", 0, backlog=1024)
    wire.send(server.sockets[0].getsockname()[1])
    while True:
        order, number = await loop.run_in_executor(None, wire.recv)
        if order == "end":
            return
        while (answer := made.obey(order, number)) is None:  # noqa: ASYNC110  the servers pay for no event
            await asyncio.sleep(0.002)
        wire.send(answer)


def _run(kind: str, wire: Connection) -> None:
    with suppress(ImportError):
        import uvloop  # noqa: PLC0415  only the servers' processes need it

        uvloop.install()
    with suppress(KeyboardInterrupt):
        asyncio.run(_serve(kind, wire))


class Station:
    """One server's process. `ask` waits until the answer is there."""

    def __init__(self, kind: str) -> None:
        context = multiprocessing.get_context("spawn")
        self._wire, theirs = context.Pipe()
        self._process = context.Process(target=_run, args=(kind, theirs), daemon=True)
        self._process.start()
        self.url = f"http://127.0.0.1:{self._wire.recv()}"

    def ask(self, order: str, number: Any = 0) -> Any:
        self._wire.send((order, number))
        if not self._wire.poll(PATIENCE):
            raise TimeoutError(f"{order} {number} was not reached in {PATIENCE:.0f} s")
        return self._wire.recv()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._wire.send(("end", 0))
        self._process.join(2)
        self._process.kill()


# ---- the daemon -----------------------------------------------------------------------------------------------------
class Daemon:
    """`notifier run` as a process on a directory of its own."""

    def __init__(
        self,
        directory: Path,
        *,
        upstream: str,
        receiver: str,
        provider: Mapping[str, Any] | None = None,
        endpoint: Mapping[str, Any] | None = None,
        others: Mapping[str, str] | None = None,
    ) -> None:
        self.drop = directory / "drop"
        self.drop.mkdir(mode=0o700, parents=True)
        self.log = directory / "log"
        config = directory / "config.yaml"
        config.write_text(
            json.dumps(
                {
                    "store": f"sqlite:{directory / 'notifier.db'}",
                    "providers": {
                        "luma": {"kind": "aimlapi-luma", "api_key": KEY, "base_url": upstream, **(provider or {})}
                    },
                    "endpoints": {
                        "app": {"url": f"{receiver}/hook", "secret": SECRET, **(endpoint or {})},
                        **{name: {"url": f"{url}/hook", "secret": SECRET} for name, url in (others or {}).items()},
                    },
                    "drop": {"directory": str(self.drop)},
                }
            )
        )
        config.chmod(0o600)
        self._start(config, directory)

    def _start(self, config: Path, directory: Path) -> None:
        """Returns once the daemon said READY."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notices, self.log.open("wb") as log:
            address = str(directory / "notices")
            notices.bind(address)
            notices.settimeout(60)
            command = os.environ.get("NOTIFIER_COMMAND", f"{sys.executable} -m notifier").split()
            self.process = subprocess.Popen(
                [*command, "run", "--config", str(config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "NOTIFY_SOCKET": address},
            )
            while b"READY=1" not in notices.recv(65_536):
                pass

    def put(self, name: str, ids: Sequence[str], **more: str) -> None:
        """One JSON file with all of `ids`, each with these fields `more`, renamed into the drop directory."""
        written = self.drop / f"{name}.tmp"
        written.write_text(json.dumps([{"id": id_, **more} for id_ in ids]))
        written.rename(self.drop / f"{name}.json")

    def resident(self) -> tuple[float, float]:
        """MB resident now, and at most so far."""
        fields = dict(line.split(":", 1) for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines())
        return int(fields["VmRSS"].split()[0]) / 1024, int(fields["VmHWM"].split()[0]) / 1024

    def cpu(self) -> float:
        """Seconds of CPU it used so far, all threads."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def lines(self) -> list[dict[str, Any]]:
        """What it logged so far."""
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)


@contextmanager
def running(directory: Path, **options: Any) -> Iterator[Daemon]:
    daemon = Daemon(directory, **options)
    try:
        yield daemon
    finally:
        daemon.stop()

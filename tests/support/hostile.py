"""A server that means harm, in threads of the test: what it does to a request, the first part of the path says.

It is provider and endpoint alike. Every fault goes on until the other side goes away; `seen` counts requests by fault.
"""

import gzip
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

_OK: Final = b"HTTP/1.1 200 OK\r\n"
_CHUNKED: Final = _OK + b"Transfer-Encoding: chunked\r\n\r\n"
_BLOCK: Final = b"x" * 65_536
_BOMB: Final = gzip.compress(b"[" + b"{}," * 20_000_000 + b"0]", compresslevel=1)
#: As many small values as fit into 1 MiB.
_VALUES: Final = b"[" + b"{}," * 340_000 + b"0]"


def _flood(head: bytes, part: bytes) -> Callable[[socket.socket], None]:
    def flood(peer: socket.socket) -> None:
        peer.sendall(head)
        while True:
            peer.sendall(part)

    return flood


def _say(content: bytes, *, hang: bool = False) -> Callable[[socket.socket], None]:
    def say(peer: socket.socket) -> None:
        peer.sendall(content)
        if hang:
            peer.recv(1)

    return say


def _drip(peer: socket.socket) -> None:
    peer.sendall(_CHUNKED)
    pause = threading.Event()
    while True:
        peer.sendall(b"1\r\n \r\n")
        pause.wait(0.01)  # the server's own pace


FAULTS: Final = {
    "silence": _say(b"", hang=True),
    "close": _say(b""),
    "head-alone": _say(_OK + b"Content-Length: 5\r\n\r\n", hang=True),
    "drip": _drip,
    "body": _flood(_OK + b"Content-Length: 10737418240\r\n\r\n", _BLOCK),
    "header": _flood(_OK + b"X: ", _BLOCK),
    "interim": _flood(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1_000),
    "trailers": _flood(_CHUNKED + b"0\r\n", b"X: y\r\n" * 10_000),
    "chunk": _say(_CHUNKED + b"zz\r\n", hang=True),
    "bomb": _say(_OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(_BOMB) + _BOMB),
    "values": _say(_OK + b"Content-Length: %d\r\n\r\n" % len(_VALUES) + _VALUES),
    "deep": _say(_OK + b"Content-Length: 900000\r\n\r\n" + b"[" * 900_000),
    "garbage": _say(b"\xff\0" * 5_000),
}


class Hostile:
    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._moved = threading.Condition()
        self.seen: Counter[str] = Counter()
        self._peers: set[socket.socket] = set()
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def wait(self, *faults: str, deadline: float = 30.0) -> None:
        """Until each of these was met."""
        with self._moved:
            met = self._moved.wait_for(lambda: self.seen.keys() >= set(faults), deadline)
            assert met, f"never met: {set(faults) - self.seen.keys()}"

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._moved:
            for peer in self._peers:
                with suppress(OSError):
                    peer.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(30)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                peer, _ = self._listener.accept()
                thread = threading.Thread(target=self._talk, args=(peer,))
                self._threads.append(thread)
                with self._moved:
                    self._peers.add(peer)
                thread.start()

    def _talk(self, peer: socket.socket) -> None:
        with peer, suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head and (more := peer.recv(65_536)):
                head += more
            fault = head.partition(b" /")[2].partition(b"/")[0].decode()
            if fault in FAULTS:
                with self._moved:
                    self.seen[fault] += 1
                    self._moved.notify_all()
                FAULTS[fault](peer)
        with self._moved:
            self._peers.discard(peer)


@contextmanager
def hostile() -> Iterator[Hostile]:
    server = Hostile()
    try:
        yield server
    finally:
        server.close()

"""What happens while a connection is opened for one request: the addresses that are tried, and its TLS.

aiohttp tries the addresses of a name side by side and reports only what came of the last one, so each socket notes its
own result here. A request on a kept connection opens none.
"""

import errno
import os
import resource
import socket
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Final

from notifier.net.tls_errors import Handshake
from notifier.net.urls import show_place

#: Descriptors that connections leave to others; the system always takes the lowest free one.
_KEPT_FREE: Final = 32


@dataclass(slots=True)
class ConnectionAttempt:
    """One for each request; it may try many addresses."""

    #: By `address:port`: the number of the system's error, or None while there is none.
    tried: dict[str, int | None] = field(default_factory=dict)
    #: One of them answered.
    connected: bool = False
    tls: Handshake = field(default_factory=Handshake)

    @property
    def waits(self) -> bool:
        """Addresses are tried, and none of them has answered."""
        return bool(self.tried) and not self.connected

    @property
    def missing(self) -> str:
        """What was not reached when time ran out, as the end of a sentence; empty if the connection was made."""
        if self.waits:
            return not_connected(self.tried)
        late = self.tls.begun and not self.tls.done
        return "the TLS handshake did not end: does this port speak TLS?" if late else ""


connection_attempt: Final[ContextVar[ConnectionAttempt]] = ContextVar("connection_attempt")


def current() -> ConnectionAttempt:
    """The attempt of the request that this task makes; if it makes none, one that is never read."""
    return connection_attempt.get(None) or ConnectionAttempt()


class ReportingSocket(socket.socket):
    """Notes what comes of its connect: at once, or when the event loop reads it as SO_ERROR."""

    def __init__(self, family: int, kind: int, protocol: int, target: tuple[Any, ...]) -> None:
        self._seen = current()
        self._shown = show_place(*target[:2])
        self._seen.tried[self._shown] = None
        try:
            super().__init__(family, kind, protocol)
            # The last descriptors are for the store and the API: without any, nothing that happens is written down.
            limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
            if limit != resource.RLIM_INFINITY and self.fileno() >= limit - min(_KEPT_FREE, limit // 4):
                self.close()
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))  # noqa: TRY301  as the system would
        except OSError as error:
            self._report(error.errno)
            raise

    def connect(self, address: Any) -> None:
        try:
            super().connect(address)
        except BlockingIOError:
            raise
        except OSError as error:
            self._report(error.errno)
            raise
        self._report(0)

    def getsockopt(self, level: int, option: int, length: int = 0) -> Any:  # its three forms in one
        found = super().getsockopt(level, option, length) if length else super().getsockopt(level, option)
        if (level, option) == (socket.SOL_SOCKET, socket.SO_ERROR):
            self._report(int(found))
        return found

    def _report(self, number: int | None) -> None:
        if number:
            self._seen.tried[self._shown] = number
        else:
            self._seen.connected = True


# ---- in words -----------------------------------------------------------------------------------------------------
#: Addresses that are named.
_SHOWN: Final = 8
#: What a machine without IPv6 says of such an address.
_NO_FAMILY: Final = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.ENETUNREACH})
_NO_IPV6: Final = "no IPv6 on this machine"
_WORDS: Final = {
    errno.ECONNREFUSED: "connection refused",
    errno.ECONNRESET: "connection reset",
    errno.EHOSTUNREACH: "no route to the host",
    errno.ENETUNREACH: "the network is unreachable",
    errno.ETIMEDOUT: "no answer to the connect",
    errno.EHOSTDOWN: "the host is down",
    errno.EACCES: "this machine does not allow it",
    errno.EPERM: "this machine does not allow it (a firewall of its own?)",
    errno.EADDRNOTAVAIL: "no local address or port is left",
    errno.EMFILE: "too many open files here",
    errno.ENFILE: "too many open files here",
}


def not_connected(tried: Mapping[str, int | None]) -> str:
    """E.g. `connection refused: 127.0.0.1:8787, [::1]:8787`. What this machine lacks comes last."""
    told: dict[str, list[str]] = {}
    for address, number in tried.items():
        words = "no connection in time" if number is None else _WORDS.get(number, "the connect failed")
        if number in _NO_FAMILY and address.startswith("["):
            words = _NO_IPV6
        told.setdefault(words, []).append(address)
    sentences = []
    for words in sorted(told, key=lambda words: words == _NO_IPV6):
        addresses = told[words]
        more = f" and {len(addresses) - _SHOWN} more" if len(addresses) > _SHOWN else ""
        sentences.append(f"{words}: {', '.join(addresses[:_SHOWN])}{more}")
    return "; ".join(sentences)

"""One exchange as its sockets show it: which connection carries the request, and whether its answer came too early.

The kernel is asked here about the socket: what was sent and is not confirmed, whether the other machine is there at
all, and what came last. The exchange is set for the task that makes the request.
"""

import fcntl
import os
import select
import socket
import struct
import sys
import termios
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

from aiohttp.client_reqrep import ConnectionKey

#: Bytes at most that are read when a connection has ended.
_REST: Final = 16 * 1024


def queued(descriptor: int) -> int:
    """Bytes that were sent and not confirmed, which the kernel keeps to send them again; 0 if it does not tell."""
    try:
        found = fcntl.ioctl(descriptor, termios.TIOCOUTQ, b"\0\0\0\0")
    except OSError:
        return 0
    return int.from_bytes(found, sys.byteorder)


#: Of the kernel's tcp_info: probes of a closed window that were not answered; microseconds until it sends again;
#: packets under way; milliseconds since the last confirmation.
_INFO: Final = struct.Struct("=3xB4xI12xI28xI")
_PROBES: Final = 2


def unresponsive(connection: socket.socket, seconds: float) -> bool:
    """Whether the peer's machine has confirmed nothing for so long, not even what was sent to it twice.

    A server that is slow to read is not meant: its machine still answers, though it takes no more for now. (That is why
    TCP_USER_TIMEOUT does not do: it ends such a connection too.) False if the system does not tell.
    """
    try:
        probes, again, under_way, silent = _INFO.unpack(
            connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO.size)
        )
    except (AttributeError, OSError, struct.error):
        return False
    asked = probes >= _PROBES or (under_way > 0 and silent * 1000 > again)
    return bool(asked and silent >= seconds * 1000)


class Unconfirmed:
    """A second handle on the socket of a request, to see what becomes of it after aiohttp has closed the first."""

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=os.dup(descriptor))
        self._broken = select.poll()
        self._broken.register(self._socket, 0)

    def left(self) -> int:
        """Bytes that the peer's machine has not confirmed."""
        return queued(self._socket.fileno())

    def lost(self) -> bool:
        """Whether the connection is over, so that none of them ever will be."""
        return bool(self._broken.poll(0))

    def close(self) -> None:
        self._socket.close()


@dataclass(slots=True)
class Exchange:
    """One request on its way."""

    #: No kept connection may carry it.
    fresh: bool = False
    #: A socket was opened for it, so it is not on a kept connection.
    opened: bool = False
    #: Where it goes, as the connection pool knows it.
    key: ConnectionKey | None = None
    #: Some bytes of an answer came.
    answer_began: bool = False
    #: The answer began before anything of the request was handed to the kernel.
    unasked: bool = False
    #: It began before all of the request was.
    early: bool = False
    #: Set if the peer's machine had not confirmed all of it then; to be closed.
    unconfirmed: Unconfirmed | None = None
    #: A second handle on a new connection over TLS: some event loops close theirs with unread bytes in it.
    last: socket.socket | None = None

    def keep(self, descriptor: int) -> None:
        """Let the last bytes be read, however the connection ends."""
        with suppress(OSError):  # no descriptor is left: then they stay unread
            self.last = socket.socket(fileno=os.dup(descriptor))

    def rest(self) -> bytes:
        """Bytes that came and were not read."""
        with suppress(OSError):
            return self.last.recv(_REST, socket.MSG_DONTWAIT) if self.last else b""
        return b""

    def begin(self) -> None:
        """Nothing has come yet; it may begin a second time, by another connection."""
        self.answer_began = self.unasked = self.early = False
        self.end()

    def end(self) -> None:
        if self.unconfirmed is not None:
            self.unconfirmed.close()
            self.unconfirmed = None
        if self.last is not None:
            self.last.close()
            self.last = None


#: For which request a socket opens and a connection is taken. aiohttp's traces would tell it too, but would slow every
#: request down.
exchange: ContextVar[Exchange] = ContextVar("exchange")

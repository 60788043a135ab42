"""One request on its way: which connection carries it, and what came back too early. Set for the task that makes it."""

import fcntl
import os
import select
import socket
import sys
import termios
from contextvars import ContextVar
from dataclasses import dataclass

from aiohttp.client_reqrep import ConnectionKey


def queued(descriptor: int) -> int:
    """What the kernel keeps of what was sent, to send it again; 0 where it does not tell."""
    try:
        found = fcntl.ioctl(descriptor, termios.TIOCOUTQ, b"\0\0\0\0")
    except OSError:
        return 0
    return int.from_bytes(found, sys.byteorder)


class Unconfirmed:
    """A second handle on the socket of a request, to see what becomes of it when aiohttp has closed the first."""

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
    #: A socket was opened for it: it does not ride on a kept connection.
    opened: bool = False
    #: Where it goes, as the pool knows it.
    key: ConnectionKey | None = None
    #: Something of an answer came.
    heard: bool = False
    #: The answer began before anything of the request was handed to the kernel.
    unasked: bool = False
    #: It began before all of the request was.
    early: bool = False
    #: Where the peer's machine had not confirmed all of it then; to be closed.
    unconfirmed: Unconfirmed | None = None

    def begin(self) -> None:
        """Nothing has come yet; it may begin a second time, by another connection."""
        self.heard = self.unasked = self.early = False
        self.end()

    def end(self) -> None:
        if self.unconfirmed is not None:
            self.unconfirmed.close()
            self.unconfirmed = None


#: Tells for which request a socket opens and a connection is taken. aiohttp's traces would tell it too, and slow every
#: request down.
exchange: ContextVar[Exchange] = ContextVar("exchange")

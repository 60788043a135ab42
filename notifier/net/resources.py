"""What this machine may run out of while it makes a request, in words with the cure. Pure.

Then no request was made, and no other machine is the cause. An exception says so by its `errno`, or by that of its
cause, because the layers between here and the system wrap it.
"""

import errno
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final

_WAITS: Final = "nothing is lost, requests wait until there are some again"
_MEMORY: Final = (
    f"this machine has no memory left for another connection ({_WAITS}): free memory, or raise MemoryMax= of the unit"
)
_PORTS: Final = (
    f"this machine has no local port left for another connection ({_WAITS}): widen net.ipv4.ip_local_port_range"
)
_DESCRIPTORS: Final = (
    f"notifier is out of file descriptors ({_WAITS}): raise LimitNOFILE= of the unit, or `ulimit -n` of the shell, "
    "and restart"
)
_SENTENCES: Final[Mapping[int | None, str]] = {
    errno.EMFILE: _DESCRIPTORS,
    errno.ENFILE: f"this machine is out of file descriptors ({_WAITS}): raise the sysctl fs.file-max",
    errno.ENOBUFS: _MEMORY,
    errno.ENOMEM: _MEMORY,
}
_THREADS: Final = (
    f"this machine lets notifier start no other thread ({_WAITS}): raise TasksMax= of the unit, or `ulimit -u`"
)
#: Causes of causes that are examined.
_DEPTH: Final = 8


def missing(error: BaseException, tried: Mapping[str, int | None] = MappingProxyType({})) -> str | None:
    """What this machine has too little of, as one line, if `error` comes from that; None for any other error.

    `tried` is what the system said of each address: of several, aiohttp reports only the last one.
    """
    for address, number in tried.items():
        # For an IPv6 address, EADDRNOTAVAIL means that this machine has none.
        if number == errno.EADDRNOTAVAIL and not address.startswith("["):
            return _PORTS
        if number in _SENTENCES:
            return _SENTENCES[number]
    for cause in _causes(error):
        if isinstance(cause, MemoryError):
            return _MEMORY
        if isinstance(cause, OSError) and cause.errno in _SENTENCES:
            return _SENTENCES[cause.errno]
        if isinstance(cause, RuntimeError) and "start new thread" in str(cause):
            return _THREADS
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error, what it wraps and what it came from."""
    found: list[BaseException] = [error]
    for _ in range(_DEPTH):
        if not found:
            return
        each = found.pop(0)
        yield each
        inner = (getattr(each, "os_error", None), each.__cause__, each.__context__)
        found += [one for one in inner if isinstance(one, BaseException) and one is not each]

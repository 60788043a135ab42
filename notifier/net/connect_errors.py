"""That no address could be connected to, as one line that names each of them. Pure."""

import errno
from collections.abc import Mapping
from typing import Final

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
    """E.g. `connection refused: 127.0.0.1:8787, [::1]:8787`. What this machine lacks stands last."""
    told: dict[str, list[str]] = {}
    for address, number in tried.items():
        told.setdefault(_words(address, number), []).append(address)
    return "; ".join(_listed(words, told[words]) for words in sorted(told, key=lambda words: words == _NO_IPV6))


def _words(address: str, number: int | None) -> str:
    if number is None:
        return "no connection in time"
    if number in _NO_FAMILY and address.startswith("["):
        return _NO_IPV6
    return _WORDS.get(number, "the connect failed")


def _listed(words: str, addresses: list[str]) -> str:
    more = f" and {len(addresses) - _SHOWN} more" if len(addresses) > _SHOWN else ""
    return f"{words}: {', '.join(addresses[:_SHOWN])}{more}"

"""Every exception of aiohttp as one of httpx, with a sentence for a person: by one table.

No sentence repeats the text of an exception, because that may hold a Python literal, a class name, an error number or
bytes of a server. An exception that is not in the table has a sentence that says little and is true.
"""

import errno
import os
import socket
import ssl
from collections.abc import Mapping, Sequence
from typing import Final

import aiohttp
import httpx
from aiohttp.http_exceptions import HttpProcessingError

from notifier.net.connection_attempt import ConnectionAttempt, not_connected
from notifier.net.proxy import Proxy
from notifier.net.resources import missing
from notifier.net.tls_errors import CUT_OFF, Side, failure_of, sentence


class NameNotResolved(httpx.ConnectError):
    """The host's name leads to no address."""


class AddressRefused(httpx.ConnectError):
    """The guard said no; the message says why."""


class TlsFailed(httpx.ConnectError):
    """The handshake or the certificate failed."""


class OutOfResources(httpx.ConnectError):
    """The machine has too little to make the request with; the message says of what, and what helps."""


class ProxyRefused(httpx.ProxyError):
    """The proxy answered, and did not let the request pass."""


class ConnectionLost(httpx.ReadError):
    """The connection ended before the answer did."""


class DeadlinePassed(httpx.TimeoutException):
    """The whole exchange took longer than its total time."""


class GuardRefusedError(OSError):
    """Carries the guard's reason through aiohttp, which keeps an OSError as `os_error`."""

    def __init__(self, reason: str) -> None:
        super().__init__(errno.EACCES, reason)


class StrayError(aiohttp.ClientConnectionError):
    """Unexpected bytes came on a kept connection: nothing on it is an answer to this request."""


class UnreadError(aiohttp.ClientConnectionError):
    """An answer that cannot be the answer to the whole request; its text is a sentence of ours."""


class MalformedError(aiohttp.ClientError):
    """The answer is not HTTP; its text is a sentence of ours."""


_BROKE: Final = "the connection broke before the answer was complete"
_ENDED: Final = "the server closed the connection before its answer was complete"
_ENDED_IN_BODY: Final = "the server closed the connection inside its answer's body"
_NO_URL: Final = "this url cannot be called: write http:// or https:// and a host"
_LATE_WRITE: Final = "the connection was closed before the request was written"
_MALFORMED: Final = "the answer is malformed"
_IN_HEADER: Final = "look for a line break or a control character in a header"
#: The first row that fits counts: narrow ones are above wide ones. Some sentences are more exact, see `_say`.
_ERRORS: Final[Sequence[tuple[type[BaseException], type[httpx.TransportError], str]]] = (
    (aiohttp.ClientConnectorDNSError, NameNotResolved, _BROKE),
    (aiohttp.ClientSSLError, TlsFailed, _BROKE),
    (aiohttp.ServerFingerprintMismatch, TlsFailed, _BROKE),
    (aiohttp.ClientConnectorError, httpx.ConnectError, _BROKE),
    (TimeoutError, DeadlinePassed, "no complete answer in time"),
    (aiohttp.InvalidURL, httpx.UnsupportedProtocol, _NO_URL),
    (aiohttp.NonHttpUrlClientError, httpx.UnsupportedProtocol, _NO_URL),
    (StrayError, ConnectionLost, "the server sent something that was no answer to this request"),
    (aiohttp.ServerDisconnectedError, ConnectionLost, _ENDED),
    (aiohttp.ClientConnectionResetError, ConnectionLost, _LATE_WRITE),
    (aiohttp.ClientConnectionError, ConnectionLost, _BROKE),
    (aiohttp.ClientPayloadError, httpx.RemoteProtocolError, _ENDED_IN_BODY),
    (aiohttp.ClientError, httpx.RemoteProtocolError, _MALFORMED),
    (HttpProcessingError, httpx.RemoteProtocolError, _MALFORMED),
    (OSError, ConnectionLost, _BROKE),
    (ValueError, httpx.LocalProtocolError, f"the request cannot be written as HTTP: {_IN_HEADER}"),
    (RuntimeError, ConnectionLost, _LATE_WRITE),  # uvloop on a connection that is closing
)
#: How the system says that a rule of this machine forbids the connection.
_FORBIDDEN: Final = frozenset({errno.EPERM, errno.EACCES})
_FIREWALL: Final = (
    "this machine does not let notifier connect there: look at its firewall, and at IPAddressDeny= and "
    "RestrictAddressFamilies= of the unit"
)
#: What `translate` is for.
MAPPED: Final = tuple(row[0] for row in _ERRORS)


def translate(
    error: BaseException,
    request: httpx.Request | None = None,
    *,
    proxy: Proxy | None = None,
    attempt: ConnectionAttempt | None = None,
    side: Side | None = None,
    silent: bool = False,
) -> httpx.TransportError:
    """The httpx exception for anything aiohttp raises; `request` is attached to it. `proxy` is what it went through.

    `attempt` is what was seen of its connection, `side` what this side brought to its TLS. `silent` says that nothing
    came on a new connection: a server that waits for TLS ends a plain request so.
    """
    # A fault of the proxy's own name, address or port begins with the proxy; any other may be its or the server's.
    before, behind = "", f" (through {proxy})" if proxy else ""
    at = (error.host, error.port) if proxy and isinstance(error, aiohttp.ClientConnectorError) else None
    if proxy and at == (proxy.host, proxy.port):
        before, behind = f"{proxy}: ", ""
    cause = getattr(error, "os_error", error)
    if isinstance(cause, GuardRefusedError):
        return AddressRefused(before + (cause.strerror or ""), request=request)
    tried = attempt.tried if attempt and attempt.waits else {}
    if said := missing(error, tried):
        return OutOfResources(said, request=request)
    if tried and set(tried.values()) <= _FORBIDDEN:
        return AddressRefused(before + _FIREWALL, request=request)
    if isinstance(error, aiohttp.ClientHttpProxyError) and proxy:
        return ProxyRefused(proxy.refusal(error.status), request=request)
    plain = silent and request is not None and request.url.scheme == "http"
    of_attempt = _of_attempt(error, attempt, side) if attempt and side else None
    kind, said = of_attempt or _by_table(error, plain=plain)
    return kind(before + said + behind, request=request)


def _of_attempt(
    error: BaseException, attempt: ConnectionAttempt, side: Side
) -> tuple[type[httpx.TransportError], str] | None:
    """That no address could be connected to, or that TLS failed; None for everything else."""
    if isinstance(error, TimeoutError):
        return (DeadlinePassed, attempt.missing) if attempt.missing else None
    if attempt.waits and isinstance(error, aiohttp.ClientConnectorError):
        return httpx.ConnectError, not_connected(attempt.tried)
    if failure := failure_of(error, attempt.tls):
        established = attempt.tls.done or not attempt.tls.begun  # a kept connection, or the body of an answer
        return TlsFailed, sentence(failure, side, attempt.tls.presented, established=established)
    if attempt.tls.begun and not attempt.tls.done and isinstance(error, OSError):
        return TlsFailed, CUT_OFF
    return None


def _by_table(error: BaseException, *, plain: bool) -> tuple[type[httpx.TransportError], str]:
    """`plain`: it is a plain request, to which nothing came."""
    unknown = (httpx.RemoteProtocolError, "the exchange broke off")
    kind, said = next(((ours, said) for theirs, ours, said in _ERRORS if isinstance(error, theirs)), unknown)
    if isinstance(error, aiohttp.ClientPayloadError) and _cut_short(error):
        kind = ConnectionLost
    hint = " (if this port speaks TLS, write https://)" if plain and kind is ConnectionLost else ""
    return kind, (_say(error) or said) + hint


def _cut_short(error: aiohttp.ClientPayloadError) -> bool:
    """Aiohttp has one class for a malformed body and for one that ended early; only its words differ."""
    return "not completed" in str(error)


#: For a connection that was made. `_say_system` has the sentences for a connect.
_BROKEN: Final[Mapping[int, str]] = {
    errno.ECONNRESET: "the server reset the connection before its answer was complete",
    errno.EPIPE: "the server closed the connection before the request was written",
    errno.ETIMEDOUT: "the server's machine confirmed nothing of what was sent for some seconds",
}


def _say(error: BaseException) -> str:
    """One line that is more exact than the table's; empty if there is none."""
    cause = getattr(error, "os_error", None)
    if isinstance(error, aiohttp.ClientConnectorDNSError) and isinstance(cause, OSError):
        return f"no address for {error.host}: {_say_system(cause)}"
    if isinstance(cause, OSError):
        return _say_system(cause)
    if isinstance(error, MalformedError | UnreadError):
        return str(error)
    if isinstance(error, aiohttp.ClientPayloadError) and not _cut_short(error):
        return "the body of the answer is malformed"
    return _BROKEN.get(error.errno or 0, "") if isinstance(error, OSError) else ""


def _say_system(error: OSError) -> str:
    """Of a look-up or a connect: in the system's words if there are any."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    if isinstance(error, ssl.SSLError):
        return "the TLS handshake failed"
    if isinstance(error, socket.gaierror) or (error.errno is None and error.strerror):
        return error.strerror or "the name leads to no address"
    return os.strerror(error.errno) if error.errno and error.errno > 0 else "no connection was made"

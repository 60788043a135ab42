"""One POST: build it, send it, read a bounded answer. Every outcome is returned as an Answer.

One deadline covers everything, the answer's body included: a receiver that never ends its body costs one timeout, not a
slot for ever. The exchange is complete at the end of the body or after 16 KiB of it. If it breaks off before, it is a
failure even after a 2xx status, because nobody knows what the rest would have said; the message is then sent again
(at-least-once). An attempt after the first uses a new connection and a new look-up, because the old one may be the
cause of the failure.

It calls `handle_async_request` itself with a ready request: a client above it would add cookies, redirects and parsing
to the one path that must be exact and fast.
"""

from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Final

import anyio
import httpx
import structlog

from notifier import __version__
from notifier.delivery.signature import headers as signature_headers
from notifier.domain.model import Answer, Message, Verdict
from notifier.domain.settings import EndpointSettings
from notifier.net.connection_attempt import ConnectionAttempt
from notifier.net.resources import missing
from notifier.net.retry_after import retry_after
from notifier.net.secrets_sent import mask_of_endpoint
from notifier.net.transport_errors import AddressRefused, NameNotResolved, OutOfResources, TlsFailed
from notifier.runtime import log_events
from notifier.text.masking import Mask
from notifier.text.printable import printable

_log = structlog.get_logger()

_parsed: Final = lru_cache(maxsize=4096)(httpx.URL)
#: Raw bytes of an answer's body that are read, and that are kept with the attempt.
READ_LIMIT: Final = 16 * 1024
KEPT: Final = 2 * 1024
_DETAIL_LIMIT: Final = 300
_LOCATION_LIMIT: Final = 2_048
_USER_AGENT: Final = f"notifier/{__version__}"

#: The first row that fits counts; an error that fits none is a malformed answer.
_VERDICTS: Final = (
    (OutOfResources, Verdict.OUT_OF_RESOURCES),
    (AddressRefused, Verdict.ADDRESS_REFUSED),
    (httpx.ProxyError, Verdict.PROXY_REFUSED),
    (NameNotResolved, Verdict.DNS_FAILED),
    (TlsFailed, Verdict.TLS_FAILED),
    (httpx.TimeoutException, Verdict.TIMED_OUT),
    (httpx.ConnectError, Verdict.CONNECT_FAILED),
    (httpx.NetworkError, Verdict.RESET),
)
_UNBUILT: Final = "nothing was sent: the endpoint's url, headers or secret make no request; look at them with check"
_FAULT: Final = "a fault in notifier itself ended this attempt; its log holds the details under attempt.crashed"


@dataclass(slots=True, kw_only=True)
class _Seen:
    """What has arrived so far. It stays readable if the deadline ends the exchange."""

    status: int | None = None
    retry_after: float | None = None
    location: str | None = None
    #: The beginning of the body as it came, a little more than is kept.
    head: bytearray = field(default_factory=bytearray)
    #: Masks the secrets that were sent, if the answer repeats them.
    mask: Mask
    connection_attempt: ConnectionAttempt | None = None

    def answer(self, error: Verdict | None = None, detail: str = "") -> Answer:
        return Answer(
            status_code=self.status,
            head=self.mask.head(bytes(self.head), KEPT),
            retry_after=self.retry_after,
            location=self.location and printable(self.mask.text(self.location), _LOCATION_LIMIT),
            error=error,
            detail=printable(self.mask.text(detail), _DETAIL_LIMIT),
        )

    def timed_out(self, seconds: float) -> str:
        """How far it came within this time, in words."""
        if self.connection_attempt and (missing := self.connection_attempt.missing):
            return f"no connection within {seconds:g} s: {missing}"
        part = "no answer" if self.status is None else f"{self.status}, but no complete answer"
        return f"{part} within {seconds:g} s"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sender:
    """Posts to configured endpoints over `open_wire`, and to callback URLs over `guarded_wire`."""

    open_wire: httpx.AsyncBaseTransport
    guarded_wire: httpx.AsyncBaseTransport

    async def post(self, message: Message, policy: EndpointSettings, *, now: datetime, fresh: bool = False) -> Answer:
        """Make one attempt, signed for `now`, over a new connection if `fresh`. Only cancellation is raised."""
        seen = _Seen(mask=mask_of_endpoint(policy))
        wire = self.guarded_wire if policy.guarded else self.open_wire
        with anyio.move_on_after(policy.timeout.total_seconds()):
            fault = _UNBUILT
            try:
                request = build(message, policy, now=now, fresh=fresh)
                seen.connection_attempt = request.extensions["connection_attempt"]
                fault = _FAULT
                await _exchange(wire, request, seen, now)
            except httpx.TransportError as error:
                found = (verdict for kind, verdict in _VERDICTS if isinstance(error, kind))
                return seen.answer(next(found, Verdict.PROTOCOL_ERROR), str(error))
            except MemoryError as error:
                return seen.answer(Verdict.OUT_OF_RESOURCES, missing(error) or "")
            except Exception:  # noqa: BLE001  a bug here may cost one attempt, never the daemon
                _log.warning(log_events.ATTEMPT_CRASHED, message=message.id, endpoint=policy.destination, exc_info=True)
                return seen.answer(Verdict.PROTOCOL_ERROR, fault)
            return seen.answer()
        return seen.answer(Verdict.TIMED_OUT, seen.timed_out(policy.timeout.total_seconds()))


def build(message: Message, policy: EndpointSettings, *, now: datetime, fresh: bool = False) -> httpx.Request:
    """The request of one attempt. The body is the stored bytes, untouched."""
    url = _parsed(policy.url)
    lines = {"host": url.netloc.decode(), "content-type": message.content_type, "user-agent": _USER_AGENT}
    lines |= {name.lower(): value.reveal() for name, value in policy.headers.items()}
    lines |= signature_headers(message.id, int(now.timestamp()), message.body, policy.secrets)
    lines["content-length"] = str(len(message.body))
    extensions: dict[str, object] = {
        "url": policy.url,
        "proxy": policy.proxy,
        "connection_attempt": ConnectionAttempt(),
        "fresh": fresh,
    }
    if "://" not in policy.identity:  # only an endpoint of the configuration may have a `tls:` setting
        extensions["tls"] = policy.tls
    # Ready headers and a ready stream: what httpx derives by itself is most of a request's cost.
    request = httpx.Request(
        "POST",
        url,
        headers=httpx.Headers(list(lines.items())),
        stream=httpx.ByteStream(message.body),
        extensions=extensions,
    )
    request.read()
    return request


async def _exchange(wire: httpx.AsyncBaseTransport, request: httpx.Request, seen: _Seen, now: datetime) -> None:
    response = await wire.handle_async_request(request)
    try:
        seen.status = response.status_code
        seen.retry_after = retry_after(response.headers.get("retry-after"), now)
        if 300 <= seen.status < 400:  # noqa: PLR2004  the class of redirects
            seen.location = response.headers.get("location", "") or None
        keep, total = KEPT + seen.mask.reach, 0
        assert isinstance(response.stream, httpx.AsyncByteStream), "an async transport answers with an async stream"
        async for chunk in response.stream:
            seen.head += chunk[: keep - len(seen.head)]
            total += len(chunk)
            if total >= READ_LIMIT:
                return
    finally:
        await response.aclose()

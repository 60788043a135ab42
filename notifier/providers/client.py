"""Sends a provider one request and gives its reply: one deadline over all of it, one bounded body.

The codec says what is sent, how it authenticates, and what the reply means. Owned here is the translation of everything
that can go wrong on the wire into `ProviderBusy` (it may pass with time) or `ProviderRefused` (the operator must act).
Each message is one printable line that names the provider, and never holds the key. Redirects are refused, because a
key is not carried to another host; so are cookies and the environment's proxies.

What is read is bounded, because a reply is parsed while nothing else of this process runs (see `reply_text`):
- 4 MiB of a reply about one ID: a record takes 1 to 3 KiB, and a few hold an image or a log. 8 MiB of one about several
  IDs, so that such a record never costs those beside it. Beyond that fewer IDs are asked for at a time, and of one ID
  it is that ID's own trouble. Bytes count both as they arrive and unpacked: a small reply cannot become a large one.
- The first 64 KiB of a reply that is not 2xx: its status says what to do, however long its page is.
"""

import zlib
from collections.abc import Callable, Mapping, Sequence
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Final, Self

import anyio
import anyio.to_thread
import httpx

from notifier import __version__
from notifier.domain.errors import NotAsked, ProviderBusy, ProviderRefused
from notifier.domain.ids import GenerationId
from notifier.domain.settings import ProviderSettings
from notifier.net.connection_attempt import ConnectionAttempt
from notifier.net.resources import missing
from notifier.net.retry_after import retry_after
from notifier.net.secrets_sent import mask_of_provider
from notifier.net.transport_errors import OutOfResources
from notifier.providers.base import BeforeRepeat, Codec, PollRequest, Reply
from notifier.providers.catalogue import KINDS
from notifier.providers.reply_text import too_large
from notifier.runtime.clock import Clock
from notifier.text.printable import printable

#: Bytes of a body at most, about one ID and about several.
BODY_ONE: Final = 4 * 1024 * 1024
BODY_MANY: Final = 8 * 1024 * 1024
#: Bytes of a body that are kept if the status is not 2xx.
ERROR_LIMIT: Final = 64 * 1024
#: Bytes of a body that are masked within 2 ms at most.
_SHORT: Final = 2 * 1024
_GZIP: Final = 16 + zlib.MAX_WBITS
#: What else a transport may raise. `OSError` covers the time limit and what a transport forgot to translate.
_WIRE_ERRORS: Final = (httpx.HTTPError, httpx.StreamError, OSError)


class ProviderClient:
    """Any number of requests at a time, to any number of providers. Closing it closes the transport.

    `answered` is called at each complete answer: it shows that the network works.
    """

    def __init__(
        self,
        transport: httpx.AsyncBaseTransport,
        *,
        clock: Clock,
        kinds: Mapping[str, Codec] = KINDS,
        answered: Callable[[], None] = lambda: None,
    ) -> None:
        self._kinds = kinds
        self._answered = answered
        self._clock = clock
        self._http = httpx.AsyncClient(
            transport=transport,
            headers={
                "Accept": "application/json",
                "Accept-Encoding": "gzip",
                "User-Agent": f"notifier/{__version__}",
            },
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            follow_redirects=False,
            trust_env=False,
            timeout=None,  # noqa: S113  the one deadline in `ask` is over the whole exchange
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def ask(
        self, request: PollRequest, settings: ProviderSettings, before_repeat: BeforeRepeat | None = None
    ) -> Reply:
        """The complete answer, of any status but 3xx; `ProviderBusy` or `ProviderRefused` if there is none.

        `before_repeat` is awaited before the request is made a second time: see `transport`.
        """
        headers = {**request.headers, **self._kinds[settings.kind].authenticate(settings)}
        through = {
            "proxy": settings.proxy,
            "connection_attempt": (attempt := ConnectionAttempt()),
            "before_repeat": before_repeat,
        }
        try:
            with anyio.fail_after(_limit(request, settings)):
                async with self._http.stream(
                    request.method, request.url, content=request.body, headers=headers, extensions=through
                ) as response:
                    _refuse_redirect(response, request, settings)
                    body = await _body(response, request.ids, settings)
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            wrong = f"its base_url, {printable(settings.base_url, 200)}, does not make a URL that can be asked"
            said = f"Provider {settings.name}: {wrong}. Write it as https://host."
            raise ProviderRefused(said, any_id=True) from error
        except _WIRE_ERRORS as error:
            if isinstance(error, OutOfResources) or missing(error):
                raise NotAsked(missing(error) or str(error)) from error
            late = isinstance(error, TimeoutError | httpx.TimeoutException)
            said = f"Provider {settings.name}: {_what_failed(error, request, settings, attempt)}"
            unreachable = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.ProxyError)
            raise ProviderBusy(said, overloaded=late, any_id=unreachable) from error
        mask = mask_of_provider(settings)
        self._answered()
        masked = mask.plain if response.is_success else mask.head
        # A long body is masked in a thread, so that the event loop continues: it takes a tenth of a second.
        return Reply(
            status=response.status_code,
            body=masked(body) if len(body) <= _SHORT else await anyio.to_thread.run_sync(masked, body),
            retry_after=retry_after(response.headers.get("retry-after"), self._clock.now()),
        )


def _limit(request: PollRequest, settings: ProviderSettings) -> float:
    """Seconds for all of it; of a long-poll with the provider's patience added."""
    return settings.request_timeout.total_seconds() + request.patience


# ---- what comes back ----------------------------------------------------------------------------------------------
async def _body(response: httpx.Response, ids: Sequence[GenerationId], settings: ProviderSettings) -> bytes:
    """All of it, unpacked; `ReplyTooLarge` above the limit for so many IDs, `ProviderBusy` if it is packed wrong."""
    if not response.is_success:
        return (await _read(response, ERROR_LIMIT, settings))[:ERROR_LIMIT]
    limit = BODY_ONE if len(ids) == 1 else BODY_MANY
    body = await _read(response, limit, settings)
    if len(body) > limit:
        raise too_large(f"is above {limit // 2**20} MiB", ids, who=f"Provider {settings.name}: ")
    return body


async def _read(response: httpx.Response, limit: int, settings: ProviderSettings) -> bytes:
    """The body, unpacked; if it is above `limit`, only as much of it as shows that."""
    if response.is_stream_consumed:  # a transport that answers from memory has read and unpacked it already
        return response.content
    encoding = response.headers.get("content-encoding", "").strip().lower()
    if encoding not in ("", "identity", "gzip", "x-gzip"):
        packed = printable(mask_of_provider(settings).text(response.headers["content-encoding"].strip()), 40)
        raise ProviderBusy(f"Provider {settings.name}: the reply is packed as {packed}, and only gzip was asked for.")
    gunzip = zlib.decompressobj(_GZIP) if "gzip" in encoding else None
    body, arrived = bytearray(), 0
    try:
        async for chunk in response.aiter_raw():
            arrived += len(chunk)
            body += gunzip.decompress(chunk, limit + 1 - len(body)) if gunzip else chunk
            if len(body) > limit:
                return bytes(body)
            if gunzip and arrived > limit:
                raise ProviderBusy(f"Provider {settings.name}: the packed reply is longer than what is in it may be.")
            if gunzip and gunzip.unused_data:  # zlib would gather it, and copy all of it at each chunk
                raise ProviderBusy(f"Provider {settings.name}: more follows after the end of the packed reply.")
    except zlib.error as error:
        raise ProviderBusy(f"Provider {settings.name}: the reply says that it is gzip, and is not.") from error
    if gunzip and not gunzip.eof:
        raise ProviderBusy(f"Provider {settings.name}: the packed reply was cut off.")
    return bytes(body)


def _refuse_redirect(response: httpx.Response, request: PollRequest, settings: ProviderSettings) -> None:
    if not response.is_redirect:
        return
    # A query may carry a token: only what leads to the right base_url is shown.
    address = mask_of_provider(settings).text(response.headers.get("location", "").partition("?")[0])
    location = printable(address, 200) or "nowhere"
    # If only the scheme or the host is wrong, what comes before the route in the new address is the right base_url.
    route = request.url.partition("?")[0].removeprefix(settings.base_url.rstrip("/"))
    right = address.removesuffix(route) if route and "://" in address else address
    now = printable(settings.base_url, 200)
    fix = f"Change its base_url, which is {now}."
    if right != address:
        fix = f"Write base_url: {printable(right, 200)} in place of {now}."
    raise ProviderRefused(f"Provider {settings.name} answered {response.status_code}: moved to {location}.", fix=fix)


# ---- what failed --------------------------------------------------------------------------------------------------
def _what_failed(
    error: BaseException, request: PollRequest, settings: ProviderSettings, attempt: ConnectionAttempt
) -> str:
    """One line: what failed, at which host, and the transport's own words if they cannot hold the key."""
    host = printable(request.url.partition("://")[2].partition("/")[0].rpartition("@")[2], 200)  # without a password
    late = isinstance(error, TimeoutError | httpx.TimeoutException)
    if late and attempt.missing:
        return f"could not connect to {host} within {_limit(request, settings):g} s: {attempt.missing}"
    if isinstance(error, httpx.ConnectError):
        what = f"could not connect to {host}"
    elif late:
        return f"no complete answer from {host} within {_limit(request, settings):g} s."
    elif isinstance(error, httpx.LocalProtocolError):  # quotes the header it did not like
        return f"the request to {host} could not be written as HTTP."
    else:
        what = f"the exchange with {host} broke off"
    if not isinstance(error, httpx.TransportError):  # the transport's own errors are sentences, others are not
        return f"{what}."
    said = printable(mask_of_provider(settings).text(" ".join(str(error).split())), 300)
    return f"{what}: {said}" if said else f"{what}."

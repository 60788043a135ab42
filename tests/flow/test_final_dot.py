"""A final dot of a host name: it reaches the look-up, and neither Host, SNI nor the certificate's check sees it."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme
from aiohttp.abc import AbstractResolver, ResolveResult

from notifier.delivery.policies import Endpoints
from notifier.delivery.sender import build
from notifier.domain.ids import Destination, EndpointIdentity, GenerationId, ProviderName
from notifier.domain.settings import CallbackSettings, EndpointSettings, ProviderSettings, Secret, TlsSettings
from notifier.net.transport import AiohttpTransport
from notifier.providers.base import PollRequest
from notifier.providers.client import ProviderClient
from notifier.runtime.clock import SystemClock
from tests.support.loopback import proxy, receiver
from tests.support.messages import MESSAGE

SECRET = Secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
NOW = datetime(2026, 11, 22, 5, 0, tzinfo=UTC)


class Resolver(AbstractResolver):
    """Every name leads to this machine; the names are kept as they were asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def resolve(self, host: str, port: int = 0, family: int = 0) -> list[ResolveResult]:
        self.asked.append(host)
        return [ResolveResult(hostname=host, host="127.0.0.1", port=port, family=family, proto=0, flags=0)]

    async def close(self) -> None:
        pass


@asynccontextmanager
async def wired() -> AsyncIterator[tuple[AiohttpTransport, Resolver]]:
    resolver = Resolver()
    async with AiohttpTransport(resolver=resolver) as wire:
        yield wire, resolver


async def post(wire: AiohttpTransport, policy: EndpointSettings) -> int:
    response = await wire.handle_async_request(build(MESSAGE, policy, now=NOW))
    await response.aclose()
    return response.status_code


def endpoint(url: str, **more: Any) -> EndpointSettings:
    return EndpointSettings(
        identity=EndpointIdentity("studio"), destination=Destination("studio"), url=url, secrets=(SECRET,), **more
    )


async def test_of_an_endpoint_the_dot_reaches_the_look_up_alone() -> None:
    """And the port stays in Host."""
    async with receiver() as app, wired() as (wire, resolver):
        assert await post(wire, endpoint(app.url(host="app.example.test."))) == 204
        assert resolver.asked == ["app.example.test."]
        assert app.requests[0].headers["host"] == f"app.example.test:{app.port}"


async def test_of_a_callback_url_the_dot_is_kept_and_its_origin_has_none() -> None:
    """One destination and one key for both spellings; two endpoints, for they may lead to two places."""
    callbacks = CallbackSettings(secret=SECRET, allow=("127.0.0.0/8",))
    endpoints = Endpoints({}, callbacks)
    async with receiver() as app, wired() as (wire, resolver):
        dotted, plain = (
            endpoints.policy(EndpointIdentity(app.url(host=host))) for host in ("app.example.test.", "app.example.test")
        )
        assert dotted is not None
        assert plain is not None
        assert (dotted.destination, dotted.secrets) == (plain.destination, plain.secrets)
        assert dotted.identity != plain.identity
        await post(wire, dotted)
        assert resolver.asked == ["app.example.test."]
        assert app.requests[0].headers["host"] == f"app.example.test:{app.port}"


async def test_of_a_base_url_the_dot_reaches_the_look_up_alone() -> None:
    """The provider's client works its Host out by itself."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
    async with receiver(answer=answer) as api, wired() as (wire, resolver):
        base = api.url("", host="api.example.test.")
        settings = ProviderSettings(
            name=ProviderName("luma"), kind="aimlapi-luma", base_url=base, api_key=Secret("k-123456789abc")
        )
        async with ProviderClient(wire, clock=SystemClock()) as client:
            await client.ask(PollRequest(url=f"{base}/x", ids=(GenerationId("g-1"),), batch=False), settings)
        assert resolver.asked == ["api.example.test."]
        assert api.requests[0].headers["host"] == f"api.example.test:{api.port}"


@pytest.mark.parametrize("tunnel", [False, True], ids=["direct", "tunnel"])
async def test_sni_and_the_certificate_have_no_dot(tmp_path: Path, tunnel: bool) -> None:  # noqa: FBT001  a parameter
    """A certificate for the name fits; so it does through a proxy, which gets both dots to look up."""
    authority, seen = trustme.CA(), list[str | None]()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("app.example.test").configure_cert(context)
    context.sni_callback = lambda _socket, name, _context: seen.append(name)
    tls = TlsSettings(ca=str(tmp_path / "ca.pem"))
    async with receiver(tls=context) as app, proxy() as between, wired() as (wire, resolver):
        through = Secret(f"http://proxy.example.test.:{between.port}") if tunnel else None
        url = app.url(scheme="https", host="app.example.test.")
        assert await post(wire, endpoint(url, tls=tls, proxy=through)) == 204
        assert seen == ["app.example.test"]
        assert resolver.asked == (["proxy.example.test."] if tunnel else ["app.example.test."])
        if tunnel:
            assert between.requests[0].line == f"CONNECT app.example.test.:{app.port} HTTP/1.1"
            assert between.requests[0].headers["host"] == f"app.example.test:{app.port}"


async def test_a_request_handed_to_a_proxy_keeps_the_dot_in_its_target() -> None:
    """The proxy looks the name up; Host has none."""
    async with receiver() as app, proxy() as between, wired() as (wire, resolver):
        through = Secret(f"http://proxy.example.test.:{between.port}")
        assert await post(wire, endpoint(app.url(host="app.example.test."), proxy=through)) == 204
        assert resolver.asked == ["proxy.example.test."]
        assert between.requests[0].line.startswith(f"POST http://app.example.test.:{app.port}/")
        assert between.requests[0].headers["host"] == f"app.example.test:{app.port}"


async def test_an_international_name_is_checked_in_punycode(tmp_path: Path) -> None:
    """The dot goes, the name stays what the certificate says."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("xn--bcher-kva.example").configure_cert(context)
    async with receiver(tls=context) as app, wired() as (wire, resolver):
        url = app.url(scheme="https", host="xn--bcher-kva.example.")
        assert httpx.URL(url).host == "bücher.example."
        assert await post(wire, endpoint(url, tls=TlsSettings(ca=str(tmp_path / "ca.pem")))) == 204
        assert resolver.asked == ["xn--bcher-kva.example."]

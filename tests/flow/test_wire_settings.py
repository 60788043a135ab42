"""Certificates, proxies and headers of the configuration, on real sockets: what is written in the file acts."""

import base64
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml
from aiohttp.abc import AbstractResolver, ResolveResult

from notifier.config import load
from notifier.delivery.policies import Endpoints
from notifier.delivery.sender import Sender
from notifier.domain.errors import ProviderBusy
from notifier.domain.ids import EndpointIdentity, GenerationId
from notifier.domain.model import Answer, Verdict
from notifier.domain.settings import CallbackSettings, EndpointSettings, Secret, Settings
from notifier.net.address_policy import Allow, refusal
from notifier.net.tls_files import TlsContexts
from notifier.net.transport import AiohttpTransport
from notifier.providers.base import PollRequest
from notifier.providers.client import ProviderClient
from notifier.runtime.clock import SystemClock
from tests.support.loopback import Station, proxy, receiver
from tests.support.messages import MESSAGE
from tests.support.peers import Peer, serving

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NOW = datetime(2026, 11, 22, 5, 0, tzinfo=UTC)
NAME = "app.example.test"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]"


# ---- the stage ----------------------------------------------------------------------------------------------------
def configured(
    directory: Path,
    *,
    environ: Mapping[str, str] | None = None,
    provider: Mapping[str, Any] | None = None,
    **endpoints: Any,
) -> Settings:
    """The settings of a file with these endpoints."""
    whole = {
        "store": "sqlite:n.db",
        "providers": {"luma": {"kind": "aimlapi-luma", "api_key": "k-123456789abc", **(provider or {})}},
        "endpoints": {name: {"secret": SECRET, **each} for name, each in endpoints.items()},
    }
    file = directory / "c.yaml"
    file.write_text(yaml.safe_dump(whole))
    return load(str(file), environ=environ or {})


class Wired:
    """A sender as the daemon has it: metadata addresses are refused."""

    def __init__(self, wire: AiohttpTransport) -> None:
        self._sender = Sender(open_wire=wire, guarded_wire=wire)

    async def post(self, policy: EndpointSettings | None) -> Answer:
        assert policy is not None
        return await self._sender.post(MESSAGE, policy, now=NOW)


@asynccontextmanager
async def wired(**options: Any) -> AsyncIterator[Wired]:
    async with AiohttpTransport(
        guard=lambda address: refusal(address, guarded=False, allow=Allow()), **options
    ) as wire:
        yield Wired(wire)


class Resolver(AbstractResolver):
    """Every name leads to one address."""

    def __init__(self, address: str) -> None:
        self._address = address

    async def resolve(self, host: str, port: int = 0, family: int = 0) -> list[ResolveResult]:
        return [ResolveResult(hostname=host, host=self._address, port=port, family=family, proto=0, flags=0)]

    async def close(self) -> None:
        pass


class Certificates:
    """An authority of the test's, its server, and clients' certificates in files."""

    def __init__(self, directory: Path) -> None:
        self.authority = trustme.CA()
        self._directory = directory
        self.ca = str(directory / "ca.pem")
        self.authority.cert_pem.write_to_path(self.ca)

    def server(self, *, asks: bool = False) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.authority.issue_cert("127.0.0.1", NAME).configure_cert(context)
        if asks:
            context.verify_mode = ssl.CERT_REQUIRED
            self.authority.configure_trust(context)
        return context

    def client(self, name: str, file: str | None = None) -> dict[str, str]:
        """A new certificate for `name`, in files of that or another name."""
        made = self.authority.issue_cert("notifier@example.test", organization_unit_name=name)
        cert, key = (self._directory / f"{file or name}.{ending}" for ending in ("pem", "key"))
        made.cert_chain_pems[0].write_to_path(cert)
        made.private_key_pem.write_to_path(key)
        return {"cert": str(cert), "key": str(key)}


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path)


def verdict(answer: Answer) -> tuple[int | None, Verdict | None]:
    return answer.status_code, answer.error


# ---- certificates -------------------------------------------------------------------------------------------------
async def test_a_server_that_asks_for_a_certificate_is_shown_it(tmp_path: Path, certificates: Certificates) -> None:
    """Mutual TLS: `cert` and `key` are shown, and `ca` vouches for the server. Relative paths start at the file."""
    certificates.client("studio")
    async with receiver(tls=certificates.server(asks=True)) as app, wired() as wire:
        tls = {"cert": "studio.pem", "key": "studio.key", "ca": "ca.pem"}
        settings = configured(tmp_path, studio={"url": app.url(scheme="https"), "tls": tls})
        assert verdict(await wire.post(settings.endpoints["studio"])) == (204, None)
        assert app.requests[0].shown == "studio"


async def test_without_the_certificate_it_does_not_arrive(tmp_path: Path, certificates: Certificates) -> None:
    """What acts is the key: the same server, trusted, refuses the handshake."""
    async with receiver(tls=certificates.server(asks=True)) as app, wired() as wire:
        settings = configured(tmp_path, studio={"url": app.url(scheme="https"), "tls": {"ca": "ca.pem"}})
        answer = await wire.post(settings.endpoints["studio"])
        assert answer.error in (Verdict.TLS_FAILED, Verdict.RESET)
        assert not app.requests


async def test_ca_takes_the_place_of_the_systems_trust(tmp_path: Path, certificates: Certificates) -> None:
    """A private authority is trusted if the setting names it; another one is not, and without the setting none is."""
    trustme.CA().cert_pem.write_to_path(tmp_path / "other.pem")
    async with receiver(tls=certificates.server()) as app, wired() as wire:
        url = app.url(scheme="https")
        settings = configured(
            tmp_path,
            named={"url": url, "tls": {"ca": "ca.pem"}},
            other={"url": url, "tls": {"ca": "other.pem"}},
            none={"url": url},
        )
        found = {name: verdict(await wire.post(each)) for name, each in settings.endpoints.items()}
        failed = (None, Verdict.TLS_FAILED)
        assert found == {"named": (204, None), "other": failed, "none": failed}


async def test_connections_are_never_shared_between_two_certificates(
    tmp_path: Path, certificates: Certificates
) -> None:
    """Two endpoints of one host: each message goes under its own certificate, on a connection kept for it."""
    async with receiver(tls=certificates.server(asks=True)) as app, wired() as wire:
        endpoints: dict[str, Any] = {
            name: {"url": app.url(scheme="https"), "tls": {**certificates.client(name), "ca": "ca.pem"}}
            for name in ("studio", "audit")
        }
        settings = configured(tmp_path, **endpoints)
        for name in ("studio", "audit", "studio", "audit"):
            assert verdict(await wire.post(settings.endpoints[name])) == (204, None)
        assert [request.shown for request in app.requests] == ["studio", "audit", "studio", "audit"]
        assert app.connections == 2


async def test_a_renewed_certificate_is_shown_without_a_reload(tmp_path: Path, certificates: Certificates) -> None:
    """From the next check of the files on; a certificate whose key is not written yet changes nothing."""
    seconds = [0.0]
    contexts = TlsContexts(lambda: seconds[0])
    async with receiver(tls=certificates.server(asks=True)) as app, wired(contexts=contexts) as wire:
        tls = {**certificates.client("old", "studio"), "ca": "ca.pem"}
        policy = configured(tmp_path, studio={"url": app.url(scheme="https"), "tls": tls}).endpoints["studio"]
        await wire.post(policy)
        old_key = (tmp_path / "studio.key").read_bytes()
        certificates.client("new", "studio")
        new_key = (tmp_path / "studio.key").read_bytes()
        for key in (old_key, new_key):
            seconds[0] += 5
            (tmp_path / "studio.key").write_bytes(key)
            await wire.post(policy)
        assert [request.shown for request in app.requests] == ["old", "old", "new"]


async def test_files_that_went_and_never_were_read_fail_the_attempt(tmp_path: Path, certificates: Certificates) -> None:
    """The verdict is TLS, and the detail names the file."""
    async with receiver(tls=certificates.server(asks=True)) as app, wired() as wire:
        tls = {**certificates.client("studio"), "ca": "ca.pem"}
        policy = configured(tmp_path, studio={"url": app.url(scheme="https"), "tls": tls}).endpoints["studio"]
        (tmp_path / "studio.key").unlink()
        answer = await wire.post(policy)
        assert answer.error is Verdict.TLS_FAILED
        assert answer.detail == f"{tmp_path}/studio.key cannot be read: no such file or directory."


# ---- proxies ------------------------------------------------------------------------------------------------------
LOGIN = "Basic " + base64.b64encode(b"me:p@ss").decode()


def through(station: Station) -> str:
    return f"http://me:p%40ss@127.0.0.1:{station.port}"


async def test_https_goes_through_a_tunnel(tmp_path: Path, certificates: Certificates) -> None:
    """CONNECT with user and password, by a name that the proxy resolves; the server learns nothing of the proxy."""
    (tmp_path / "proxy").write_text("")
    async with proxy() as station, receiver(tls=certificates.server()) as app, wired() as wire:
        (tmp_path / "proxy").write_text(through(station) + "\n")
        studio = {"url": app.url(scheme="https", host=NAME), "tls": {"ca": "ca.pem"}, "proxy": {"file": "proxy"}}
        policy = configured(tmp_path, studio=studio).endpoints["studio"]
        for _ in range(2):
            assert verdict(await wire.post(policy)) == (204, None)
        (asked,) = station.requests
        assert asked.line == f"CONNECT {NAME}:{app.port} HTTP/1.1"
        assert asked.headers["proxy-authorization"] == LOGIN
        assert [request.line for request in app.requests] == 2 * ["POST /hook HTTP/1.1"]
        assert not any("proxy" in name for request in app.requests for name in request.headers)


async def test_http_is_handed_to_the_proxy(tmp_path: Path) -> None:
    """The whole URL goes to it, and the message arrives behind it."""
    async with proxy() as station, receiver() as app, wired() as wire:
        settings = configured(
            tmp_path,
            environ={"PROXY": through(station)},
            studio={"url": app.url("/a%20b?c", host=NAME), "proxy": "${PROXY}"},
        )
        assert verdict(await wire.post(settings.endpoints["studio"])) == (204, None)
        (asked,) = station.requests
        assert asked.line == f"POST http://{NAME}:{app.port}/a%20b?c HTTP/1.1"
        assert asked.headers["proxy-authorization"] == LOGIN
        assert app.requests[0].body == b'{"a":1}'


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize(
    ("status", "says"),
    [
        (b"407 Proxy Authentication Required", "wants another user or password (407)"),
        (b"403 Forbidden", "does not let this through (403)"),
        (b"502 Bad Gateway", "could not reach the server (502)"),
    ],
)
async def test_a_proxy_that_refuses_is_named(tmp_path: Path, scheme: str, status: bytes, says: str) -> None:
    """It is not the endpoint that answers. The password is not shown. A 403 to plain http may be the endpoint's own."""
    async with proxy(refuses=status) as station, wired() as wire:
        studio = {"url": f"{scheme}://{NAME}/hook", "proxy": through(station)}
        answer = await wire.post(configured(tmp_path, studio=studio).endpoints["studio"])
        if scheme == "http" and not status.startswith(b"407"):
            assert verdict(answer) == (int(status[:3]), None)
        else:
            assert verdict(answer) == (None, Verdict.PROXY_REFUSED)
            assert answer.detail == f"proxy 127.0.0.1:{station.port} {says}"


@pytest.mark.parametrize(
    "accepts",
    [b"204 No Content", b"299 Whatever", b"201 Created\r\nContent-Length: 0", b"200 OK\r\nTransfer-Encoding: chunked"],
)
async def test_any_2xx_of_a_proxy_is_a_tunnel(tmp_path: Path, accepts: bytes) -> None:
    """So says HTTP; and whatever length the head names, the tunnel begins behind it."""
    certificates = Certificates(tmp_path)
    async with receiver(tls=certificates.server()) as app, proxy(accepts=accepts) as station, wired() as wire:
        studio = {"url": app.url(scheme="https"), "tls": {"ca": "ca.pem"}, "proxy": through(station)}
        policy = configured(tmp_path, studio=studio).endpoints["studio"]
        for _ in range(2):
            assert verdict(await wire.post(policy)) == (204, None)
        assert (station.connections, app.connections) == (1, 1)


@pytest.mark.parametrize("status", [b"101 Switching Protocols", b"302 Found", b"404 Not Found", b"500 Oops"])
async def test_any_other_answer_of_a_proxy_is_its_refusal(tmp_path: Path, status: bytes) -> None:
    """No tunnel, and nothing of the endpoint's."""
    async with proxy(refuses=status) as station, wired() as wire:
        studio = {"url": f"https://{NAME}/hook", "proxy": through(station)}
        answer = await wire.post(configured(tmp_path, studio=studio).endpoints["studio"])
        assert verdict(answer) == (None, Verdict.PROXY_REFUSED)
        assert answer.detail == f"proxy 127.0.0.1:{station.port} does not let this through ({int(status[:3])})"


async def test_a_proxy_that_is_no_proxy_is_told(tmp_path: Path) -> None:
    """What answers at its port is shown, and whose port it is."""

    async def talk(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"SSH-2.0-OpenSSH_9.2\r\n")

    async with serving(talk) as server, wired() as wire:
        studio = {"url": f"https://{NAME}/hook", "proxy": f"http://127.0.0.1:{server.port}"}
        answer = await wire.post(configured(tmp_path, studio=studio).endpoints["studio"])
        assert verdict(answer) == (None, Verdict.PROTOCOL_ERROR)
        assert answer.detail == (
            'the answer begins with "SSH-2.0-OpenSSH_9.2": is this the right port? '
            f"(through proxy 127.0.0.1:{server.port})"
        )


async def test_a_proxy_that_is_not_there_is_named(tmp_path: Path) -> None:
    """The operator reads which of the two did not answer."""
    async with proxy() as station, wired() as wire:
        port = station.port
    async with wired() as wire:
        studio = {"url": f"https://{NAME}/hook", "proxy": f"http://me:pass-word@127.0.0.1:{port}"}
        answer = await wire.post(configured(tmp_path, studio=studio).endpoints["studio"])
        assert answer.error is Verdict.CONNECT_FAILED
        assert answer.detail == f"proxy 127.0.0.1:{port}: connection refused: 127.0.0.1:{port}"


async def test_a_proxy_whose_name_leads_to_a_metadata_address_is_refused(tmp_path: Path) -> None:
    """The guard is asked about the address that is connected to, which is the proxy's."""
    async with wired(resolver=Resolver("169.254.169.254")) as wire:
        studio = {"url": f"https://{NAME}/hook", "proxy": "http://proxy.example.test:3128"}
        answer = await wire.post(configured(tmp_path, studio=studio).endpoints["studio"])
        assert answer.error is Verdict.ADDRESS_REFUSED
        assert answer.detail == "proxy proxy.example.test:3128: 169.254.169.254 is a cloud metadata address"


async def test_what_fails_behind_the_proxy_says_so(tmp_path: Path, certificates: Certificates) -> None:
    """A certificate that nobody vouches for is still the server's, and its verdict is the one it always has."""
    async with proxy() as station, receiver(tls=certificates.server()) as app, wired() as wire:
        studio = {"url": app.url(scheme="https"), "proxy": f"http://127.0.0.1:{station.port}"}
        answer = await wire.post(configured(tmp_path, studio=studio).endpoints["studio"])
        assert answer.error is Verdict.TLS_FAILED
        assert answer.detail.endswith(f"(through proxy 127.0.0.1:{station.port})")
        assert "proxy-authorization" not in station.requests[0].headers


async def test_a_407_out_of_a_tunnel_is_the_endpoints_own(tmp_path: Path, certificates: Certificates) -> None:
    """The proxy cannot see into it, so it said nothing."""
    answer = b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n"
    async with proxy() as station, receiver(tls=certificates.server(), answer=answer) as app, wired() as wire:
        studio = {"url": app.url(scheme="https"), "tls": {"ca": "ca.pem"}, "proxy": through(station)}
        assert verdict(await wire.post(configured(tmp_path, studio=studio).endpoints["studio"])) == (407, None)


PROXIES = ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")


async def test_the_environments_proxies_are_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For endpoints and for providers: a proxy that is not in the configuration is never asked."""
    async with proxy() as station, receiver(answer=OK) as app, wired() as wire, AiohttpTransport() as asking:
        for name in PROXIES:
            monkeypatch.setenv(name, f"http://127.0.0.1:{station.port}")
        settings = configured(tmp_path, provider={"base_url": app.url("")}, studio={"url": app.url()})
        assert (await wire.post(settings.endpoints["studio"])).status_code == 200
        async with ProviderClient(asking, clock=SystemClock()) as client:
            assert (await client.ask(ask(app.url("/poll")), settings.providers["luma"])).body == b"[]"
        assert len(app.requests) == 2
        assert not station.connections


async def test_a_callback_url_never_goes_through_a_proxy(tmp_path: Path) -> None:
    """However many endpoints have one."""
    async with proxy() as station, receiver() as app, wired() as wire:
        studio = {"url": app.url(), "proxy": through(station)}
        settings = configured(tmp_path, studio=studio)
        allow = (f"127.0.0.1:{app.port}",)
        endpoints = Endpoints(settings.endpoints, CallbackSettings(secret=Secret(SECRET), allow=allow))
        assert verdict(await wire.post(endpoints.policy(EndpointIdentity(app.url("/mine"))))) == (204, None)
        assert app.requests[0].line == "POST /mine HTTP/1.1"
        assert not station.connections


def ask(url: str) -> PollRequest:
    return PollRequest(ids=(GenerationId("g-1"),), url=url, batch=True)


async def test_a_provider_is_asked_through_its_proxy(tmp_path: Path) -> None:
    """The key reaches the API, and the proxy's password does not."""
    async with proxy() as station, receiver(answer=OK) as app, AiohttpTransport() as asking:
        provider = {"base_url": f"http://{NAME}:{app.port}", "proxy": through(station)}
        settings = configured(tmp_path, provider=provider, studio={"url": app.url()}).providers["luma"]
        async with ProviderClient(asking, clock=SystemClock()) as client:
            assert (await client.ask(ask(f"http://{NAME}:{app.port}/poll"), settings)).body == b"[]"
        assert station.requests[0].line == f"GET http://{NAME}:{app.port}/poll HTTP/1.1"
        assert app.requests[0].headers["authorization"] == "Bearer k-123456789abc"
        assert "proxy-authorization" not in app.requests[0].headers


async def test_a_providers_proxy_that_refuses_is_named(tmp_path: Path) -> None:
    """Without its password, in the line that the operator reads of the provider."""
    async with proxy(refuses=b"407 No") as station, AiohttpTransport() as asking:
        provider = {"base_url": f"https://{NAME}", "proxy": through(station)}
        settings = configured(tmp_path, provider=provider, studio={"url": f"https://{NAME}"}).providers["luma"]
        async with ProviderClient(asking, clock=SystemClock()) as client:
            with pytest.raises(ProviderBusy) as refused:
                await client.ask(ask(f"https://{NAME}/poll"), settings)
        assert f"proxy 127.0.0.1:{station.port} wants another user or password (407)" in str(refused.value)
        assert "ss" not in str(refused.value).partition("proxy")[2].replace("password", "")


def test_a_metadata_address_is_refused_in_every_form() -> None:
    """Behind a proxy no socket is opened to it, so only what is written can be checked."""
    assert refusal(ip_address("::ffff:169.254.169.254"), guarded=False, allow=Allow())


# ---- headers ------------------------------------------------------------------------------------------------------
async def test_a_bearer_token_rides_in_a_header(tmp_path: Path) -> None:
    """From the environment, a file or a systemd credential, beside our own headers."""
    (tmp_path / "token").write_text("Bearer from-a-file\n")
    (tmp_path / "systemd").mkdir()
    (tmp_path / "systemd" / "token").write_text("Bearer from-systemd")
    environ = {"TOKEN": "from-the-environment", "CREDENTIALS_DIRECTORY": str(tmp_path / "systemd")}
    ways: dict[str, Any] = {
        "environment": "Bearer ${TOKEN}",
        "file": {"file": "token"},
        "credential": {"credential": "token"},
    }
    async with receiver() as app, wired() as wire:
        endpoints = {name: {"url": app.url(), "headers": {"Authorization": way}} for name, way in ways.items()}
        settings = configured(tmp_path, environ=environ, **endpoints)
        for name in ways:
            assert verdict(await wire.post(settings.endpoints[name])) == (204, None)
        assert [request.headers["authorization"] for request in app.requests] == [
            "Bearer from-the-environment",
            "Bearer from-a-file",
            "Bearer from-systemd",
        ]
        assert all(request.headers["webhook-signature"].startswith("v1,") for request in app.requests)


async def test_basic_authentication_rides_in_a_header(tmp_path: Path) -> None:
    """The value is sent as it is written."""
    value = "Basic " + base64.b64encode(b"notifier:s3cret").decode()
    async with receiver() as app, wired() as wire:
        studio = {"url": app.url(), "headers": {"Authorization": "${BASIC}"}}
        settings = configured(tmp_path, environ={"BASIC": value}, studio=studio)
        assert verdict(await wire.post(settings.endpoints["studio"])) == (204, None)
        assert app.requests[0].headers["authorization"] == value

"""TLS that fails, on real sockets: the verdict is `TLS failed` at any point, and the sentence has the cure."""

import socket
import ssl
import struct
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
import trustme
from anyio.abc import ByteStream, SocketAttribute
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from notifier.delivery.sender import Sender
from notifier.domain.ids import Destination, EndpointIdentity
from notifier.domain.model import Answer, Verdict
from notifier.domain.settings import EndpointSettings, Secret, TlsSettings
from notifier.net.aiohttp_hooks import Protocol, Request
from notifier.net.transport import AiohttpTransport
from tests.support.loopback import proxy, receiver
from tests.support.messages import MESSAGE

NOW = datetime(2026, 11, 22, 5, 0, tzinfo=UTC)
PAST = (datetime(2020, 1, 1), datetime(2021, 6, 1))  # noqa: DTZ001  as trustme wants them
FUTURE = (datetime(2096, 1, 1), datetime(2097, 1, 1))  # noqa: DTZ001  likewise
LOCAL = ip_address("127.0.0.1")
NEVER_SHOWN = ("_ssl", "[SSL", "Errno", "Error", "None", "b'", "<", "certificate verify failed")


#: Every test runs on each of these event loops.
LOOPS = ("asyncio", "uvloop")


class Stage:
    """An authority, one below it, another one; and files of them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.root, self.other = trustme.CA(organization_name="Root"), trustme.CA(organization_name="Other")
        self.below = self.root.create_child_ca()
        self.root.cert_pem.write_to_path(directory / "root.pem")
        self.other.cert_pem.write_to_path(directory / "other.pem")
        self.below.cert_pem.write_to_path(directory / "below.pem")

    def file(self, name: str) -> str:
        return str(self.directory / f"{name}.pem")

    def pair(self, name: str, made: trustme.LeafCert) -> dict[str, str]:
        """Files of a certificate without those between it and its root."""
        made.cert_chain_pems[0].write_to_path(self.file(name))
        made.private_key_pem.write_to_path(self.file(f"{name}-key"))
        return {"cert": self.file(name), "key": self.file(f"{name}-key")}

    def serves(
        self, made: trustme.LeafCert | None = None, *, alone: bool = False, asks: bool = False
    ) -> ssl.SSLContext:
        """With the whole chain, or with its own certificate `alone`."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made = made or self.root.issue_cert("127.0.0.1")
        if alone:
            files = self.pair("server", made)
            context.load_cert_chain(files["cert"], files["key"])
        else:
            made.configure_cert(context)
        if asks:
            context.verify_mode = ssl.CERT_REQUIRED
            self.root.configure_trust(context)
        return context


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    return Stage(tmp_path_factory.mktemp("tls"))


async def sent(url: str, *, name: str = "studio", **settings: Any) -> Answer:
    """What one attempt came to; its detail is made for a person."""
    policy = EndpointSettings(
        identity=EndpointIdentity(name),
        destination=Destination(name),
        url=url,
        secrets=(Secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),),
        **settings,
    )
    async with AiohttpTransport() as wire:
        answer = await Sender(open_wire=wire, guarded_wire=wire).post(MESSAGE, policy, now=NOW)
    assert not [word for word in NEVER_SHOWN if word in answer.detail], answer.detail
    return answer


async def failed(url: str, **settings: Any) -> str:
    answer = await sent(url, **settings)
    assert answer.error is Verdict.TLS_FAILED, answer
    return answer.detail


@asynccontextmanager
async def raw(talk: Callable[[ByteStream], Awaitable[None]]) -> AsyncIterator[str]:
    """A server that speaks no TLS, by its https URL."""

    async def connected(stream: ByteStream) -> None:
        with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream):
            async with stream:
                await talk(stream)

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0)
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, connected)
        yield f"https://127.0.0.1:{listener.extra(SocketAttribute.local_port)}/hook"
        tasks.cancel_scope.cancel()


# ---- the server's certificate -------------------------------------------------------------------------------------
async def test_a_private_ca_a_missing_intermediate_and_no_trust_at_all_read_differently(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each has another cure."""
    private = stage.other.issue_cert("127.0.0.1")
    async with receiver(tls=stage.serves(private, alone=True)) as app:
        url = app.url(scheme="https")
        said = await failed(url)
        assert said.startswith('its certificate is signed by "Testing CA #')
        assert "which this machine does not trust: name its CA in `tls: {ca: FILE}`" in said
        said = await failed(url, tls=TlsSettings(ca=stage.file("root")))
        assert f"{stage.file('root')} does not hold" in said
        assert (await sent(url, tls=TlsSettings(ca=stage.file("other")))).status_code == 204
        said = await failed(url, name="https://127.0.0.1/hook")
        assert "add its CA to the CA certificates of this machine" in said, "a callback_url has no tls:"
    async with receiver(tls=stage.serves(stage.below.issue_cert("127.0.0.1"), alone=True)) as app:
        said = await failed(app.url(scheme="https"), tls=TlsSettings(ca=stage.file("root")))
        assert said.startswith('an intermediate certificate is missing: the server does not send that of "Testing CA #')
        assert "have the server send its whole chain (fullchain)" in said
        assert (await sent(app.url(scheme="https"), tls=TlsSettings(ca=stage.file("below")))).status_code == 204
    monkeypatch.setenv("SSL_CERT_FILE", "/none/ca.pem")
    monkeypatch.setenv("SSL_CERT_DIR", str(stage.directory))
    async with receiver(tls=stage.serves()) as app:
        said = await failed(app.url(scheme="https"))
        assert said.startswith("this machine has no CA certificates: install ca-certificates")
        assert "SSL_CERT_FILE names /none/ca.pem" in said


async def test_a_chain_that_ends_at_a_root_of_its_own_names_it(stage: Stage) -> None:
    """And a certificate that signed itself is called what everybody calls it."""
    context = stage.serves(stage.other.issue_cert("127.0.0.1"))
    with (stage.directory / "chain.pem").open("wb") as file:
        made = stage.other.issue_cert("127.0.0.1")
        for part in (made.private_key_pem, made.cert_chain_pems[0], stage.other.cert_pem):
            file.write(part.bytes())
    context.load_cert_chain(stage.file("chain"))
    async with receiver(tls=context) as app:
        said = await failed(app.url(scheme="https"))
        assert said.startswith('its certificate is of a private CA, "Testing CA #')
        assert said.endswith("that this machine does not trust: name its CA in `tls: {ca: FILE}`")
    alone = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    stage.other.private_key_pem.write_to_path(stage.file("other-key"))
    alone.load_cert_chain(stage.file("other"), stage.file("other-key"))
    async with receiver(tls=alone) as app:
        said = await failed(app.url(scheme="https"))
        assert said == "its certificate is self-signed: name that certificate in `tls: {ca: FILE}`"


@pytest.mark.parametrize(
    ("term", "says"),
    [
        (PAST, "its certificate expired on 2021-06-01: renew it"),
        (FUTURE, "its certificate is not valid before 2096-01-01 00:00 UTC: is the clock of this machine right?"),
    ],
)
async def test_a_certificate_out_of_its_time_says_when_it_was(
    stage: Stage, term: tuple[datetime, datetime], says: str
) -> None:
    """The date, as the certificate has it."""
    made = stage.root.issue_cert("127.0.0.1", not_before=term[0], not_after=term[1])
    async with receiver(tls=stage.serves(made)) as app:
        assert await failed(app.url(scheme="https"), tls=TlsSettings(ca=stage.file("root"))) == says


async def test_of_an_expired_ca_of_ours_the_file_is_named(stage: Stage) -> None:
    """What the server sends is well."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Old CA")])
    own = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "server")])
    ca, server = (
        x509.CertificateBuilder(name, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(datetime(2019, 1, 1, tzinfo=UTC))
        .not_valid_after(end)
        .add_extension(extension, critical=False)
        .sign(key, hashes.SHA256())
        for subject, end, extension in (
            (name, datetime(2020, 1, 1, tzinfo=UTC), x509.BasicConstraints(ca=True, path_length=None)),
            (own, datetime(2090, 1, 1, tzinfo=UTC), x509.SubjectAlternativeName([x509.IPAddress(LOCAL)])),
        )
    )
    pem = serialization.Encoding.PEM
    Path(stage.file("old-ca")).write_bytes(ca.public_bytes(pem))
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    Path(stage.file("of-old-ca")).write_bytes(private + server.public_bytes(pem))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(stage.file("of-old-ca"))
    async with receiver(tls=context) as app:
        said = await failed(app.url(scheme="https"), tls=TlsSettings(ca=stage.file("old-ca")))
        assert said == f"the certificate of its CA in {stage.file('old-ca')} has expired: replace it"


async def test_a_certificate_for_another_name_says_for_which(stage: Stage) -> None:
    """A few of them, in the certificate's words."""
    made = stage.root.issue_cert("a.example", "*.b.example", "c.example", "d.example")
    async with receiver(tls=stage.serves(made)) as app:
        said = await failed(app.url(scheme="https"), tls=TlsSettings(ca=stage.file("root")))
        assert said == (
            "its certificate is not for 127.0.0.1 but for a.example, *.b.example, c.example and 1 more: "
            "change the url, or the certificate"
        )


async def test_through_a_tunnel_the_same_is_said(stage: Stage) -> None:
    """With the proxy's place behind it."""
    made = stage.root.issue_cert("127.0.0.1", not_before=PAST[0], not_after=PAST[1])
    async with receiver(tls=stage.serves(made)) as app, proxy() as between:
        through = Secret(f"http://127.0.0.1:{between.port}")
        said = await failed(app.url(scheme="https"), tls=TlsSettings(ca=stage.file("root")), proxy=through)
        assert said == f"its certificate expired on 2021-06-01: renew it (through proxy 127.0.0.1:{between.port})"


@contextmanager
def threaded(context: ssl.SSLContext) -> Iterator[int]:
    """A server whose alerts go out before it closes: those of the event loops keep them."""

    def serve() -> None:
        with suppress(OSError):
            while True:
                plain, _ = listening.accept()
                with plain, suppress(OSError), context.wrap_socket(plain, server_side=True) as tls:
                    tls.recv(65_536)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = threading.Thread(target=serve)
        server.start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)
        server.join()


# ---- our certificate ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_what_the_server_says_of_our_certificate_is_told(stage: Stage, version: ssl.TLSVersion) -> None:
    """Under TLS 1.3 it says so only after the handshake, when we read."""
    context = stage.serves(asks=True)
    context.maximum_version = version
    old = stage.root.issue_cert("me@x.example", not_before=PAST[0], not_after=PAST[1])
    expired = stage.pair("expired", old)
    foreign = stage.pair("foreign", stage.other.issue_cert("me@x.example"))
    with threaded(context) as port:
        url, ca = f"https://127.0.0.1:{port}/hook", stage.file("root")
        said = await failed(url, tls=TlsSettings(ca=ca))
        assert "a client certificate: name one in `tls: {cert: FILE, key: FILE}`" in said
        said = await failed(url, tls=TlsSettings(ca=ca, **expired))
        assert said == (
            f"the server asks for a client certificate and says that ours has expired: renew {expired['cert']}"
        )
        said = await failed(url, tls=TlsSettings(ca=ca, **foreign))
        assert said.endswith(f"does not know the CA of ours: have it trust the CA of {foreign['cert']}")


async def test_what_the_server_said_last_is_told_where_our_request_cannot_be_written(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It refuses our certificate and resets the connection; an event loop that cannot write closes without reading."""
    context, closed = stage.serves(asks=True), threading.Event()
    write_bytes, ready = Request.write_bytes, Protocol.ready

    def serve() -> None:
        plain, _ = listening.accept()
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with plain, suppress(OSError):
            context.wrap_socket(plain, server_side=True)
        closed.set()

    async def late(*request: Any, **more: Any) -> None:
        await anyio.lowlevel.checkpoint()  # the handshake's last bytes leave
        closed.wait(10)  # and the loop stands still, so that it does not see what comes back
        await write_bytes(*request, **more)

    def closing(protocol: Protocol) -> bool:
        try:
            return ready(protocol)
        finally:
            assert protocol.transport is not None
            protocol.transport.abort()

    monkeypatch.setattr(Request, "write_bytes", late)
    monkeypatch.setattr(Protocol, "ready", closing)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = threading.Thread(target=serve)
        server.start()
        said = await failed(
            f"https://127.0.0.1:{listening.getsockname()[1]}/hook", tls=TlsSettings(ca=stage.file("root"))
        )
        server.join()
    assert said == "the server asks for a client certificate: name one in `tls: {cert: FILE, key: FILE}`"


# ---- the handshake ------------------------------------------------------------------------------------------------
async def hangs_up(stream: ByteStream) -> None:
    await stream.receive()


async def hangs_up_at_once(stream: ByteStream) -> None:
    pass


async def resets(stream: ByteStream) -> None:
    await stream.receive()
    plain: Any = stream.extra(SocketAttribute.raw_socket)
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@pytest.mark.parametrize("talk", [hangs_up, hangs_up_at_once, resets])
async def test_a_connection_that_ends_inside_the_handshake_failed_there(
    talk: Callable[[ByteStream], Awaitable[None]],
) -> None:
    """It was not refused: somebody listens."""
    async with raw(talk) as url:
        assert await failed(url) == "the server closed the connection inside the TLS handshake"


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0-OpenSSH_9.2\r\n", b"220 smtp\r\n"])
async def test_a_server_that_speaks_no_tls_is_called_so(answer: bytes) -> None:
    """With what to write."""

    async def talk(stream: ByteStream) -> None:
        await stream.receive()
        await stream.send(answer)
        await stream.receive()

    async with raw(talk) as url:
        assert await failed(url) == "it does not speak TLS: write http://"


def alert(number: int) -> bytes:
    """A fatal alert of TLS, as a server sends it in the clear."""
    return b"\x15\x03\x03\x00\x02\x02" + bytes((number,))


@pytest.mark.parametrize(
    ("number", "says"),
    [
        (40, "the server refuses the handshake: there is no cipher in common, or it asks for a client certificate"),
        (70, "no version of TLS in common: the server must speak TLS 1.2 or 1.3"),
        (112, "it knows no site of the name 127.0.0.1: is the host of the url right?"),
        (120, "it speaks HTTP/2 only, and callbacks are HTTP/1.1: allow http/1.1 (ALPN) at the server"),
        (116, "the server asks for a client certificate: name one in `tls: {cert: FILE, key: FILE}`"),
        (80, "the server ended the TLS exchange: internal error"),
    ],
)
async def test_the_servers_alert_is_told_in_words(number: int, says: str) -> None:
    """What it means, and what to do where there is something to do."""

    async def talk(stream: ByteStream) -> None:
        await stream.receive()
        await stream.send(alert(number))
        await stream.receive()

    async with raw(talk) as url:
        assert (await failed(url)).startswith(says)


async def test_tls_that_breaks_inside_the_body_has_the_same_verdict(stage: Stage) -> None:
    """The head said 200; what is not TLS comes behind it."""
    context = stage.serves()

    async def talk(stream: ByteStream) -> None:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(incoming, outgoing, server_side=True)

        async def step(what: Callable[[], Any]) -> Any:
            while True:
                try:
                    found = what()
                except ssl.SSLWantReadError:
                    await flush()
                    incoming.write(await stream.receive())
                    continue
                await flush()
                return found

        async def flush() -> None:
            if outgoing.pending:
                await stream.send(outgoing.read())

        await step(tls.do_handshake)
        await step(lambda: tls.read(65_536))
        await step(lambda: tls.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart"))
        await anyio.wait_all_tasks_blocked()
        await stream.send(b"\x17\x03\x03\x00\x20" + b"x" * 32)
        await stream.receive()

    async with raw(talk) as url:
        answer = await sent(url, tls=TlsSettings(ca=stage.file("root")))
        assert answer.error is Verdict.TLS_FAILED
        assert answer.detail.startswith("the TLS exchange broke off")


async def test_a_handshake_that_does_not_end_is_named_when_time_runs_out() -> None:
    """A plain server that waits for the end of a line is silent to TLS."""

    async def talk(stream: ByteStream) -> None:
        while True:
            await stream.receive()

    async with raw(talk) as url:
        answer = await sent(url, timeout=timedelta(seconds=0.2))
    assert answer.error is Verdict.TIMED_OUT
    assert answer.detail == "no connection within 0.2 s: the TLS handshake did not end: does this port speak TLS?"


async def test_a_plain_request_to_a_port_that_waits_for_tls_is_told_of_it(stage: Stage) -> None:
    """The server ends it without a word."""
    with threaded(stage.serves()) as port:
        answer = await sent(f"http://127.0.0.1:{port}/hook")
    assert answer.error is Verdict.RESET
    assert answer.detail.endswith("before its answer was complete (if this port speaks TLS, write https://)")

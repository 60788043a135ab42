"""How certificates are verified, whose are trusted, and when the files of `tls:` end."""

import os
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from structlog.testing import capture_logs

from notifier.config import load
from notifier.domain.settings import Settings, TlsSettings
from notifier.net.certificate_expiry import ExpiryReports, validities
from notifier.net.tls import context_for, no_trust
from notifier.net.tls_files import TlsContexts
from notifier.runtime import log_events
from notifier.runtime.health import Health

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NOW = datetime(2026, 11, 22, 5, 0, tzinfo=UTC)
PEM = serialization.Encoding.PEM


# ---- verified alike on every Python -------------------------------------------------------------------------------
def test_the_flags_are_ours() -> None:
    """Not the Python's: 3.13 has others than 3.11."""
    flags = context_for(TlsSettings()).verify_flags
    assert flags == ssl.VERIFY_X509_TRUSTED_FIRST | ssl.VERIFY_X509_PARTIAL_CHAIN
    assert context_for(TlsSettings()).verify_mode is ssl.CERT_REQUIRED
    assert context_for(TlsSettings()).check_hostname


def shakes_hands(client: ssl.SSLContext, server: ssl.SSLContext) -> bool:
    """Whether a handshake in memory comes to its end."""
    to_client, from_client, to_server, from_server = (ssl.MemoryBIO() for _ in range(4))
    ends = (
        client.wrap_bio(to_client, from_client, server_hostname="localhost"),
        server.wrap_bio(to_server, from_server, server_side=True),
    )
    done = [False, False]
    for _ in range(8):
        for index, (end, out, into) in enumerate(
            ((ends[0], from_client, to_server), (ends[1], from_server, to_client))
        ):
            try:
                end.do_handshake()
                done[index] = True
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLError:
                return False
            into.write(out.read())
    return all(done)


def test_a_private_ca_without_the_newer_extensions_is_good_enough(tmp_path: Path) -> None:
    """No key identifier, no key usage: what Python 3.11 accepts, every one accepts."""
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    names = [x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]) for name in ("Old CA", "localhost")]
    ca, own = (
        x509.CertificateBuilder(names[0], name, key.public_key(), x509.random_serial_number())
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2090, 1, 1, tzinfo=UTC))
        .add_extension(extension, critical=False)
        .sign(keys[0], hashes.SHA256())
        for name, key, extension in (
            (names[0], keys[0], x509.BasicConstraints(ca=True, path_length=None)),
            (names[1], keys[1], x509.SubjectAlternativeName([x509.DNSName("localhost")])),
        )
    )
    (tmp_path / "ca.pem").write_bytes(ca.public_bytes(PEM))
    private = keys[1].private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (tmp_path / "own.pem").write_bytes(private + own.public_bytes(PEM))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(tmp_path / "own.pem")
    assert shakes_hands(context_for(TlsSettings(ca=str(tmp_path / "ca.pem"))), server)


@pytest.mark.parametrize("named", ["root", "intermediate", "own", "other"])
def test_whatever_stands_in_ca_vouches(tmp_path: Path, named: str) -> None:
    """The root, an intermediate certificate, or the server's own; and nobody else."""
    root = trustme.CA()
    below = root.create_child_ca()
    made = below.issue_cert("localhost")
    held = {
        "root": root.cert_pem,
        "intermediate": below.cert_pem,
        "own": made.cert_chain_pems[0],
        "other": trustme.CA().cert_pem,
    }
    held[named].write_to_path(tmp_path / "ca.pem")
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.configure_cert(server)
    assert shakes_hands(context_for(TlsSettings(ca=str(tmp_path / "ca.pem"))), server) == (named != "other")


# ---- whom this machine trusts -------------------------------------------------------------------------------------
@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No certificate of any CA, but where the file and the directory that are given back would be."""
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "certs"))
    (tmp_path / "certs").mkdir()
    return tmp_path


def test_a_machine_without_certificates_says_what_to_install(nobody: Path) -> None:
    """And which variable leads nowhere."""
    assert no_trust(os.environ) == (
        "this machine has no CA certificates: install ca-certificates "
        f"(SSL_CERT_FILE names {nobody}/ca.pem and SSL_CERT_DIR names {nobody}/certs, where there are none: "
        "correct it, or unset it)"
    )


@pytest.mark.parametrize("place", ["ca.pem", "certs/0a1b2c3d.0"])
def test_one_certificate_is_trust(nobody: Path, place: str) -> None:
    """In the file, or in the directory by its hash."""
    trustme.CA().cert_pem.write_to_path(nobody / place)
    assert no_trust(os.environ) == ""


def test_the_machines_certificates_are_read_again_when_they_come(nobody: Path) -> None:
    """After `apt install ca-certificates` nothing has to be restarted."""
    seconds = [0.0]
    contexts = TlsContexts(lambda: seconds[0])
    before = contexts.context(TlsSettings())
    assert contexts.context(TlsSettings()) is before
    trustme.CA().cert_pem.write_to_path(nobody / "ca.pem")
    seconds[0] += 5
    after = contexts.context(TlsSettings())
    assert (len(before.get_ca_certs()), len(after.get_ca_certs())) == (0, 1)


# ---- when the files end -------------------------------------------------------------------------------------------
def dated(file: Path, *days: tuple[int, int]) -> str:
    """One certificate each, valid from and to so many days from now; and a key."""
    authority = trustme.CA()
    made = [
        authority.issue_cert("localhost", not_before=NOW + timedelta(days=start), not_after=NOW + timedelta(days=end))
        for start, end in days
    ]
    chain = [each.cert_chain_pems[0].bytes() for each in made]
    file.write_bytes(b"".join([made[0].private_key_pem.bytes(), *chain]))
    return str(file)


@pytest.mark.parametrize(
    ("days", "says", "usable"),
    [
        ((-10, 400), "ends on 2027-12-27", True),
        ((-10, 31), "ends on 2026-12-23, in 31 days", True),
        ((-10, 1), "ends on 2026-11-23, in 1 day", True),
        ((-10, 0), "expired on 2026-11-22: renew it", False),
        ((1, 10), "not valid before 2026-11-23 05:00 UTC", False),
    ],
)
def test_a_file_says_when_it_ends(tmp_path: Path, days: tuple[int, int], says: str, usable: bool) -> None:  # noqa: FBT001  a parameter
    """By the day; the rest of it from two months before."""
    path = dated(tmp_path / "own.pem", days)
    (term,) = validities(TlsSettings(cert=path, key=path))
    assert (term.key, term.says(NOW), term.usable(NOW)) == ("cert", says, usable)


def test_a_chain_ends_with_its_first_and_a_bundle_with_its_last(tmp_path: Path) -> None:
    """An old CA may stay beside the new one; an intermediate that ends takes the chain with it."""
    path = dated(tmp_path / "both.pem", (-10, 400), (-10, -1))
    own, ca = validities(TlsSettings(cert=path, key=path, ca=path))
    assert (own.usable(NOW), ca.usable(NOW)) == (False, True)


def configured(directory: Path, **tls: str) -> Settings:
    file = directory / "c.yaml"
    file.write_text(
        "store: sqlite:n.db\nproviders: {luma: {kind: aimlapi-luma, api_key: k-123456789abc}}\n"
        f"endpoints: {{studio: {{url: 'https://a.example/', secret: {SECRET}, tls: {tls}}}}}\n"
    )
    return load(str(file), environ={})


def told(reports: ExpiryReports, settings: Settings, now: datetime, *, anew: bool = False) -> list[tuple[str, Any]]:
    with capture_logs() as said:
        (reports.report_all if anew else reports.report_changes)(settings, now)
    return [(line["log_level"], line["note"]) for line in said if line["event"] == log_events.TLS_EXPIRY]


def test_what_changes_is_told_once_while_the_daemon_runs(tmp_path: Path) -> None:
    """At the start all, then a file that comes near its end, that ends, and that is renewed."""
    health = Health()
    reports = ExpiryReports(health)
    path = dated(tmp_path / "own.pem", (-10, 100))
    settings = configured(tmp_path, cert=path, key=path)
    assert told(reports, settings, NOW, anew=True) == [("info", "ends on 2027-03-02")]
    assert told(reports, settings, NOW + timedelta(days=1)) == []
    assert told(reports, settings, NOW + timedelta(days=80)) == [("warning", "ends on 2027-03-02, in 20 days")]
    assert told(reports, settings, NOW + timedelta(days=81)) == []
    assert "endpoints.studio.tls.cert" not in health.troubles
    assert told(reports, settings, NOW + timedelta(days=100)) == [("error", "expired on 2027-03-02: renew it")]
    assert health.troubles["endpoints.studio.tls.cert"] == f"{path} expired on 2027-03-02: renew it"
    dated(tmp_path / "own.pem", (-10, 500))
    assert told(reports, settings, NOW + timedelta(days=101)) == [("info", "ends on 2028-04-05")]
    assert "endpoints.studio.tls.cert" not in health.troubles


def test_a_reload_tells_all_again_and_forgets_what_is_gone(tmp_path: Path) -> None:
    """A trouble of a file that is not in the configuration any more is nobody's."""
    health = Health()
    reports = ExpiryReports(health)
    old, new = dated(tmp_path / "old.pem", (-10, -1)), dated(tmp_path / "new.pem", (-10, 100))
    assert told(reports, configured(tmp_path, cert=old, key=old), NOW, anew=True) == [
        ("error", "expired on 2026-11-21: renew it")
    ]
    assert told(reports, configured(tmp_path, ca=new), NOW, anew=True) == [("info", "ends on 2027-03-02")]
    assert "endpoints.studio.tls.cert" not in health.troubles


@pytest.mark.usefixtures("nobody")
def test_that_nobody_is_trusted_is_a_trouble_until_somebody_is(tmp_path: Path) -> None:
    """Only where somebody is needed: a provider over https is one."""
    health = Health()
    reports = ExpiryReports(health)
    settings = configured(tmp_path, ca=dated(tmp_path / "own.pem", (-10, 100)))
    with capture_logs() as said:
        reports.report_all(settings, NOW)
    assert [line["event"] for line in said] == [log_events.TLS_NO_CA_CERTIFICATES, log_events.TLS_EXPIRY]
    assert health.troubles["CA certificates"].startswith("this machine has no CA certificates")
    trustme.CA().cert_pem.write_to_path(tmp_path / "ca.pem")
    reports.report_all(settings, NOW)
    assert not health.troubles

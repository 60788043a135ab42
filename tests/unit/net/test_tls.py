"""How certificates are verified, and whose are trusted."""

import os
import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from notifier.domain.settings import TlsSettings
from notifier.net.tls import context_for, no_trust

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

"""What a certificate says of itself is read, and nothing else breaks the reader."""

from datetime import UTC, datetime

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from notifier.net.certificates import from_der, from_pem

AUTHORITY = trustme.CA()
MADE = AUTHORITY.issue_cert("a.example", "192.0.2.7", "2001:db8::7", "*.b.example", common_name="Bücher")


def test_the_fields_are_those_that_a_full_reader_finds() -> None:
    """Names, issuer and time of a certificate and of the one that signed it."""
    own, signer = from_pem(MADE.cert_chain_pems[0].bytes() + b"between\n" + AUTHORITY.cert_pem.bytes())
    full = x509.load_pem_x509_certificate(MADE.cert_chain_pems[0].bytes())
    assert (own.starts, own.ends) == (full.not_valid_before_utc, full.not_valid_after_utc)
    assert own.subject == "Bücher"
    assert own.issuer == signer.subject == signer.issuer
    assert own.names == ("a.example", "192.0.2.7", "2001:db8::7", "*.b.example")
    assert not own.public


@pytest.mark.parametrize("end", [datetime(2049, 12, 31, tzinfo=UTC), datetime(2050, 1, 1, tzinfo=UTC)])
def test_both_ways_to_write_a_time_are_read(end: datetime) -> None:
    """From 2050 on the year has four digits; and a place to fetch the issuer from is found."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "A company")])
    place = x509.UniformResourceIdentifier("http://ca.example/inter.der")
    described = x509.AccessDescription(x509.oid.AuthorityInformationAccessOID.CA_ISSUERS, place)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(datetime(1999, 1, 1, tzinfo=UTC))
        .not_valid_after(end)
        .add_extension(x509.AuthorityInformationAccess([described]), critical=False)
        .sign(key, hashes.SHA256())
    )
    found = from_der(made.public_bytes(serialization.Encoding.DER))
    assert (found.starts, found.ends) == (datetime(1999, 1, 1, tzinfo=UTC), end)
    assert (found.subject, found.public) == ("A company", True)


@given(st.data())
def test_what_is_no_certificate_is_a_value_error(data: st.DataObject) -> None:
    """A peer sends whatever it likes."""
    der = x509.load_pem_x509_certificate(MADE.cert_chain_pems[0].bytes()).public_bytes(serialization.Encoding.DER)
    at = data.draw(st.integers(0, len(der) - 1))
    broken = der[:at] + data.draw(st.binary(max_size=8)) + der[at + data.draw(st.integers(0, 8)) :]
    try:
        from_der(broken)
    except ValueError as error:
        assert str(error) == "this is not a certificate"

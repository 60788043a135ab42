"""What a certificate says of itself: whose it is, who signed it, for which names, from when to when. Pure.

The ssl module gives this only for certificates that it trusted, and sentences are needed about the others. So these few
fields are read here, out of DER (RFC 5280). Nothing is decided by them: they only fill sentences, and what cannot be
read is a `ValueError`. Not by `cryptography`: it takes 8 MB of memory, and one certificate that it finds irregular, as
some roots in bundles are, would hide a whole file.
"""

import base64
import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Final

_PEM: Final = re.compile(rb"-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]*)-----END CERTIFICATE-----")
_UTC_TIME: Final = 0x17
_BMP: Final = 0x1E
_VERSION: Final = 0xA0
_EXTENSIONS: Final = 0xA3
_DNS: Final = 0x82
_ADDRESS: Final = 0x87
#: Object identifiers, encoded.
_ALTERNATIVE_NAMES: Final = b"\x55\x1d\x11"
_CA_ISSUERS: Final = b"\x2b\x06\x01\x05\x05\x07\x30\x02"
#: What names a subject best: common name, unit, organisation.
_NAMES: Final = (b"\x55\x04\x03", b"\x55\x04\x0b", b"\x55\x04\x0a")
_NOT_DER: Final = "this is not a certificate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    subject: str
    issuer: str
    starts: datetime
    ends: datetime
    #: DNS names and addresses that it is for.
    names: tuple[str, ...] = ()
    #: It says where its issuer's certificate can be fetched, as those of public authorities do.
    public: bool = False


def from_pem(content: bytes) -> list[Certificate]:
    """Every certificate in PEM form, in order."""
    try:
        return [from_der(base64.b64decode(match[1])) for match in _PEM.finditer(content)]
    except binascii.Error:
        raise ValueError(_NOT_DER) from None


def from_der(der: bytes) -> Certificate:
    """One certificate; `ValueError` if it is none."""
    try:
        whole = next(_items(der))[1]
        fields = list(_items(next(_items(whole))[1]))
        if fields[0][0] == _VERSION:
            del fields[0]
        _serial, _algorithm, issuer, validity, subject, _key, *_rest = (content for _, content in fields)
        starts, ends = (_time(tag, content) for tag, content in _items(validity))
        extensions = next((content for tag, content in fields if tag == _EXTENSIONS), b"")
        return Certificate(
            subject=_name(subject),
            issuer=_name(issuer),
            starts=starts,
            ends=ends,
            names=tuple(_alternatives(extensions)),
            public=_CA_ISSUERS in extensions,
        )
    except (IndexError, StopIteration, UnicodeError, ValueError):
        raise ValueError(_NOT_DER) from None


def _items(der: bytes) -> Iterator[tuple[int, bytes]]:
    """The values that follow one another: tag and content of each."""
    at = 0
    while at < len(der):
        tag, length = der[at], der[at + 1]
        at += 2
        if length & 0x80:
            size = length & 0x7F
            length = int.from_bytes(der[at : at + size], "big")
            at += size
        if at + length > len(der):
            raise ValueError(_NOT_DER)
        yield tag, der[at : at + length]
        at += length


def _time(tag: int, content: bytes) -> datetime:
    text = content.decode("ascii")
    if tag == _UTC_TIME:  # two digits of the year: 1950 to 2049
        text = ("19" if text >= "50" else "20") + text
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)


def _name(content: bytes) -> str:
    """What a person calls it by; empty if it has no name."""
    found: dict[bytes, str] = {}
    for _, group in _items(content):
        for _, pair in _items(group):
            (_, kind), (tag, value) = _items(pair)
            found[kind] = value.decode("utf-16-be" if tag == _BMP else "utf-8", "replace")
    return next((found[kind] for kind in _NAMES if kind in found), "")


def _alternatives(extensions: bytes) -> Iterator[str]:
    for _, group in _items(extensions):
        for _, extension in _items(group):
            (_, kind), *_, (_, value) = _items(extension)
            if kind == _ALTERNATIVE_NAMES:
                for tag, name in _items(next(_items(value))[1]):
                    if tag == _DNS:
                        yield name.decode("ascii")
                    elif tag == _ADDRESS:
                        yield str(ip_address(name))

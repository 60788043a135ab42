"""Where a callback may go: the one URL parser, and the addresses that are refused. Pure: it resolves and opens nothing.

What was checked is what is sent. So a URL has one normal form that every later reader takes apart in the same way: a
host is a plain name, a dotted quad or a bracketed IPv6 address, and the forms that C libraries also read as
addresses (`127.1`, `0x7f.1`, `2130706433`, `017700000001`) are refused. Where a name leads is asked of `refusal` at
the moment the socket opens.

An address inside an address (IPv4-mapped, IPv4-compatible, translated, NAT64, 6to4, Teredo) is unwrapped, and then
the outer and the inner one must both pass. Cloud metadata addresses hand out the machine's own credentials: nothing
allows them. A final dot of the host stays: it keeps the look-up away from the resolver's search list, so a name without
it may lead elsewhere, and a callback URL with it is an endpoint of its own. But Host, SNI and certificates are written
without it, and so are origins: what has one origin has one lane and one key.

A fragment is refused, not dropped: it is never sent, so whoever writes one expects something that will not happen.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final
from urllib.parse import SplitResult, urlsplit

import idna

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

#: Characters of a URL at most.
URL_LIMIT: Final = 2_048
#: Ports that a callback URL may name without the operator's leave.
PORTS: Final = (80, 443, 8080, 8443)
_DEFAULT_PORT: Final = {"http": 80, "https": 443}
_LABEL: Final = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
#: A last label that some resolver reads as a number makes the whole host an address.
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")


# ---- URLs ---------------------------------------------------------------------------------------------------------
def normalise_url(text: str) -> str:
    """The one form of a callback URL; `ValueError` with a sentence that says what to write instead.

    Scheme and host in lower case, host in punycode (a final dot stays), default port dropped, empty path "/", empty
    query dropped. Path and query stay as they were sent, percent-encoding included.
    """
    text = text.strip()
    if len(text) > URL_LIMIT:
        raise ValueError(f"A URL may have {URL_LIMIT} characters at most; this one has {len(text)}.")
    scheme, mark, rest = text.partition("://")
    if not mark or scheme.lower() not in _DEFAULT_PORT:
        raise ValueError(_wrong_scheme(scheme.lower(), text))
    authority, tail = _split_authority(rest)
    if authority.lower() == "unix:":  # http://unix:/run/app.sock, as nginx writes it
        raise ValueError(_NO_SOCKET)
    _check_tail(tail)
    host, port = _host_and_port(authority, _DEFAULT_PORT[scheme.lower()])
    path, mark, query = tail.partition("?")
    url = _join(scheme.lower(), host, port) + (path or "/") + (mark + query if query else "")
    if len(url) > URL_LIMIT:
        raise ValueError(f"A URL may have {URL_LIMIT} characters at most; this one has {len(url)} in punycode.")
    return url


_NO_SOCKET: Final = (
    "A unix socket is not called, and neither is a path: a URL begins with http:// or https://. Let the app listen on "
    "a port of this machine, and write http://127.0.0.1:PORT/ and the path."
)


def _wrong_scheme(scheme: str, text: str) -> str:
    """What to write in place of a URL that does not begin as one; it is not quoted, for it may hold a token."""
    if re.fullmatch(r"(https?\+)?unix|httpu", scheme) or text.startswith(("unix:", "/")):
        return _NO_SOCKET
    if scheme in ("ws", "wss"):
        return (
            f"A WebSocket is not called: each callback is one POST. Write http{scheme[2:]}:// in place of {scheme}://."
        )
    if re.fullmatch(r"[a-z][a-z0-9+.-]{0,31}", scheme) and scheme != text.lower():
        return f"A URL begins with http:// or https://; {scheme}:// is not spoken here."
    return "A URL begins with http:// or https://." + ("" if "http" in scheme else " Write one of them in front.")


def origin(url: str) -> str:
    """`https://host`, or with `:port` where it is not the default one, of a normalised URL; without a final dot."""
    return url[: _end_of_origin(url)].replace(".:", ":").removesuffix(".")


def is_origin(url: str) -> bool:
    """Whether a normalised URL goes no further than its origin."""
    return url.endswith("/") and _end_of_origin(url) == len(url) - 1


def host_and_port(url: str) -> tuple[str, int]:
    """Host (an IPv6 address without its brackets, a name with its final dot) and port of a normalised URL."""
    parts = urlsplit(url)
    return parts.hostname or "", _port(parts)


def literal_address(url: str) -> Address | None:
    """The address that a normalised URL names itself; None where it names a host."""
    return _literal(host_and_port(url)[0])


def _literal(host: str) -> Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _end_of_origin(url: str) -> int:
    return url.index("/", url.index("://") + 3)


def _port(parts: SplitResult) -> int:
    return parts.port or _DEFAULT_PORT[parts.scheme]


def _join(scheme: str, host: str, port: int) -> str:
    shown = f"[{host}]" if ":" in host else host
    return f"{scheme}://{shown}" if port == _DEFAULT_PORT[scheme] else f"{scheme}://{shown}:{port}"


def _split_authority(rest: str) -> tuple[str, str]:
    found = re.search(r"[/?#\\]", rest)
    at = found.start() if found else len(rest)
    return rest[:at], rest[at:]


def _check_tail(tail: str) -> None:
    if "#" in tail:
        raise ValueError('A URL may have no "#…" part: it would never be sent. Leave it out.')
    for char in tail:
        if not "!" <= char <= "~" or char == "\\":
            written = "".join(f"%{byte:02X}" for byte in char.encode("utf-8", "replace"))
            raise ValueError(f'A URL holds printable ASCII only: write "{written}" in place of {char!a}.')


def _host_and_port(authority: str, default: int) -> tuple[str, int]:
    if "@" in authority:
        raise ValueError("A URL may hold no user name or password: put credentials in a header or in the query.")
    match = re.fullmatch(r"(\[[^\[\]]*\]|[^:\[\]]*)(?::([0-9]*))?", authority, re.ASCII)
    if match is None:
        raise ValueError(f"{authority!a} is not host or host:port; an IPv6 address stands in [brackets].")
    host, port = match[1], int(match[2] or default)
    if not 1 <= port <= 65_535:  # noqa: PLR2004  the protocol's own limit
        raise ValueError(f"Port {port} is not between 1 and 65535.")
    return (_ipv6(host[1:-1]) if host.startswith("[") else _host(host)), port


def _ipv6(text: str) -> str:
    if "%" in text:
        raise ValueError("An IPv6 address in a URL may have no zone (%…).")
    try:
        address = IPv6Address(text)
    except ValueError:
        raise ValueError(f"{text!a} is not an IPv6 address.") from None
    if address.ipv4_mapped is None:
        return address.compressed
    # Python 3.13 writes these with dots and 3.12 without; a URL is an identity, and must not change with either.
    high, low = divmod(int(address.ipv4_mapped), 0x10000)
    return f"::ffff:{high:x}:{low:x}"


def _host(text: str) -> str:
    written = _punycode(text).lower()
    host = written.removesuffix(".")
    labels = host.split(".")
    if not host:
        raise ValueError("A URL needs a host after ://.")
    if _NUMBER.fullmatch(labels[-1]):
        return _dotted_quad(host)
    if len(host) > 253 or not all(map(_LABEL.fullmatch, labels)):  # noqa: PLR2004  DNS's own limit
        raise ValueError(f"{text!a} is not a host name: letters, digits, - and _ between dots.")
    return written


def _dotted_quad(host: str) -> str:
    try:
        return str(IPv4Address(host))
    except ValueError:
        raise ValueError(f'Write the address {host!a} as four decimal numbers, as in "192.0.2.7".') from None


def _punycode(host: str) -> str:
    if host.isascii():
        return host
    try:
        return idna.encode(host, uts46=True).decode()
    except idna.IDNAError:
        raise ValueError(f"{host!a} is not an internationalised host name: write it in punycode.") from None


# ---- what the operator allows -------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True, kw_only=True)
class Allow:
    """`callbacks.allow`, read."""

    networks: tuple[Network, ...] = ()
    #: Hosts (without a final dot) trusted on one port, wherever they lead (metadata addresses excepted).
    hosts: frozenset[tuple[str, int]] = frozenset()

    def names(self, url: str) -> bool:
        """Whether the operator listed this very host and port of a normalised URL."""
        host, port = host_and_port(url)
        return (host.removesuffix("."), port) in self.hosts

    def holds(self, address: Address) -> bool:
        return any(address in network for network in self.networks)


def parse_allow(entries: Iterable[str]) -> Allow:
    """Read `host:port`, addresses and networks; `ValueError` with a sentence on anything else."""
    networks: list[Network] = []
    hosts: set[tuple[str, int]] = set()
    for entry in map(str.strip, entries):
        network = _network(entry)
        if network is None:
            hosts.add(_allowed_host(entry))
        elif network.num_addresses == 1 and is_metadata(network.network_address):
            raise ValueError(f"{entry} is a cloud metadata address, which is never allowed.")
        else:
            networks.append(network)
    return Allow(networks=tuple(networks), hosts=frozenset(hosts))


def _network(entry: str) -> Network | None:
    try:
        return ip_network(entry)
    except ValueError:
        pass
    if "/" not in entry:
        return None
    try:
        wider = ip_network(entry, strict=False)
    except ValueError:
        raise ValueError(f'{entry!a} is not a network: write it as "10.1.0.0/16".') from None
    raise ValueError(f'{entry} has bits beyond its length: write "{wider}".')


def _allowed_host(entry: str) -> tuple[str, int]:
    if not re.search(r":[0-9]+$", entry, re.ASCII):
        raise ValueError(f'{entry!a} is not host:port, an address or a network: write "host:443" or "10.1.0.0/16".')
    try:
        host, port = _host_and_port(entry, 0)
    except ValueError as error:
        raise ValueError(f"{entry!a} cannot be allowed. {error}") from None
    address = _literal(host)
    if address is not None and is_metadata(address):
        raise ValueError(f"{entry} is a cloud metadata address, which is never allowed.")
    return host.removesuffix("."), port


def port_refusal(url: str, allow: Allow) -> str | None:
    """Why a callback may not go to the port of this normalised URL; None where it may."""
    host, port = host_and_port(url)
    if port in PORTS or allow.names(url):
        return None
    entry = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    listed = ", ".join(map(str, PORTS))
    return f"Port {port} is not one of {listed}: use one of them, or have the operator add {entry} to callbacks.allow."


def url_refusal(url: str, allow: Allow) -> str | None:
    """Why a callback may not go to this normalised URL, as far as its port and a literal address show it."""
    address = literal_address(url)
    why = None if address is None else refusal(address, guarded=not allow.names(url), allow=allow)
    return port_refusal(url, allow) or why


# ---- addresses ----------------------------------------------------------------------------------------------------
#: Where clouds hand out credentials: AWS, GCP, Azure, Oracle, Alibaba, Tencent, Scaleway; containers' siblings of them.
METADATA: Final[frozenset[Address]] = frozenset(
    map(
        ip_address,
        (
            "169.254.169.254",
            "169.254.170.2",
            "169.254.170.23",
            "169.254.0.23",
            "169.254.42.42",
            "100.100.100.200",
            "168.63.129.16",
            "192.0.0.192",
            "fd00:ec2::254",
            "fd00:ec2::23",
            "fd20:ce::254",
            "fd00:42::42",
        ),
    )
)

_REFUSED: Final[Sequence[tuple[Network, str]]] = tuple(
    (ip_network(network), why)
    for network, why in (
        ("0.0.0.0/8", "this machine"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "a provider's shared network"),
        ("127.0.0.0/8", "this machine"),
        ("169.254.0.0/16", "link-local"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "reserved"),
        ("192.0.2.0/24", "for documentation"),
        ("192.88.99.0/24", "a 6to4 relay"),
        ("192.168.0.0/16", "private"),
        ("198.18.0.0/15", "for benchmarks"),
        ("198.51.100.0/24", "for documentation"),
        ("203.0.113.0/24", "for documentation"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
        ("::/128", "this machine"),
        ("::1/128", "this machine"),
        ("64:ff9b::/96", "behind a NAT64"),
        ("64:ff9b:1::/48", "behind a NAT64"),
        ("100::/64", "a discard prefix"),
        ("2001:2::/48", "for benchmarks"),
        ("2001:10::/28", "reserved"),
        ("2001:db8::/32", "for documentation"),
        ("2002::/16", "behind a 6to4 relay"),
        ("3fff::/20", "for documentation"),
        ("5f00::/16", "for segment routing"),
        ("fc00::/7", "private"),
        ("fe80::/10", "link-local"),
        ("fec0::/10", "private"),
        ("ff00::/8", "multicast"),
    )
)
#: Prefixes whose last 32 bits are an IPv4 address: compatible, translated, NAT64 (well-known and local).
_IPV4_AT_THE_END: Final = tuple(map(IPv6Network, ("::/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48")))
#: Where a network may put a translator of its own, with a prefix of 48, 56, 64 or 96 bits.
_LOCAL_NAT64: Final = IPv6Network("64:ff9b:1::/48")


def refusal(address: Address, *, guarded: bool, allow: Allow) -> str | None:
    """Why no connection to `address` may be opened, as one line; None where it may.

    Not guarded is the operator's own endpoint: only metadata addresses are refused.
    """
    if is_metadata(address):
        return f"{address} is a cloud metadata address"
    if not guarded:
        return None
    for layer in _unwrap(address):
        why = _refused(layer)
        if why and not allow.holds(layer):
            within = "" if layer == address else f", which stands for {layer}"
            return f"{address}{within} is {why}"
    return None


def is_metadata(address: Address) -> bool:
    """Whether `address` is one that hands out credentials, in any disguise."""
    return not METADATA.isdisjoint((*_unwrap(address), *_translated(address)))


def _translated(address: Address) -> tuple[IPv4Address, ...]:
    """What a translator of this network's own may send to this address; how long its prefix is, only it knows.

    By RFC 6052 the IPv4 address begins behind the prefix and leaves out the ninth byte. Only looked at for metadata: of
    other networks the outer address is refused already, unless the operator allows it.
    """
    if address not in _LOCAL_NAT64:
        return ()
    bare = address.packed[:8] + address.packed[9:]
    return tuple(IPv4Address(bare[start : start + 4]) for start in (6, 7, 8))


def _refused(address: Address) -> str | None:
    return next((why for network, why in _REFUSED if address in network), None)


def _unwrap(address: Address) -> tuple[Address, ...]:
    """The address without its zone, and the ones inside it. ::ffff:a.b.c.d *is* a.b.c.d, and nothing else."""
    if isinstance(address, IPv4Address):
        return (address,)
    bare = IPv6Address(int(address))
    if bare.ipv4_mapped is not None:
        return (bare.ipv4_mapped,)
    inner: list[Address] = [bare]
    if bare.sixtofour is not None:
        inner.append(bare.sixtofour)
    if bare.teredo is not None:
        inner.extend(bare.teredo)
    if int(bare) > 1 and any(bare in network for network in _IPV4_AT_THE_END):
        inner.append(IPv4Address(int(bare) & 0xFFFF_FFFF))
    return tuple(inner)

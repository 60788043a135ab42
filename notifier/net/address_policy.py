"""Where a callback may go (SSRF): the addresses and ports that are refused. Pure: it resolves and opens nothing.

`refusal` is asked about every address that a name leads to, and again when the socket opens. An address inside an
address (IPv4-mapped, IPv4-compatible, translated, NAT64, 6to4, Teredo) is unwrapped, and then the outer and the inner
one must both pass. Cloud metadata addresses give out the machine's own credentials: nothing allows them.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from notifier.net.urls import Address, host_and_port, read_host_and_port, read_literal, show_place

Network = IPv4Network | IPv6Network

#: Ports that a callback URL may name without the operator's permission.
PORTS: Final = (80, 443, 8080, 8443)


# ---- what the operator allows -------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True, kw_only=True)
class Allow:
    """`callbacks.allow`, parsed."""

    networks: tuple[Network, ...] = ()
    #: Hosts (without a final dot) trusted on one port, for any address but metadata addresses.
    hosts: frozenset[tuple[str, int]] = frozenset()

    def names(self, url: str) -> bool:
        """Whether the operator listed this very host and port of a normalised URL."""
        host, port = host_and_port(url)
        return (host.removesuffix("."), port) in self.hosts


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
        host, port = read_host_and_port(entry, 0)
    except ValueError as error:
        raise ValueError(f"{entry!a} cannot be allowed. {error}") from None
    address = read_literal(host)
    if address is not None and is_metadata(address):
        raise ValueError(f"{entry} is a cloud metadata address, which is never allowed.")
    return host.removesuffix("."), port


def url_refusal(url: str, allow: Allow) -> str | None:
    """Why a callback may not go to this normalised URL, by its port and a literal address; None if it may."""
    host, port = host_and_port(url)
    named = allow.names(url)
    if port not in PORTS and not named:
        listed, entry = ", ".join(map(str, PORTS)), show_place(host, port)
        ask = f"use one of them, or have the operator add {entry} to callbacks.allow"
        return f"Port {port} is not one of {listed}: {ask}."
    address = read_literal(host)
    return None if address is None else refusal(address, guarded=not named, allow=allow)


# ---- addresses ----------------------------------------------------------------------------------------------------
#: Where clouds give out credentials: AWS, GCP, Azure, Oracle, Alibaba, Tencent, Scaleway; and the same for containers.
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


#: By what an address in one of these networks is; no two of them overlap.
_REFUSED: Final[Mapping[str, Sequence[Network]]] = {
    why: tuple(map(ip_network, networks))
    for why, networks in {
        "this machine": ("0.0.0.0/8", "127.0.0.0/8", "::/128", "::1/128"),
        "private": ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "fec0::/10"),
        "a provider's shared network": ("100.64.0.0/10",),
        "link-local": ("169.254.0.0/16", "fe80::/10"),
        "multicast": ("224.0.0.0/4", "ff00::/8"),
        "reserved": ("192.0.0.0/24", "240.0.0.0/4", "2001:10::/28"),
        "for documentation": ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32", "3fff::/20"),
        "for benchmarks": ("198.18.0.0/15", "2001:2::/48"),
        "for segment routing": ("5f00::/16",),
        "a discard prefix": ("100::/64",),
        "a 6to4 relay": ("192.88.99.0/24",),
        "behind a 6to4 relay": ("2002::/16",),
        "behind a NAT64": ("64:ff9b::/96", "64:ff9b:1::/48"),
    }.items()
}


#: Prefixes whose last 32 bits are an IPv4 address: compatible, translated, NAT64 (well-known and local).
_IPV4_AT_THE_END: Final = tuple(map(IPv6Network, ("::/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48")))


#: Where a network may put a translator of its own, with a prefix of 48, 56, 64 or 96 bits.
_LOCAL_NAT64: Final = IPv6Network("64:ff9b:1::/48")


def refusal(address: Address, *, guarded: bool, allow: Allow) -> str | None:
    """Why no connection to `address` may be opened, as one line; None if it may.

    The operator's own endpoint is not `guarded`: only metadata addresses are refused for it.
    """
    if is_metadata(address):
        return f"{address} is a cloud metadata address"
    if not guarded:
        return None
    for layer in _unwrap(address):
        why = next((why for why, networks in _REFUSED.items() if any(layer in each for each in networks)), None)
        if why and not any(layer in network for network in allow.networks):
            within = "" if layer == address else f", which leads to {layer}"
            return f"{address}{within} is {why}"
    return None


def is_metadata(address: Address) -> bool:
    """Whether `address` is one that gives out credentials, in any notation."""
    within = [*_unwrap(address)]
    # A translator of this network's own may send what goes to `address` to any of these; only it knows the length of
    # its prefix. By RFC 6052 the IPv4 address begins behind the prefix and leaves out the ninth byte. This is checked
    # for metadata addresses only: otherwise the outer address is refused already, unless the operator allows it.
    if address in _LOCAL_NAT64:
        bare = address.packed[:8] + address.packed[9:]
        within += (IPv4Address(bare[start : start + 4]) for start in (6, 7, 8))
    return not METADATA.isdisjoint(within)


def _unwrap(address: Address) -> tuple[Address, ...]:
    """The address without its zone, and those inside it. ::ffff:a.b.c.d *is* a.b.c.d, and nothing else."""
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

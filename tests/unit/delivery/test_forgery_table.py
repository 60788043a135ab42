"""Where a callback may be made to go: a table of addresses, each with its answers.

The first is for a URL that came from outside (guarded), the second for an endpoint that the operator wrote (open). A
row goes the whole way that an attempt goes: the parser, the port, and then every address that the host leads to. The
answer is a part of the sentence that refuses it, or FINE.
"""

from ipaddress import ip_address

import pytest

from notifier.config.targets import EndpointUrl
from notifier.net.address_policy import Allow, parse_allow, refusal, url_refusal
from notifier.net.urls import host_and_port, normalise_url, read_literal

FINE = ""
NOTHING = Allow()
#: Where names lead in this table; any other leads to a public address.
NAMES = {
    "localhost": ["127.0.0.1", "::1"],
    "metadata.google.internal": ["169.254.169.254"],
    "rebind.example": ["1.1.1.1", "10.0.0.1"],
    "mapped.example": ["::ffff:10.0.0.1"],
    "v6.example": ["2606:4700:4700::1111", "fd00::1"],
    "both.example": ["1.1.1.1", "2606:4700:4700::1111"],
}
PARSER = "four decimal numbers"
THIS = "this machine"

TABLE = [
    # ---- IPv4, by its networks
    ("http://1.1.1.1/", FINE, FINE),
    ("https://8.8.8.8/x", FINE, FINE),
    ("http://0.0.0.0/", THIS, FINE),
    ("http://0.255.255.255/", THIS, FINE),
    ("http://10.0.0.1/", "private", FINE),
    ("http://10.255.255.255/", "private", FINE),
    ("http://11.0.0.0/", FINE, FINE),
    ("http://100.63.255.255/", FINE, FINE),
    ("http://100.64.0.1/", "shared network", FINE),
    ("http://100.127.255.255/", "shared network", FINE),
    ("http://127.0.0.1/", THIS, FINE),
    ("http://127.255.255.254/", THIS, FINE),
    ("http://169.254.1.1/", "link-local", FINE),
    ("http://172.15.255.255/", FINE, FINE),
    ("http://172.16.0.1/", "private", FINE),
    ("http://172.31.255.255/", "private", FINE),
    ("http://192.0.0.1/", "reserved", FINE),
    ("http://192.0.2.1/", "documentation", FINE),
    ("http://192.88.99.1/", "6to4 relay", FINE),
    ("http://192.168.1.1/", "private", FINE),
    ("http://198.18.0.1/", "benchmarks", FINE),
    ("http://198.19.255.255/", "benchmarks", FINE),
    ("http://198.51.100.1/", "documentation", FINE),
    ("http://203.0.113.1/", "documentation", FINE),
    ("http://224.0.0.1/", "multicast", FINE),
    ("http://239.255.255.250/", "multicast", FINE),
    ("http://240.0.0.1/", "reserved", FINE),
    ("http://255.255.255.255/", "reserved", FINE),
    # ---- IPv6, by its networks
    ("http://[2606:4700:4700::1111]/", FINE, FINE),
    ("http://[::]/", THIS, FINE),
    ("http://[::1]/", THIS, FINE),
    ("http://[0:0:0:0:0:0:0:1]/", THIS, FINE),
    ("http://[fe80::1]/", "link-local", FINE),
    ("http://[fec0::1]/", "private", FINE),
    ("http://[fc00::1]/", "private", FINE),
    ("http://[fdff::1]/", "private", FINE),
    ("http://[ff02::1]/", "multicast", FINE),
    ("http://[100::1]/", "discard", FINE),
    ("http://[2001:2::1]/", "benchmarks", FINE),
    ("http://[2001:10::1]/", "reserved", FINE),
    ("http://[2001:db8::1]/", "documentation", FINE),
    ("http://[3fff::1]/", "documentation", FINE),
    ("http://[5f00::1]/", "segment routing", FINE),
    # ---- an address inside an address
    ("http://[::ffff:127.0.0.1]/", THIS, FINE),
    ("http://[::ffff:7f00:1]/", THIS, FINE),
    ("http://[0:0:0:0:0:ffff:10.0.0.1]/", "private", FINE),
    ("http://[::ffff:8.8.8.8]/", FINE, FINE),
    ("http://[::127.0.0.1]/", THIS, FINE),
    ("http://[::ffff:0:192.168.0.1]/", "private", FINE),
    ("http://[64:ff9b::10.0.0.1]/", "NAT64", FINE),
    ("http://[64:ff9b::8.8.8.8]/", "NAT64", FINE),
    ("http://[64:ff9b:1::10.0.0.1]/", "NAT64", FINE),
    ("http://[2002:7f00:1::]/", "6to4", FINE),
    ("http://[2002:c0a8:101::1]/", "6to4", FINE),
    ("http://[2001:0:808:808::80ff:fffe]/", "which leads to 127.0.0.1", FINE),
    ("http://[2001:0:a00:1::f7f7:f7f7]/", "which leads to 10.0.0.1", FINE),
    ("http://[2001:0:808:808::f7f7:f7f7]/", FINE, FINE),
    # ---- cloud metadata: nobody's, in any disguise
    ("http://169.254.169.254/latest/meta-data/", "metadata", "metadata"),
    ("http://169.254.170.2/v2/credentials", "metadata", "metadata"),
    ("http://100.100.100.200/", "metadata", "metadata"),
    ("http://168.63.129.16/", "metadata", "metadata"),
    ("http://192.0.0.192/", "metadata", "metadata"),
    ("http://[fd00:ec2::254]/", "metadata", "metadata"),
    ("http://[::ffff:169.254.169.254]/", "metadata", "metadata"),
    ("http://[::169.254.169.254]/", "metadata", "metadata"),
    ("http://[::ffff:0:169.254.169.254]/", "metadata", "metadata"),
    ("http://[64:ff9b::169.254.169.254]/", "metadata", "metadata"),
    ("http://[64:ff9b:1::169.254.169.254]/", "metadata", "metadata"),
    ("http://[64:ff9b:1:a9fe:a9:fe00::]/", "metadata", "metadata"),
    ("http://[64:ff9b:1:a9:fe:a9fe::]/", "metadata", "metadata"),
    ("http://[64:ff9b:1:0:a9:fea9:fe00:0]/", "metadata", "metadata"),
    ("http://[2002:a9fe:a9fe::]/", "metadata", "metadata"),
    ("http://[2001:0:808:808::5601:5601]/", "metadata", "metadata"),
    ("http://metadata.google.internal/", "metadata", "metadata"),
    # ---- odd spellings of an address: refused to everybody, or read as what they are
    ("http://2130706433/", PARSER, PARSER),
    ("http://2852039166/", PARSER, PARSER),
    ("http://4294967297/", PARSER, PARSER),
    ("http://017700000001/", PARSER, PARSER),
    ("http://0177.0.0.1/", PARSER, PARSER),
    ("http://127.0.0.01/", PARSER, PARSER),
    ("http://0x7f000001/", PARSER, PARSER),
    ("http://0x7f.0x0.0x0.0x1/", PARSER, PARSER),
    ("http://0xA9.0xFE.0xA9.0xFE/", PARSER, PARSER),
    ("http://127.1/", PARSER, PARSER),
    ("http://10.1/", PARSER, PARSER),
    ("http://0/", PARSER, PARSER),
    ("http://0x/", PARSER, PARSER),
    ("http://1.2.3.4.5/", PARSER, PARSER),
    ("http://256.1.1.1/", PARSER, PARSER),
    ("http://example.0x7f/", PARSER, PARSER),
    ("http://127.0.0.1./", THIS, FINE),
    ("http://１２７.0.0.1/", THIS, FINE),
    ("http://①②⑦.⓪.⓪.①/", THIS, FINE),
    ("http://127。0。0。1/", THIS, FINE),
    ("http://127.0.0.1\u00ad/", THIS, FINE),
    ("http://169。254。169。254/", "metadata", "metadata"),
    ("http://[::1%25lo]/", "zone", "zone"),
    ("http://[fe80::1%eth0]/", "zone", "zone"),
    ("http://[v1.fe80::a]/", "not an IPv6 address", "not an IPv6 address"),
    ("http://::1/", "[brackets]", "[brackets]"),
    ("http://127.0.0.1%2f/", "not a host name", "not a host name"),
    ("http://127.0.0.1\t/", "not a host name", "not a host name"),
    ("http://a%00.example/", "not a host name", "not a host name"),
    ("http://\u200d.example/", "internationalised", "internationalised"),
    # ---- names
    ("http://localhost/", THIS, FINE),
    ("http://LOCALHOST./", THIS, FINE),
    ("http://ⓛocalhost/", THIS, FINE),
    ("http://rebind.example/", "10.0.0.1 is private", FINE),
    ("http://mapped.example/", "10.0.0.1 is private", FINE),
    ("http://v6.example/", "fd00::1 is private", FINE),
    ("http://both.example/", FINE, FINE),
    ("https://bücher.example/", FINE, FINE),
    # ---- user info, ports, schemes and the like
    ("http://user@both.example/", "user name", "user name"),
    ("http://1.1.1.1@127.0.0.1/", "user name", "user name"),
    ("http://1.1.1.1:80@127.0.0.1:80/", "user name", "user name"),
    ("http://1.1.1.1\\@127.0.0.1/", "%5C", "%5C"),
    ("http://1.1.1.1#@127.0.0.1/", "never be sent", "never be sent"),
    ("http://both.example:80/", FINE, FINE),
    ("http://both.example:8443/", FINE, FINE),
    ("http://both.example:22/", "Port 22", FINE),
    ("http://both.example:6379/", "Port 6379", FINE),
    ("https://both.example:25/", "Port 25", FINE),
    ("http://both.example:0/", "between 1 and 65535", "between 1 and 65535"),
    ("http://both.example:65616/", "between 1 and 65535", "between 1 and 65535"),
    ("http://both.example:80:80/", "not host or host:port", "not host or host:port"),
    ("gopher://127.0.0.1:6379/x", "begins with http", "begins with http"),
    ("file:///etc/passwd", "begins with http", "begins with http"),
    ("//127.0.0.1/", "begins with http", "begins with http"),
    ("http:127.0.0.1", "begins with http", "begins with http"),
]


def answer(url: str, *, guarded: bool) -> str:
    """Why an attempt at `url` is not made; FINE where it is."""
    try:
        normal = normalise_url(url) if guarded else EndpointUrl().read(url)
    except ValueError as error:
        return str(error)
    refused = url_refusal(normal, NOTHING) if guarded else None
    host = normal.split("/")[2].partition(":")[0]
    literal = read_literal(host_and_port(normal)[0])
    leads_to = [literal] if literal else map(ip_address, NAMES.get(host.removesuffix("."), ["1.1.1.1"]))
    return refused or next(filter(None, (refusal(each, guarded=guarded, allow=NOTHING) for each in leads_to)), FINE)


@pytest.mark.parametrize(("url", "guarded", "unguarded"), TABLE)
def test_each_place_is_refused_to_whom_it_must_be(url: str, guarded: str, unguarded: str) -> None:
    """What a stranger may not reach the operator may, but for metadata and for what is no plain URL."""
    for expected, said in ((guarded, answer(url, guarded=True)), (unguarded, answer(url, guarded=False))):
        assert expected in said
        assert bool(expected) == bool(said)


@pytest.mark.parametrize("url", [url for url, _, said in TABLE if said == "metadata" and "google" not in url])
def test_a_metadata_address_is_refused_where_it_is_written(url: str) -> None:
    """In the configuration, not only at the socket: no endpoint, and no entry of `allow`, that could never act."""
    with pytest.raises(ValueError, match="metadata"):
        EndpointUrl().read(url)
    host, port = host_and_port(normalise_url(url))
    for entry in (host, f"[{host}]:{port}" if ":" in host else f"{host}:{port}"):
        with pytest.raises(ValueError, match="never allowed"):
            parse_allow([entry])


def test_the_table_is_as_long_as_it_claims() -> None:
    """No place stands in it twice."""
    assert len({url for url, _, _ in TABLE}) == len(TABLE) > 120

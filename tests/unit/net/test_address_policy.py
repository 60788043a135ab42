"""Where a callback may go: the addresses and ports that are refused, and what the operator allows."""

from ipaddress import ip_address

import pytest

from notifier.net.address_policy import METADATA, Allow, parse_allow, refusal, url_refusal
from notifier.net.urls import normalise_url

NOTHING = Allow()

REFUSED = (
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.0",
    "10.255.255.255",
    "100.64.0.1",
    "100.127.255.255",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.0.1",
    "169.254.255.255",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.0.255",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.0.1",
    "192.168.255.255",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.7",
    "203.0.113.7",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.254",
    "255.255.255.255",
    "::",
    "::1",
    "fe80::1",
    "fe80::1%eth0",
    "febf::1",
    "fc00::1",
    "fdff::1",
    "fec0::1",
    "ff02::1",
    "2001:db8::1",
    "3fff::1",
    "100::1",
    "2002::1",
    "5f00::1",
    "2001:2::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:192.168.1.1",
    "::ffff:0:10.0.0.1",
    "::10.0.0.1",
    "::127.0.0.1",
    "64:ff9b::10.0.0.1",
    "64:ff9b::8.8.8.8",
    "64:ff9b:1::10.0.0.1",
    "64:ff9b:1::8.8.8.8",
    "2002:7f00:1::",
    "2002:a00:1::",
    "2002:808:808::",
    "2001:0:808:808::80ff:fffe",
    "2001:0:a00:1::f7f7:f7f7",
)
PUBLIC = (
    "1.1.1.1",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.1",
    "169.253.255.255",
    "169.255.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "192.0.1.0",
    "192.0.3.0",
    "192.167.255.255",
    "192.169.0.0",
    "198.17.255.255",
    "198.20.0.0",
    "223.255.255.255",
    "2606:4700:4700::1111",
    "2a00:1450::1",
    "2001:4860:4860::8888",
    "::ffff:8.8.8.8",
    "64:ff9c::1",
    "2003::1",
    "3ffe::1",
    "2001:0:808:808::f7f7:f7f7",
)
DISGUISED_METADATA = (
    "::ffff:169.254.169.254",
    "::169.254.169.254",
    "64:ff9b::169.254.169.254",
    "64:ff9b:1::169.254.169.254",
    "2002:a9fe:a9fe::",
    "2001:0:808:808::5601:5601",
    "fd00:ec2::254%eth0",
    "::ffff:0:169.254.169.254",
)


@pytest.mark.parametrize("text", REFUSED)
def test_an_address_that_is_not_public_is_refused_to_callback_urls_only(text: str) -> None:
    """A guarded URL may not lead there; an operator's endpoint may."""
    address = ip_address(text)
    reason = refusal(address, guarded=True, allow=NOTHING)
    assert reason is not None
    assert str(address) in reason
    assert refusal(address, guarded=False, allow=NOTHING) is None


@pytest.mark.parametrize("text", PUBLIC)
def test_a_public_address_is_fine(text: str) -> None:
    """The neighbours of every refused network are not refused with it."""
    assert refusal(ip_address(text), guarded=True, allow=NOTHING) is None


@pytest.mark.parametrize("text", [*map(str, sorted(METADATA, key=str)), *DISGUISED_METADATA])
@pytest.mark.parametrize("guarded", [True, False])
def test_metadata_addresses_are_never_connected_to(text: str, guarded: bool) -> None:  # noqa: FBT001  a parameter
    """Not by an operator's endpoint, not by permission, and not in another notation."""
    everything = parse_allow(["0.0.0.0/0", "::/0"])
    assert "metadata" in (refusal(ip_address(text), guarded=guarded, allow=everything) or "")


def test_what_is_allowed_is_allowed_in_every_disguise_that_is_allowed_too() -> None:
    """Both the outer and the inner address must pass."""
    allow = parse_allow(["10.1.0.0/16", "64:ff9b::/96", "fd00:1::5"])
    passes = ["10.1.2.3", "::ffff:10.1.2.3", "64:ff9b::10.1.2.3", "64:ff9b::8.8.8.8", "fd00:1::5"]
    fails = ["10.2.0.1", "64:ff9b::10.2.0.1", "2002:a01:203::", "fd00:1::6"]
    assert [refusal(ip_address(text), guarded=True, allow=allow) for text in passes] == [None] * len(passes)
    assert None not in [refusal(ip_address(text), guarded=True, allow=allow) for text in fails]


@pytest.mark.parametrize("port", ["", ":80", ":443", ":8080", ":8443"])
def test_the_usual_ports_are_open_to_callbacks(port: str) -> None:
    """80, 443, 8080 and 8443 need no permission."""
    assert url_refusal(normalise_url(f"http://h.example{port}/"), NOTHING) is None


def test_another_port_needs_the_operators_permission_for_that_very_host() -> None:
    """The refusal names the entry that would allow it, and that entry does."""
    url = normalise_url("http://App.internal:9000/x")
    assert "app.internal:9000" in (url_refusal(url, NOTHING) or "")
    allow = parse_allow(["APP.internal:9000", "[fd00::1]:9001"])
    assert url_refusal(url, allow) is None
    assert url_refusal("http://[fd00::1]:9001/", allow) is None
    assert "[fd00::1]:9002" in (url_refusal("http://[fd00::1]:9002/", allow) or "")
    assert url_refusal("http://other.internal:9000/", allow) is not None


def test_a_literal_private_address_is_refused_before_anything_is_resolved() -> None:
    """Intake can say so at once; with host:port allowed it is trusted, on that port only."""
    assert "private" in (url_refusal("http://10.0.0.5/", NOTHING) or "")
    allow = parse_allow(["10.0.0.5:80"])
    assert url_refusal("http://10.0.0.5/", allow) is None
    assert url_refusal("http://10.0.0.5:8080/", allow) is not None
    trusted = Allow(hosts=frozenset({("169.254.169.254", 80)}))
    assert "metadata" in (url_refusal("http://169.254.169.254/", trusted) or "")
    assert url_refusal("https://hooks.example.com/x", NOTHING) is None


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ("host", "host:port"),
        ("", "host:port"),
        ("10.0.0.1/8", '"10.0.0.0/8"'),
        ("10.0.0.0/99", "not a network"),
        ("a/b", "not a network"),
        ("127.1:80", "four decimal numbers"),
        ("host:0", "between 1 and 65535"),
        ("169.254.169.254", "never allowed"),
        ("fd00:ec2::254/128", "never allowed"),
        ("h@x:80", "cannot be allowed"),
    ],
)
def test_a_senseless_entry_of_allow_is_refused(entry: str, says: str) -> None:
    """An entry that could not act is not accepted."""
    with pytest.raises(ValueError, match=r".") as refused:
        parse_allow([entry])
    assert says in str(refused.value)

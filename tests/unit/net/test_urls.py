"""Where a callback may go."""

from ipaddress import ip_address

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from notifier.net.address_policy import METADATA, Allow, parse_allow, port_refusal, refusal, url_refusal
from notifier.net.urls import URL_LIMIT, host_and_port, literal_address, normalise_url, origin

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
    """Not by an operator's endpoint, not by leave, and not in disguise."""
    everything = parse_allow(["0.0.0.0/0", "::/0"])
    assert "metadata" in (refusal(ip_address(text), guarded=guarded, allow=everything) or "")


def test_what_is_allowed_is_allowed_in_every_disguise_that_is_allowed_too() -> None:
    """Both the outer and the inner address must pass."""
    allow = parse_allow(["10.1.0.0/16", "64:ff9b::/96", "fd00:1::5"])
    passes = ["10.1.2.3", "::ffff:10.1.2.3", "64:ff9b::10.1.2.3", "64:ff9b::8.8.8.8", "fd00:1::5"]
    fails = ["10.2.0.1", "64:ff9b::10.2.0.1", "2002:a01:203::", "fd00:1::6"]
    assert [refusal(ip_address(text), guarded=True, allow=allow) for text in passes] == [None] * len(passes)
    assert None not in [refusal(ip_address(text), guarded=True, allow=allow) for text in fails]


@pytest.mark.parametrize(
    ("written", "normal"),
    [
        ("HTTPS://Hooks.Example.COM", "https://hooks.example.com/"),
        ("  http://h:80/x ", "http://h/x"),
        ("https://h:443", "https://h/"),
        ("http://h:443", "http://h:443/"),
        ("http://h:/x", "http://h/x"),
        ("http://h?x=1", "http://h/?x=1"),
        ("http://h./x", "http://h./x"),
        ("http://H.:80", "http://h./"),
        ("https://Bücher.example。:8443/", "https://xn--bcher-kva.example.:8443/"),
        ("http://127.0.0.1.:8080/", "http://127.0.0.1:8080/"),
        ("http://localhost./", "http://localhost./"),
        ("http://h/x?", "http://h/x"),
        ("http://h/x??", "http://h/x??"),
        ("http://h/%2e%2E/a|b?c[]=%zz&d='{}", "http://h/%2e%2E/a|b?c[]=%zz&d='{}"),
        ("http://h/../a", "http://h/../a"),
        ("https://Bücher.example/x", "https://xn--bcher-kva.example/x"),
        ("http://１２７.0.0.1:8080/", "http://127.0.0.1:8080/"),
        ("http://[2001:DB8:0::1]:8443", "http://[2001:db8::1]:8443/"),
        ("http://[::ffff:1.2.3.4]/", "http://[::ffff:102:304]/"),
        ("http://my_app-1.internal/", "http://my_app-1.internal/"),
    ],
)
def test_a_url_has_one_normal_form(written: str, normal: str) -> None:
    """Two spellings of one place are one endpoint; path and query stay as sent."""
    assert normalise_url(written) == normal
    assert normalise_url(normal) == normal


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("", "begins with http"),
        ("h/x", "begins with http"),
        ("ftp://h/", "begins with http"),
        ("file:///etc/passwd", "begins with http"),
        ("http:/h", "begins with http"),
        ("http://", "needs a host"),
        ("http:///x", "needs a host"),
        ("http://u:p@h/", "credentials"),
        ("http://u@h/", "credentials"),
        ("http://h/#x", "Leave it out"),
        ("http://h#x", "Leave it out"),
        ("http://h/a b", '"%20"'),
        ("http://h/é", '"%C3%A9"'),
        ("http://h/\n", None),
        ("http://h/a\nb", '"%0A"'),
        ("http://h/\\x", '"%5C"'),
        ("http://h\\@evil/", '"%5C"'),
        ("http://h:0/", "between 1 and 65535"),
        ("http://h:65536/", "between 1 and 65535"),
        ("http://h:x/", "host:port"),
        ("http://::1/", "[brackets]"),
        ("http://[::1/", "[brackets]"),
        ("http://[::1]x/", "[brackets]"),
        ("http://[fe80::1%25eth0]/", "zone"),
        ("http://[::g]/", "not an IPv6"),
        ("http://127.1/", "four decimal numbers"),
        ("http://0x7f.1/", "four decimal numbers"),
        ("http://0x7f000001/", "four decimal numbers"),
        ("http://2130706433/", "four decimal numbers"),
        ("http://017700000001/", "four decimal numbers"),
        ("http://0177.0.0.1/", "four decimal numbers"),
        ("http://127.0.0.1.2/", "four decimal numbers"),
        ("http://256.0.0.1/", "four decimal numbers"),
        ("http://h%2f/", "not a host name"),
        ("http://a..b/", "not a host name"),
        ("http://a../", "not a host name"),
        ("http://./", "needs a host"),
        ("http://-a.b/", "not a host name"),
        ("http://" + "a" * 64 + ".com/", "not a host name"),
        ("http://\u2488com/", "internationalised"),
        ("http://h/" + "x" * URL_LIMIT, "characters at most"),
    ],
)
def test_a_url_that_is_refused_says_what_to_write(written: str, says: str | None) -> None:
    """The sentence is for the person who wrote it."""
    if says is None:
        assert normalise_url(written) == "http://h/"  # blanks at the ends are nobody's fault
        return
    with pytest.raises(ValueError, match=r".") as refused:
        normalise_url(written)
    assert says in str(refused.value)
    assert str(refused.value).isprintable()


@given(st.from_regex(r"(?a:https?://[a-zA-Z0-9._\[\]:%@x-]{0,12}(:[0-9]{0,5})?([/?][!-~]{0,20})?)", fullmatch=True))
def test_every_reader_of_a_normal_url_sees_the_same_host_and_port(written: str) -> None:
    """What was checked is what is sent: our parser, the transport's and httpx's agree."""
    try:
        url = normalise_url(written)
    except ValueError:
        return
    host, port = host_and_port(url)
    wire, shown = URL(url, encoded=True), httpx.URL(url)
    assert (wire.raw_host, wire.port) == (host, port)
    assert (shown.raw_host.decode().strip("[]"), shown.port or {"http": 80, "https": 443}[shown.scheme]) == (host, port)
    assert str(wire) == url
    assert normalise_url(url) == url


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://h/x/y?z", "https://h"),
        ("http://h:8080/", "http://h:8080"),
        ("http://[::1]:8080/x", "http://[::1]:8080"),
        ("https://h./x", "https://h"),
        ("https://h.:8443/x.:y", "https://h:8443"),
    ],
)
def test_the_origin_is_scheme_host_and_port(url: str, expected: str) -> None:
    """Destinations and keys of callback URLs go by it."""
    assert origin(url) == expected


def test_a_literal_address_is_recognised() -> None:
    """A host name is none."""
    assert literal_address("http://[::1]:80/") == ip_address("::1")
    assert literal_address("http://10.0.0.1/") == ip_address("10.0.0.1")
    assert literal_address("http://localhost/") is None


@pytest.mark.parametrize("port", ["", ":80", ":443", ":8080", ":8443"])
def test_the_usual_ports_are_open_to_callbacks(port: str) -> None:
    """80, 443, 8080 and 8443 need no leave."""
    assert port_refusal(normalise_url(f"http://h.example{port}/"), NOTHING) is None


def test_another_port_needs_the_operators_leave_for_that_very_host() -> None:
    """The refusal names the entry that would allow it, and that entry does."""
    url = normalise_url("http://App.internal:9000/x")
    assert "app.internal:9000" in (port_refusal(url, NOTHING) or "")
    allow = parse_allow(["APP.internal:9000", "[fd00::1]:9001"])
    assert port_refusal(url, allow) is None
    assert port_refusal("http://[fd00::1]:9001/", allow) is None
    assert "[fd00::1]:9002" in (port_refusal("http://[fd00::1]:9002/", allow) or "")
    assert port_refusal("http://other.internal:9000/", allow) is not None


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

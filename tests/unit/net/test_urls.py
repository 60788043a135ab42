"""URLs have one normal form, and every reader takes it apart in the same way."""

from ipaddress import ip_address

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from notifier.net.urls import URL_LIMIT, host_and_port, normalise_url, origin, read_literal


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
    assert read_literal(host_and_port("http://[::1]:80/")[0]) == ip_address("::1")
    assert read_literal(host_and_port("http://10.0.0.1/")[0]) == ip_address("10.0.0.1")
    assert read_literal(host_and_port("http://localhost/")[0]) is None

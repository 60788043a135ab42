"""A proxy as an operator writes it: what is read of it, and what is never shown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifier.domain.settings import Secret
from notifier.net.proxy import parse_proxy, read_proxy


@pytest.mark.parametrize(
    ("text", "url", "authorization"),
    [
        ("http://proxy.example.com:3128", "http://proxy.example.com:3128", None),
        ("HTTP://Proxy.Example.com:80/", "http://proxy.example.com:80", None),
        ("http://me:pw@[::1]:3128", "http://[::1]:3128", "Basic bWU6cHc="),
        ("http://me@10.0.0.7:8080", "http://10.0.0.7:8080", "Basic bWU6"),
        ("http://me:p%40s%3As@proxy:3128", "http://proxy:3128", "Basic bWU6cEBzOnM="),
        ("http://me:a@b@proxy:3128", "http://proxy:3128", "Basic bWU6YUBi"),
        ("http://jürgen:ß@proxy:3128", "http://proxy:3128", "Basic asO8cmdlbjrDnw=="),
    ],
)
def test_what_is_read_of_a_proxy(text: str, url: str, authorization: str | None) -> None:
    """Its place, and the header that it is sent; percent-encoded signs in the password are decoded."""
    proxy = parse_proxy(text)
    assert (proxy.url, proxy.authorization()) == (url, authorization)


def test_a_proxy_is_shown_without_its_login() -> None:
    """In every form that ends up in a log or in an attempt's detail."""
    proxy = read_proxy(Secret("http://someone:hunter2@proxy:3128"))
    for shown in (str(proxy), proxy.url, repr(proxy.password), *(proxy.refusal(status) for status in (403, 407, 502))):
        assert "hunter2" not in shown
        assert "someone" not in shown


@given(st.text(max_size=40))
def test_any_text_is_a_proxy_or_a_sentence(password: str) -> None:
    """Whatever somebody pastes there; the sentence holds nothing of it."""
    for text in (password, f"http://{password}", f"http://user:{password}@host:1"):
        try:
            proxy = parse_proxy(text)
        except ValueError as error:
            assert str(error).endswith(".")
            assert len(password) < 6 or password not in str(error)
        else:
            assert proxy.port
            assert (proxy.authorization() or "Basic ").isascii()

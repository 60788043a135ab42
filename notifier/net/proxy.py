"""A proxy as an operator writes it: `http://user:password@host:port`. Pure.

Only the operator names one, for endpoints and providers; a callback_url never goes through a proxy, and the
environment's (`HTTP_PROXY` and the like) are ignored. The whole value is a secret, because it may hold a password: only
a proxy's host and port are printed.
"""

import base64
from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from urllib.parse import unquote

from notifier.domain.settings import Secret
from notifier.net.address_policy import Allow, refusal
from notifier.net.urls import host_and_port, normalise_url, read_literal, show_place

_FORM: Final = "http://host:port, or http://user:password@host:port"
#: The status by which only a proxy asks for user and password.
WANTS_PASSWORD: Final = 407
_NOT_REACHED: Final = frozenset({502, 503, 504})


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    host: str
    port: int
    #: None if none is sent.
    user: str | None = None
    password: Secret | None = None

    def __str__(self) -> str:
        return f"proxy {show_place(self.host, self.port)}"

    @property
    def url(self) -> str:
        """Without user and password."""
        return f"http://{show_place(self.host, self.port)}"

    def authorization(self) -> str | None:
        """The value of Proxy-Authorization; None if none is sent."""
        if self.user is None:
            return None
        login = f"{self.user}:{self.password.reveal() if self.password else ''}"
        return "Basic " + base64.b64encode(login.encode()).decode()

    def secrets(self) -> tuple[str, ...]:
        """The texts in it that may not be shown."""
        if self.password is None:
            return ()
        password = self.password.reveal()
        return password, f"{self.user}:{password}"

    def refusal(self, status: int) -> str:
        """What it means that it answered a request with `status`, as one line."""
        if status == WANTS_PASSWORD:
            return f"{self} wants another user or password ({status})"
        if status in _NOT_REACHED:
            return f"{self} could not reach the server ({status})"
        return f"{self} does not let this through ({status})"


def parse_proxy(text: str) -> Proxy:
    """`ValueError` with a sentence that holds nothing of `text`, which may hold a password."""
    scheme, mark, rest = text.strip().partition("://")
    if not mark or scheme.lower() != "http":
        raise ValueError(f"A proxy is spoken to over http. Write {_FORM}.")
    login, at, place = rest.removesuffix("/").rpartition("@")
    host, port = _place(place)
    if not at:
        return Proxy(host=host, port=port)
    user, _, password = login.partition(":")
    user, password = unquote(user), unquote(password)
    if not user or not (user + password).isprintable() or ":" in user:
        raise ValueError(f"The user before @ is empty, or holds what cannot be sent. Write {_FORM}; @ as %40.")
    return Proxy(host=host, port=port, user=user, password=Secret(password))


def _place(place: str) -> tuple[str, int]:
    try:
        url = normalise_url(f"http://{place}/")
    except ValueError:
        raise ValueError(f"What follows http:// is not host:port. Write {_FORM}.") from None
    host, port = host_and_port(url)
    if any(mark in place for mark in "/?#") or not place.endswith(f":{port}"):
        raise ValueError(f"A proxy has a port and nothing behind it. Write {_FORM}.")
    address = read_literal(host)
    if address and refusal(address, guarded=False, allow=Allow()):
        raise ValueError("This is a cloud metadata address, which is never called. Write the address of the proxy.")
    return host, port


@lru_cache(maxsize=256)
def read_proxy(named: Secret) -> Proxy:
    """A proxy that was checked when the configuration was read."""
    return parse_proxy(named.reveal())

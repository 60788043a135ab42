"""How an address is read: the store, the socket, a base URL, an endpoint's URL, what callbacks may reach."""

import re
from typing import Any, Final

from notifier.config.values import FilePath, Reading, parsed, refuse_tilde, shown, text_of
from notifier.net.address_policy import is_metadata, parse_allow
from notifier.net.urls import host_and_port, normalise_url, read_literal


class Store(FilePath):
    """`sqlite:PATH`; `read` gives the path as written."""

    _POSTGRES: Final = ("postgresql:", "postgres:", "postgresql+asyncpg:")

    def __init__(self) -> None:
        super().__init__(
            "sqlite: and the path of a file, e.g. sqlite:/var/lib/notifier/notifier.db",
            example="store: sqlite:/var/lib/notifier/notifier.db",
        )

    def read(self, value: Any) -> str:
        text = text_of(value, self.accepts).strip()
        if text.startswith(self._POSTGRES):
            raise ValueError(f"PostgreSQL is not in this version. Write {self.accepts}.")
        scheme, _, path = text.partition(":")
        if scheme != "sqlite" or not path or not path.isprintable():
            raise ValueError(f"{shown(value)} is not a store. Write {self.accepts}.")
        if path.startswith("//"):
            raise ValueError(f"{shown(value)} begins the path with two slashes. Write {self.accepts}.")
        if path == ":memory:":
            raise ValueError(f"A store in memory would lose pending callbacks. Write {self.accepts}.")
        refuse_tilde(path)
        if path.endswith("/"):
            raise ValueError(f"{shown(value)} is a directory. Write {self.accepts}.")
        return path


class Listen(FilePath):
    """Where commands reach the daemon; `read` gives the path as written."""

    _NETWORK: Final = re.compile(r"\d+|.*:\d*|\w+://.*", re.ASCII)

    def __init__(self) -> None:
        super().__init__("the path of a unix socket, e.g. /run/notifier/api.sock")

    def read(self, value: Any) -> str:
        if self._NETWORK.fullmatch(str(value)):
            raise ValueError(f"{shown(value)} is no path, and no network is listened on yet. Write {self.accepts}.")
        path = super().read(value)
        if path.endswith("/"):
            raise ValueError(f"{shown(value)} is a directory. Write {self.accepts}.")
        return path


class EndpointUrl(Reading):
    """Where callbacks go, in normal form. A local address is accepted, because the operator wrote it.

    A cloud metadata address is refused here and not only when a connection opens: a proxy would open it for us.
    """

    accepts = "a URL that begins with http:// or https://"
    example = "url: https://app.example.com/hooks"

    def read(self, value: Any) -> str:
        url = parsed(normalise_url, text_of(value, self.accepts), self.accepts)
        address = read_literal(host_and_port(url)[0])
        if address is not None and is_metadata(address):
            raise ValueError("This is a cloud metadata address, which is never called. Write the address of your app.")
        return url


class BaseUrl(Reading):
    """Where an API is. Routes are appended to it."""

    accepts = "a URL that begins with http:// or https://, without a query"

    def read(self, value: Any) -> str:
        url = parsed(normalise_url, text_of(value, self.accepts), self.accepts)
        if "?" in url:
            raise ValueError(f"A base URL has no query: routes are put behind it. Write {self.accepts}.")
        return url.rstrip("/")


class AllowEntry(Reading):
    """One entry of `callbacks.allow`."""

    accepts = "host:port, an address or a network such as 10.1.0.0/16"

    def read(self, value: Any) -> str:
        text = text_of(value, self.accepts)
        parsed(lambda entry: parse_allow((entry,)), text, self.accepts)
        return str(text).strip()

"""The one URL parser. Pure: it resolves and opens nothing.

The URL that is sent must be the one that was checked. So a URL has one normal form, which every later reader parses in
the same way: a host is a plain name, a dotted quad or a bracketed IPv6 address, and the forms that C libraries also
read as addresses (`127.1`, `0x7f.1`, `2130706433`, `017700000001`) are refused.

A final dot of the host is kept: it keeps the look-up away from the resolver's search list, so the name without the dot
may lead elsewhere, and a callback URL with it is an endpoint of its own. But Host, SNI and certificates are written
without the dot, and so are origins: URLs of one origin have one destination and one key.

A fragment is refused, not dropped: it is never sent, so its author expects something that will not happen.
"""

import re
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final
from urllib.parse import urlsplit

import idna

Address = IPv4Address | IPv6Address

#: Characters of a URL at most.
URL_LIMIT: Final = 2_048
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
    found = re.search(r"[/?#\\]", rest)
    at = found.start() if found else len(rest)
    authority, tail = rest[:at], rest[at:]
    if authority.lower() == "unix:":  # http://unix:/run/app.sock, as nginx writes it
        raise ValueError(_NO_SOCKET)
    _check_tail(tail)
    host, port = read_host_and_port(authority, _DEFAULT_PORT[scheme.lower()])
    path, mark, query = tail.partition("?")
    place = show_place(host, port).removesuffix(f":{_DEFAULT_PORT[scheme.lower()]}")
    url = f"{scheme.lower()}://{place}{path or '/'}{mark + query if query else ''}"
    if len(url) > URL_LIMIT:
        raise ValueError(f"A URL may have {URL_LIMIT} characters at most; this one has {len(url)} in punycode.")
    return url


_NO_SOCKET: Final = (
    "A unix socket is not called, and neither is a path: a URL begins with http:// or https://. Let the app listen on "
    "a port of this machine, and write http://127.0.0.1:PORT/ and the path."
)


def _wrong_scheme(scheme: str, text: str) -> str:
    """What to write in place of a text that does not begin as a URL; it is not quoted, because it may hold a token."""
    if re.fullmatch(r"(https?\+)?unix|httpu", scheme) or text.startswith(("unix:", "/")):
        return _NO_SOCKET
    if scheme in ("ws", "wss"):
        return (
            f"A WebSocket is not called: each callback is one POST. Write http{scheme[2:]}:// in place of {scheme}://."
        )
    if re.fullmatch(r"[a-z][a-z0-9+.-]{0,31}", scheme) and scheme != text.lower():
        return f"A URL begins with http:// or https://; {scheme}:// is not supported."
    return "A URL begins with http:// or https://." + ("" if "http" in scheme else " Write one of them in front.")


def origin(url: str) -> str:
    """`https://host` of a normalised URL, with `:port` if it is not the default one; without a final dot."""
    return url[: _end_of_origin(url)].replace(".:", ":").removesuffix(".")


def is_origin(url: str) -> bool:
    """Whether a normalised URL goes no further than its origin."""
    return url.endswith("/") and _end_of_origin(url) == len(url) - 1


def host_and_port(url: str) -> tuple[str, int]:
    """Host (an IPv6 address without its brackets, a name with its final dot) and port of a normalised URL."""
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or _DEFAULT_PORT[parts.scheme]


def show_place(host: str, port: int) -> str:
    """`host:port`, an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def read_literal(host: str) -> Address | None:
    """The address that `host` is, without brackets; None if it is a name."""
    try:
        return ip_address(host)
    except ValueError:
        return None


def _end_of_origin(url: str) -> int:
    return url.index("/", url.index("://") + 3)


def _check_tail(tail: str) -> None:
    if "#" in tail:
        raise ValueError('A URL may have no "#…" part: it would never be sent. Leave it out.')
    for char in tail:
        if not "!" <= char <= "~" or char == "\\":
            written = "".join(f"%{byte:02X}" for byte in char.encode("utf-8", "replace"))
            raise ValueError(f'A URL holds printable ASCII only: write "{written}" in place of {char!a}.')


def read_host_and_port(authority: str, default: int) -> tuple[str, int]:
    if "@" in authority:
        raise ValueError("A URL may hold no user name or password: put credentials in a header or in the query.")
    match = re.fullmatch(r"(\[[^\[\]]*\]|[^:\[\]]*)(?::([0-9]*))?", authority, re.ASCII)
    if match is None:
        raise ValueError(f"{authority!a} is not host or host:port; an IPv6 address is written in [brackets].")
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
    try:
        written = (text if text.isascii() else idna.encode(text, uts46=True).decode()).lower()
    except idna.IDNAError:
        raise ValueError(f"{text!a} is not an internationalised host name: write it in punycode.") from None
    host = written.removesuffix(".")
    labels = host.split(".")
    if not host:
        raise ValueError("A URL needs a host after ://.")
    if _NUMBER.fullmatch(labels[-1]):
        try:
            return str(IPv4Address(host))
        except ValueError:
            raise ValueError(f'Write the address {host!a} as four decimal numbers, as in "192.0.2.7".') from None
    if len(host) > 253 or not all(map(_LABEL.fullmatch, labels)):  # noqa: PLR2004  DNS's own limit
        raise ValueError(f"{text!a} is not a host name: letters, digits, - and _ between dots.")
    return written

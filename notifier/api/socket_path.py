"""Where the socket is if the configuration does not name it, and how a command says which daemon it means. Pure.

The daemon and its commands must come to the same path.
"""

from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

#: A header: a command that found the socket by itself says here which store it means.
STORE_HEADER: Final = "notifier-store"
#: The socket's name in its directory.
NAME: Final = "api.sock"
#: Where the unit of `systemd/` has its runtime directory; a person's command has no $RUNTIME_DIRECTORY.
SERVICE_DIRECTORY: Final = "/run/notifier"
#: Bytes of a socket's path, at most (sun_path of unix(7), and its final NUL).
LONGEST: Final = 107


def mark_of(store: str) -> str:
    """A store's real path as a value of `STORE_HEADER`, in letters that a header may hold."""
    return quote(store, errors="surrogateescape")


def usual_path(store: str, environ: Mapping[str, str]) -> str:
    """The daemon's: in $RUNTIME_DIRECTORY, which systemd sets, else beside the store."""
    directories = environ.get("RUNTIME_DIRECTORY", "").split(":")
    return f"{directories[0]}/{NAME}" if directories[0] else beside(store)


def beside(store: str) -> str:
    """`store` is an absolute path."""
    return store.rpartition("/")[0] + f"/{NAME}"


def socket_paths(store: str, environ: Mapping[str, str]) -> list[str]:
    """Where a command looks for the socket of the daemon that keeps `store`, the likeliest first."""
    return list(dict.fromkeys([usual_path(store, environ), beside(store), f"{SERVICE_DIRECTORY}/{NAME}"]))

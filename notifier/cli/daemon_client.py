"""A client of the running daemon: finds its socket and sends one request.

What the daemon refuses is raised here as the error that it raised there, with its sentence: `main` prints each and
knows its exit code.
"""

import grp
import os
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import anyio
import httpx
import orjson

from notifier.api.render import error_of
from notifier.api.socket_path import STORE_HEADER, mark_of, socket_paths
from notifier.cli.options import to_print
from notifier.config import ConfigFile
from notifier.domain.errors import DaemonRefused, DaemonUnavailable
from notifier.text.command_line import command
from notifier.text.printable import printable


def ask(config: str, named: str | None, route: Sequence[str], params: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the daemon answers to POST /v1/ROUTE, at the socket `named` or at the configuration's."""
    store: str | None = None
    paths: Sequence[str] = []
    if named is None:
        opened = ConfigFile(config, environ=os.environ)
        store, paths = opened.store_path(), paths_of(opened)
    path = find(paths if named is None else [named], command("run", config=to_print(config)))

    async def post() -> httpx.Response:
        async with client(path, store, timeout=None) as opened:  # it works as long as it takes
            given = {key: value for key, value in params.items() if value not in (None, [])}
            return await opened.post("/".join(quote(part, safe="") for part in route), content=orjson.dumps(given))

    try:
        answer = anyio.run(post)
    except httpx.TransportError:
        raise DaemonUnavailable(
            "The daemon went away before it answered. What it had done stays done: ask again."
        ) from None
    try:
        content = orjson.loads(answer.content)
    except orjson.JSONDecodeError:
        content = None
    if answer.status_code == httpx.codes.OK and isinstance(content, dict):
        return content
    match content:
        case {"error": str(sentence)}:
            raise error_of(answer.status_code, printable(sentence, 2_000))
    other = f"What answers at {printable(path, 300)} is not notifier: name the daemon's socket with --socket."
    raise DaemonRefused(other)


def client(path: str, store: str | None, *, timeout: httpx.Timeout | None) -> httpx.AsyncClient:
    """Over the unix socket at `path`, to a daemon that keeps `store`, or to any.

    It reads nothing of the environment's certificates and proxies.
    """
    transport = httpx.AsyncHTTPTransport(uds=path, verify=False, trust_env=False)
    headers = {} if store is None else {STORE_HEADER: mark_of(os.path.realpath(store))}
    return httpx.AsyncClient(
        base_url="http://notifier/v1/", transport=transport, headers=headers, timeout=timeout, trust_env=False
    )


def paths_of(config: ConfigFile) -> Sequence[str]:
    """Where the daemon of this store may listen, the likeliest first. The store's real path counts, not its name."""
    listen = config.listen_path()
    return [listen] if listen else socket_paths(os.path.realpath(config.store_path()), os.environ)


def answers(path: str, *, within: float | None = None) -> bool:
    """Whether somebody accepts a connection at `path`, `within` seconds. `PermissionError` if this user may not."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as trial:
            trial.settimeout(within)
            trial.connect(path)
    except PermissionError:
        raise
    except OSError:
        return False
    return True


def find(paths: Sequence[str], start: str) -> str:
    """The first of these at which a daemon answers; `start` is the command that runs one."""
    for path in paths:
        try:
            if answers(path):
                return path
        except PermissionError:
            raise DaemonRefused(_not_permitted(path)) from None
    places = " or ".join(printable(path, 300) for path in paths)
    raise DaemonUnavailable(
        f"No daemon answers at {places}. Start it (`systemctl start notifier`, or `{start}`), or say where it is: "
        "--socket PATH."
    )


def _not_permitted(path: str) -> str:
    """If even the socket's directory is closed to this user, the directory's group is the one to be in."""
    for each in (Path(path), Path(path).parent):
        try:
            group = grp.getgrgid(each.stat().st_gid).gr_name
        except (OSError, KeyError):
            continue
        return f"This user may not command the daemon at {path}: be in the group {group}, or use sudo."
    return f"This user may not command the daemon at {path}: use sudo."

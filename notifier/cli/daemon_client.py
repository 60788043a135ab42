"""Asks the running daemon: finds its socket, sends one request, and makes what goes wrong a sentence and an exit code.

75: nobody answers, or the store cannot write. 78: this user may not, or another daemon answers. 2: wrong words. 1: what
was asked for is not so.
"""

import grp
import os
import socket
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import httpx
import orjson
import typer

from notifier.api.socket_path import STORE_HEADER, mark_of, socket_paths
from notifier.cli.exit_codes import EX_CONFIG, EX_FAILED, EX_TEMPFAIL
from notifier.cli.options import to_print
from notifier.config import read_listen_path, read_store_path
from notifier.text.command_line import command
from notifier.text.printable import printable

_EX_USAGE: Final = 2
_CODES: Final[Mapping[int, int]] = {
    HTTPStatus.BAD_REQUEST: _EX_USAGE,
    HTTPStatus.MISDIRECTED_REQUEST: EX_CONFIG,
    HTTPStatus.SERVICE_UNAVAILABLE: EX_TEMPFAIL,
}


def ask(config: str, named: str | None, route: str, asked: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the daemon answers to POST /v1/ROUTE; ends the command with a sentence where it is no success."""
    start = command("run", config=to_print(config))
    if named is not None:
        path, headers = _answering([named], start), {}
    else:
        store = os.path.realpath(read_store_path(config, environ=os.environ))  # whatever it is called by
        listen = read_listen_path(config, environ=os.environ)
        path = _answering([listen] if listen else socket_paths(store, os.environ), start)
        headers = {STORE_HEADER: mark_of(store)}
    try:
        with _client(path) as client:
            answer = client.post(f"http://notifier/v1/{route}", content=orjson.dumps(asked), headers=headers)
    except httpx.TransportError:
        raise _ended(
            "The daemon went away before it answered. What it had done stays done: ask again.", EX_TEMPFAIL
        ) from None
    content = _read(answer.content)
    if answer.status_code == HTTPStatus.OK and content is not None:
        return content
    if content is None or not isinstance(content.get("error"), str):
        other = f"What answers at {printable(path, 300)} is not notifier: name the daemon's socket with --socket."
        raise _ended(other, EX_CONFIG)
    raise _ended(printable(content["error"], 2_000), _CODES.get(answer.status_code, EX_FAILED))


def _client(path: str) -> httpx.Client:
    """Over the unix socket at `path`: of the environment's certificates and proxies it reads nothing."""
    transport = httpx.HTTPTransport(uds=path, verify=False, trust_env=False)
    return httpx.Client(transport=transport, timeout=None, trust_env=False)  # noqa: S113  it works as long as it takes


def _read(body: bytes) -> Mapping[str, Any] | None:
    """None where it is no answer of the daemon's."""
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return content if isinstance(content, dict) else None


def _answering(paths: Sequence[str], start: str) -> str:
    """The first of these at which a daemon answers; `start` is the command that runs one."""
    for path in paths:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as trial:
                trial.connect(path)
        except PermissionError:
            raise _ended(_not_permitted(path), EX_CONFIG) from None
        except OSError:
            continue
        return path
    places = " or ".join(printable(path, 300) for path in paths)
    raise _ended(
        f"No daemon answers at {places}. Start it (`systemctl start notifier`, or `{start}`), or say where it is: "
        "--socket PATH.",
        EX_TEMPFAIL,
    )


def _not_permitted(path: str) -> str:
    """A socket in a directory that is shut cannot be looked at; then the directory's group is the one."""
    for each in (Path(path), Path(path).parent):
        try:
            group = grp.getgrgid(each.stat().st_gid).gr_name
        except (OSError, KeyError):
            continue
        return f"This user may not command the daemon at {path}: be in the group {group}, or use sudo."
    return f"This user may not command the daemon at {path}: use sudo."


def _ended(sentence: str, code: int) -> typer.Exit:
    """The end of the command, once it is told."""
    typer.echo(sentence, err=True)
    return typer.Exit(code)

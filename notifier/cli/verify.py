"""`notifier verify`: did the notifier that holds our key send this callback? One line says yes, or why not.

For setting a receiver up, and for a callback that was captured. It judges with `notifier.verify`, as receivers do. A
secret is never an argument, which everybody on the machine could read: it comes from a file or from the environment.
All text from outside is made printable first.
"""

import os
import re
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Final

import typer

from notifier.domain.errors import NotifierError
from notifier.runtime.clock import SystemClock
from notifier.text.printable import printable
from notifier.text.reader import FileRefused, read_regular_file
from notifier.verify import TOLERANCE, InvalidSignature, verify

if TYPE_CHECKING:
    from multidict import CIMultiDict

#: Where the secrets are if no option says it; `notifier listen` reads the same.
_SECRETS: Final = "NOTIFIER_SECRET"
_FIRST_LINE: Final = re.compile(r"[A-Z]+ \S+ HTTP/[0-9.]+|HTTP/[0-9.]+ .*")
#: Characters of one field that are shown.
_SHOWN: Final = 100
#: Bytes of a file at most; a callback has a small part of it.
_MOST: Final = 16 * 1024 * 1024

_Body = Annotated[str, typer.Argument(metavar="FILE", help="The raw body; - is standard input.", show_default=False)]
_Header = Annotated[list[str], typer.Option(metavar="'NAME: VALUE'", help="A header; one option for each.")]
_Headers = Annotated[
    str | None, typer.Option(metavar="FILE", help="The headers, one a line, as HTTP writes them; up to an empty line.")
]
_SecretFile = Annotated[
    list[str], typer.Option(metavar="FILE", help="Holds whsec_… or whpk_…, one or several. May be given again.")
]
_SecretEnv = Annotated[
    list[str],
    typer.Option(metavar="NAME", help=f"The environment variable that holds them. By default {_SECRETS}."),
]
_Tolerance = Annotated[int, typer.Option(min=0, metavar="SECONDS", help="How old the signature may be.")]


def verify_callback(
    body: _Body = "-",
    *,
    header: _Header = [],  # noqa: B006  typer's form of "may be repeated"; never changed
    headers: _Headers = None,
    secret_file: _SecretFile = [],  # noqa: B006  likewise
    secret_env: _SecretEnv = [],  # noqa: B006  likewise
    tolerance: _Tolerance = int(TOLERANCE),
) -> None:
    """Verify one callback: its body from a file or standard input.

    Says in one line what it is, or why it is not to be trusted. Exits with 0 if it is verified, else with 1.
    """
    secrets = _secrets(secret_file, secret_env)
    sent = _pairs(header, headers)
    content = sys.stdin.buffer.read() if body == "-" else _read(body, "FILE")
    try:
        event = verify(content, sent, secrets, tolerance=tolerance, now=SystemClock().now().timestamp())
    except InvalidSignature as invalid:
        raise NotifierError(f"not verified: {invalid}") from None
    except ValueError as unfit:
        raise typer.BadParameter(str(unfit), param_hint="the secret") from None
    content = event.get("data")
    generation = content.get("generation_id") if isinstance(content, dict) else None
    of = "" if generation is None else f" of {printable(str(generation), _SHOWN)}"
    type_ = printable(str(event.get("type", "an event without a type")), _SHOWN)
    typer.echo(f"verified: {type_}{of}, {printable(sent['webhook-id'], _SHOWN)}")


# ---- what is given ------------------------------------------------------------------------------------------------
def _pairs(given: Sequence[str], file: str | None) -> "CIMultiDict[str]":
    """Every header, repeated ones too."""
    from multidict import CIMultiDict

    found = [*_lines(_read(file, "--headers"))] if file is not None else []
    return CIMultiDict([_pair(line, "--headers") for line in found] + [_pair(line, "--header") for line in given])


def _lines(content: bytes) -> Iterator[str]:
    for number, line in enumerate(content.decode("latin-1").splitlines()):
        if not line.strip():
            return
        if number > 0 or not _FIRST_LINE.fullmatch(line):
            yield line


def _pair(line: str, option: str) -> tuple[str, str]:
    name, mark, value = line.partition(":")
    if not mark or not name or name != name.strip():
        raise typer.BadParameter(f'"{printable(line, _SHOWN)}" is not "name: value".', param_hint=option)
    return name, value.strip()


def _secrets(files: Sequence[str], variables: Sequence[str]) -> list[str]:
    found = [
        secret
        for file in files
        for secret in _read(file, "--secret-file").decode("utf-8-sig", errors="replace").split()
    ]
    for name in variables or ([] if files else [_SECRETS]):
        if not os.environ.get(name, "").split():
            raise typer.BadParameter(
                f"The environment variable {printable(name, _SHOWN)} is not set: put the secret there, "
                "or name another with --secret-env, or a file with --secret-file.",
                param_hint="the secret",
            )
        found += os.environ[name].split()
    if not found:
        raise typer.BadParameter("The file holds no secret.", param_hint="--secret-file")
    return found


def _read(path: str, option: str) -> bytes:
    try:
        return read_regular_file(path, _MOST, pipe=True)
    except FileRefused as error:
        raise typer.BadParameter(f"{printable(path, 300)} {error}.", param_hint=option) from None

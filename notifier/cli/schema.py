"""`notifier schema`: the JSON Schema of a callback, on standard output, as the file that is shipped."""

import json
from importlib import resources
from typing import Annotated

import typer

from notifier.domain.model import Format

_Type = Annotated[
    str, typer.Argument(metavar="TYPE", help="E.g. generation.completed; without it, any type.", show_default=False)
]
_Written = Annotated[Format, typer.Option("--format", help="The endpoint's format.")]


def print_schema(type_: _Type = "", *, format_: _Written = Format.STANDARD) -> None:
    """Print the JSON Schema of a callback. Receivers may check bodies with it."""
    from notifier.schemas.build import TYPES, any_schema, file_name
    from notifier.text.printable import did_you_mean, printable

    if not type_:
        typer.echo(json.dumps(any_schema(format_), indent=2))
        return
    if type_ not in TYPES:
        raise typer.BadParameter(f'"{printable(type_, 64)}" is not an event type.{did_you_mean(type_, TYPES)}')
    typer.echo(resources.files("notifier.schemas").joinpath(file_name(type_, format_)).read_text(), nl=False)

"""Options that many commands have, and those that are declared with what they set."""

import inspect
import os
from collections.abc import Callable, Iterator
from dataclasses import MISSING, fields
from inspect import Parameter
from typing import Annotated, Any, Final, get_args, get_type_hints

import typer

from notifier.text.command_line import DEFAULT_CONFIG, Option, config_to_print

__all__ = ["DEFAULT_CONFIG", "LISTEN_PORT", "Config", "takes", "to_print"]

Config = Annotated[
    str,
    typer.Option(
        "--config",
        envvar="NOTIFIER_CONFIG",
        metavar="FILE",
        help="The configuration.",
    ),
]
#: Where `notifier listen` listens by default.
LISTEN_PORT: Final = 8787


def to_print(config: str) -> str:
    """`config` as a printed command needs it: its whole path, or nothing if every shell would find it."""
    return config_to_print(os.path.abspath(config), os.environ)  # noqa: PTH100  links are not followed


def takes(*records: type) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the declared options of `records`, beside its own; they come to it as keywords."""
    declared = [each for record in records for each in _parameters(record)]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = [each for each in inspect.signature(command).parameters.values() if each.kind is not each.VAR_KEYWORD]
        command.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  # typer reads it
            [each.replace(kind=Parameter.KEYWORD_ONLY) for each in [*declared, *own]]
        )
        return command

    return decorate


def _parameters(record: type) -> Iterator[Parameter]:
    hints = get_type_hints(record, include_extras=True)
    for each in fields(record):
        type_, *said = get_args(hints[each.name]) or (None,)
        if not said or not isinstance(option := said[0], Option):
            continue
        shown: Any = {"metavar": option.metavar, "help": option.help}
        bounds: Any = {"min": option.least, "max": option.most}
        name = each.name.replace("_", "-")
        words = f"--{name}/--no-{name}" if each.default is True else f"--{name}"
        given = (
            typer.Argument(show_default=False, **shown) if option.positional else typer.Option(words, **shown, **bounds)
        )
        type_ = option.type or type_
        yield Parameter(
            each.name,
            Parameter.KEYWORD_ONLY,
            annotation=Annotated[type_ | None if each.default is None else type_, given],
            default=Parameter.empty if each.default is MISSING else each.default,
        )

"""Options that many commands have, and those that are declared with a request."""

import inspect
import os
from collections.abc import Callable
from dataclasses import MISSING
from inspect import Parameter
from typing import Annotated, Any, Final

import typer

from notifier.admin.requests import Key, Request, keys_of
from notifier.text.command_line import DEFAULT_CONFIG, config_to_print

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
#: Where `notifier listen` listens, unless it is told otherwise.
LISTEN_PORT: Final = 8787


def to_print(config: str) -> str:
    """`config` as a printed command needs it: its whole path, or nothing if every shell would find it."""
    return config_to_print(os.path.abspath(config), os.environ)  # noqa: PTH100  links are not followed


def takes(request: type[Request]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the keys of `request` as options, beside its own; they come to it as keywords."""
    asked = [_parameter(name, *declared) for name, declared in keys_of(request).items()]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = inspect.signature(command).parameters.values()
        asked_and_own = [*asked, *(each for each in own if each.kind is not Parameter.VAR_KEYWORD)]
        command.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  # typer reads it
            [each.replace(kind=Parameter.KEYWORD_ONLY) for each in asked_and_own]
        )
        return command

    return decorate


def _parameter(name: str, key: Key, default: Any) -> Parameter:
    shown: dict[str, Any] = {"metavar": key.metavar, "help": key.help, "min": key.least, "max": key.most}
    option = f"--{name.replace('_', '-')}"
    given = typer.Argument(show_default=False, **shown) if key.positional else typer.Option(option, **shown)
    type_ = key.type | None if default is None else key.type
    return Parameter(
        name,
        Parameter.KEYWORD_ONLY,
        annotation=Annotated[type_, given],
        default=Parameter.empty if default is MISSING else default,
    )

"""Options that many commands have."""

import os
from typing import Annotated, Final

import typer

from notifier.text.command_line import DEFAULT_CONFIG, config_to_print

__all__ = ["DEFAULT_CONFIG", "LISTEN_PORT", "Config", "to_print"]

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

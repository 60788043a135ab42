"""Options that many commands have."""

import os
from typing import Annotated, Final

import typer

from notifier.text.command_line import DEFAULT_CONFIG

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
    """`config` as a printed command needs it: its whole path, or nothing where every shell would find it."""
    usual = os.environ.get("NOTIFIER_CONFIG") in (None, "", DEFAULT_CONFIG)
    return "" if usual and config == DEFAULT_CONFIG else os.path.abspath(config)  # noqa: PTH100  links are not followed

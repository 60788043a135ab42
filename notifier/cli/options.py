"""Options that many commands have."""

from typing import Annotated, Final

import typer

Config = Annotated[
    str,
    typer.Option(
        "--config",
        envvar="NOTIFIER_CONFIG",
        metavar="FILE",
        help="The configuration.",
    ),
]
DEFAULT_CONFIG: Final = "/etc/notifier/config.yaml"

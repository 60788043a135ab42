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
#: Where `notifier listen` listens, unless it is told otherwise.
LISTEN_PORT: Final = 8787
DEFAULT_CONFIG: Final = "/etc/notifier/config.yaml"

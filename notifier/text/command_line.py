"""Commands of this program as others print them: a person can paste them into a shell as they stand. Pure.

The configuration that was given goes with them, because without it they would ask about another daemon, or none.
"""

import shlex
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from notifier.domain.times import iso

#: What a command reads where nothing else is said.
DEFAULT_CONFIG: Final = "/etc/notifier/config.yaml"


def command(*words: str, config: str) -> str:
    """`notifier` and `words`, quoted; `config` is left out where it is empty."""
    given = [] if not config else ["--config", config]
    return shlex.join(["notifier", *words, *given])


def config_to_print(path: str, environ: Mapping[str, str]) -> str:
    """`path`, which is absolute, or nothing if a command finds that configuration by itself."""
    found = environ.get("NOTIFIER_CONFIG") or DEFAULT_CONFIG
    return "" if path == found == DEFAULT_CONFIG else path


def enable_command(destination: str, *, config: str) -> str:
    return command("enable", destination, config=config)


def recover_command(destination: str, oldest: datetime, *, config: str) -> str:
    """Has sent again what is parked or given up; `oldest` is when the first of it was made."""
    return command("recover", destination, "--since", iso(oldest), config=config)

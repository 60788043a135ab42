"""The command line as other parts know it. Pure.

Commands that are printed: a person can paste them into a shell unchanged. The configuration that was given goes with
them, because without it they would ask another daemon, or none. And options that are declared with what they set.
"""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from notifier.domain.times import iso

#: What a command reads if no other is named.
DEFAULT_CONFIG: Final = "/etc/notifier/config.yaml"


@dataclass(frozen=True, slots=True)
class Option:
    """How a command line offers a field of a record that is annotated with it."""

    #: What it means, in one sentence.
    help: str
    #: What a help text shows for its value; None for a flag and for a choice.
    metavar: str | None = None
    #: What the command line takes for it, if that is not what the field holds.
    type: Any = None
    #: Whether it is given by its position and not by its name.
    positional: bool = False
    least: int | None = None
    most: int | None = None


def command(*words: str, config: str) -> str:
    """`notifier` and `words`, quoted; `config` is left out if it is empty."""
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

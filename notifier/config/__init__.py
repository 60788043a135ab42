"""The configuration: from a YAML file to the frozen records of `model`, or to one ConfigError with every fault in it.

expand: `${NAME}` · keys: where secrets stand and come from · values, secret_values, targets: how one value is read ·
shapes: every key there is · faults: complaints as sentences · records: shapes into records · load: the whole way ·
hints: why a line is no YAML · manual: `docs/configuration.md`.
Nothing is guessed: an unknown key, or a value that would not act, is refused.
"""

from notifier.config.keys import Origin, SecretSource
from notifier.config.load import ConfigFile, load
from notifier.config.manual import reference
from notifier.config.records import known, known_to_drop, needs_restart

__all__ = [
    "ConfigFile",
    "Origin",
    "SecretSource",
    "known",
    "known_to_drop",
    "load",
    "needs_restart",
    "reference",
]

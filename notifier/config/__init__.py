"""The configuration: from a YAML file to the records of `domain.settings`, or to one ConfigError with every fault.

sections: every key there is, declared once, and how to add one · values, targets, state_words, secret_values: how one
value is read · load: the whole way, of which expand: `${NAME}` · secret_sources: where secrets are and come from ·
faults: pydantic's complaints as sentences · records: keys into records · cross_checks: what only several values show ·
hints: why a line is no YAML · manual: `docs/configuration.md` and the JSON Schema.
Nothing is guessed: an unknown key, or a value that would not act, is refused.
"""

from notifier.config.load import ConfigFile, load
from notifier.config.manual import reference
from notifier.config.records import known, known_to_drop, needs_restart
from notifier.config.secret_sources import Origin, SecretSource

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

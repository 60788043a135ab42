"""The configuration: from a YAML file to the records of `domain.settings`, or to one ConfigError with every fault.

To add a key: a field in its record (`domain.settings`) and a line in `sections`; the checks, the reference, the JSON
Schema and the record follow. Nothing is guessed: an unknown key, or a value that would not act, is refused.

- `sections` declares every key, and `keys` answers what is declared; one value is read by `values`, `targets`,
  `state_words` or `secret_values`.
- `load` is the whole way: `expand` puts `${NAME}` in, `secret_sources` reads secrets, `faults` words what is wrong, and
  `hints` why a line is no YAML; `records` makes the settings, and `cross_checks` judges what only several values show.
- `manual` prints `docs/configuration.md` and the JSON Schema.
"""

from notifier.config.load import ConfigFile, load
from notifier.config.records import known, known_to_drop, needs_restart
from notifier.config.secret_sources import SecretSource

__all__ = [
    "ConfigFile",
    "SecretSource",
    "known",
    "known_to_drop",
    "load",
    "needs_restart",
]

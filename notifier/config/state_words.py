"""How `state_words:` of a provider is read: what words of its API mean, in addition to those that are known."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from pydantic_core import PydanticCustomError

from notifier.config.expand import BROKEN
from notifier.config.values import Reading, guess, shown
from notifier.domain.model import State
from notifier.providers.state_words import LONGEST, key_of, text_of

#: Words in all, at most.
_MOST: Final = 200
#: YAML 1.1 reads these words as booleans.
_SPELLED: Final = {True: ("true", "yes", "on"), False: ("false", "no", "off")}


class StateWords(Reading):
    """A mapping from our states to words. `read` gives word -> state, with each word as it is compared."""

    accepts = (
        "a mapping with any of completed, failed, running and queued, each with one word or a list, "
        "e.g. {completed: [complete, 2], failed: broken}"
    )
    schema: Mapping[str, Any] = {
        "type": "object",
        "propertyNames": {"enum": [state.value for state in State]},
        "minProperties": 1,
    }

    def read(self, value: Any) -> Mapping[str, State]:
        if not isinstance(value, dict):
            raise ValueError(  # noqa: TRY004  pydantic collects ValueErrors
                f"{shown(value)} is given where a mapping is needed. Write {self.accepts}."
            )
        taught: dict[str, State] = {}
        for name, words in value.items():
            if name not in State.__members__.values():
                raise ValueError(f"{shown(name)} is not a state.{guess(str(name), list(State))}")
            state = State(name)
            for key, word in _words(name, words):
                if taught.setdefault(key, state) is not state:
                    raise ValueError(f"{word} is below {taught[key]} and below {state}; keep one.")
        if not 1 <= len(taught) <= _MOST:
            raise ValueError(f"{len(taught)} words are taught. Write 1 to {_MOST}, or take the key out.")
        return taught


def _words(name: str, words: Any) -> Iterator[tuple[str, str]]:
    """Each word as it is compared, and as a person may see it."""
    each = words if isinstance(words, list) else [words]
    if not each:
        raise ValueError(f"There is nothing below {name}. Write a word, or take {name} out.")
    for word in each:
        if word is BROKEN:
            raise PydanticCustomError("broken", "already reported")
        text = text_of(word)
        key = key_of(text) if text is not None and len(text) <= LONGEST else ""
        if not key:
            write = f"text of 1 to {LONGEST} characters, a whole number, true or false"
            raise ValueError(f"{shown(word)} is not a word for a state. Write {write}.")
        yield from ((spelled, shown(word)) for spelled in (_SPELLED[word] if isinstance(word, bool) else (key,)))

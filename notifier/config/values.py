"""How one value of the configuration is read: a number, a duration, a rate, a word, a name, a path.

A `Reading` in the annotation of a key (`sections`) validates the value, and is what the reference and the JSON Schema
say of it, so they cannot disagree. `read` raises ValueError with a sentence that says what is wrong and what to write
instead. A value from the environment is shown as it is written (`${NAME}`), never what the variable holds.
"""

import glob
import os
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from pathlib import Path as File
from typing import Any, Final, TypeVar

from pydantic_core import PydanticCustomError, core_schema

from notifier.config.expand import BROKEN, Expanded
from notifier.domain.message import TYPES
from notifier.domain.settings import Secret
from notifier.text.printable import did_you_mean, printable
from notifier.text.quantity import parse_duration, parse_rate

_T = TypeVar("_T")
_TEXT: Final[dict[str, Any]] = {"type": "string"}
#: Any value may be written as a variable instead.
_VARIABLE: Final[Mapping[str, Any]] = {"type": "string", "pattern": r"\$\{"}


def one_or_list_of(one: Mapping[str, Any]) -> Mapping[str, Any]:
    """JSON Schema of one value or a list of some."""
    return {"anyOf": [one, {"type": "array", "items": one, "minItems": 1}]}


def any_case(*words: str) -> Mapping[str, Any]:
    """JSON Schema of one of these words, in capital letters or not."""
    spelled = ("".join(f"[{letter.upper()}{letter}]" for letter in word) for word in words)
    return _TEXT | {"pattern": f"^({'|'.join(spelled)})$"}


class Reading:
    """How one value is read. `accepts` says in words what may be written."""

    accepts: str = ""
    #: What to write if the value is missing; empty if it has a default.
    example: str = ""
    #: JSON Schema of the value as it is written, but for `${NAME}`.
    schema: Mapping[str, Any] = _TEXT

    def read(self, value: Any) -> Any:
        """The value as the program wants it; `ValueError` with a sentence."""
        raise NotImplementedError

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(self.validate)

    def __get_pydantic_json_schema__(self, core: Any, handler: Any) -> dict[str, Any]:
        any_text = self.schema.get("type") == "string" and "pattern" not in self.schema
        return dict(self.schema) if any_text else {"anyOf": [self.schema, _VARIABLE]}

    def validate(self, value: Any) -> Any:
        """What pydantic calls. `read` never sees a missing value, nor one whose fault is already reported."""
        if value is BROKEN:
            raise PydanticCustomError("broken", "already reported")
        if value is None:
            write = self.example or f"{self.accepts}, or take the key out"
            raise ValueError(f"There is nothing here. Write {write}.")
        read = self.read(value)
        return str(read) if isinstance(read, Expanded) else read


def shown(value: Any) -> str:
    """A value as a person may see it: never a secret, never a value from the environment."""
    if isinstance(value, Expanded):
        return value.source
    if isinstance(value, str):
        return f'"{printable(value, 60)}"'
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, int | float):
        return printable(str(value), 60)
    kinds = ((Secret, "The secret"), (dict, "A mapping"), (list, "A list"), (type(None), "Nothing"))
    return next((words for kind, words in kinds if isinstance(value, kind)), "This value")


def text_of(value: Any, accepts: str) -> str:
    """`value`, which must be text."""
    if not isinstance(value, str):
        raise ValueError(f"{shown(value)} is not text. Write {accepts}.")  # noqa: TRY004  pydantic collects ValueErrors
    return value


def parsed(parse: Callable[[str], _T], text: str, accepts: str) -> _T:
    """`parse(text)`. Its error may quote the text, so a value out of the environment gets another error."""
    try:
        return parse(str(text))
    except ValueError as error:
        hidden = (
            isinstance(text, Expanded) and f"The value of {text.source} is not accepted here. It must be {accepts}."
        )
        raise ValueError(hidden or str(error)) from None


def is_number(value: Any) -> bool:
    """Whether YAML read a number. `on` and `off` are booleans, which Python counts as numbers."""
    return isinstance(value, int | float) and not isinstance(value, bool)


class Whole(Reading):
    """A whole number within bounds."""

    def __init__(self, low: int, high: int) -> None:
        self._low, self._high = low, high
        self.accepts = f"a whole number from {low:,} to {high:,}"
        number = {"type": "integer", "minimum": low, "maximum": high}
        self.schema = {"anyOf": [number, _TEXT | {"pattern": "^[0-9]{1,12}$"}]}

    def read(self, value: Any) -> int:
        number = int(value) if isinstance(value, str) and re.fullmatch(r"[0-9]{1,12}", value, re.ASCII) else value
        if isinstance(number, bool) or not isinstance(number, int):
            raise ValueError(f"{shown(value)} is not a whole number. Write {self.accepts}.")  # noqa: TRY004  pydantic collects ValueErrors
        if not self._low <= number <= self._high:
            raise ValueError(
                f"{shown(value)} is too {'small' if number < self._low else 'large'}. Write {self.accepts}."
            )
        return number


class Duration(Reading):
    """A length of time within bounds; `read` gives a timedelta."""

    schema: Mapping[str, Any] = _TEXT | {"pattern": r"^\s*[0-9.]+\s*(ms|s|m|h|d)\s*$"}

    def __init__(self, low: str, high: str) -> None:
        self._low, self._high = parse_duration(low), parse_duration(high)
        self.accepts = f"a duration from {low} to {high}"

    def read(self, value: Any) -> timedelta:
        if is_number(value):
            raise ValueError(f"{shown(value)} has no unit. Write {self.accepts}, e.g. {shown(value)}s.")
        length = parsed(parse_duration, text_of(value, self.accepts), self.accepts)
        if not self._low <= length <= self._high:
            raise ValueError(
                f"{shown(value)} is too {'short' if length < self._low else 'long'}. Write {self.accepts}."
            )
        return length


class DurationOrOff(Duration):
    """The same, or `off`, which YAML reads as a boolean; `read` gives None for it."""

    def __init__(self, low: str, high: str) -> None:
        super().__init__(low, high)
        self.accepts += ", or off"
        self.schema = {"anyOf": [self.schema, {"const": False}, any_case("off")]}

    def read(self, value: Any) -> timedelta | None:  # type: ignore[override]  # off is no length of time
        if value is False or (isinstance(value, str) and value.lower() == "off"):
            return None
        return super().read(value)


class Rate(Reading):
    """A rate; `read` gives requests per second."""

    accepts = 'a rate such as "5/s", "300/m" or "1000/h", above 0 and at most 100,000/s'
    schema = _TEXT | {"pattern": r"^\s*[0-9.]+\s*/\s*[smh]\s*$"}
    _MOST: Final = 100_000.0

    def read(self, value: Any) -> float:
        if is_number(value):
            raise ValueError(f"{shown(value)} has no unit. Write {self.accepts}.")
        rate = parsed(parse_rate, text_of(value, self.accepts), self.accepts)
        if not 0 < rate <= self._MOST:
            raise ValueError(f"{shown(value)} is out of bounds. Write {self.accepts}.")
        return rate


class OneOf(Reading):
    """One word of a few. `off` may be one of them, though YAML reads it as a boolean."""

    def __init__(self, words: Iterable[str], *, noun: str, example: str = "") -> None:
        self._words, self._noun, self.example = {str(word): word for word in words}, noun, example
        self.accepts = " or ".join(self._words)
        self.schema = {"enum": [*self._words, *([False] if "off" in self._words else [])]}

    def read(self, value: Any) -> str:
        text = "off" if value is False and "off" in self._words else text_of(value, self.accepts)
        if text not in self._words:
            raise ValueError(f"{shown(value)} is not {self._noun}.{guess(text, self._words)}")
        return self._words[text]


class OnOff(Reading):
    """`on` or `off`, as YAML 1.1's booleans or as words."""

    accepts = "on or off"
    _WORDS: Final = {"on": True, "yes": True, "true": True, "off": False, "no": False, "false": False}
    schema: Mapping[str, Any] = {"anyOf": [{"type": "boolean"}, any_case(*_WORDS)]}

    def read(self, value: Any) -> bool:
        if isinstance(value, bool):
            return value
        if isinstance(value, str) and value.lower() in self._WORDS:
            return self._WORDS[value.lower()]
        raise ValueError(f"{shown(value)} is neither on nor off. Write {self.accepts}.")


class Parameters(Reading):
    """Names of query parameters."""

    accepts = "the name of a parameter, or a list of up to 4"
    schema = one_or_list_of(_TEXT | {"pattern": "^[A-Za-z_][A-Za-z0-9_.-]{0,63}$"})
    _FORM: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}", re.ASCII)

    def read(self, value: Any) -> tuple[str, ...]:
        names = value if isinstance(value, list) else [value]
        if not 1 <= len(names) <= 4:  # noqa: PLR2004  more would be a mistake
            raise ValueError(f"Write {self.accepts}.")
        for name in names:
            if not isinstance(name, str) or not self._FORM.fullmatch(name):
                raise ValueError(f"{shown(name)} is not the name of a parameter: letters, digits, _, . and -.")
        return tuple(dict.fromkeys(names))


class Name(Reading):
    """The name of a provider or an endpoint. It can never look like a URL, so the two cannot be confused."""

    accepts = "a name of 1 to 64 characters out of a-z, 0-9, _ and -, that begins with a letter or a digit"
    # In `allOf` the pattern is required of every key of a mapping; alone it would not refuse other keys.
    schema: Mapping[str, Any] = {"type": "string", "allOf": [{"pattern": "^[a-z0-9][a-z0-9_-]{0,63}$"}]}
    _FORM: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}", re.ASCII)

    def __init__(self, example: str = "") -> None:
        self.example = example

    def read(self, value: Any) -> str:
        text = text_of(value, self.accepts)
        if not self._FORM.fullmatch(text):
            raise ValueError(f"{shown(value)} is not a name. Write {self.accepts}.")
        return text


def guess(value: str, known: Iterable[str]) -> str:
    """A "did you mean", but none for a value out of the environment: the guess would show what it is."""
    return did_you_mean("" if isinstance(value, Expanded) else value, known)


class Text(Reading):
    """Any text in one line. `cross_checks` or `intake` checks what it names."""

    def __init__(self, accepts: str, *, example: str = "") -> None:
        self.accepts, self.example = accepts, example

    def read(self, value: Any) -> str:
        text = text_of(value, self.accepts)
        if not text.strip():
            raise ValueError(f"The text is empty. Write {self.accepts}.")
        if not text.isprintable():
            raise ValueError(f"{shown(value)} has a control character in it. Write {self.accepts}.")
        return text


class FilePath(Text):
    """A path, or a pattern of paths, made absolute. A relative one starts at the directory of the configuration file.

    That directory is the context of the validation. Its name is escaped in a pattern, where it could hold a wildcard.
    """

    def __init__(self, accepts: str, *, example: str = "", pattern: bool = False) -> None:
        super().__init__(accepts, example=example)
        self._pattern = pattern

    def read(self, value: Any) -> str:
        text = super().read(value)
        refuse_tilde(text)
        return text

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> core_schema.CoreSchema:
        def validate(value: Any, info: core_schema.ValidationInfo) -> str:
            base = str(info.context)
            return absolute(self.validate(value), File(glob.escape(base) if self._pattern else base))

        return core_schema.with_info_plain_validator_function(validate)


def refuse_tilde(path: str) -> None:
    """`ValueError` if a shell would expand the path: notifier does not."""
    if path.startswith("~"):
        raise ValueError("A ~ is not expanded here. Write the whole path, or ${HOME}/ and the rest.")


def absolute(path: str, base: File) -> str:
    """`path` without dots in it; if it is relative, it starts at `base`."""
    return os.path.normpath(base / path)


def base_of(source: str) -> File:
    """The directory that relative paths in the configuration at `source` start at."""
    return File(os.path.abspath(source)).parent  # noqa: PTH100  resolve() would follow links and move the base


class EventTypes(Reading):
    """A list of event types. An empty one is refused, because such an endpoint would be sent nothing."""

    accepts = "one or a list out of " + ", ".join(TYPES)
    schema = one_or_list_of({"enum": list(TYPES)})

    def read(self, value: Any) -> frozenset[str]:
        names = value if isinstance(value, list) else [value]
        if BROKEN in names:
            raise PydanticCustomError("broken", "already reported")
        if not names:
            raise ValueError("An empty list would send nothing. Name the types, or take the key out to send all.")
        wrong = (
            f"{shown(name)} is not an event type.{guess(name if isinstance(name, str) else '', TYPES)}"
            for name in names
            if not isinstance(name, str) or name not in TYPES
        )
        if sentences := " ".join(wrong):
            raise ValueError(sentences)
        return frozenset(map(str, names))

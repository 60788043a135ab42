"""How one value of the configuration is read: a number, a duration, a rate, a word, a name.

A `Reading` is what validates a value and what the reference prints of it, so the two cannot disagree. `read` raises
ValueError with a sentence that says what is wrong and what to write instead. A value out of the environment is shown as
it is written, never as what it stands for.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import Any, Final, TypeVar

from pydantic_core import PydanticCustomError, core_schema

from notifier.config.expand import BROKEN, Expanded
from notifier.domain.message import TYPES
from notifier.domain.settings import Secret
from notifier.text.printable import did_you_mean, printable
from notifier.text.quantity import parse_duration, parse_rate

_T = TypeVar("_T")


class Reading:
    """How one value is read. `accepts` says in words what may stand there."""

    accepts: str = ""
    #: What to write where the value is missing; empty where it has a default.
    example: str = ""

    def read(self, value: Any) -> Any:
        """The value as the program wants it; `ValueError` with a sentence."""
        raise NotImplementedError

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(self._validate)

    def _validate(self, value: Any) -> Any:
        if value is BROKEN:
            raise PydanticCustomError("broken", "told already")
        if value is None:
            write = self.example or f"{self.accepts}, or take the key out"
            raise ValueError(f"Nothing stands here. Write {write}.")
        return self.read(value)


def shown(value: Any) -> str:
    """A value as a person may see it: never a secret, never what came out of the environment."""
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
    """`value` where it is text."""
    if not isinstance(value, str):
        raise ValueError(f"{shown(value)} is not text. Write {accepts}.")  # noqa: TRY004  pydantic collects ValueErrors
    return value


def asked(judge: Callable[[str], _T], text: str, accepts: str) -> _T:
    """`judge(text)`; its complaint may quote the text, so for a value out of the environment it is ours instead."""
    hidden = (
        f"What {text.source} stands for is not accepted here. It must be {accepts}."
        if isinstance(text, Expanded)
        else ""
    )
    try:
        return judge(str(text))
    except ValueError as error:
        raise ValueError(hidden or str(error)) from None


def is_number(value: Any) -> bool:
    """Whether YAML read a number; `on` and `off` are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


class Whole(Reading):
    """A whole number within bounds."""

    def __init__(self, low: int, high: int) -> None:
        self._low, self._high = low, high
        self.accepts = f"a whole number from {low:,} to {high:,}"

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

    def __init__(self, low: str, high: str) -> None:
        self._low, self._high = parse_duration(low), parse_duration(high)
        self.accepts = f"a duration from {low} to {high}"

    def read(self, value: Any) -> timedelta:
        if is_number(value):
            raise ValueError(f"{shown(value)} has no unit. Write {self.accepts}, e.g. {shown(value)}s.")
        text = text_of(value, self.accepts)
        length = asked(parse_duration, text, self.accepts)
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

    def read(self, value: Any) -> timedelta | None:  # type: ignore[override]  # off is no length of time
        if value is False or (isinstance(value, str) and value.lower() == "off"):
            return None
        return super().read(value)


class Rate(Reading):
    """So many a second; `read` gives requests per second."""

    accepts = 'a rate such as "5/s", "300/m" or "1000/h", above 0 and at most 100,000/s'
    _MOST: Final = 100_000.0

    def read(self, value: Any) -> float:
        if is_number(value):
            raise ValueError(f"{shown(value)} has no unit. Write {self.accepts}.")
        rate = asked(parse_rate, text_of(value, self.accepts), self.accepts)
        if not 0 < rate <= self._MOST:
            raise ValueError(f"{shown(value)} is out of bounds. Write {self.accepts}.")
        return rate


class Retry(Duration):
    """One step of a retry schedule."""

    def __init__(self) -> None:
        super().__init__("0s", "7d")


class OneOf(Reading):
    """One word of a few; `words` gives them, so that they may be known only later."""

    def __init__(self, words: Callable[[], Mapping[str, Any]], *, noun: str, example: str = "") -> None:
        self._words, self._noun, self.example = words, noun, example

    @property
    def accepts(self) -> str:  # type: ignore[override]  # drawn from what there is
        return " or ".join(self._words())

    def read(self, value: Any) -> str:
        text = text_of(value, self.accepts)
        if text not in self._words():
            raise ValueError(f"{shown(value)} is not {self._noun}.{guess(text, self._words())}")
        return text


class OnOff(Reading):
    """`on` or `off`, as YAML 1.1's booleans or as words."""

    accepts = "on or off"
    _WORDS: Final = {"on": True, "yes": True, "true": True, "off": False, "no": False, "false": False}

    def read(self, value: Any) -> bool:
        if isinstance(value, bool):
            return value
        if isinstance(value, str) and value.lower() in self._WORDS:
            return self._WORDS[value.lower()]
        raise ValueError(f"{shown(value)} is neither on nor off. Write {self.accepts}.")


class LongPollMode(OneOf):
    """`auto`, `single`, `any` or `off`, which YAML reads as a boolean."""

    def __init__(self) -> None:
        super().__init__(lambda: dict.fromkeys(("auto", "single", "any", "off")), noun="a way to long-poll")

    def read(self, value: Any) -> str:
        return super().read("off" if value is False else value)


class Parameters(Reading):
    """Names of query parameters."""

    accepts = "the name of a parameter, or a list of up to 4"
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
    """The name of a provider or an endpoint. It can never look like a URL: that is how the two are told apart."""

    accepts = "a name of 1 to 64 characters out of a-z, 0-9, _ and -, that begins with a letter or a digit"
    _FORM: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}", re.ASCII)

    def read(self, value: Any) -> str:
        text = text_of(value, self.accepts)
        if not self._FORM.fullmatch(text):
            raise ValueError(f"{shown(value)} is not a name. Write {self.accepts}.")
        return text


def guess(value: str, known: Iterable[str]) -> str:
    """A "did you mean" that tells nothing of what came out of the environment."""
    return did_you_mean("" if isinstance(value, Expanded) else value, known)


def check_path(path: str) -> None:
    """`ValueError` where a path would not lead where a shell would take it."""
    if path.startswith("~"):
        raise ValueError("A ~ is not expanded here. Write the whole path, or ${HOME}/ and the rest.")


class Text(Reading):
    """Text that is judged later, where what it speaks of is known."""

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
    """A path, or a pattern of paths; where it starts is known later."""

    def read(self, value: Any) -> str:
        text = super().read(value)
        check_path(text)
        return str(text)


class WrittenPath(FilePath):
    """A path that a later fault may speak of: it still knows whether it came out of the environment."""

    def read(self, value: Any) -> str:
        super().read(value)
        return str(value) if not isinstance(value, Expanded) else value


class EventTypes(Reading):
    """A list of event types; none at all would be an endpoint that is never told anything."""

    accepts = "one or a list out of " + ", ".join(TYPES)

    def read(self, value: Any) -> frozenset[str]:
        names = value if isinstance(value, list) else [value]
        if BROKEN in names:
            raise PydanticCustomError("broken", "told already")
        if not names:
            raise ValueError("An empty list would send nothing. Name the types, or take the key out to send all.")
        wrong = [_unknown_type(name) for name in names if not isinstance(name, str) or name not in TYPES]
        if wrong:
            raise ValueError(" ".join(wrong))
        return frozenset(map(str, names))


def _unknown_type(name: Any) -> str:
    return f"{shown(name)} is not an event type.{guess(name if isinstance(name, str) else '', TYPES)}"

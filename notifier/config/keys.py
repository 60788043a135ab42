"""The declared keys as data: each with its reading and its default, and where in the file its section is.

The fault sentences, the places of secrets, the reference and a reload use this, so none of them names a key.
"""

from collections.abc import Iterator, Mapping
from dataclasses import MISSING, fields
from functools import cached_property
from typing import Annotated, Any, Final, NamedTuple, Required, get_args, get_origin, get_type_hints

from notifier.config import sections
from notifier.config.sections import NeedsRestart
from notifier.config.values import Reading
from notifier.domain import settings
from notifier.text.printable import Path


class Key(NamedTuple):
    """One key, as it is declared."""

    required: bool
    #: That of the record's field; None if it has none.
    default: Any
    #: How its value is read, or each value in its `container`; None for a section.
    reading: Reading | None
    #: `dict`, `list` or None.
    container: Any
    #: What else the annotation says.
    marks: tuple[Any, ...]


class Section:
    """The keys of one section, and the record that is made of it."""

    def __init__(self, declared: type, record: type) -> None:
        self.declared, self.record = declared, record

    @cached_property
    def keys(self) -> Mapping[str, Key]:
        """By name, in the order in which they are declared."""
        hints = get_type_hints(self.declared, include_extras=True)
        return {name: self._key(name, hint) for name, hint in hints.items()}

    def _key(self, name: str, hint: Any) -> Key:
        required = get_origin(hint) is Required
        (hint,) = get_args(hint) if required else (hint,)
        value, *marks = get_args(hint) if get_origin(hint) is Annotated else (hint,)
        default = next((field.default for field in fields(self.record) if field.name == name), MISSING)
        reading = next((each for each in (*marks, *_within(value)) if isinstance(each, Reading)), None)
        return Key(
            required=required,
            default=None if default is MISSING else default,
            reading=reading,
            container=None if reading in marks else get_origin(value),
            marks=tuple(marks),
        )


def _within(hint: Any) -> Iterator[Any]:
    for part in get_args(hint):
        yield part
        yield from _within(part)


#: Where each section is in the file; "*" is any name.
SECTIONS: Final[Mapping[Path, Section]] = {
    (): Section(sections.ConfigKeys, settings.Settings),
    ("providers", "*"): Section(sections.ProviderKeys, settings.ProviderSettings),
    ("endpoints", "*"): Section(sections.EndpointKeys, settings.EndpointSettings),
    ("endpoints", "*", "tls"): Section(sections.TlsKeys, settings.TlsSettings),
    ("callbacks",): Section(sections.CallbacksKeys, settings.CallbackSettings),
    ("drop",): Section(sections.DropKeys, settings.WatchDefaults),
    ("api",): Section(sections.ApiKeys, settings.ApiSettings),
}
#: Keys whose change a running daemon does not take over, as `drop.directory`.
FIXED: Final[Mapping[str, NeedsRestart]] = {
    ".".join((*map(str, path), name)): mark
    for path, section in SECTIONS.items()
    for name, key in section.keys.items()
    for mark in key.marks
    if isinstance(mark, NeedsRestart)
}


def general(path: Path) -> Path:
    """`path` with "*" for the name of a provider or an endpoint."""
    return tuple("*" if depth == 1 else step for depth, step in enumerate(path))

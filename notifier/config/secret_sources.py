"""Secrets in the configuration: where they may be, and where their text comes from.

`{file: PATH}` and `{credential: NAME}` are understood in these places and nowhere else. No error sentence contains a
secret.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path as File
from typing import Any, Final

from notifier.config.expand import BROKEN, Expanded, variables
from notifier.config.keys import SECTIONS
from notifier.config.secret_values import WAYS, SecretReading, stray_text
from notifier.domain.errors import Fault
from notifier.domain.settings import Secret
from notifier.text.document import Document
from notifier.text.printable import Path, did_you_mean, printable, show_path
from notifier.text.reader import FileRefused, FileTooLarge, read_regular_file

#: Where a secret may be, and whether a list of them may; "*" is any name.
PLACES: Final[tuple[tuple[Path, bool], ...]] = tuple(
    ((*section, name, "*") if key.container is dict else (*section, name), key.container is list)
    for section, declared in SECTIONS.items()
    for name, key in declared.keys.items()
    if isinstance(key.reading, SecretReading)
)
_IS_PLACE: Final = re.compile(
    "|".join(rf"{place[0]}\W(?:.*\b)?{[step for step in place if step != '*'][-1]}\b" for place, _ in PLACES)
)
#: Bytes of a secret's file at most.
_LIMIT: Final = 16 * 1024


class Origin(StrEnum):
    """Where the text of a secret comes from."""

    ENVIRONMENT = "environment variable"
    CREDENTIAL = "credential"
    FILE = "file"
    LITERAL = "text in the configuration"


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretSource:
    """Where one secret comes from; never the secret."""

    #: E.g. `endpoints.studio.secret[0]`.
    path: str
    line: int | None
    kind: Origin
    #: The variable, the credential or the file; empty for text in the configuration itself.
    name: str

    @property
    def origin(self) -> str:
        """In words, e.g. `environment variable AIMLAPI_KEY`."""
        return f"{self.kind} {self.name}".rstrip()

    @property
    def renewal(self) -> str:
        """When a change of it takes effect, in words."""
        reread = self.kind in (Origin.FILE, Origin.LITERAL)
        return "read again on reload" if reread else "a change needs a restart"


def sources(document: Document) -> list[SecretSource]:
    """Where each secret of the document comes from, as it is written. A value that cannot be a secret is left out."""
    return [
        SecretSource(path=show_path(path), line=document.line(path), kind=kind, name=name)
        for path, holder in places(document.value)
        for kind, name in _origins(holder[path[-1]])
    ]


def _origins(written: Any) -> list[tuple[Origin, str]]:
    match written:
        case {"file": str(name), **rest} if not rest:
            return [(Origin.FILE, printable(name, 200))]
        case {"credential": str(name), **rest} if not rest:
            return [(Origin.CREDENTIAL, printable(name, 200))]
        case str() if names := variables(written):
            return [(Origin.ENVIRONMENT, ", ".join(names))]
        case str():
            return [(Origin.LITERAL, "")]
        case _:
            return []


def places(value: Any) -> Iterator[tuple[Path, Any]]:
    """Each place of `value` that holds a secret: its path, and the mapping or list that it is in."""
    for place, listed in PLACES:
        for path, holder in _matching(value, place, ()):
            secret = holder[path[-1]]
            if listed and isinstance(secret, list):
                yield from (((*path, index), secret) for index in range(len(secret)))
            else:
                yield path, holder


def _matching(value: Any, pattern: Sequence[str | int], path: Path) -> Iterator[tuple[Path, Any]]:
    step, *rest = pattern
    for at in value if isinstance(value, dict) else ():
        if step not in ("*", at):
            continue
        if rest:
            yield from _matching(value[at], rest, (*path, at))
        else:
            yield (*path, at), value


def is_place(path: str) -> bool:
    """Whether a fault at this path, as it is shown, may be about a secret."""
    return _IS_PLACE.match(path) is not None


def read_secrets(value: Any, document: Document, *, base: File, environ: Mapping[str, str]) -> list[Fault]:
    """Replace each secret in `value` by a `Secret`, or by BROKEN if it cannot be read; the faults of those.

    Relative paths start at `base`.
    """
    faults = []
    for path, holder in list(places(value)):
        written = holder[path[-1]]
        if written is BROKEN or written is None:
            continue
        try:
            holder[path[-1]] = Secret(_text(written, base, environ.get("CREDENTIALS_DIRECTORY")))
        except ValueError as error:
            holder[path[-1]] = BROKEN
            faults.append(Fault(message=str(error), path=show_path(path), line=document.line(path)))
    return faults


def _text(written: Any, base: File, credentials: str | None) -> str:
    match written:
        case str():
            return str(written)
        case {"file": str(name), **rest} if not rest:
            return _read(base / name, name.source if isinstance(name, Expanded) else str(base / name))
        case {"credential": str(name), **rest} if not rest:
            return _credential(name, credentials)
        case dict():
            keys = [key for key in written if key not in ("file", "credential")]
            hint = did_you_mean(keys[0], ("file", "credential")) if keys else ""
            raise ValueError(f"A secret is {WAYS}.{hint}")
        case bool() | int() | float():
            raise ValueError("This is read as a number or as on/off, not as text. Quote it.")
        case _:
            raise ValueError(f"A secret is {WAYS}.")


def _credential(name: str, credentials: str | None) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_.@:-]{1,255}", name, re.ASCII) or name in (".", ".."):
        raise ValueError("The name of a credential is letters, digits and . _ @ : - only, as in LoadCredential=.")
    shown = name.source if isinstance(name, Expanded) else name
    if not credentials:
        cure = f"Write LoadCredential={shown}:PATH in the unit, or use {{file: PATH}}."
        wrong = "$CREDENTIALS_DIRECTORY is not set; the service manager sets it."
        raise ValueError(f"{{credential: {shown}}}: {wrong} {cure}")
    return _read(File(credentials) / name, f"$CREDENTIALS_DIRECTORY/{shown}")


def _read(file: File, name: str) -> str:
    """The text of a secret's file, without its final newline; `ValueError` with the reason.

    Any other blank around the text is refused, because only its owner knows whether it belongs to the secret.
    """
    shown = printable(name, 200)
    try:
        content = read_regular_file(file, _LIMIT)
    except FileTooLarge as error:
        raise ValueError(f"{shown} {error}; that is no secret.") from None
    except FileRefused as error:
        raise ValueError(f"{shown} {error}.") from None
    try:
        text = content.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise ValueError(f"{shown} is not UTF-8 text.") from None
    if not text.strip():
        raise ValueError(f"{shown} is empty. Write the secret into it.")
    if wrong := stray_text(text):
        raise ValueError(f"{shown} {wrong}. Write the secret alone, on one line.")
    return text

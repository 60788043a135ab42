"""Secrets in the configuration: where they may stand, where their text comes from, and what they must look like.

`{file: PATH}` and `{credential: NAME}` are understood in these places and nowhere else. No sentence holds a secret.
A placeholder out of an example is refused: callbacks signed with it would be anybody's to forge.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path as File
from typing import Any, Final

from notifier.config.expand import BROKEN, Expanded, uses_environment, variables
from notifier.domain.errors import Fault
from notifier.domain.settings import Secret
from notifier.text.document import Document
from notifier.text.printable import QUOTES, Path, did_you_mean, printable, show_path
from notifier.text.reader import FileRefused, FileTooLarge, read_regular_file

#: Where a secret may stand; "*" is any name or index.
PLACES: Final[tuple[Path, ...]] = (
    ("providers", "*", "api_key"),
    ("endpoints", "*", "secret"),
    ("endpoints", "*", "secret", "*"),
    ("endpoints", "*", "headers", "*"),
    ("callbacks", "secret"),
    ("providers", "*", "proxy"),
    ("endpoints", "*", "proxy"),
)
#: The one of them that may be a list, whose members are places then; those of `{file: PATH}` never are.
_MAY_BE_LIST: Final[Path] = PLACES[1]
_IN_LIST: Final[Path] = PLACES[2]
_IS_PLACE: Final = re.compile(
    r"providers\W.*\b(api_key|proxy)\b|endpoints\W.*\b(secret|headers|proxy)\b|callbacks\.secret\b"
)
WAYS: Final = "text, ${NAME}, {file: PATH} or {credential: NAME}"
#: Bytes of a secret's file at most.
_LIMIT: Final = 16 * 1024
#: No random key looks like this.
_PLACEHOLDER: Final = re.compile(
    r"(?i)<.*>|.*(…|\.\.\.|x{8}).*|change[-_ ]?me|todo|placeholder|(whsec_|whsk_|sk-)?(your|replace|insert)[-_ ].*"
)


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
    def reread(self) -> bool:
        """True where a reload reads it again; False where a change needs a restart."""
        return self.kind in (Origin.FILE, Origin.LITERAL)

    @property
    def origin(self) -> str:
        """In words, e.g. `environment variable AIMLAPI_KEY`."""
        return f"{self.kind} {self.name}".rstrip()

    @property
    def renewal(self) -> str:
        """In words, when a change of it acts."""
        return "read again on reload" if self.reread else "a change needs a restart"


def sources(document: Document) -> list[SecretSource]:
    """Where each secret of the document, as written, comes from; what is no secret at all is left out."""
    found = []
    for path, holder in places(document.value):
        written = holder[path[-1]]
        for kind, name in _origins(written):
            found.append(SecretSource(path=show_path(path), line=document.line(path), kind=kind, name=name))
    return found


def _origins(written: Any) -> list[tuple[Origin, str]]:
    match written:
        case {"file": str(name), **rest} if not rest:
            return [(Origin.FILE, printable(name, 200))]
        case {"credential": str(name), **rest} if not rest:
            return [(Origin.CREDENTIAL, printable(name, 200))]
        case str() if uses_environment(written):
            return [(Origin.ENVIRONMENT, ", ".join(variables(written)))]
        case str():
            return [(Origin.LITERAL, "")]
        case _:
            return []


def places(value: Any) -> Iterator[tuple[Path, Any]]:
    """Each place of `value` that holds a secret: its path, and the mapping or list it stands in."""
    for pattern in PLACES:
        for path, holder in _matching(value, pattern, ()):
            whole = pattern == _MAY_BE_LIST and isinstance(holder[path[-1]], list)
            within = pattern == _IN_LIST and not isinstance(holder, list)
            if not whole and not within:
                yield path, holder


def _matching(value: Any, pattern: Path, path: Path) -> Iterator[tuple[Path, Any]]:
    step, rest = pattern[0], pattern[1:]
    if isinstance(value, dict):
        steps: list[Any] = list(value) if step == "*" else [step] if step in value else []
    else:
        steps = list(range(len(value))) if isinstance(value, list) and step == "*" else []
    for at in steps:
        if rest:
            yield from _matching(value[at], rest, (*path, at))
        else:
            yield (*path, at), value


def is_place(path: str) -> bool:
    """Whether a fault at this shown path may speak of a secret."""
    return _IS_PLACE.match(path) is not None


class SecretReader:
    """Puts a `Secret` in every place of one configuration."""

    def __init__(self, document: Document, *, base: File, environ: Mapping[str, str]) -> None:
        self._document = document
        self._base = base
        self._credentials = environ.get("CREDENTIALS_DIRECTORY")
        self.faults: list[Fault] = []

    def resolve(self, value: Any) -> None:
        """Replace, in `value`, each secret by a `Secret`, or by BROKEN with a fault."""
        for path, holder in list(places(value)):
            written = holder[path[-1]]
            if written is BROKEN or written is None:
                continue
            try:
                holder[path[-1]] = Secret(self._text(written))
            except ValueError as error:
                holder[path[-1]] = BROKEN
                line = self._document.line(path)
                self.faults.append(Fault(message=str(error), path=show_path(path), line=line))

    def _text(self, written: Any) -> str:
        match written:
            case str():
                return str(written)
            case {"file": str(name), **rest} if not rest:
                return _read(self._base / name, name.source if isinstance(name, Expanded) else str(self._base / name))
            case {"credential": str(name), **rest} if not rest:
                return self._credential(name)
            case dict():
                keys = [key for key in written if key not in ("file", "credential")]
                hint = did_you_mean(keys[0], ("file", "credential")) if keys else ""
                raise ValueError(f"A secret is {WAYS}.{hint}")
            case bool() | int() | float():
                raise ValueError("This is read as a number or as on/off, not as text. Quote it.")
            case _:
                raise ValueError(f"A secret is {WAYS}.")

    def _credential(self, name: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9_.@:-]{1,255}", name, re.ASCII) or name in (".", ".."):
            raise ValueError("The name of a credential is letters, digits and . _ @ : - only, as in LoadCredential=.")
        shown = name.source if isinstance(name, Expanded) else name
        if not self._credentials:
            raise ValueError(
                f"{{credential: {shown}}}: $CREDENTIALS_DIRECTORY is not set; the service manager sets it. "
                f"Write LoadCredential={shown}:PATH in the unit, or use {{file: PATH}}."
            )
        return _read(File(self._credentials) / name, f"$CREDENTIALS_DIRECTORY/{shown}")


def _read(file: File, name: str) -> str:
    """The text of a secret's file, without its final newline; `ValueError` with the reason.

    Anything else around it is told: whether a blank belongs to the secret, only its owner knows.
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
    if wrong := beside(text):
        raise ValueError(f"{shown} {wrong}. Write the secret alone, on one line.")
    return text


def beside(secret: str) -> str:
    """What stands in a secret's text that no secret has, as the end of a sentence; empty where all is well."""
    if secret.startswith("\ufeff"):
        return "begins with a byte order mark: save it as UTF-8 without one (no BOM)"
    if len(secret.strip().splitlines()) > 1:
        return "holds more than one line"
    for edge, says in ((secret[:1], "begins with"), (secret[-1:], "ends in")):
        if edge in ("\n", "\r"):
            return f"{says} an empty line"
        if edge.isspace():
            return f"{says} a blank" if edge == " " else f"{says} a tab or another blank"
    if secret[:1] in QUOTES or secret[-1:] in QUOTES:
        return "has quotes around it, which would be a part of it: take them away"
    return ""


def refuse_placeholder(text: str) -> None:
    """`ValueError` where `text` is what an example says in place of a secret."""
    if _PLACEHOLDER.fullmatch(text.strip()):
        raise ValueError("This is the placeholder of an example. Write the real one.")

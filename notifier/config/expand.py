"""`${NAME}` in the values of a configuration: after parsing, so that no variable can change the document's structure.

An expanded value may be a secret, so a fault shows the text as it is written, which the value carries with it. `$$` is
a dollar sign, and a `$` before anything else is just a `$`. Keys are not expanded.
"""

import re
from collections.abc import Mapping
from typing import Any, Final, Self

from notifier.domain.errors import Fault
from notifier.text.document import Document
from notifier.text.printable import Path, printable, show_path

#: A brace that never closes matches the rest of the text: no other can close in it, so it is not searched again.
_DOLLAR: Final = re.compile(r"\$\$|\$\{([^}]*)(\}?)")
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


#: In place of a value that could not be read. Its fault is reported, and no later check reports it again.
BROKEN: Final = object()


class Expanded(str):
    """Text that came from the environment. `source` is the text as it is written, which may be shown."""

    __slots__ = ("source",)
    source: str

    def __new__(cls, text: str, source: str) -> Self:
        made = super().__new__(cls, text)
        made.source = source
        return made

    def __repr__(self) -> str:
        return f"Expanded({self.source!r})"


def expand(document: Document, environ: Mapping[str, str]) -> tuple[Any, list[Fault]]:
    """The document's value with every `${NAME}` replaced, and a fault for each that cannot be replaced.

    `Expanded` or `BROKEN` is in place of each text that has a variable in it.
    """
    faults: list[Fault] = []

    def walk(value: Any, path: Path) -> Any:
        if isinstance(value, dict):
            return {key: walk(member, (*path, key)) for key, member in value.items()}
        if isinstance(value, list):
            return [walk(member, (*path, index)) for index, member in enumerate(value)]
        if not isinstance(value, str) or "$" not in value:
            return value
        try:
            return expand_text(value, environ)
        except ValueError as error:
            faults.append(Fault(message=str(error), path=show_path(path), line=document.line(path)))
            return BROKEN

    return walk(document.value, ()), faults


def expand_text(text: str, environ: Mapping[str, str]) -> str:
    """`text` with its variables in place; `ValueError` with a sentence that names each one that is not set."""
    wrong: list[str] = []

    def replaced(match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        name, closed = match.groups()
        if not closed:
            wrong.append('"${" has no "}" after it. Write ${NAME}, or $$ for a dollar sign.')
        elif not _NAME.fullmatch(name):
            shown = f'"${{{printable(name, 40)}}}"'
            wrong.append(
                f"{shown} is not the name of a variable: letters, digits and _ only. Write $$ for a dollar sign."
            )
        elif not environ.get(name):
            lacks = "empty" if name in environ else "not set"
            wrong.append(f"${{{name}}}: the environment variable {name} is {lacks}. Set it, or write the value itself.")
        return "" if wrong else environ[name]

    made = _DOLLAR.sub(replaced, text)
    if wrong:
        raise ValueError(" ".join(dict.fromkeys(wrong)))
    return Expanded(made, printable(text, 80)) if variables(text) else made


def variables(text: str) -> list[str]:
    """The names of the variables in `text`, in order."""
    return [match[1] for match in _DOLLAR.finditer(text) if match[2]]


def plain(value: Any) -> Any:
    """`value` with plain `str` in place of `Expanded`, and a placeholder in place of BROKEN."""
    if isinstance(value, dict):
        return {key: plain(member) for key, member in value.items()}
    if isinstance(value, list):
        return [plain(member) for member in value]
    if value is BROKEN:
        return "?"
    return str(value) if isinstance(value, Expanded) else value


def expanded_places(value: Any, path: Path = ()) -> dict[str, str]:
    """Each `Expanded` in `value`: its path as it is shown -> the text as it is written."""
    if isinstance(value, Expanded):
        return {show_path(path): value.source}
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = (expanded_places(member, (*path, step)) for step, member in members)
    return {shown: source for places in found for shown, source in places.items()}

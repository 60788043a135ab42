"""Reads the named SQL statements and the migrations that ship in the package. Owns their form; runs nothing.

A statement opens with `-- name: NAME`, then a line that says what it is for. A file that keeps to another form is
refused when it is loaded, so a mistake shows at import and not at 3 a.m.
"""

import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Final

_HEAD: Final = re.compile(r"^-- name: (\w+)\n-- (.+)\n", re.MULTILINE)
_MIGRATION: Final = re.compile(r"^(\d{4})_\w+\.sql$")


def statements(subject: str) -> Mapping[str, str]:
    """The statements of `store/sql/<subject>.sql`, by name."""
    text = (files("notifier.store.sqlite") / "sql" / f"{subject}.sql").read_text(encoding="utf-8")
    return parse(text)


def parse(text: str) -> Mapping[str, str]:
    """Name -> statement. ValueError if a statement has no purpose, or a name is there twice."""
    heads = list(_HEAD.finditer(text))
    if len(heads) != text.count("-- name:") or not text.startswith("-- name:"):
        raise ValueError("every statement opens with `-- name: NAME` and a line of purpose")
    ends = [head.start() for head in heads[1:]] + [len(text)]
    found = {head[1]: text[head.end() : end].strip() for head, end in zip(heads, ends, strict=True)}
    if len(found) != len(heads):
        raise ValueError("two statements have the same name")
    return found


def migrations() -> Sequence[tuple[int, str]]:
    """(schema number, script), in order. ValueError if the numbers do not run 1, 2, 3 and so on."""
    found = sorted(
        (int(matched[1]), entry.read_text(encoding="utf-8"))
        for entry in (files("notifier.store.sqlite") / "migrations").iterdir()
        if (matched := _MIGRATION.match(entry.name))
    )
    numbers = [number for number, _ in found]
    if numbers != list(range(1, len(found) + 1)):
        raise ValueError(f"migrations are not numbered 1, 2, 3, …: {numbers}")
    return found

"""`docs/configuration.md` and the JSON Schema, made from the sections: the documented name is the one that is read.

The prose of the page is `manual.md`. `python -m notifier.config > docs/configuration.md` writes the page anew; a test
holds the two equal.
"""

import ast
from collections.abc import Mapping
from datetime import timedelta
from importlib import resources
from inspect import cleandoc, getsource
from itertools import pairwise
from typing import Any

from annotated_types import Len

from notifier.config.keys import FIXED, SECTIONS, Key, Section
from notifier.config.secret_sources import PLACES
from notifier.config.sections import CONFIG, ONE_OR_LIST
from notifier.config.values import Name, Rate
from notifier.text.printable import Path


def reference() -> str:
    """The whole page, in Markdown: `manual.md` with what is made from the sections."""
    secrets = (f"the values of `{path[-2]}`" if path[-1] == "*" else f"`{path[-1]}`" for path, _ in PLACES)
    *some, last = (f"`{name}`" for name in FIXED)
    made = {
        "[SECRETS]": ", ".join(dict.fromkeys(secrets)),
        "[FIXED]": f"{', '.join(some)} or {last}",
        "[TABLES]\n": "".join(map(_section, SECTIONS)),
    }
    page = resources.files("notifier.config").joinpath("manual.md").read_text()
    for mark, text in made.items():
        page = page.replace(mark, text)
    return page


def schema() -> dict[str, Any]:
    """JSON Schema of the file, as it is written. A value that the schema refuses is refused by `load` too."""
    made = CONFIG.json_schema()
    for section in SECTIONS.values():
        part = made["$defs"].get(section.declared.__name__, made)
        part["description"] = cleandoc(section.declared.__doc__ or "")
        for name, says in _descriptions(section).items():
            part["properties"][name]["description"] = says
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **made}


def _section(path: Path) -> str:
    section = SECTIONS[path]
    title = "`" + ".".join("NAME" if step == "*" else str(step) for step in path) + "`" if path else "The file"
    head = ["", f"## {title}", "", cleandoc(section.declared.__doc__ or ""), ""]
    table = ["| key | what it does | default | accepts |", "|---|---|---|---|"]
    says = _descriptions(section)
    for name, key in section.keys.items():
        cells = (f"`{name}`", says[name], _default(key), _accepts(name, key))
        table.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join([*head, *table]) + "\n"


def _descriptions(section: Section) -> Mapping[str, str]:
    """The string below each key, on one line. Only the source has it: the running program does not keep it."""
    (declared,) = ast.parse(getsource(section.declared)).body
    return {
        key.target.id: " ".join(text.split())
        for key, below in pairwise(ast.iter_child_nodes(declared))
        if isinstance(key, ast.AnnAssign) and isinstance(key.target, ast.Name)
        if isinstance(below, ast.Expr) and isinstance(text := ast.literal_eval(below.value), str)
    }


def _default(key: Key) -> str:
    if key.required:
        return "**needed**"
    rate = isinstance(key.reading, Rate)
    return "" if key.default in (None, (), {}) else f"`{written(key.default, rate=rate)}`"


def written(value: Any, *, rate: bool = False) -> str:
    """A value as a person writes it in the file."""
    match value:
        case bool():
            return "on" if value else "off"
        case timedelta():
            return _duration(value)
        case list() | tuple():
            return "[" + ", ".join(map(written, value)) + "]"
        case int() | float() if rate:
            return f"{value:g}/s"
        case _:
            return str(value)


def _duration(length: timedelta) -> str:
    if length > timedelta(days=1) and not length % timedelta(days=1):
        return f"{length // timedelta(days=1)}d"
    for unit, one in (("h", timedelta(hours=1)), ("m", timedelta(minutes=1)), ("s", timedelta(seconds=1))):
        if length and not length % one:
            return f"{length // one}{unit}"
    return f"{length // timedelta(milliseconds=1)}ms" if length else "0s"


def _accepts(name: str, key: Key) -> str:
    if key.reading is None:
        return "a list; see *A watch* below" if name == "watches" else "a section; see below"
    accepts = key.reading.accepts
    if key.container is dict:
        return f"a mapping; each {'key' if isinstance(key.reading, Name) else 'value'} is {accepts}"
    if key.container is list:
        most = next((f"1 to {mark.max_length}" for mark in key.marks if isinstance(mark, Len)), "any length")
        return f"{'one or a list' if ONE_OR_LIST in key.marks else 'a list'} of {most}; each entry is {accepts}"
    return accepts

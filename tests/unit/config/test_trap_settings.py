"""Traps 3 and 8 for every key: settings that do nothing, and those whose documented name is not the one that is read.

Nothing here names a key, so one that is added is held to it too.
"""

import ast
import dataclasses
import re
from pathlib import Path
from types import GenericAlias
from typing import Any, get_args, get_origin, get_type_hints

import pytest
import yaml

import notifier
from notifier.config import load
from notifier.config.keys import SECTIONS
from notifier.config.records import settings_from
from notifier.domain.errors import ConfigError
from notifier.domain.settings import (
    ApiSettings,
    CallbackSettings,
    DropSettings,
    EndpointSettings,
    ProviderSettings,
    Settings,
    TlsSettings,
    WatchDefaults,
)

ROOT = Path(__file__).parents[3]
KEY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
#: Read from the document itself, each entry with its line, and not from the keys.
ELSEWHERE: Any = {((), "watches")}
#: Values that settings are made by; any other key may have any.
WORTH: Any = {
    (("providers", "*"), "kind"): "aimlapi-luma",
    (("drop",), "notify"): ("some",),
    (("drop",), "state"): "running",
}
#: Keys whose field has another type: `watches` are read elsewhere, `drop.state` may be a provider's own word, and the
#: names of headers are read as a mapping that can be changed.
CONVERTED: Any = {((), "watches"), (("drop",), "state"), (("endpoints", "*"), "headers")}
PACKAGE = Path(notifier.__file__).parent
#: (section, key) of every table in the reference.
DOCUMENTED = [
    (title, key)
    for title, table in re.findall(
        r"^## (The file|`.*?`)\n(.*?)(?=^## |\Z)",
        (ROOT / "docs" / "configuration.md").read_text(),
        re.MULTILINE | re.DOTALL,
    )
    for key in re.findall(r"^\| `([a-z_]+)` \|", table, re.MULTILINE)
]


def marked() -> Any:
    """Every key of every section, each with a value of its own that is found again in the records."""
    whole: dict[str, Any] = {}
    for path, section in SECTIONS.items():
        holder = whole
        for step in map(str, path):
            if not isinstance(holder.get(step), dict):
                holder[step] = {}
            holder = holder[step]
        holder |= {name: WORTH.get((path, name), mark_of(path, name)) for name in section.keys}
    return whole


def mark_of(path: tuple[str | int, ...], name: str) -> str:
    return f"<{'.'.join((*map(str, path), name))}>"


def test_trap_03_every_key_reaches_the_records() -> None:
    """Whatever the file may say is found again in the settings that are made of it, under no other key's name."""
    shown = repr(settings_from(marked(), source="c.yaml"))
    for path, section in SECTIONS.items():
        for name in section.keys:
            worth = WORTH.get((path, name), mark_of(path, name))
            nested = (*path, name) in SECTIONS or (*path, name, "*") in SECTIONS
            assert nested or (path, name) in ELSEWHERE or repr(worth).strip("()',") in shown, (path, name)


@pytest.mark.parametrize("path", SECTIONS, ids=str)
def test_a_key_has_the_type_of_the_field_that_it_fills(path: tuple[str | int, ...]) -> None:
    """Of the field of the same name; what a section is made into has a record of its own."""
    section = SECTIONS[path]
    typed, fields = (get_type_hints(each) for each in (section.declared, section.record))
    for name in section.keys.keys() & fields.keys():
        nested = (*path, name) in SECTIONS or (*path, name, "*") in SECTIONS
        hint = typed[name]
        if get_origin(hint) is list:
            hint = GenericAlias(tuple, (*get_args(hint), ...))
        assert nested or (path, name) in CONVERTED or fields[name] in (hint, hint | None), (name, hint)


def test_trap_03_every_field_of_the_records_is_read_by_the_program() -> None:
    """Each field that a key fills is read somewhere outside of `config`."""
    asked = {
        node.attr
        for file in PACKAGE.rglob("*.py")
        if PACKAGE / "config" not in file.parents and file != PACKAGE / "domain" / "settings.py"
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)
    }
    records = (
        ProviderSettings,
        EndpointSettings,
        TlsSettings,
        CallbackSettings,
        WatchDefaults,
        DropSettings,
        ApiSettings,
        Settings,
    )
    keys = {name for section in SECTIONS.values() for name in section.keys}
    filled = {field.name for record in records for field in dataclasses.fields(record)} & keys
    assert len(filled) > 30
    assert filled - asked == set()


def faults(section: str, key: str, directory: Path) -> str:
    """What the program says of `key`, at its place in the reference, with a value that no key accepts."""
    steps = [] if section == "The file" else section.strip("`").replace("NAME", "some").split(".")
    tree: Any = {key: {"nonsense": [1]}}
    for step in reversed(steps):
        tree = {step: tree}
    (directory / "c.yaml").write_text(yaml.safe_dump(tree))
    with pytest.raises(ConfigError) as refused:
        load(str(directory / "c.yaml"), environ={})
    return str(refused.value)


def test_trap_08_the_reference_has_a_table_for_every_section() -> None:
    """So that the next test is about all of them."""
    assert {title for title, _ in DOCUMENTED} == {
        "`" + ".".join("NAME" if step == "*" else str(step) for step in path) + "`" if path else "The file"
        for path in SECTIONS
    }


@pytest.mark.parametrize(("section", "key"), DOCUMENTED)
def test_trap_08_a_documented_key_is_one_that_is_read(section: str, key: str, tmp_path: Path) -> None:
    """As the page writes it the program knows it, in that place; with one letter more it does not."""
    assert f'Unknown key "{key}"' not in faults(section, key, tmp_path)
    assert f'Unknown key "{key}x"' in faults(section, f"{key}x", tmp_path)

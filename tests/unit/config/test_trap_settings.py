"""Traps 3 and 8 for every key: settings that do nothing, and those whose documented name is not the one that is read.

Nothing here names a key, so one that is added is held to it too.
"""

import ast
import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import yaml
from pydantic import BaseModel

import notifier
from notifier.config import load
from notifier.config.faults import SECTIONS
from notifier.config.records import settings_from
from notifier.config.shapes import ConfigShape
from notifier.domain.errors import ConfigError
from notifier.domain.settings import (
    ApiSettings,
    CallbackSettings,
    DropSettings,
    EndpointSettings,
    ProviderSettings,
    Secret,
    Settings,
    TlsSettings,
    WatchDefaults,
)

ROOT = Path(__file__).parents[3]
KEY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
#: Read from the document itself, each entry with its line, and not from the shape.
ELSEWHERE = {((), "watches")}
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


class Watched:
    """A shape that notes which of its keys are looked at."""

    def __init__(self, shape: BaseModel, place: tuple[str, ...], seen: set[tuple[tuple[str, ...], str]]) -> None:
        self._shape, self._place, self._seen = shape, place, seen

    def __getattr__(self, name: str) -> Any:
        self._seen.add((self._place, name))
        return self._within(getattr(self._shape, name), (*self._place, name))

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        return ((name, getattr(self, name)) for name in type(self._shape).model_fields)

    def _within(self, value: Any, place: tuple[str, ...]) -> Any:
        if isinstance(value, BaseModel):
            return Watched(value, place, self._seen)
        if isinstance(value, dict) and any(isinstance(each, BaseModel) for each in value.values()):
            return {name: self._within(each, (*place, "*")) for name, each in value.items()}
        return value


def test_trap_03_every_key_reaches_the_records() -> None:
    """Whatever the file may say is looked at when the settings are made of it."""
    whole: dict[str, Any] = {
        "store": "sqlite:n.db",
        "providers": {"luma": {"kind": "aimlapi-luma", "api_key": Secret("k-1")}},
        "endpoints": {"studio": {"url": "https://a.example/", "secret": Secret(KEY), "tls": {"ca": "ca.pem"}}},
        "callbacks": {"secret": Secret(KEY)},
        "drop": {"directory": "drop", "provider": "luma"},
        "api": {"listen": "api.sock"},
    }
    missing = {path[0] for path in SECTIONS if path} - whole.keys()
    assert not missing, "add the new section here, so that its keys are looked for"
    seen: set[tuple[tuple[str, ...], str]] = set()
    settings_from(cast("ConfigShape", Watched(ConfigShape.model_validate(whole), (), seen)), source="c.yaml")
    keys = {(tuple(map(str, path)), name) for path, shape in SECTIONS.items() for name in shape.model_fields}
    assert keys - seen == ELSEWHERE


def test_trap_03_every_field_of_the_records_is_read_by_the_program() -> None:
    """What the settings hold is asked for somewhere outside the configuration that fills it in."""
    asked = {
        node.attr
        for file in PACKAGE.rglob("*.py")
        if PACKAGE / "config" not in file.parents and file != PACKAGE / "settings.py"
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
    keys = {name for shape in SECTIONS.values() for name in shape.model_fields}
    filled = {field.name for record in records for field in dataclasses.fields(record)} & keys
    assert len(filled) > 30
    assert filled - asked == set()


def faults(section: str, key: str, directory: Path) -> str:
    """What the program says of `key`, put where the reference has it, with a value that nobody accepts."""
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

"""Whatever the file contains, the answer is Settings or a ConfigError, never another exception."""

import copy
import tempfile
from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from notifier.config import ConfigFile
from notifier.config.keys import SECTIONS
from notifier.config.manual import schema
from notifier.domain.errors import ConfigError
from notifier.domain.settings import Settings

KEY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
WORDS = sorted({name for section in SECTIONS.values() for name in section.keys} | {"luma", "studio", "id", "notify"})
VALUES = [
    "aimlapi-luma",
    "sqlite:n.db",
    "5/s",
    "15s",
    "0s",
    "on",
    KEY,
    "https://a.example/",
    "completed",
    "${KEY}",
    "$",
    "*",
]

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(VALUES),
    st.dates(),
    st.binary(max_size=4),
)
keys = st.one_of(st.sampled_from(WORDS), st.text(max_size=5), st.sampled_from(["file", "credential"]))
trees = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=5), max_leaves=20
)
SOUND: dict[str, Any] = {
    "store": "sqlite:n.db",
    "providers": {"luma": {"kind": "aimlapi-luma", "api_key": "k"}},
    "endpoints": {"studio": {"url": "https://a.example/", "secret": KEY}},
}
WHOLE = SOUND | {"callbacks": {"secret": KEY}, "drop": {"directory": "d"}, "api": {"listen": "a.sock"}}
SCHEMA = Draft202012Validator(schema())


def answer(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "c.yaml"
        file.write_bytes(content)
        for read in (ConfigFile.settings, ConfigFile.store_path, ConfigFile.secret_sources):
            told, result = _asked(read, str(file))
            assert isinstance(result, Settings | str | list) if told is None else told.faults
            assert all(fault.message and fault.source for fault in (told.faults if told else ()))


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from([(), ("providers", "luma"), ("endpoints", "studio"), ("callbacks",), ("drop",), ("api",)]),
    keys,
    trees,
)
def test_what_the_schema_refuses_is_refused_by_the_program(path: tuple[str, ...], key: str, tree: Any) -> None:
    """The schema is never stricter than the program, whatever is written at one place of a sound configuration."""
    whole = copy.deepcopy(WHOLE)
    reduce(dict.__getitem__, path, whole)[key] = tree
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "c.yaml"
        file.write_text(yaml.safe_dump(whole, allow_unicode=True), "utf-8", "replace")
        told, _ = _asked(ConfigFile.settings, str(file))
        assert told or SCHEMA.is_valid(yaml.safe_load(file.read_text()))


def _asked(read: Callable[[ConfigFile], Any], path: str) -> tuple[ConfigError | None, Any]:
    try:
        return None, read(ConfigFile(path, environ={"KEY": "1"}))
    except ConfigError as error:
        return error, None


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_are_settings_or_a_config_error(content: bytes) -> None:
    """Bytes that are no YAML, or no UTF-8, are faults."""
    answer(content)


@settings(max_examples=300, deadline=None)
@given(trees)
def test_any_tree_is_settings_or_a_config_error(tree: Any) -> None:
    """Any YAML value, with our own keys in strange places, is checked to its end."""
    answer(yaml.safe_dump(tree, allow_unicode=True).encode("utf-8", "replace"))


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(["store", "providers", "endpoints", "callbacks", "watches", "watch_files", "drop"]),
    keys,
    keys,
    trees,
)
def test_any_value_in_a_sound_configuration_is_checked(section: str, name: str, key: str, tree: Any) -> None:
    """One strange value in a configuration that is sound elsewhere."""
    for strange in ({section: tree}, {section: {name: tree}}, {section: {"luma": {"kind": "aimlapi-luma", key: tree}}}):
        answer(yaml.safe_dump(SOUND | strange, allow_unicode=True).encode("utf-8", "replace"))

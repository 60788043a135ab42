"""Commands that are printed can be pasted."""

import shlex
from datetime import UTC, datetime
from pathlib import Path

import pytest

from notifier.cli.options import to_print
from notifier.text.command_line import DEFAULT_CONFIG, command, enable_command, recover_command


@pytest.mark.parametrize("config", ["/etc/my notifier/c.yaml", "/a'b/$HOME.yaml", "/a;b.yaml"])
@pytest.mark.parametrize("destination", ["studio", "https://[::1]:8443", "https://a.example"])
def test_a_shell_reads_the_words_that_are_meant(destination: str, config: str) -> None:
    """Whatever is in the name of an origin or in the path of the configuration."""
    told = recover_command(destination, datetime(2026, 11, 22, tzinfo=UTC), config=config)
    words = ["notifier", "recover", destination, "--since", "2026-11-22T00:00:00.000Z", "--config", config]
    assert shlex.split(told) == words
    assert shlex.split(enable_command(destination, config=config)) == [
        "notifier",
        "enable",
        destination,
        "--config",
        config,
    ]


def test_what_a_command_finds_by_itself_is_not_written() -> None:
    """The usual configuration needs no option."""
    assert command("list", "--all", config="") == "notifier list --all"


def test_the_configuration_is_written_where_another_would_be_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Whole, because the shell that it is pasted into may be elsewhere."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NOTIFIER_CONFIG", raising=False)
    assert to_print(DEFAULT_CONFIG) == ""
    assert to_print("c.yaml") == str(tmp_path / "c.yaml")
    monkeypatch.setenv("NOTIFIER_CONFIG", "c.yaml")
    assert to_print("c.yaml") == str(tmp_path / "c.yaml")
    assert to_print(DEFAULT_CONFIG) == DEFAULT_CONFIG

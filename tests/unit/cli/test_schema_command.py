"""`notifier schema`, for receivers that check what they get."""

import json
import sys
from collections.abc import Callable

import pytest
from jsonschema import Draft202012Validator

from notifier.cli.main import main
from notifier.domain.model import Format
from notifier.schemas.build import TYPES, schema

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def schema_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs `notifier schema WORDS`; gives exit code, output and errors."""

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["notifier", "schema", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        heard = capsys.readouterr()
        return int(ended.value.code or 0), heard.out, heard.err

    return run


@pytest.mark.parametrize("format_", Format)
@pytest.mark.parametrize("type_", TYPES)
def test_it_prints_the_schema_of_a_type(schema_command: Run, type_: str, format_: Format) -> None:
    """Nothing else stands on standard output, so that it can be piped."""
    code, out, err = schema_command(type_, "--format", format_)
    assert (code, err) == (0, "")
    assert json.loads(out) == schema(type_, format_)


def test_without_a_type_it_prints_one_that_takes_them_all(schema_command: Run) -> None:
    """For a receiver that checks every body with the same schema."""
    code, out, _ = schema_command()
    assert code == 0
    Draft202012Validator.check_schema(json.loads(out))
    assert [each["properties"]["type"]["const"] for each in json.loads(out)["oneOf"]] == list(TYPES)


@pytest.mark.parametrize(
    ("given", "meant"), [("generation.complete", "generation.completed"), ("endpoint.disable", "endpoint.disabled")]
)
def test_a_type_that_is_none_is_told_the_nearest(schema_command: Run, given: str, meant: str) -> None:
    """Exit code 2, and what was meant."""
    code, out, err = schema_command(given)
    assert (code, out) == (2, "")
    assert meant in err

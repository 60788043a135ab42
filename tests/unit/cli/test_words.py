"""Wrong words on the command line: the sentence says which were meant, or what to write."""

import subprocess
import sys
from pathlib import Path

import pytest

from notifier.cli.main import main

_BENCHMARKS = Path(__file__).parents[3] / "benchmarks"


def said(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: str) -> str:
    """What `notifier WORDS` complains of, without the lines on its usage."""
    monkeypatch.setattr(sys, "argv", ["notifier", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    return capsys.readouterr().err.partition("Error: ")[2].strip()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("run config.yaml", "The configuration goes behind --config: notifier run --config config.yaml"),
        (
            "run --log-level debug my.yml",
            "The configuration goes behind --config: notifier run --log-level debug --config my.yml",
        ),
        ("show g-1 a.yaml", "The configuration goes behind --config: notifier show g-1 --config a.yaml"),
        ("list --config a.yaml b.yaml", 'notifier list has no place for "b.yaml". Did you mean `notifier show`?'),
        ("list g-1", 'notifier list has no place for "g-1". Did you mean `notifier show`? It shows one generation.'),
        ("show g-1 g-2", 'notifier show has no place for "g-2".'),
        ("a.yaml", '"a.yaml" is not a command. The configuration goes behind --config: notifier run --config a.yaml'),
        ("--config a.yaml run", "--config comes before the command. Options come after it"),
        ("start", '"start" is not a command. Did you mean run?'),
        ("START", '"START" is not a command. Did you mean run?'),
        ("status", "`notifier list` shows what is watched"),
        ("statsu", "`notifier list` shows what is watched"),
        ("endpoint", '"endpoint" is not a command. Did you mean endpoints?'),
        ("ls", "Did you mean list?"),
        ("secret make", '"make" is not a command.'),
        ("recover studio", "Missing option '--since'. For example: notifier recover studio --since 2d"),
        ("recover", "For example: notifier recover studio --since 2d"),
        ("show", "For example: notifier show YOUR-GENERATION-ID"),
        ("secret for", "For example: notifier secret for https://"),
        ("emulate --port 70000", "it must be at most 65535"),
        ("listen --port many", "it must be a whole number"),
        ("schema generation.done", '"generation.done" is not an event type. Known: generation.queued, '),
        ("schema generation.complete", 'Did you mean "generation.completed"?'),
    ],
)
def test_the_words_that_were_meant_are_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, words: str, sentence: str
) -> None:
    """A command of other programs, a file without --config, a missing option: what to write stands there."""
    assert sentence in said(capsys, monkeypatch, *words.split())


@pytest.mark.parametrize("word", ["frobnicate", "x", "demolish", "\x1b[31mrun"])
def test_no_command_is_guessed_that_is_not_close(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, word: str
) -> None:
    """A wrong guess is worse than none; and no word moves the cursor."""
    told = said(capsys, monkeypatch, word)
    assert told.endswith(" is not a command.")
    assert "\x1b" not in told


@pytest.mark.parametrize("command", ["emulate", "listen", "list", "show", "verify", "recover"])
def test_the_help_has_no_types_in_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """PORT in place of <int range>, and bounds in words."""
    monkeypatch.setattr(sys, "argv", ["notifier", command, "--help"])
    with pytest.raises(SystemExit):
        main()
    shown = capsys.readouterr().out
    assert not [mark for mark in ("<str>", "<int", "<float", "<=x", "x>=") if mark in shown]


@pytest.mark.parametrize("name", ["recovery.py", "retention.py", "store.py"])
def test_a_benchmark_explains_itself(name: str) -> None:
    """`--help` is not taken for a directory or a number."""
    done = subprocess.run(
        [sys.executable, _BENCHMARKS / name, "--help"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage: ")

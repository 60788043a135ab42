"""`notifier verify`, as somebody meets it who sets a receiver up."""

import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from notifier.cli.main import main
from notifier.delivery.signature import headers as sign
from notifier.domain.settings import Secret

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
SIGNING = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="
PUBLIC = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="
AT = 1614265330
BODY = b'{"type":"generation.completed","timestamp":"2021-02-25T15:02:10.000Z","data":{"generation_id":"g-1"}}'
EVER = ("--tolerance", "9999999999")

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def verify(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Runs `notifier verify WORDS` with `body` on standard input; gives exit code, output and errors."""
    monkeypatch.delenv("NOTIFIER_SECRET", raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)

    def run(*words: str, body: bytes = BODY, **environ: str) -> tuple[int, str, str]:
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", ["notifier", "verify", *words])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(body)))
        with pytest.raises(SystemExit) as ended:
            main()
        heard = capsys.readouterr()
        return int(ended.value.code or 0), heard.out, heard.err

    return run


def signed(*secrets: str, body: bytes = BODY, at: int = AT) -> list[str]:
    """The headers, as options."""
    pairs = sign("msg_a", at, body, [Secret(text) for text in secrets or (SECRET,)])
    return [word for name, value in pairs for word in ("--header", f"{name}: {value}")]


def test_a_callback_is_verified_from_standard_input_and_the_environment(verify: Run) -> None:
    """One line that says what it is, and exit code 0."""
    said = verify(*signed(), *EVER, NOTIFIER_SECRET=SECRET)
    assert said == (0, "verified: generation.completed of g-1, msg_a\n", "")


@pytest.mark.parametrize("start", ["", "POST /hooks HTTP/1.1\r\n", "HTTP/1.1 200 OK\r\n"])
def test_a_callback_is_verified_from_files(verify: Run, tmp_path: Path, start: str) -> None:
    """A captured request: its head with or without the first line, whatever stands behind it, and its body."""
    pairs = sign("msg_a", AT, BODY, [Secret(SECRET)])
    lines = ["Host: x", *(f"{name.title()}:  {value} " for name, value in pairs), "", "webhook-id: another"]
    (tmp_path / "head").write_text(start + "\r\n".join(lines), newline="")
    (tmp_path / "body").write_bytes(BODY)
    (tmp_path / "keys").write_text(f"{OTHER}\n{SECRET}\n")
    said = verify("body", "--headers", "head", "--secret-file", "keys", *EVER, body=b"")
    assert said == (0, "verified: generation.completed of g-1, msg_a\n", "")


def test_several_secrets_of_both_kinds_may_be_given(verify: Run, tmp_path: Path) -> None:
    """While keys and versions change over, in files and in variables."""
    (tmp_path / "old").write_text(OTHER)
    words = ["--secret-file", "old", "--secret-env", "NEW", "--secret-env", "NEWER"]
    for signing in (OTHER, SECRET, SIGNING):
        assert verify(*signed(signing), *words, *EVER, NEW=SECRET, NEWER=PUBLIC)[0] == 0


@pytest.mark.parametrize(
    ("words", "body", "says"),
    [
        ([*signed(), *EVER], BODY + b" ", "No signature fits"),
        ([*signed(OTHER), *EVER], BODY, "No signature fits: another key"),
        (signed(), BODY, "too old"),
        (EVER, BODY, "The header webhook-id is missing"),
        ([*signed(), *EVER, "--header", "Webhook-Id: msg_b"], BODY, "webhook-id is there twice"),
        ([*signed(body=b"no"), *EVER], b"no", "the body is not JSON"),
        ([*signed(), *EVER], BODY + b"\n", "It fits without the line end"),
        ([*signed(), *EVER], BODY + b"\r\n", "It fits without the line end"),
    ],
)
def test_what_is_not_verified_says_why_in_one_line(verify: Run, words: list[str], body: bytes, says: str) -> None:
    """And exits 1, so that a script can tell."""
    code, out, err = verify(*words, body=body, NOTIFIER_SECRET=SECRET)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert err.startswith("not verified: ")
    assert says in err


@pytest.mark.parametrize(
    ("words", "environ", "says"),
    [
        ([], {}, "NOTIFIER_SECRET is not set"),
        (["--secret-env", "NONE"], {"NOTIFIER_SECRET": SECRET}, "NONE is not set"),
        (["--secret-file", "none"], {}, "none cannot be read"),
        (["--secret-file", "empty"], {}, "holds no secret"),
        ([], {"NOTIFIER_SECRET": "abc"}, "begins with"),
        ([], {"NOTIFIER_SECRET": SIGNING}, "That is the signing key"),
        (["none"], {"NOTIFIER_SECRET": SECRET}, "none cannot be read"),
        (["--headers", "none"], {"NOTIFIER_SECRET": SECRET}, "none cannot be read"),
        (["--header", "x"], {"NOTIFIER_SECRET": SECRET}, 'is not "name: value"'),
        (["--tolerance", "-1"], {"NOTIFIER_SECRET": SECRET}, "--tolerance"),
        (["--tolerance", "nan"], {"NOTIFIER_SECRET": SECRET}, "--tolerance"),
    ],
)
def test_wrong_words_are_told_from_a_callback_that_does_not_verify(
    verify: Run, tmp_path: Path, words: list[str], environ: dict[str, Any], says: str
) -> None:
    """Exit code 2: nothing was judged."""
    (tmp_path / "empty").write_text("\n")
    code, out, err = verify(*words, **environ)
    assert (code, out) == (2, "")
    assert says in err
    assert SIGNING not in err


def test_a_secret_is_no_word_of_the_command_line(verify: Run) -> None:
    """Everybody on the machine can read those."""
    code, _, err = verify("--secret", SECRET)
    assert code == 2
    assert SECRET not in err


def test_what_came_from_outside_cannot_move_the_cursor(verify: Run) -> None:
    """A signed event may hold what its sender was told by others."""
    body = b'{"type":"\\u001b[31m","data":{"generation_id":"a\\nb\\u202e"}}'
    code, out, _ = verify(*signed(body=body), *EVER, body=body, NOTIFIER_SECRET=SECRET)
    assert code == 0
    assert out.strip().isprintable()

"""The commands as a person meets them: their words, their exit codes and where each goes."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest

from notifier import __version__
from notifier.cli.main import main
from notifier.delivery.signature import callback_secret
from notifier.ids import EndpointIdentity, GenerationId, Lane, ProviderName, WorkerId
from notifier.model import (
    AttemptResult,
    Book,
    DeliveryStatus,
    Observation,
    Result,
    State,
    Transition,
    Verdict,
    WatchRequest,
)
from notifier.settings import Secret
from notifier.store.base import Slots
from notifier.store.sqlite import open_store

NOW = datetime(2026, 11, 22, 5, 14, tzinfo=UTC)
BOOK = Book(events={"studio": None}, callbacks=False)
LUMA = ProviderName("luma")
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
CONFIG = f"""\
store: sqlite:notifier.db
providers:
  luma: {{kind: aimlapi-luma, api_key: sk-0123456789abcdef}}
endpoints:
  studio: {{url: "https://studio.example.com/hooks", secret: {SECRET}}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    code: int
    out: str
    err: str


Run = Callable[..., Said]


@pytest.fixture
def notifier(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Runs `notifier WORDS` with the configuration of `tmp_path`."""
    monkeypatch.setenv("NOTIFIER_CONFIG", str(tmp_path / "config.yaml"))
    monkeypatch.setenv("COLUMNS", "200")

    def run(*words: str) -> Said:
        monkeypatch.setattr(sys, "argv", ["notifier", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        heard = capsys.readouterr()
        return Said(code=int(ended.value.code or 0), out=heard.out, err=heard.err)

    return run


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG)
    return path


def watch(generation: str, **more: Any) -> WatchRequest:
    fields: dict[str, Any] = {"metadata": b'{"order":7}'} | more
    return WatchRequest(
        provider=LUMA,
        generation=GenerationId(generation),
        target=State.COMPLETED,
        endpoint=EndpointIdentity("studio"),
        lane=Lane("studio"),
        timeout=timedelta(hours=24),
        **fields,
    )


@pytest.fixture
def store(config: Path) -> Path:
    """A store with a finished generation whose callback was refused once, and two that are open."""
    path = config.with_name("notifier.db")

    async def prepare() -> None:
        async with open_store(str(path)) as opened:
            await opened.add_watches(
                [watch("g-1"), watch("g-2"), watch("-G3b-dash"), watch("evil\x1b[31m")], now=NOW, book=BOOK
            )
            sight = Observation(
                id=GenerationId("g-1"),
                state=State.COMPLETED,
                provider_state="completed",
                result=Result(url="https://cdn.example.com/v.mp4"),
            )
            later = NOW + timedelta(minutes=1)
            await opened.record_transitions(
                [Transition(provider=LUMA, observation=sight, observed_at=later, not_before=NOW)], now=later, book=BOOK
            )
            slots = Slots(total=1, free={}, each=1, lease={}, lease_each=timedelta(seconds=30))
            (claim,) = (await opened.exchange(WorkerId("w"), [], slots, now=later)).claims
            refused = AttemptResult(
                message_id=claim.message_id,
                number=claim.number,
                started_at=later,
                took=timedelta(milliseconds=412),
                verdict=Verdict.SERVER_ERROR,
                status_code=503,
                head=b"try \x1b[31mlater",
                detail="",
                status=DeliveryStatus.PENDING,
                failures=1,
                due_at=later + timedelta(seconds=5),
            )
            await opened.exchange(
                WorkerId("w"), [refused], Slots(total=0, free={}, each=0, lease={}, lease_each=timedelta(0)), now=later
            )

    anyio.run(prepare)
    return path


# ---- the command line itself --------------------------------------------------------------------------------------
def test_help_names_every_command(notifier: Run) -> None:
    """`notifier --help` succeeds and lists what there is."""
    said = notifier("--help")
    assert said.code == 0
    for command in ("run", "check", "demo", "emulate", "listen", "list", "show", "backup", "secret"):
        assert re.search(rf"^\s+{command}\b", said.out, re.MULTILINE), command


@pytest.mark.parametrize(
    "words", [("run",), ("check",), ("demo",), ("list",), ("show",), ("backup",), ("secret", "new"), ("secret", "for")]
)
def test_every_command_explains_itself(notifier: Run, words: tuple[str, ...]) -> None:
    """`--help` works for each of them, with no configuration and no store."""
    said = notifier(*words, "--help")
    assert said.code == 0
    assert said.out.startswith("Usage: ")
    assert f"notifier {' '.join(words)} [OPTIONS]" in said.out


def test_version(notifier: Run) -> None:
    """Name and version on one line, for bug reports and scripts."""
    said = notifier("--version")
    assert (said.code, said.out) == (0, f"notifier {__version__}\n")


@pytest.mark.parametrize("words", [("watch",), ("run", "--fast"), ("list", "--limit", "0"), ("show",)])
def test_wrong_words_are_2(notifier: Run, config: Path, words: tuple[str, ...]) -> None:
    """An unknown command or option is the caller's mistake, not the configuration's."""
    assert config.exists()
    assert notifier(*words).code == 2


def test_no_log_level_is_guessed(notifier: Run, config: Path) -> None:
    """A misspelt level is refused with the ones there are, before anything starts."""
    assert config.exists()
    said = notifier("run", "--log-level", "loud")
    assert said.code == 2
    assert "debug, info, warning, error" in said.err


# ---- check --------------------------------------------------------------------------------------------------------
def test_check_of_a_good_configuration(notifier: Run, config: Path) -> None:
    """Exit 0, what was found, and not a word of any secret; nothing is made on disk."""
    said = notifier("check")
    assert said.code == 0
    assert "config.yaml: good (" in said.out
    assert "not there yet" in said.out
    assert "sk-0123456789abcdef" not in said.out
    assert SECRET not in said.out
    assert [path.name for path in config.parent.iterdir()] == ["config.yaml"]


def test_check_tells_every_fault_at_once(notifier: Run, config: Path) -> None:
    """Exit 78, each fault with file and line, on standard error, and no traceback."""
    config.write_text(
        CONFIG.replace("kind: aimlapi-luma", "kind: aimlapi-lume")
        .replace("https://studio", "ftp://studio")
        .replace("store:", "stroe:")
    )
    said = notifier("check")
    assert said.code == 78
    assert re.search(r"\(([3-9]) faults\)", said.err)
    for line, word in ((1, "stroe"), (3, "kind"), (5, "url")):
        assert re.search(rf"config\.yaml:{line}: .*{word}", said.err), said.err
    assert "Traceback" not in said.err


def test_check_of_a_missing_file(notifier: Run) -> None:
    """Exit 78 and the option that names another one."""
    said = notifier("check")
    assert said.code == 78
    assert "--config" in said.err


def test_check_looks_into_the_store(notifier: Run, store: Path) -> None:
    """A healthy store is counted, beside whoever has it open."""
    assert store.exists()
    for words in ((), ("--deep",)):
        said = notifier("check", *words)
        assert said.code == 0
        assert "good (3 generations watched)" in said.out


def test_check_of_a_file_that_is_no_store(notifier: Run, config: Path) -> None:
    """Exit 1, and the file is left as it is."""
    other = config.with_name("notifier.db")
    other.write_text("not a database at all, but text\n" * 100)
    said = notifier("check")
    assert said.code == 1
    assert "no notifier store" in said.out
    assert other.read_text().startswith("not a database")


def spawned(config: Path) -> Said:
    """`notifier run` as a process: it takes over the log of the process it runs in."""
    words = [sys.executable, "-m", "notifier", "run", "--config", str(config)]
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    ended = subprocess.run(words, env=environ, capture_output=True, text=True, timeout=30, check=False)
    return Said(code=ended.returncode, out=ended.stdout, err=ended.stderr)


def test_run_of_a_bad_configuration_starts_nothing(config: Path) -> None:
    """Exit 78 tells systemd not to try again, and no store is made."""
    config.write_text("providers: {}\n")
    said = spawned(config)
    assert said.code == 78
    assert "store is missing" in said.err
    assert not config.with_name("notifier.db").exists()


def test_run_on_another_programs_file_is_78(config: Path) -> None:
    """A store that must not be opened is the operator's to mend: the daemon does not come back every second."""
    config.with_name("notifier.db").write_text("not a database at all, but text\n" * 100)
    said = spawned(config)
    assert said.code == 78
    assert "no notifier store" in said.err
    assert "Traceback" not in said.err


# ---- list and show ------------------------------------------------------------------------------------------------
def test_list_shows_what_is_open(notifier: Run, store: Path) -> None:
    """The open ones with their state, and with --all the finished ones too."""
    assert store.exists()
    assert "g-1" not in notifier("list").out
    everything = notifier("list", "--all")
    assert everything.code == 0
    assert re.search(r"^g-1 .* completed .* 1 satisfied, 1 pending$", everything.out, re.MULTILINE)
    assert re.search(r"^g-2 .* not seen .* 1 open$", everything.out, re.MULTILINE)


def test_list_says_where_it_stopped(notifier: Run, store: Path) -> None:
    """A cut list is said to be cut, beside and not among its lines."""
    assert store.exists()
    said = notifier("list", "--limit", "1")
    assert len(said.out.splitlines()) == 2
    assert "--limit" in said.err


def test_show_tells_why_a_callback_did_not_arrive(notifier: Run, store: Path) -> None:
    """State, watch, message, each attempt with what it came to, and when it is tried again."""
    assert store.exists()
    said = notifier("show", "g-1")
    assert said.code == 0
    for words in (
        "completed",
        "https://cdn.example.com/v.mp4",
        'metadata  {"order":7}',
        "attempt 1",
        "server error after 412 ms (503)",
        "next attempt 2026-11-22T05:15:05.000Z",
        "2026-11-22T05:14:00.000Z  the look before",
    ):
        assert words in said.out


@pytest.mark.parametrize("words", [("-G3b-dash",), ("--", "-G3b-dash"), ("-g3B-DASH",)])
def test_show_takes_an_id_that_begins_with_a_dash(notifier: Run, store: Path, words: tuple[str, ...]) -> None:
    """What the provider made is taken as it stands, with or without `--` before it, in any case."""
    assert store.exists()
    said = notifier("show", *words)
    assert said.code == 0
    assert "generation  -G3b-dash" in said.out


def test_show_takes_its_options_on_either_side(notifier: Run, store: Path) -> None:
    """`--config` is still an option beside such an ID."""
    config = str(store.with_name("config.yaml"))
    for words in (
        ("--config", config, "-G3b-dash"),
        ("-G3b-dash", "--config", config),
        ("--config", config, "--", "-G3b-dash"),
    ):
        assert notifier("show", *words).code == 0


def test_show_of_nothing_is_1(notifier: Run, store: Path) -> None:
    """An ID nobody registered is answered with how to find those that were."""
    assert store.exists()
    said = notifier("show", "nobody")
    assert said.code == 1
    assert "notifier list --all" in said.err


def test_what_came_from_outside_moves_no_cursor(notifier: Run, store: Path) -> None:
    """No ID, metadata or answer can colour or clear an operator's terminal."""
    assert store.exists()
    shown = notifier("show", "g-1").out + notifier("list", "--all").out + notifier("show", "evil\x1b[31m").out
    assert "\x1b" not in shown


@pytest.mark.parametrize("words", [("list",), ("show", "g-1"), ("backup", "copy.db")])
def test_without_a_store_it_is_said(notifier: Run, config: Path, words: tuple[str, ...]) -> None:
    """Exit 78 with what to do; nothing is made by looking."""
    said = notifier(*words)
    assert said.code == 78
    assert "there is no store" in said.err
    assert not config.with_name("notifier.db").exists()


# ---- backup -------------------------------------------------------------------------------------------------------
def test_a_backup_is_a_store(notifier: Run, store: Path, tmp_path: Path) -> None:
    """The copy knows what the store knows, and the store can be asked meanwhile."""
    copy = tmp_path / "copy.db"
    assert notifier("backup", str(copy)).code == 0
    (tmp_path / "config.yaml").write_text(CONFIG.replace("notifier.db", "copy.db"))
    assert "attempt 1" in notifier("show", "g-1").out
    assert store.exists()


def test_a_backup_never_overwrites(notifier: Run, store: Path, tmp_path: Path) -> None:
    """A file that is there already is kept, and the command fails with a sentence."""
    assert store.exists()
    kept = tmp_path / "kept"
    kept.write_text("precious")
    said = notifier("backup", str(kept))
    assert said.code != 0
    assert str(kept) in said.err
    assert "Traceback" not in said.err
    assert kept.read_text() == "precious"


# ---- secrets ------------------------------------------------------------------------------------------------------
def test_a_new_secret_can_be_piped(notifier: Run) -> None:
    """It stands alone on standard output, and is another one every time."""
    made = [notifier("secret", "new") for _ in range(2)]
    assert all(re.fullmatch(r"whsec_[A-Za-z0-9+/]{43}=\n", each.out) for each in made)
    assert made[0].out != made[1].out
    assert made[0].err == ""


def test_a_new_pair_shows_its_public_half_aside(notifier: Run) -> None:
    """The private half alone can be piped; the public half is for the receiver."""
    said = notifier("secret", "new", "--asymmetric")
    assert re.fullmatch(r"whsk_[A-Za-z0-9+/=]+\n", said.out)
    assert re.search(r"whpk_[A-Za-z0-9+/=]+", said.err)


def test_the_key_of_a_callback_url_is_its_origins(notifier: Run, config: Path) -> None:
    """The same for every path of one origin, another for every other one, and never the master."""
    config.write_text(CONFIG + f"callbacks: {{secret: {SECRET}}}\n")
    said = notifier("secret", "for", "https://app.example.com/done?x=1")
    assert said.code == 0
    assert said.out.strip() == callback_secret(Secret(SECRET), Lane("https://app.example.com")).reveal()
    assert notifier("secret", "for", "https://APP.example.com:443/other").out == said.out
    assert notifier("secret", "for", "https://app.example.com:8443/").out != said.out


def test_without_callbacks_there_is_no_such_key(notifier: Run, config: Path) -> None:
    """Exit 78: the section has to be written first."""
    assert config.exists()
    said = notifier("secret", "for", "https://app.example.com/")
    assert said.code == 78
    assert "callbacks:" in said.err


def test_a_url_that_is_none_is_refused_with_a_sentence(notifier: Run, config: Path) -> None:
    """No key for what no callback can be sent to."""
    config.write_text(CONFIG + f"callbacks: {{secret: {SECRET}}}\n")
    said = notifier("secret", "for", "nonsense")
    assert said.code == 1
    assert said.err.startswith("nonsense: ")
    assert said.out == ""

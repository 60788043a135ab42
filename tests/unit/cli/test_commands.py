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
import trustme

from notifier import __version__
from notifier.cli.main import main
from notifier.cli.reports import list_generations
from notifier.delivery.signature import callback_secret
from notifier.domain.errors import ConfigError
from notifier.domain.ids import Destination, EndpointIdentity, GenerationId, ProviderName, WorkerId
from notifier.domain.model import (
    AttemptResult,
    DeliveryStatus,
    EndpointDirectory,
    Observation,
    Result,
    State,
    Transition,
    Verdict,
    WatchRequest,
)
from notifier.domain.settings import Secret
from notifier.intake.drop.safe_open import SUBDIRECTORIES, open_directory, open_subdirectory
from notifier.runtime.clock import SystemClock
from notifier.store.records import Slots, Trouble
from notifier.store.sqlite import open_store
from tests.support.fork_client import forge

NOW = datetime(2026, 11, 22, 5, 14, tzinfo=UTC)
DIRECTORY = EndpointDirectory(events={"studio": None}, callbacks=False)
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
        destination=Destination("studio"),
        timeout=timedelta(hours=24),
        **fields,
    )


@pytest.fixture
def store(config: Path) -> Path:
    """A store with a finished generation whose callback was refused once, and two that are open."""
    path = config.with_name("notifier.db")

    async def prepare() -> None:
        async with open_store(str(path)) as opened:
            await opened.apply_directory(DIRECTORY, now=NOW)
            await opened.add_watches([watch("g-1"), watch("g-2"), watch("-G3b-dash"), watch("evil\x1b[31m")], now=NOW)
            sight = Observation(
                id=GenerationId("g-1"),
                state=State.COMPLETED,
                provider_state="completed",
                result=Result(url="https://cdn.example.com/v.mp4"),
            )
            later = NOW + timedelta(minutes=1)
            await opened.record_transitions(
                [Transition(provider=LUMA, observation=sight, observed_at=later, not_before=NOW)],
                now=later,
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
    for command in (
        "run",
        "check",
        "demo",
        "emulate",
        "listen",
        "list",
        "show",
        "endpoints",
        "backup",
        "secret",
        "verify",
        "schema",
    ):
        assert re.search(rf"^\s+{command}\b", said.out, re.MULTILINE), command


@pytest.mark.parametrize(
    "words",
    [
        ("run",),
        ("check",),
        ("demo",),
        ("list",),
        ("show",),
        ("endpoints",),
        ("backup",),
        ("verify",),
        ("schema",),
        ("secret", "new"),
        ("secret", "for"),
    ],
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


def test_no_line_of_the_help_is_cut(notifier: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """On 80 columns every command has a whole sentence."""
    monkeypatch.setenv("COLUMNS", "80")
    for words in (("--help",), ("secret", "--help")):
        commands = notifier(*words).out.partition("Commands:\n")[2].splitlines()
        assert commands
        assert all(line.endswith(".") and not line.endswith("...") for line in commands), commands


@pytest.mark.parametrize("words", [("emulate", "--shape", "foo"), ("list", "--limit", "0"), ("list", "--limit", "x")])
def test_a_wrong_value_is_told_in_plain_words(notifier: Run, words: tuple[str, ...]) -> None:
    """Whatever library checks the values, its own words for it do not show."""
    said = notifier(*words)
    assert said.code == 2
    assert words[1] in said.err
    assert "Value error" not in said.err
    assert "Input should" not in said.err


@pytest.mark.parametrize(("module", "command"), [("commands", "run"), ("run", "run"), ("listen", "listen")])
def test_ctrl_c_is_silent_while_modules_load(module: str, command: str) -> None:
    """130, and not a word, whether it comes while the command line is loaded or while the command is."""
    script = (
        "import os, signal, sys\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # ours may be ignored: it is, in the background
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name == 'notifier.cli.{module}': os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Finder())\n"
        "from notifier.cli.main import main\n"
        f"sys.argv = ['notifier', '{command}', '--config', 'none.yaml']\n"
        "main()\n"
    )
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    ended = subprocess.run(
        [sys.executable, "-c", script], env=environ, capture_output=True, text=True, timeout=30, check=False
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "")


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


def test_check_names_the_files_of_tls(notifier: Run, config: Path) -> None:
    """Each with the word that it needs no reload; one that is not there is a fault."""
    config.write_text(CONFIG.replace(" secret:", " tls: {ca: ca.pem}, secret:"))
    said = notifier("check")
    assert said.code == 78
    assert re.search(r"config\.yaml:\d+: endpoints\.studio\.tls\.ca: .*ca\.pem cannot be read", said.err)
    trustme.CA().cert_pem.write_to_path(config.with_name("ca.pem"))
    said = notifier("check")
    assert said.code == 0
    shown = f"file {config.with_name('ca.pem')}; ends on 3000-01-01; read again when it changes"
    assert f"  endpoints.studio.tls.ca: {shown}\n" in said.out


@pytest.mark.parametrize(
    ("starts", "ends", "code", "says"),
    [
        (-400, -3, 1, "expired on {end}: renew it"),
        (-400, 3, 0, "ends on {end}, in 2 days"),
        (3, 400, 1, "not valid before {start}"),
    ],
)
def test_check_tells_of_a_certificate_out_of_its_time(
    notifier: Run, config: Path, starts: int, ends: int, code: int, says: str
) -> None:
    """One that is of no use now is 1; of one that ends within a month is warned."""
    now = SystemClock().now()
    start, end = now + timedelta(days=starts), now + timedelta(days=ends)
    authority = trustme.CA()
    made = authority.issue_cert("me@x.example", not_before=start, not_after=end)
    made.private_key_and_cert_chain_pem.write_to_path(config.with_name("own.pem"))
    config.write_text(CONFIG.replace(" secret:", " tls: {cert: own.pem, key: own.pem}, secret:"))
    said = notifier("check")
    assert said.code == code
    words = says.format(start=f"{start:%Y-%m-%d %H:%M}", end=f"{end:%Y-%m-%d}")
    assert f"tls            endpoints.studio.tls.cert: {config.with_name('own.pem')} {words}" in said.out


def test_check_tells_that_this_machine_trusts_nobody(
    notifier: Run, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be told by each attempt otherwise; no traceback, whatever the variables name."""
    assert config.exists()
    monkeypatch.setenv("SSL_CERT_FILE", "/none/ca.pem")
    monkeypatch.setenv("SSL_CERT_DIR", "/none")
    monkeypatch.setenv("SSLKEYLOGFILE", "/none/keys")
    said = notifier("check")
    assert said.code == 1
    assert (
        "tls            this machine has no CA certificates: install ca-certificates (SSL_CERT_FILE names" in said.out
    )
    assert "SSLKEYLOGFILE" not in os.environ, "the engine would open it while it loads"


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


def spoil(drop: Path, how: str) -> None:
    """Make of the drop directory what a start leaves aside."""
    if how == "a file":
        drop.write_text("")
    elif how == "open to all":
        drop.mkdir()
        drop.chmod(0o777)
    elif how == "done is a file":
        drop.mkdir()
        (drop / "done").write_text("")


@pytest.mark.parametrize("how", ["missing", "a file", "open to all", "done is a file"])
def test_check_refuses_the_drop_directory_that_a_start_leaves_aside(notifier: Run, config: Path, how: str) -> None:
    """Exit 1 with the sentence that the running daemon has in its status, so that `run` holds no surprise."""
    drop = config.with_name("drop")
    spoil(drop, how)
    config.write_text(CONFIG + f"drop: {{directory: {drop}}}\n")
    said = notifier("check")
    assert said.code == 1
    (sentence,) = (line for line in said.out.splitlines() if line.startswith("drop "))
    assert sentence.removeprefix("drop").strip() in opened(drop)


def opened(drop: Path) -> str:
    """What the daemon finds wrong when it opens the directory and those in it."""
    try:
        fd = open_directory(str(drop))
        try:
            for name in SUBDIRECTORIES:
                os.close(open_subdirectory(fd, name, str(drop)))
        finally:
            os.close(fd)
    except ConfigError as refused:
        return str(refused.faults[0])
    raise AssertionError("the daemon would use it")


def test_check_makes_nothing_in_the_drop_directory(notifier: Run, config: Path) -> None:
    """done/ and rejected/ are the daemon's to make."""
    drop = config.with_name("drop")
    drop.mkdir(mode=0o770)
    config.write_text(CONFIG + f"drop: {{directory: {drop}}}\n")
    said = notifier("check")
    assert said.code == 0
    assert f"{drop}: good" in said.out
    assert list(drop.iterdir()) == []


def test_check_refuses_the_socket_that_a_start_refuses(notifier: Run, config: Path) -> None:
    """In the same words; a place that is free, or a daemon's already, is good."""
    config.write_text(CONFIG + "api: {listen: a.sock}\n")
    assert f"{config.parent / 'a.sock'}: good" in notifier("check").out
    config.with_name("a.sock").write_text("mine")
    said, started = notifier("check"), spawned(config)
    assert (said.code, started.code) == (1, 78)
    for told in (said.out, started.err):
        assert f"{config.parent / 'a.sock'} is there, and is no socket: remove it" in told
    assert config.with_name("a.sock").read_text() == "mine"


def test_check_wants_a_place_for_the_store(notifier: Run, config: Path) -> None:
    """Exit 1 where the first start could not make it."""
    config.write_text(CONFIG.replace("notifier.db", "no/dir/s.db"))
    said = notifier("check")
    assert said.code == 1
    assert f"directory {config.parent / 'no/dir'} does not exist" in said.out
    assert "not there yet" not in said.out


def test_a_directory_is_no_store(notifier: Run, config: Path) -> None:
    """`check` and `run` say the same of it, and no lock is left beside it."""
    config.with_name("notifier.db").mkdir()
    said, started = notifier("check"), spawned(config)
    assert (said.code, started.code) == (1, 78)
    for told in (said.out, started.err):
        assert "notifier.db is a directory: name a file in it" in told
    assert sorted(path.name for path in config.parent.iterdir()) == ["config.yaml", "notifier.db"]


def test_check_reads_the_watch_files(notifier: Run, config: Path) -> None:
    """Exit 1 with the faults of each, by line; a good one is counted, and a pattern without a file is named."""
    config.write_text(CONFIG + "watch_files: [bad.yaml, good.yaml, none/*.yaml]\n")
    config.with_name("bad.yaml").write_text("- {id: g-1}\n- {id: g-2, provider: lima}\n")
    config.with_name("good.yaml").write_text("- {id: g-3}\n- {id: g-4}\n")
    said = notifier("check")
    assert said.code == 1
    assert re.search(r"bad\.yaml:2: .*lima", said.out)
    assert "good.yaml: good (watch: 2)" in said.out
    assert "watch_files[2]: matches no file" in said.out
    config.with_name("bad.yaml").unlink()
    said = notifier("check")
    assert said.code == 0
    assert "watch_files[0]: matches no file" in said.out


SAYS_NOTHING = "nothing says what to watch"
OTHER = "with another timeout or metadata: the first counts"


def test_check_says_that_nothing_is_watched(notifier: Run, config: Path) -> None:
    """Only where no watch, no watch file and no drop directory is configured; it may be meant."""
    said = notifier("check")
    assert (said.code, SAYS_NOTHING in said.out) == (0, True)
    (config.parent / "drop").mkdir(mode=0o770)
    for more in ("watches: [{id: g-1}]\n", "watch_files: [none/*.yaml]\n", "drop: {directory: drop}\n"):
        config.write_text(CONFIG + more)
        assert SAYS_NOTHING not in notifier("check").out, more


def test_check_names_a_watch_that_is_declared_twice(notifier: Run, config: Path) -> None:
    """In the configuration or in watch files: where, and whether both say the same. Another state is another watch."""
    config.write_text(
        CONFIG + "watch_files: [w/*.yaml]\nwatches:\n  - {id: g-1}\n  - {id: g-1, state: running}\n  - {id: g-1}\n"
    )
    (config.parent / "w").mkdir()
    (config.parent / "w" / "a.yaml").write_text("[{id: g-1, timeout: 5m}, {id: g-2}]\n")
    (config.parent / "w" / "b.yaml").write_text("{id: g-2}\n")
    said = notifier("check")
    a, b = (config.parent / "w" / name for name in ("a.yaml", "b.yaml"))
    assert said.code == 0
    assert [line.split(maxsplit=1)[1] for line in said.out.splitlines() if line.startswith("watches ")] == [
        "g-1 until completed, for studio, is declared twice in watches:",
        f"g-1 until completed, for studio, is declared in watches: and again in {a}, {OTHER}",
        f"g-2 until completed, for studio, is declared in {a} and again in {b}",
    ]


@pytest.mark.parametrize("content", [None, b"nonsense: [", b"- {id: g-1"])
def test_check_survives_any_watch_file(notifier: Run, config: Path, content: bytes | None) -> None:
    """What is no regular file, or no YAML, is a fault like others."""
    config.write_text(CONFIG + "watch_files: [odd.yaml]\n")
    odd = config.with_name("odd.yaml")
    os.mkfifo(odd) if content is None else odd.write_bytes(content)
    said = notifier("check")
    assert said.code == 1
    assert "odd.yaml:" in said.out


@pytest.mark.parametrize("words", [("check",), ("check", "--deep"), ("list",), ("show", "g-1")])
def test_looking_leaves_nothing_beside_the_store(notifier: Run, store: Path, words: tuple[str, ...]) -> None:
    """No log is made by who only reads, and the store itself is not touched."""
    before = {path.name: path.stat().st_mtime_ns for path in store.parent.iterdir()}
    assert notifier(*words).code == 0
    assert {path.name: path.stat().st_mtime_ns for path in store.parent.iterdir()} == before


def spawned(config: Path) -> Said:
    """`notifier run` as a process: it takes over the log of the process it runs in."""
    ended = forge().run(["run", "--config", str(config)], os.environ)
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


def test_a_list_at_its_highest_limit_promises_no_more(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--limit is offered only where it can be raised."""
    list_generations(str(store.with_name("config.yaml")), everything=True, limit=2, most=2)
    assert "--limit" not in capsys.readouterr().err


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
        "2026-11-22T05:14:00.000Z  the poll before",
    ):
        assert words in said.out


def note(store: Path, id_: str | None, kind: str, reason: str) -> None:
    """What the daemon writes down of a trouble that it met four times."""
    trouble = Trouble(kind=kind, reason=reason, since=NOW, last=NOW + timedelta(minutes=3), times=4)

    async def save() -> None:
        async with open_store(str(store)) as opened:
            await opened.save_troubles(LUMA, {None if id_ is None else GenerationId(id_): trouble})

    anyio.run(save)


REFUSED = "The provider answered 401: bad key. Check this provider's api_key."
SINCE = "Asked 4 times since 2026-11-22T05:14:00.000Z, last at 2026-11-22T05:17:00.000Z."


def test_list_and_show_tell_that_the_provider_refuses_us(notifier: Run, store: Path) -> None:
    """A wrong key: why nothing is seen, since when, how often it was asked and what to do."""
    note(store, None, "refused", REFUSED)
    assert f"luma: refused: {REFUSED} {SINCE}" in notifier("list").out.splitlines()
    said = notifier("show", "g-2")
    assert f"            refused: {REFUSED} {SINCE}" in said.out.splitlines()
    assert "state       not seen yet" in said.out.splitlines()


def test_list_and_show_tell_that_one_id_fails(notifier: Run, store: Path) -> None:
    """The provider answers about others: what it says about this one."""
    note(store, "g-2", "failing", "The provider answered 500: boom \x1b[31m.")
    words = f"The provider answered 500: boom \\x1b[31m. {SINCE}"
    assert f"state       not seen: {words}" in notifier("show", "g-2").out.splitlines()
    (line,) = [line for line in notifier("list").out.splitlines() if line.startswith("g-2 ")]
    assert line.endswith(f"1 open; {words}")


def test_a_trouble_of_one_that_is_over_is_not_told(notifier: Run, store: Path) -> None:
    """It was answered in the end."""
    note(store, "g-1", "failing", "The provider answered 500: boom.")
    assert "boom" not in notifier("show", "g-1").out
    assert "boom" not in notifier("list", "--all").out


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
    made = notifier("backup", str(copy))
    assert made.code == 0
    assert "-wal and -shm" in made.err
    (tmp_path / "config.yaml").write_text(CONFIG.replace("notifier.db", "copy.db"))
    assert "attempt 1" in notifier("show", "g-1").out
    assert store.exists()


def test_a_backup_never_overwrites(notifier: Run, store: Path, tmp_path: Path) -> None:
    """A file that is there already is kept, and the command fails with a sentence."""
    assert store.exists()
    kept = tmp_path / "kept"
    kept.write_text("precious")
    said = notifier("backup", str(kept))
    assert said.code == 1
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
    assert said.out.strip() == callback_secret(Secret(SECRET), Destination("https://app.example.com")).reveal()
    assert notifier("secret", "for", "https://APP.example.com:443/other").out == said.out
    assert notifier("secret", "for", "https://app.example.com:8443/").out != said.out


def test_a_url_that_would_be_refused_is_said_to_be(notifier: Run, config: Path) -> None:
    """The key all the same, alone on standard output, and why no callback would go there."""
    config.write_text(CONFIG + f"callbacks: {{secret: {SECRET}}}\n")
    said = notifier("secret", "for", "http://10.0.0.1/x")
    assert said.code == 0
    assert re.fullmatch(r"whsec_\S+\n", said.out)
    assert "would be refused" in said.err
    config.write_text(CONFIG + f"callbacks: {{secret: {SECRET}, allow: [10.0.0.0/8]}}\n")
    assert notifier("secret", "for", "http://10.0.0.1/x").err == ""


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

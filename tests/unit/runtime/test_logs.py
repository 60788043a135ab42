"""Log lines as machines read them, and what must never be in one."""

import io
import logging
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
import structlog

from notifier.domain.model import Verdict
from notifier.domain.settings import Secret
from notifier.runtime import logs


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    """Structlog and logging are the process's: leave them as they were."""
    root = logging.getLogger()
    before = (root.handlers[:], root.level, logging.getLogger("apscheduler").level)
    yield
    structlog.reset_defaults()
    root.handlers[:], level, scheduler = before[0], before[1], before[2]
    root.setLevel(level)
    logging.getLogger("apscheduler").setLevel(scheduler)


def written(level: str = "debug") -> io.StringIO:
    stream = io.StringIO()
    logs.set_up(level=level, environ={}, stream=stream)
    return stream


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_one_json_object_that_opens_with_when_how_bad_and_what() -> None:
    """Any log shipper can read it, and a person finds time, level and event at its beginning."""
    stream = written()
    structlog.get_logger().warning("delivery.attempted", verdict=Verdict.TIMED_OUT, took_ms=412)
    (line,) = lines(stream)
    assert list(line)[:3] == ["at", "level", "event"]
    assert (line["level"], line["event"], line["verdict"]) == ("warning", "delivery.attempted", "timed out")
    assert datetime.fromisoformat(line["at"]).tzinfo == UTC


def test_a_field_with_nothing_to_say_is_left_out() -> None:
    """No `status: null` in a line about an attempt without an answer; zero and false do say something."""
    stream = written()
    structlog.get_logger().info("x", status=None, detail="", count=0, on=False)
    assert lines(stream)[0].keys() == {"at", "level", "event", "count", "on"}


def test_levels_below_the_chosen_one_are_silent() -> None:
    """`--log-level warning` writes no info."""
    stream = written("warning")
    structlog.get_logger().info("x")
    structlog.get_logger().error("y")
    assert [line["event"] for line in lines(stream)] == ["y"]


@pytest.mark.parametrize("where", [lambda secret: secret, lambda secret: [secret], lambda secret: {"key": secret}])
def test_a_secret_is_never_written(where: Any) -> None:
    """Not by itself, not within a list or a mapping, not on a terminal's form either."""
    stream = written()
    structlog.get_logger().info("x", held=where(Secret("whsec_very_secret")))
    structlog.get_logger().info("y", text=f"{Secret('whsec_very_secret')}")
    assert len(lines(stream)) == 2
    assert "very_secret" not in stream.getvalue()


def test_an_error_has_its_traceback_on_the_same_line() -> None:
    """One event is one line, whatever broke."""
    stream = written()
    try:
        int("broken")
    except ValueError:
        structlog.get_logger().exception("x")
    (line,) = lines(stream)
    assert "ValueError: invalid literal" in line["exception"]


def test_what_libraries_warn_of_comes_through() -> None:
    """A warning through `logging` becomes a line of ours with the library's name; its chatter does not."""
    stream = written()
    logging.getLogger("aiohttp.client").warning("Unclosed %s", "session")
    logging.getLogger("aiohttp.client").info("chatter")
    logging.getLogger("apscheduler.executors").warning("missed by a second")
    (line,) = lines(stream)
    assert (line["event"], line["library"], line["message"]) == ("library.warned", "aiohttp.client", "Unclosed session")


def test_a_library_that_logs_wrongly_does_not_break_what_it_was_doing() -> None:
    """Arguments that do not fit their message are the library's fault and end in its own log call."""
    stream = written()
    raised = logging.raiseExceptions
    logging.raiseExceptions = False
    try:
        logging.getLogger("lib").warning("%d of %d", "one")  # noqa: PLE1206  the very mistake
    finally:
        logging.raiseExceptions = raised
    structlog.get_logger().info("x")
    assert lines(stream)[-1]["event"] == "x"


@pytest.mark.parametrize("value", ["\ud800", "a\udcffb", 2**70, {1: "x"}, {"x": {2, 3}}, b"\xff", float("nan")])
def test_no_value_can_break_a_line(value: object) -> None:
    """A file name that is not UTF-8, or a number without end, may look bad in the log, but ends no loop."""
    stream = written()
    structlog.get_logger().info("x", value=value)
    assert [line["event"] for line in lines(stream)] == ["x"]


def test_a_newline_from_outside_makes_no_second_line() -> None:
    """Nobody can write a log line of their own into ours."""
    stream = written()
    structlog.get_logger().info("x", said='a\n{"event":"forged"}')
    assert [line["event"] for line in lines(stream)] == ["x"]


def test_a_list_that_is_too_long_for_a_line_is_several_lines_each_whole() -> None:
    """400 faults of a configuration: journald would cut one line of 117 KB, and what is cut is no JSON."""
    stream = written()
    faults = [f"config.yaml:{line}: " + "x" * 270 for line in range(400)]
    structlog.get_logger().error("config.refused", file="config.yaml", count=400, faults=faults)
    assert all(len(line.encode()) <= logs.LINE_LIMIT for line in stream.getvalue().splitlines())
    told = lines(stream)
    assert [fault for line in told for fault in line["faults"]] == faults
    assert {(line["event"], line["file"], line["count"]) for line in told} == {("config.refused", "config.yaml", 400)}
    assert [line["part"] for line in told] == [f"{number} of {len(told)}" for number in range(1, len(told) + 1)]


@pytest.mark.parametrize(
    "value",
    [
        "x" * 200_000,
        "é" * 100_000,
        "\x00" * 50_000,
        ["y" * 90_000],
        [["z" * 90_000]],
        {"a": "b" * 90_000},
        [*"ab"] * 9_000,
    ],
)
def test_no_line_is_longer_than_the_limit(value: object) -> None:
    """Whatever a field holds; of a text the beginning and the end stay."""
    stream = written()
    structlog.get_logger().info("x", value=value, other="o" * 9_000, exception="Traceback" + "t" * 30_000 + "the end")
    assert all(len(line.encode()) <= logs.LINE_LIMIT for line in stream.getvalue().splitlines())
    for line in lines(stream):
        assert line["event"] == "x"
        assert line["exception"].startswith("Traceback")
        assert line["exception"].endswith("the end")


def test_a_line_of_too_many_fields_says_at_least_what_happened() -> None:
    """Nothing of it can be cut any more, but it ends."""
    stream = written()
    structlog.get_logger().info("x", **{f"field{number}": "v" * 20 for number in range(1_000)})
    assert [line["event"] for line in lines(stream)] == ["x"]


def test_a_list_within_one_line_has_no_parts() -> None:
    """What fits stays as it is."""
    stream = written()
    structlog.get_logger().info("x", faults=["a"] * 3_000)
    assert lines(stream)[0]["faults"] == ["a"] * 3_000
    assert "part" not in lines(stream)[0]


def test_every_part_has_the_priority_of_its_line(tmp_path: Path) -> None:
    """The journal takes each line by itself."""
    with (tmp_path / "journal").open("w+") as stream:
        opened = os.fstat(stream.fileno())
        logs.set_up(level="debug", environ={"JOURNAL_STREAM": f"{opened.st_dev}:{opened.st_ino}"}, stream=stream)
        structlog.get_logger().error("x", faults=["f" * 100] * 1_000)
        stream.flush()
        told = (tmp_path / "journal").read_text().splitlines()
    assert len(told) > 1
    assert all(line.startswith("<3>{") and line.endswith("}") for line in told)


@pytest.mark.parametrize(("level", "priority"), [("debug", 7), ("info", 6), ("warning", 4), ("error", 3)])
def test_under_systemd_the_journal_gets_the_priority(tmp_path: Path, level: str, priority: int) -> None:
    """The prefix is before the JSON, and the time is left to the journal."""
    with (tmp_path / "journal").open("w+") as stream:
        opened = os.fstat(stream.fileno())
        logs.set_up(level="debug", environ={"JOURNAL_STREAM": f"{opened.st_dev}:{opened.st_ino}"}, stream=stream)
        getattr(structlog.get_logger(), level)("x", count=1)
        stream.flush()
        text = (tmp_path / "journal").read_text()
    assert text.startswith(f"<{priority}>{{")
    assert orjson.loads(text[3:]) == {"level": level, "event": "x", "count": 1}


def test_on_a_terminal_it_is_written_for_a_person() -> None:
    """Aligned words in place of JSON."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    logs.set_up(level="info", environ={}, stream=stream)
    structlog.get_logger().info("daemon.started", config="/etc/notifier/config.yaml")
    assert "daemon.started" in stream.getvalue()
    assert not stream.getvalue().startswith("{")

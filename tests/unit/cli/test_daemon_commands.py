"""What the commands print of what the daemon answers, and the exit code that follows from it."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import UnixStreamServer
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner

from notifier.cli.commands import app

ON = {"endpoint": "studio", "was": "disabled", "state": "working", "reason": "", "parked": 3}
OFF = {
    "endpoint": "studio",
    "was": "working",
    "state": "disabled",
    "reason": "too\x1bloud",
    "parked": 1,
    "oldest": None,
}
TRIED = {"message": "msg_a", "status": 500, "took_ms": 7, "detail": "", "delivered": False}
WHEN = "2026-11-22T05:14:00.123Z"

ANSWERS: list[tuple[list[str], dict[str, Any], int, list[str]]] = [
    (["redeliver", "msg_a"], {"taken": 1, "refused": {}}, 0, ["1 message is being sent again."]),
    (
        ["redeliver", "--endpoint", "studio"],
        {"taken": 2, "refused": {"being sent now": 1, "its body is not kept any more": 4}},
        0,
        [
            "2 messages are being sent again.",
            "1 message is left alone: being sent now",
            "4 messages are left alone: its body is not kept any more",
        ],
    ),
    (
        ["recover", "studio", "--since", "2d"],
        {"taken": 0, "refused": {"endpoint studio is disabled: gone": 2}},
        1,
        ["2 messages are left alone: endpoint studio is disabled: gone"],
    ),
    (
        ["cancel", "--generation", "g-1"],
        {"cancelled": 2, "ended": {"satisfied": 1, "expired": 3}},
        0,
        ["2 watches are cancelled; no message is sent.", "Others had ended before: 1 satisfied, 3 expired."],
    ),
    (
        ["enable", "studio"],
        {**ON, "given_up": 1, "oldest": WHEN},
        0,
        [
            "Endpoint studio is enabled.",
            (
                "3 messages are parked and 1 message was given up, answered by 410 too; "
                f"this sends them: notifier recover studio --since {WHEN} --socket SOCKET"
            ),
        ],
    ),
    (
        ["enable", "studio"],
        {**ON, "parked": 0, "given_up": 2, "oldest": WHEN},
        0,
        [
            "Endpoint studio is enabled.",
            (
                "2 messages were given up, answered by 410 too; "
                f"this sends them: notifier recover studio --since {WHEN} --socket SOCKET"
            ),
        ],
    ),
    (
        ["enable", "studio"],
        {**ON, "oldest": WHEN},
        0,
        [
            "Endpoint studio is enabled.",
            f"3 messages are parked; this sends them: notifier recover studio --since {WHEN} --socket SOCKET",
        ],
    ),
    (["enable", "studio"], {**ON, "parked": 0, "oldest": None}, 0, ["Endpoint studio is enabled."]),
    (
        ["enable", "studio"],
        {**ON, "was": "failing", "oldest": None},
        0,
        ["Endpoint studio was not disabled: it is failing."],
    ),
    (
        ["disable", "studio"],
        OFF,
        0,
        [r"Endpoint studio is disabled: too\x1bloud", "1 message is parked."],
    ),
    (
        ["disable", "studio"],
        {**OFF, "was": "disabled", "reason": "gone", "parked": 0},
        0,
        ["Endpoint studio is disabled already: gone", "0 messages are parked."],
    ),
    (
        ["test", "studio"],
        {**TRIED, "verdict": "server error", "head": "<p>\x1b[31mno"},
        1,
        ["msg_a: server error (500) after 7 ms", r"it answered: <p>\x1b[31mno"],
    ),
    (
        ["test", "studio"],
        {**TRIED, "verdict": "delivered", "delivered": True, "status": 204, "head": ""},
        0,
        ["msg_a: delivered (204) after 7 ms"],
    ),
    (
        ["test", "studio"],
        {**TRIED, "verdict": "connection refused", "status": None, "detail": "nobody listens", "head": ""},
        1,
        ["msg_a: connection refused after 7 ms: nobody listens"],
    ),
]


@contextmanager
def answering(path: Path, content: Mapping[str, Any]) -> Iterator[list[tuple[str, Any]]]:
    """A daemon that answers this to everything; what it was asked."""
    asked: list[tuple[str, Any]] = []

    class Answering(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append((self.path, orjson.loads(self.rfile.read(int(self.headers["content-length"])))))
            body = orjson.dumps(content)
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with UnixStreamServer(str(path), Answering) as server:
        serving = threading.Thread(target=server.serve_forever, args=(0.01,))
        serving.start()
        try:
            yield asked
        finally:
            server.shutdown()
            serving.join()


@pytest.mark.parametrize(("words", "content", "code", "lines"), ANSWERS, ids=[" ".join(case[0]) for case in ANSWERS])
def test_an_answer_is_told_in_plain_lines(
    tmp_path: Path, words: list[str], content: dict[str, Any], code: int, lines: list[str]
) -> None:
    """What came from outside is printable, and the exit code says whether what was asked for is so."""
    with answering(tmp_path / "a.sock", content):
        said = CliRunner().invoke(app, [words[0], "--socket", str(tmp_path / "a.sock"), *words[1:]])
    assert said.output.splitlines() == [line.replace("SOCKET", str(tmp_path / "a.sock")) for line in lines]
    assert said.exit_code == code


ASKED: list[tuple[list[str], str, dict[str, Any]]] = [
    (
        ["redeliver", "--generation", "-G3", "--status", "parked", "--status", "filtered", "--until", "1h"],
        "/v1/redeliver",
        {"generation": "-G3", "status": ["parked", "filtered"], "until": "1h"},
    ),
    (["redeliver", "--", "msg_a"], "/v1/redeliver", {"message": "msg_a"}),
    # an empty filter is for the daemon to refuse: left out, it would select more than was meant
    (["redeliver", "--endpoint", "", "--since", "2d"], "/v1/redeliver", {"endpoint": "", "since": "2d"}),
    (["disable", "studio"], "/v1/endpoints/studio/disable", {}),
    (
        ["recover", "https://a.example.com/h", "--since", "2d", "--include-filtered"],
        "/v1/recover",
        {"endpoint": "https://a.example.com/h", "since": "2d", "include_filtered": True},
    ),
    (["enable", "https://a.example.com/h?x"], "/v1/endpoints/https%3A%2F%2Fa.example.com%2Fh%3Fx/enable", {}),
    (["disable", "studio", "--reason", "moving"], "/v1/endpoints/studio/disable", {"reason": "moving"}),
]


@pytest.mark.parametrize(("words", "path", "body"), ASKED, ids=[" ".join(case[0]) for case in ASKED])
def test_a_command_asks_for_what_was_typed(tmp_path: Path, words: list[str], path: str, body: dict[str, Any]) -> None:
    """Every option is in the request, and nothing that was not typed."""
    content = {"taken": 1, "refused": {}, **ON, "oldest": None}
    with answering(tmp_path / "a.sock", content) as asked:
        CliRunner().invoke(app, [words[0], "--socket", str(tmp_path / "a.sock"), *words[1:]])
    assert asked == [(path, body)]

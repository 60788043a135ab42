"""The README's receivers, run as they stand there."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from notifier.delivery.signature import headers
from notifier.domain.settings import Secret
from notifier.schemas.build import TYPES

ROOT = Path(__file__).parents[2]
SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
BODY = (
    b'{"type":"generation.completed","data":{"generation_id":"g-1","result":{"url":"https://cdn.example.com/1.mp4"}}}'
)


def snippet(name: str) -> str:
    """The code block that stands under `<!-- snippet: NAME -->`."""
    found = re.search(
        rf"<!-- snippet: {re.escape(name)} -->\n```\w+\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL
    )
    assert found, f"README has no snippet {name}"
    return found[1]


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(command: list[str], port: int) -> Iterator[subprocess.Popen[str]]:
    """A receiver as a process, once it accepts connections; ended with the test."""
    environ = {**os.environ, "STUDIO_SECRET": SECRET, "PORT": str(port), "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            until_it_answers(port, process)
            yield process
        finally:
            process.terminate()


def until_it_answers(port: int, process: subprocess.Popen[str]) -> None:
    """Until something listens; the test's time limit is the deadline."""
    while process.poll() is None:
        try:
            httpx.post(f"http://127.0.0.1:{port}/", content=b"")
        except httpx.ConnectError:
            time.sleep(0.02)
        else:
            return
    raise AssertionError("the receiver ended by itself")


NODE = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")


RECEIVERS = pytest.mark.parametrize(
    ("name", "interpreter"),
    [
        pytest.param("receiver.py", [sys.executable], id="python"),
        pytest.param("receiver.mjs", ["node"], id="node", marks=NODE),
    ],
)


def signed(body: bytes = BODY, message: str = "msg_1") -> dict[str, str]:
    return dict(headers(message, int(time.time()), body, [Secret(SECRET)]))  # noqa: TID251  receivers compare with now


@contextmanager
def receiving(
    name: str, interpreter: list[str], tmp_path: Path, *, changed: tuple[str, str] = ("", "")
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The README's receiver and where it listens; `changed` is a part of its text and what takes its place."""
    text = snippet(name)
    assert changed[0] in text
    (tmp_path / name).write_text(text.replace(*changed, 1))
    port = free_port()
    with running([*interpreter, str(tmp_path / name)], port) as process:
        yield process, f"http://127.0.0.1:{port}/hooks"


def printed(process: subprocess.Popen[str]) -> list[str]:
    """The words of the next line that it prints."""
    assert process.stdout is not None
    return process.stdout.readline().split()


@RECEIVERS
def test_a_receiver_of_the_readme_verifies_and_takes_a_message_once(
    name: str, interpreter: list[str], tmp_path: Path
) -> None:
    """It takes what is signed, prints it once however often it comes, and answers 401 to what is not."""
    with receiving(name, interpreter, tmp_path) as (process, url), httpx.Client() as client:
        assert [client.post(url, content=BODY, headers=signed()).status_code for _ in range(2)] == [204, 204]
        assert client.post(url, content=BODY + b" ", headers=signed()).status_code == 401
        assert client.post(url, content=BODY).status_code == 401
        assert client.post(url, content=iter([BODY])).status_code == 401  # chunked: no Content-Length
        assert printed(process) == ["generation.completed", "g-1", "https://cdn.example.com/1.mp4"]
        process.terminate()
        assert printed(process) == []


@RECEIVERS
def test_a_receiver_of_the_readme_takes_messages_about_an_endpoint(
    name: str, interpreter: list[str], tmp_path: Path
) -> None:
    """`notifier test` and the notices to the operator name no generation and have no result."""
    of_endpoints = [each for each in TYPES if each.startswith("endpoint.")]
    with receiving(name, interpreter, tmp_path) as (process, url), httpx.Client() as client:
        for type_ in of_endpoints:
            body = b'{"type":"%s","data":{"endpoint":"studio"}}' % type_.encode()
            assert client.post(url, content=body, headers=signed(body, f"msg_{type_[9:]}")).status_code == 204
            assert printed(process)[0] == type_


@RECEIVERS
def test_a_receiver_of_the_readme_forgets_a_message_whose_work_failed(
    name: str, interpreter: list[str], tmp_path: Path
) -> None:
    """It answers 500, and the next attempt of the same message does the work."""
    fails = {
        "receiver.py": (
            '    data = event["data"]',
            '    data = event.pop("data") if seen.add(len(seen)) or len(seen) > 1 else {}["x"]',
        ),
        "receiver.mjs": (
            "function work(event) {",
            "let calls = 0;\nfunction work(event) {\n  if (!calls++) throw new Error();",
        ),
    }
    with receiving(name, interpreter, tmp_path, changed=fails[name]) as (process, url), httpx.Client() as client:
        assert [client.post(url, content=BODY, headers=signed()).status_code for _ in range(3)] == [500, 204, 204]
        assert printed(process)[:2] == ["generation.completed", "g-1"]


@RECEIVERS
def test_a_receiver_of_the_readme_outlives_clients_that_go_away(
    name: str, interpreter: list[str], tmp_path: Path
) -> None:
    """A cut-off body, a connection on which nothing comes, a signed body that is no JSON: the next one is served."""
    with receiving(name, interpreter, tmp_path) as (process, url), httpx.Client() as client:
        port = int(url.rpartition(":")[2].partition("/")[0])
        with socket.create_connection(("127.0.0.1", port)), socket.create_connection(("127.0.0.1", port)) as cut:
            cut.sendall(b"POST /hooks HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{")
            cut.close()
            assert client.post(url, content=b"no", headers=signed(b"no")).status_code in (401, 500)
            assert client.post(url, content=BODY, headers=signed()).status_code == 204
        assert printed(process)[1] == "g-1"
        assert process.poll() is None


def answer_to_length(length: str, port: int) -> int:
    """The status that a signed callback gets whose Content-Length says `length`; no client of HTTP would send it."""
    head = "".join(
        f"{name}: {value}\r\n" for name, value in {**signed(), "Host": "a", "Content-Length": length}.items()
    )
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(f"POST /hooks HTTP/1.1\r\n{head}\r\n".encode() + BODY)
        return int(client.recv(4096).split()[1])


@RECEIVERS
def test_a_receiver_of_the_readme_keeps_no_more_than_a_callback_can_have(
    name: str, interpreter: list[str], tmp_path: Path
) -> None:
    """A larger body does not verify, however well it is signed; a wrong length is refused; the next one is served."""
    large = BODY.ljust(1_000_001)
    with receiving(name, interpreter, tmp_path) as (process, url), httpx.Client() as client:
        assert client.post(url, content=large, headers=signed(large)).status_code == 401
        port = int(url.rpartition(":")[2].partition("/")[0])
        assert all(answer_to_length(length, port) >= 400 for length in ("-1", "abc"))
        assert client.post(url, content=BODY, headers=signed()).status_code == 204
        assert printed(process)[1] == "g-1"

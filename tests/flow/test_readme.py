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
from notifier.settings import Secret

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
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True) as process:
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


@pytest.mark.parametrize(
    ("name", "interpreter"),
    [
        pytest.param("receiver.py", [sys.executable], id="python"),
        pytest.param("receiver.mjs", ["node"], id="node", marks=NODE),
    ],
)
def test_a_receiver_of_the_readme_verifies_and_takes_a_message_once(
    name: str, interpreter: list[str], tmp_path: Path
) -> None:
    """It takes what is signed, prints it once however often it comes, and answers 401 to what is not."""
    (tmp_path / name).write_text(snippet(name))
    signed = dict(headers("msg_1", int(time.time()), BODY, [Secret(SECRET)]))  # noqa: TID251  receivers compare with now
    port = free_port()
    with running([*interpreter, str(tmp_path / name)], port) as process, httpx.Client() as client:
        url = f"http://127.0.0.1:{port}/hooks"
        assert [client.post(url, content=BODY, headers=signed).status_code for _ in range(2)] == [204, 204]
        assert client.post(url, content=BODY + b" ", headers=signed).status_code == 401
        assert client.post(url, content=BODY).status_code == 401
        assert client.post(url, content=iter([BODY])).status_code == 401  # chunked: no Content-Length
        assert process.stdout is not None
        assert process.stdout.readline().split() == ["generation.completed", "g-1", "https://cdn.example.com/1.mp4"]
        process.terminate()
        assert process.stdout.read() == ""

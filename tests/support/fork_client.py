"""Processes of the product that need not load it first: forks of one that has, which `fork_server.py` is.

It begins with the first of them and ends with the run.
"""

import atexit
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import IO

#: Seconds that only a failure reaches.
_DEADLINE = 30.0


class Forged:
    """A process that the forge made: pid, end and exit code of it, as its `told` says."""

    def __init__(self, told: int) -> None:
        self._told = os.fdopen(told)
        self.pid = int(self._next("pid"))
        self._status: int | None = None
        self._ended = threading.Event()
        threading.Thread(target=self._listen, daemon=True).start()

    def _next(self, word: str) -> int:
        line = self._told.readline()
        assert line, "the forge ended"
        return int(json.loads(line)[word])

    def _listen(self) -> None:
        with self._told:
            self._status = self._next("status")
        self._ended.set()

    def poll(self) -> int | None:
        return self._status

    def wait(self, timeout: float | None = None) -> int:
        if not self._ended.wait(timeout):
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0)
        assert self._status is not None
        return self._status

    def send_signal(self, sig: int) -> None:
        if self._status is None:
            with suppress(ProcessLookupError):  # it ended, and that was not told yet
                os.kill(self.pid, sig)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class Forge:
    """Starts processes of the product that need not load it first; see `fork_server.py`."""

    def __init__(self) -> None:
        self._orders, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, str(Path(__file__).with_name("fork_server.py"))], stdin=theirs.fileno()
            )

    def start(self, words: Sequence[str], environ: Mapping[str, str], *, output: int, errors: int) -> Forged:
        """`notifier` with these words, in this environment alone, writing to these open files."""
        told, theirs = os.pipe()
        order = json.dumps({"words": [*words], "environ": {**environ}}).encode()
        socket.send_fds(self._orders, [order], [output, errors, theirs])
        os.close(theirs)
        return Forged(told)

    def run(self, words: Sequence[str], environ: Mapping[str, str]) -> "subprocess.CompletedProcess[str]":
        """`notifier` with these words, in this environment alone, to its end."""
        with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
            process = self.start(words, environ, output=output.fileno(), errors=errors.fileno())
            try:
                code = process.wait(_DEADLINE)
            finally:
                process.kill()
            return subprocess.CompletedProcess([*words], code, _whole_text(output), _whole_text(errors))

    def close(self) -> None:
        self._orders.close()
        self._process.wait(_DEADLINE)


@cache
def forge() -> Forge:
    """The one of this run, which ends with it."""
    made = Forge()
    atexit.register(made.close)
    return made


def _whole_text(file: IO[str]) -> str:
    file.seek(0)
    return file.read()

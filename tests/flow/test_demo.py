"""The demo, as a newcomer runs it."""

import io
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.console import Console

from notifier.cli.demo import _Parts, _table
from notifier.emulator.receiver import Received, serve_receiver
from notifier.emulator.server import serve_emulator


def test_the_demo_delivers_all_it_promised(tmp_path: Path) -> None:
    """With nothing set up: exit 0, every callback verified, said in one line; no trace is left on the machine."""
    root = Path(__file__).parents[2]
    environ = {
        **os.environ,
        "PYTHONPATH": str(root),
        "TMPDIR": str(tmp_path),
        "PYTHONWARNINGS": "error::ResourceWarning",
    }
    shown = subprocess.run(
        [sys.executable, "-m", "notifier", "demo"],
        env=environ,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=55,
        check=False,
    )
    assert shown.returncode == 0, shown.stderr
    assert "12 of 12 callbacks verified" in shown.stdout.splitlines()
    assert shown.stderr == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("ended_by", [signal.SIGTERM, signal.SIGINT])
def test_a_demo_that_is_ended_leaves_nothing(tmp_path: Path, ended_by: signal.Signals) -> None:
    """By either signal: the shell's exit code for it, no traceback, and no directory left."""
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "TMPDIR": str(tmp_path)}
    environ["PYTHONUNBUFFERED"] = "1"
    command = [sys.executable, "-m", "notifier", "demo"]
    with subprocess.Popen(
        command, env=environ, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as demo:
        assert demo.stdout is not None
        assert "under way" in demo.stdout.readline()
        assert list(tmp_path.iterdir()) != []
        demo.send_signal(ended_by)
        _, told = demo.communicate()
    assert (demo.returncode, told) == (128 + ended_by, "")
    assert list(tmp_path.iterdir()) == []


async def test_no_id_is_cut_on_80_columns() -> None:
    """The table of a terminal shows every ID whole, beside the longest state and type."""
    async with serve_emulator() as emulator, serve_receiver() as receiver:
        ids = [emulator.create(complete_at=0.0)[0] for _ in range(2)]
        receiver.callbacks.append(
            Received(
                received_at=datetime(2026, 11, 22, tzinfo=UTC),
                path="/",
                message_id="msg_1",
                event={"type": "generation.completed", "data": {"generation_id": ids[0]}},
                refused=None,
                seen=1,
                status=204,
            )
        )
        shown = io.StringIO()
        Console(width=80, file=shown).print(_table(_Parts(emulator=emulator, receiver=receiver, ids=ids)))
    lines = shown.getvalue().splitlines()
    assert len(lines) == 3
    assert all(id_ in shown.getvalue() for id_ in ids)
    assert "generation.completed, verified" in shown.getvalue()

"""The demo, as a newcomer runs it."""

import os
import subprocess
import sys
from pathlib import Path


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

"""Runs a test's script as a user who may not read and write everything, as root may, in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

#: `nobody`.
_USER: Final = 65534
_BEFORE: Final = """
import os, sys, tempfile
from pathlib import Path
import anyio, anyio.to_thread
"""
_AFTER: Final = f"""
# Whatever is imported late is imported now: the interpreter's own files may be root's.
anyio.run(anyio.to_thread.run_sync, int)
if os.geteuid() == 0:
    os.setgroups([])
    os.setresgid({_USER}, {_USER}, {_USER})
    os.setresuid({_USER}, {_USER}, {_USER})
with tempfile.TemporaryDirectory() as directory:
    anyio.run(main, Path(directory))
"""


def run_as_other_user(script: str) -> list[str]:
    """Awaits `main(directory)`, which `script` defines, with an empty directory of that user's; the lines of stderr.

    What `script` does at its top is still done as the user who runs the tests.
    """
    ran = subprocess.run(
        [sys.executable, "-c", _BEFORE + script + _AFTER],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stderr.splitlines()

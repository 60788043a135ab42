"""`notifier run`: the daemon as a process."""

import gc
import importlib.util
import os
import resource
import sys
from typing import Final

import anyio
import typer

from notifier import logs, service
from notifier.config import load

#: As in the unit.
_FILES: Final = 65_536


def _tune_collection() -> None:
    """Collect less often: a burst makes many short-lived records and hardly a cycle (a tenth of its time, measured)."""
    gc.freeze()  # what is loaded now stays
    gc.set_threshold(50_000, 20, 50)


def _tune_threads() -> None:
    """Let the store's writer have its turn ten times sooner while the loop is busy.

    A transaction takes the interpreter's lock back after each of its statements, and by default it waits 5 ms for that.
    Beside an endpoint that keeps the loop busy a callback of another took 23 and 29 ms in the middle in two runs, and
    10 and 26 with this; the second difference is within what the machine itself varies by.
    """
    sys.setswitchinterval(0.0005)


def _raise_limit_of_files() -> None:
    """A connection is a file: 1,024 attempts may be in flight, and many a shell allows no more open files than that."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
    if soft not in (resource.RLIM_INFINITY, hard) and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def run_daemon(config: str, log_level: str) -> None:
    if log_level not in logs.LEVELS:
        raise typer.BadParameter(f"{log_level!r} is none of {', '.join(logs.LEVELS)}", param_hint="--log-level")
    logs.set_up(level=log_level, environ=os.environ)
    settings = load(config, environ=os.environ)
    _tune_collection()
    _tune_threads()
    _raise_limit_of_files()
    anyio.run(
        service.serve,
        settings,
        lambda: load(config, environ=os.environ),
        os.environ,
        backend_options={"use_uvloop": importlib.util.find_spec("uvloop") is not None},
    )

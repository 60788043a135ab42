"""`notifier run`: the daemon as a process."""

import gc
import importlib.util
import os
import resource
from typing import Final

import anyio
import typer

from notifier.config import load
from notifier.daemon import service
from notifier.runtime import logs

#: As in the unit.
_FILES: Final = 65_536


def run_daemon(config: str, log_level: str) -> None:
    if log_level not in logs.LEVELS:
        raise typer.BadParameter(f"{log_level!r} is none of {', '.join(logs.LEVELS)}", param_hint="--log-level")
    logs.set_up(level=log_level, environ=os.environ)
    settings = load(config, environ=os.environ)
    # collect less often: a burst makes many short-lived records and hardly a cycle (a tenth of its time, measured)
    gc.freeze()  # what is loaded now stays
    gc.set_threshold(50_000, 20, 50)
    # a connection is a file: 4,096 attempts may be in flight, and many shells allow fewer open files than that
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
    if soft not in (resource.RLIM_INFINITY, hard) and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    anyio.run(
        service.serve,
        settings,
        lambda: load(config, environ=os.environ),
        os.environ,
        backend_options={"use_uvloop": importlib.util.find_spec("uvloop") is not None},
    )

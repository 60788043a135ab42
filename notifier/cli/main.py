"""The console script: loads the commands, runs them, and makes what they raise a message and an exit code.

Exit codes: 0 done; 1 not done, or a check failed; 2 wrong words on the command line; 75 (EX_TEMPFAIL) try again
later; 78 (EX_CONFIG) the operator must change something first; 130 Ctrl-C. Errors of ours are never a traceback.

Nothing heavy is imported at the top: Ctrl-C must be silent from the first moment, so the rest loads under `main`.
"""

import os
import signal
import sys
from collections.abc import Iterator
from types import FrameType
from typing import Final

from notifier.domain.errors import (
    ConfigError,
    DaemonRefused,
    DaemonUnavailable,
    InvalidRequest,
    NotifierError,
    StoreRefused,
    StoreUnavailable,
)

#: The shell's for a process that Ctrl-C ended.
_INTERRUPTED: Final = 130
#: What is raised, and the exit code for it; the first row that fits counts. Of several errors the one whose row comes
#: first is the one to act on first.
_EXIT_CODES: Final = (
    (KeyboardInterrupt, _INTERRUPTED),
    (ConfigError, os.EX_CONFIG),
    (StoreRefused, os.EX_CONFIG),
    (StoreUnavailable, os.EX_TEMPFAIL),
    (DaemonRefused, os.EX_CONFIG),
    (DaemonUnavailable, os.EX_TEMPFAIL),
    (InvalidRequest, 2),
    (NotifierError, 1),
)


def main() -> None:
    """Run the command line."""
    if sys.argv[1:2] == ["run"]:  # a reload that is asked for while the daemon starts waits until it can be done
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    usual = signal.signal(signal.SIGINT, _leave)
    # aiohttp opens it while it loads, and ends in a traceback if it cannot. No keys of ours are written anywhere.
    os.environ.pop("SSLKEYLOGFILE", None)
    from notifier.cli.commands import app

    signal.signal(signal.SIGINT, usual)
    try:
        app()
    except (KeyboardInterrupt, NotifierError, BaseExceptionGroup) as error:
        cause = cause_of(error)
        if (code := code_of(cause)) is None:
            raise
        if isinstance(cause, ConfigError):
            count = "1 fault" if len(cause.faults) == 1 else f"{len(cause.faults)} faults"
            faults = "".join(f"  {fault}\n" for fault in cause.faults)
            sys.stderr.write(f"The configuration cannot be used ({count}):\n{faults}")
        elif isinstance(cause, NotifierError):
            sys.stderr.write(f"{cause}\n")
        raise SystemExit(code) from None


def code_of(error: BaseException) -> int | None:
    """The exit code for it; None if it is none of ours."""
    return next((code for kind, code in _EXIT_CODES if isinstance(error, kind)), None)


def _leave(_signal: int, _frame: FrameType | None) -> None:
    """At once: while modules load there is nothing to tidy up, and a KeyboardInterrupt may be swallowed or printed."""
    os._exit(_INTERRUPTED)


def cause_of(error: BaseException) -> BaseException:
    """The error inside a group, of several the one to act on first; the group itself if one of them is none of ours.

    Two loops that meet the same store at the same moment both raise.
    """
    causes = list(_leaves(error))
    if not all(isinstance(cause, (NotifierError, KeyboardInterrupt)) for cause in causes):
        return error
    kinds = [kind for kind, _ in _EXIT_CODES]
    return min(causes, key=lambda cause: next(place for place, kind in enumerate(kinds) if isinstance(cause, kind)))


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from _leaves(each)
    else:
        yield error


if __name__ == "__main__":
    main()

"""The console script: loads the commands, runs them, and makes what they raise a message and an exit code.

Exit codes: 0 done; 1 something asked for is not so; 2 wrong words on the command line; 75 (EX_TEMPFAIL) try again
later; 78 (EX_CONFIG) the operator must change something first; 130 Ctrl-C. Errors of ours are never a traceback.

Nothing heavy is imported at the top: Ctrl-C must be silent from the first moment, so the rest loads under `main`.
"""

import os
import signal
import sys
from collections.abc import Iterator
from types import FrameType

from notifier.cli.exit_codes import EX_CONFIG, EX_FAILED, EX_INTERRUPTED, EX_TEMPFAIL
from notifier.domain.errors import ConfigError, Fault, NotifierError, StoreRefused, StoreUnavailable


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
    except KeyboardInterrupt:
        raise SystemExit(EX_INTERRUPTED) from None
    except (NotifierError, BaseExceptionGroup) as error:
        cause = cause_of(error)
        if isinstance(cause, KeyboardInterrupt):
            raise SystemExit(EX_INTERRUPTED) from None
        if not isinstance(cause, NotifierError):
            raise
        _fail(*_told(cause))


def _leave(_signal: int, _frame: FrameType | None) -> None:
    """At once: while modules load there is nothing to tidy up, and a KeyboardInterrupt may be swallowed or printed."""
    os._exit(EX_INTERRUPTED)


def cause_of(error: BaseException) -> BaseException:
    """What task groups wrapped: of several errors the one to act on first. An error that is none of ours stays whole.

    Two loops that meet the same store at the same moment both raise.
    """
    causes = list(_leaves(error))
    if not all(isinstance(cause, (NotifierError, KeyboardInterrupt)) for cause in causes):
        return error
    return min(causes, key=_urgency)


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from _leaves(each)
    else:
        yield error


def _urgency(error: BaseException) -> int:
    """The lower, the sooner."""
    kinds = (KeyboardInterrupt, ConfigError, StoreRefused, StoreUnavailable)
    return next((place for place, kind in enumerate(kinds) if isinstance(error, kind)), len(kinds))


def _told(error: NotifierError) -> tuple[str, int]:
    match error:
        case ConfigError():
            return _listed("The configuration cannot be used", error.faults), EX_CONFIG
        case StoreRefused():
            return str(error), EX_CONFIG
        case StoreUnavailable():
            return str(error), EX_TEMPFAIL
        case _:
            return str(error), EX_FAILED


def _listed(title: str, faults: tuple[Fault, ...]) -> str:
    count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
    return "\n".join([f"{title} ({count}):", *(f"  {fault}" for fault in faults)])


def _fail(message: str, code: int) -> None:
    sys.stderr.write(message + "\n")
    raise SystemExit(code)


if __name__ == "__main__":
    main()

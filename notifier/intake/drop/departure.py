"""Where judged files go: accepted ones to done/, the others to rejected/ with the reasons beside them. Blocking."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from notifier.domain.errors import MAX_FAULTS, Fault
from notifier.intake.drop.inspect_file import Taken
from notifier.intake.drop.spool import Moved, Spool
from notifier.text.printable import printable

#: Faults in one .error file, at most.
_FAULTS: Final = 2 * MAX_FAULTS


def move_all(spool: Spool, judged: Sequence[tuple[Taken, Sequence[Fault]]], now: datetime) -> list[Moved | OSError]:
    """One answer for each; a file that could not be moved stays, and its answer is the error."""
    outcomes: list[Moved | OSError] = []
    for one, faults in judged:
        try:
            if faults:
                moved = spool.reject(one.name, one.fd, one.key, reasons(one.name, faults), now=now, held=one.held)
            else:
                moved = spool.accept(one.name, one.fd, one.key, now=now, held=one.held)
        except OSError as error:
            outcomes.append(error)
        else:
            outcomes.append(moved)
    return outcomes


def reasons(name: str, faults: Sequence[Fault]) -> str:
    """The text of an .error file."""
    lines = [f"{printable(name, 200)} was not accepted, and nothing in it was registered.", ""]
    lines += [
        ("" if f.line is None else f"line {f.line}: ") + (f"{f.path}: " if f.path else "") + f.message
        for f in faults[:_FAULTS]
    ]
    lines += ["", "Correct the file and drop it again."]
    return "\n".join(printable(line, 2_000) for line in lines) + "\n"

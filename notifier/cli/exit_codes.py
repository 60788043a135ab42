"""Exit codes of the commands, by their names in sysexits.h."""

from typing import Final

EX_FAILED: Final = 1
EX_TEMPFAIL: Final = 75
EX_CONFIG: Final = 78
EX_INTERRUPTED: Final = 130

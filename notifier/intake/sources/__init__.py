"""Where watches come from on this machine's disk: the drop directory and the operator's watch files."""

from notifier.intake.sources.door import Registers
from notifier.intake.sources.drop import DropDirectory
from notifier.intake.sources.watch_files import WatchFiles

__all__ = ["DropDirectory", "Registers", "WatchFiles"]

"""In which order large drop files are read."""

from notifier.intake.drop.inspect_file import Waiting
from notifier.intake.drop.turns import Turn, next_turn

MIB = 1024 * 1024


def turns(**files: tuple[float, float]) -> dict[str, Turn]:
    """Name -> since when it waits, and MiB."""
    return {name: Turn(waiting=Waiting(), size=round(size * MIB), since=since) for name, (since, size) in files.items()}


def test_a_smaller_file_passes_and_a_large_one_does_not_wait_for_ever() -> None:
    """A second for each MiB that it is larger; of equal ones the first; nobody where nobody waits."""
    assert next_turn({}) is None
    assert next_turn(turns(a=(0.0, 13), b=(1.0, 13))) == "a"
    assert next_turn(turns(a=(0.0, 13), b=(5.0, 1))) == "b"
    assert next_turn(turns(a=(0.0, 13), b=(12.5, 1))) == "a"

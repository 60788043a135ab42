"""The bytes of one watch file: all of them, whatever its size says, and never more than may be read."""

from datetime import timedelta
from pathlib import Path

import pytest

from notifier.domain.errors import InvalidWatch
from notifier.domain.ids import GenerationId
from notifier.intake.entry import Known, KnownProvider
from notifier.intake.parse import MAX_BYTES
from notifier.intake.watch_files import read_watch_file

KNOWN = Known(
    providers={"luma": KnownProvider(normalise_id=GenerationId, words={}, timeout=timedelta(hours=1))},
    endpoints=["studio"],
)


@pytest.mark.parametrize("count", [0, 1, 1_000])
def test_a_file_is_read_to_its_end(tmp_path: Path, count: int) -> None:
    """Every entry of it makes its watch."""
    file = tmp_path / "w.yaml"
    file.write_text("".join(f"- id: g-{number}\n" for number in range(count)))
    found = read_watch_file(str(file), KNOWN)
    assert [each.generation for each in found] == [f"g-{number}" for number in range(count)]


def test_a_file_that_holds_more_than_its_size_says_is_read_to_its_end() -> None:
    """As one that grows while it is read; those of the kernel say 0. It is not taken for an empty one."""
    with pytest.raises(InvalidWatch) as caught:
        read_watch_file("/proc/self/comm", KNOWN)
    assert [fault.message for fault in caught.value.faults] == [
        'A watch is a mapping such as {id: "…"}, or a list of them.'
    ]


def test_a_file_that_is_too_large_is_refused(tmp_path: Path) -> None:
    """One byte more than the limit is refused as too much, not cut off."""
    file = tmp_path / "w.yaml"
    file.touch()
    with file.open("rb+") as opened:
        opened.truncate(MAX_BYTES + 1)
    with pytest.raises(InvalidWatch) as caught:
        read_watch_file(str(file), KNOWN)
    assert [fault.message for fault in caught.value.faults] == ["It is larger than 16 MiB; split it."]

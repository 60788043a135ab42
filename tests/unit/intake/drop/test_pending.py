"""Which files of the drop directory are inspected next."""

from notifier.intake import inotify
from notifier.intake.drop.inspect_file import Waiting
from notifier.intake.drop.pending import PendingFiles

MIB = 1024 * 1024


def queued(**files: tuple[float, float]) -> PendingFiles:
    """Name -> since when it waits, and MiB."""
    pending = PendingFiles()
    for name, (since, size) in files.items():
        pending.add_large(name, Waiting(), round(size * MIB), now=since)
    return pending


def next_of(pending: PendingFiles) -> str | None:
    turn = pending.next_large()
    return turn and turn[0]


def event(mask: int, name: str, cookie: int = 0) -> inotify.Event:
    return inotify.Event(1, mask, name, cookie)


def handled(pending: PendingFiles, *events: inotify.Event) -> dict[str, Waiting]:
    """What is due after these."""
    for each in events:
        assert not pending.handle(each, now=0.0)
    return dict(pending.due(0.0))


def test_a_smaller_file_passes_and_a_large_one_does_not_wait_for_ever() -> None:
    """A second for each MiB that it is larger; of equal ones the first; nobody if nobody waits."""
    assert next_of(PendingFiles()) is None
    assert next_of(queued(a=(0.0, 13), b=(1.0, 13))) == "a"
    assert next_of(queued(a=(0.0, 13), b=(5.0, 1))) == "b"
    assert next_of(queued(a=(0.0, 13), b=(12.5, 1))) == "a"


def test_a_large_file_is_not_due_before_its_turn_is_over() -> None:
    """What happened to its name meanwhile is inspected then."""
    pending = queued(a=(0.0, 1))
    assert handled(pending, event(inotify.CLOSE_WRITE, "a")) == {}
    assert pending.noticed()
    pending.end_turn("a")
    assert list(handled(pending)) == ["a"]
    assert not pending.noticed()


def test_a_file_is_followed_through_its_renames() -> None:
    """One that is renamed in is complete; one that was being written under its old name is still being written."""
    pending = PendingFiles()
    due = handled(
        pending,
        event(inotify.MODIFY, "a.tmp"),
        event(inotify.MOVED_FROM, "a.tmp", 7),
        event(inotify.MOVED_TO, "a.json", 7),
        event(inotify.MODIFY, "b.tmp"),
        event(inotify.CLOSE_WRITE, "b.tmp"),
        event(inotify.MOVED_FROM, "b.tmp", 8),
        event(inotify.MOVED_TO, "b.json", 8),
    )
    assert {name: (each.renamed, each.written) for name, each in due.items()} == {
        "a.json": (True, True),
        "b.json": (True, None),
    }


def test_a_file_that_was_put_back_is_not_complete_by_its_rename() -> None:
    """That holds for this one rename."""
    pending = PendingFiles()
    pending.put_back("a.json")
    assert not handled(pending, event(inotify.MOVED_TO, "a.json", 1))["a.json"].renamed
    assert handled(pending, event(inotify.MOVED_TO, "a.json", 2))["a.json"].renamed


def test_lost_events_call_for_a_scan_and_void_what_was_known_of_writers() -> None:
    """A writer may have closed its file unseen."""
    pending = PendingFiles()
    (made,) = handled(pending, event(inotify.CREATE, "a.json"), event(inotify.MODIFY, "a.json")).values()
    assert (made.made, made.written) == (True, True)
    assert pending.handle(event(inotify.OVERFLOW, ""), now=1.0)
    assert (made.made, made.written) == (False, None)


def test_a_file_that_another_one_replaced_is_not_done() -> None:
    """What was inspected was the old one."""
    pending = PendingFiles()
    (old,) = handled(pending, event(inotify.CREATE, "a.json")).values()
    (new,) = handled(pending, event(inotify.CREATE, "a.json")).values()
    pending.done("a.json", old)
    assert dict(pending.due(0.0)) == {"a.json": new}
    pending.done("a.json", new)
    assert pending.due(0.0) == []

"""In which queue each generation waits, and whose turn comes when."""

from notifier.polling.scheduling.open_generation import TrackedGeneration
from notifier.polling.scheduling.queues import Queues
from tests.support.generations import entry


def three() -> tuple[Queues, TrackedGeneration, TrackedGeneration, TrackedGeneration]:
    """One of each nature, due at 10, 20 and 30."""
    queues, regular, missed, single = Queues(1.0), entry("regular"), entry("missed"), entry("single")
    missed.excluded = single.poll_singly = True
    for at, each in ((10.0, regular), (20.0, missed), (30.0, single)):
        queues.add(each, at, 0.0)
    return queues, regular, missed, single


def test_each_waits_in_its_own_place() -> None:
    """Those that are missed or polled singly are in no take of the others, however long they are overdue."""
    queues, regular, missed, single = three()
    assert queues.take(100.0, 9) == [regular]
    assert queues.earliest_irregular() == 20.0
    assert queues.soonest(9) == [single]
    assert queues.overdue_missed(100.0, 9) == [missed]
    assert queues.overdue_missed(19.0, 9) == []


def test_those_apart_are_taken_by_requests_longest_overdue_first() -> None:
    """Many that are missed share one request, and each that is polled singly has its own."""
    queues, _, missed, single = three()
    more = [entry(f"m-{number}") for number in range(3)]
    for each in more:
        each.excluded = True
        queues.add(each, 25.0, 0.0)
    assert queues.take_irregular(15.0, 9, 2) == []
    assert queues.take_irregular(100.0, 2, 2) == [[missed, more[0]], more[1:]]
    assert queues.take_irregular(100.0, 9, 2) == [[single]]
    assert queues.earliest_irregular() is None


def test_one_that_changed_moves_when_it_is_added_again_and_is_never_twice() -> None:
    """It stays where it waits until then, and can be dropped wherever it is."""
    queues, regular, missed, single = three()
    regular.excluded, missed.excluded = True, False
    assert queues.take(100.0, 9) == [regular]
    queues.add(regular, 40.0, 0.0)
    queues.add(missed, 50.0, 0.0)
    assert queues.take(100.0, 9) == [missed]
    assert queues.take_irregular(100.0, 9, 9) == [[single], [regular]]
    for each in (regular, missed, single):
        queues.add(each, 60.0, 0.0)
        queues.drop(each)
        assert queues.due(each) is None
    assert (queues.take(1e9, 9), queues.earliest_irregular(), queues.earliest()) == ([], None, None)

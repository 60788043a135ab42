"""Where each generation waits, and whose turn comes how."""

from notifier.polling.scheduling.open_generation import TrackedGeneration
from notifier.polling.scheduling.queues import Queues
from tests.support.generations import entry


def three() -> tuple[Queues, TrackedGeneration, TrackedGeneration, TrackedGeneration]:
    """One of each nature, due at 10, 20 and 30."""
    queues, usual, missed, alone = Queues(1.0), entry("usual"), entry("missed"), entry("alone")
    missed.excluded = alone.poll_singly = True
    for at, each in ((10.0, usual), (20.0, missed), (30.0, alone)):
        queues.add(each, at, 0.0)
    return queues, usual, missed, alone


def test_each_waits_in_its_own_place() -> None:
    """Those that are missed or asked alone are in no take of the others, however long they are overdue."""
    queues, usual, missed, alone = three()
    assert queues.take(100.0, 9) == [usual]
    assert queues.earliest_irregular() == 20.0
    assert queues.soonest(9) == [alone]
    assert queues.overdue_missed(100.0, 9) == [missed]
    assert queues.overdue_missed(19.0, 9) == []


def test_those_apart_are_taken_by_requests_longest_overdue_first() -> None:
    """Many that are missed share one request, and each that is asked alone has its own."""
    queues, _, missed, alone = three()
    more = [entry(f"m-{number}") for number in range(3)]
    for each in more:
        each.excluded = True
        queues.add(each, 25.0, 0.0)
    assert queues.take_irregular(15.0, 9, 2) == []
    assert queues.take_irregular(100.0, 2, 2) == [[missed, more[0]], more[1:]]
    assert queues.take_irregular(100.0, 9, 2) == [[alone]]
    assert queues.earliest_irregular() is None


def test_one_that_changed_moves_when_it_is_added_again_and_is_never_twice() -> None:
    """It stays where it waits until then, and can be dropped wherever it is."""
    queues, usual, missed, alone = three()
    usual.excluded, missed.excluded = True, False
    assert queues.take(100.0, 9) == [usual]
    queues.add(usual, 40.0, 0.0)
    queues.add(missed, 50.0, 0.0)
    assert queues.take(100.0, 9) == [missed]
    assert queues.take_irregular(100.0, 9, 9) == [[alone], [usual]]
    for each in (usual, missed, alone):
        queues.add(each, 60.0, 0.0)
        queues.drop(each)
        assert queues.due(each) is None
    assert (queues.take(1e9, 9), queues.earliest_irregular(), queues.earliest()) == ([], None, None)

"""Which sets of destinations no callback can be sent to, at a bounded cost."""

from notifier.domain.ids import Destination
from notifier.polling.scheduling.open_generations import OpenGenerations
from notifier.polling.scheduling.undeliverable import Undeliverable
from tests.support.generations import AUDIT, STUDIO, opened


def is_audit(destination: Destination) -> bool:
    return destination in AUDIT


def test_undeliverable_is_a_set_of_which_every_destination_is_so() -> None:
    """One that can be sent to is enough; a generation without destinations told apart counts as deliverable."""
    undeliverable = Undeliverable()
    both = (*AUDIT, *STUDIO)
    for destinations in (AUDIT, STUDIO, both, ()):
        undeliverable.add(destinations)
    assert undeliverable.apply(is_audit) == set()
    assert [each in undeliverable for each in (AUDIT, STUDIO, both, ())] == [True, False, False, False]


def test_what_is_deliverable_again_is_named_once() -> None:
    """So that it is polled at once; later there is nothing new to say."""
    undeliverable = Undeliverable()
    undeliverable.apply(is_audit)
    undeliverable.add(AUDIT)
    assert AUDIT in undeliverable
    assert undeliverable.apply(lambda _: False) == {AUDIT}
    assert undeliverable.apply(lambda _: False) == set()


def test_equal_destinations_are_one_object() -> None:
    """A million generations share a few tuples."""
    undeliverable = Undeliverable()
    first, second = (undeliverable.add((Destination("a"), Destination("b"))) for _ in range(2))
    assert first is second


def test_too_many_destinations_are_not_told_apart() -> None:
    """More than 64 count as deliverable, whatever is said of each."""
    undeliverable = Undeliverable()
    undeliverable.apply(lambda _: True)
    many = undeliverable.add(tuple(Destination(f"https://{number}.example.com") for number in range(65)))
    assert many == ()
    assert many not in undeliverable


def test_destinations_that_came_and_went_are_forgotten() -> None:
    """Each callback origin is a destination: those of generations that are over do not stay in memory."""
    generations = OpenGenerations(1.0)
    for number in range(5_000):
        entry = generations.add(
            opened(f"g-{number}", destinations=(Destination(f"https://{number}.example.com"),)), now=1_000.0
        )
        generations.remove(entry)
    assert len(generations.undeliverable._known) < 1_100

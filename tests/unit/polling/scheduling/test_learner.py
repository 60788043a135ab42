"""What one poll teaches about a generation, its kind and its model."""

from datetime import timedelta
from random import Random

import pytest

from notifier.domain.model import State
from notifier.polling.scheduling.open_generations import OpenGenerations
from tests.support.generations import NOW, lognormals, opened, sight, teach, times


def test_the_first_record_shows_the_model_and_the_age() -> None:
    """Its curve is its model's; it may be older than its registration, if that is believed, and is never younger."""
    generations = OpenGenerations(1.0)
    for made, origin in ((900.0, 900.0), (1_500.0, 1_000.0), (-1e7, 1_000.0)):
        name = f"made-{made}"
        entry = generations.add(opened(name), now=1_000.0)
        seen = sight(name, model="ray-3", created_at=NOW + timedelta(seconds=made))
        generations.learn(entry, seen, times(1_001.0, 1_002.0))
        assert entry.curve is generations.curves.of("ray-3", State.COMPLETED)
        assert entry.age_origin == pytest.approx(origin)
        again = sight(name, model="ray-1", created_at=NOW)
        generations.learn(entry, again, times(1_003.0))
        assert entry.curve is generations.curves.of("ray-3", State.COMPLETED)


def test_one_that_takes_far_longer_than_its_kind_is_warned_of_once() -> None:
    """Three times as long as 99 of 100; not before enough is known."""
    generations = OpenGenerations(1.0)
    known = teach(generations.curves.of("ray-2", State.COMPLETED), lognormals(Random(1), 200, spread=0.3))
    assert known == 0
    late = generations.curves.of("ray-2", State.COMPLETED).p99
    entry, other = generations.add(opened("a"), now=0.0), generations.add(opened("b"), now=0.0)
    stalled = [generations.learn(entry, sight("a"), times(late * part)) for part in (1.0, 2.9, 3.1, 3.2, 9.0)]
    assert stalled == [False, False, True, False, False]
    assert not generations.learn(other, sight("b", model="undeliverable of"), times(late * 9.0))


def test_a_creation_that_was_believed_before_anything_was_learned_is_no_reason_for_a_warning() -> None:
    """Hours old by the provider's time, when nothing was known: it is stalled once it is by our own."""
    generations = OpenGenerations(1.0)
    entry = generations.add(opened("a"), now=0.0)
    assert not generations.learn(entry, sight("a", created_at=NOW - timedelta(hours=5, minutes=8)), times(1.0))
    assert entry.age_origin < -18_000.0
    teach(entry.curve, lognormals(Random(1), 200, spread=0.3))
    limit = 3 * entry.curve.p99
    assert [generations.learn(entry, sight("a"), times(at)) for at in (limit - 1.0, limit + 1.0)] == [False, True]
    assert entry.age_origin == 0.0


def test_what_was_done_before_its_registration_teaches_no_duration() -> None:
    """A first poll at once that finds it done says that such ones are done already, and not that they take no time."""
    generations = OpenGenerations(1.0)
    curve, already_done = (
        generations.curves.of("ray-2", State.COMPLETED),
        generations.curves.already_done[State.COMPLETED],
    )
    for number in range(50):
        entry = generations.add(opened(f"g-{number}"), now=1_000.0)
        generations.learn(entry, sight(entry.id, State.COMPLETED), times(1_000.0, 1_000.2))
        generations.remove(entry)
    assert curve.learned == 0
    assert already_done.share > 0.8


def test_what_was_open_before_this_run_teaches_only_from_its_first_poll_on() -> None:
    """If the first poll finds it done, nobody knows since when."""
    generations = OpenGenerations(1.0)
    for name in ("a", "b"):
        generations.load(opened(name), now=1_000.0, age=500.0)
    done, going = generations.queues.take(1_000.0, 2)
    generations.learn(done, sight("a", State.COMPLETED), times(1_000.0))
    generations.learn(going, sight("b"), times(1_000.0))
    curve = generations.curves.of("ray-2", State.COMPLETED)
    assert curve.learned == 0
    generations.learn(going, sight("b", State.COMPLETED), times(1_005.0))
    assert curve.learned == 1


def test_what_is_done_within_its_first_long_poll_teaches() -> None:
    """A request that was kept found it short of its target: it was not done before its registration."""
    generations = OpenGenerations(1.0)
    for number in range(60):
        sent = 1_000.0 + 100 * number
        entry = generations.add(opened(f"g-{number}", registered=sent), now=sent)
        generations.learn(entry, sight(entry.id, State.COMPLETED), times(sent, sent + 20.0), kept=True)
        generations.remove(entry)
    curve = generations.curves.of("ray-2", State.COMPLETED)
    assert curve.learned == 60
    assert 15.0 < curve.quantile(0.5) < 25.0
    assert generations.curves.already_done[State.COMPLETED].share < 0.1

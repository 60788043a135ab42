"""The queue of polls against a plain model, and its rounding."""

from math import floor

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifier.polling.scheduling.poll_queue import Bucket, PollQueue

#: A busy machine is no failure.
STEADY = hypothesis.settings(deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])


class Entry:
    """The least that a queue needs of an entry."""

    def __init__(self, name: str = "") -> None:
        self.name = name
        self.bucket: Bucket | None = None


def names(entries: list[Entry]) -> list[str]:
    return [entry.name for entry in entries]


KEYS = st.integers(0, 8)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), KEYS, st.floats(-20, 60)),
        st.tuples(st.just("drop"), KEYS, st.just(0.0)),
        st.tuples(st.just("take"), st.integers(0, 5), st.just(0.0)),
        st.tuples(st.just("soonest"), st.integers(0, 12), st.just(0.0)),
        st.tuples(st.just("wait"), st.just(0), st.floats(0, 15)),
    ),
    max_size=80,
)


def expected_bucket(at: float, now: float, width: float) -> int:
    if at <= now:
        return floor(at / width)
    return max(floor(at / width + 0.5), floor(now / width) + 1)


@STEADY
@given(STEPS, st.sampled_from([0.25, 1.0, 3.0]))
def test_the_queue_does_what_a_dict_of_buckets_does(steps: list[tuple[str, int, float]], width: float) -> None:
    """After any steps the same keys are there, the same are due, in the same order of buckets."""
    queue: PollQueue[Entry] = PollQueue(width)
    entries = [Entry(str(number)) for number in range(9)]
    model: dict[Entry, int] = {}
    now = 1_000.0
    for step, number, seconds in steps:
        if step == "add":
            queue.add(entries[number], now + seconds, now)
            model[entries[number]] = expected_bucket(now + seconds, now, width)
        elif step == "drop":
            queue.drop(entries[number])
            model.pop(entries[number], None)
        elif step == "wait":
            now += seconds
        elif step == "soonest":
            found = list(dict.fromkeys(queue.soonest(number)))
            assert [model[entry] for entry in found] == sorted(model.values())[: len(found)]
            assert len(found) == min(number, len(model)) or len(queue.soonest(number)) == number
        else:
            due = sorted(bucket for bucket in model.values() if bucket <= floor(now / width))
            taken = queue.take(now, number)
            assert [model[entry] for entry in taken] == due[:number]
            assert len(set(taken)) == len(taken)
            for entry in taken:
                del model[entry]
        assert queue.live == len(model)
        assert all((entry.bucket is not None) == (entry in model) for entry in entries)
        assert queue.earliest() == (min(model.values()) * width if model else None)


@pytest.mark.parametrize("late", [0.0, 0.1, 0.25, 0.49])
@pytest.mark.parametrize("period", [5.0, 7.0, 60.0])
def test_a_period_is_kept_however_late_in_its_bucket_the_poll_is(period: float, late: float) -> None:
    """A key that is added again within half a width of its edge falls due one period after that edge."""
    queue: PollQueue[Entry] = PollQueue()
    entry = Entry()
    queue.add(entry, 100.0, 100.0)
    for turn in range(50):
        edge = 100.0 + turn * period
        assert queue.earliest() == edge
        assert queue.take(edge + late, 10) == [entry]
        queue.add(entry, edge + late + period, edge + late)


@STEADY
@given(st.floats(0, 1e6), st.floats(1e-3, 1e3), st.sampled_from([0.1, 0.25, 1.0]))
def test_a_later_time_is_never_due_immediately(now: float, ahead: float, width: float) -> None:
    """What is added for later is not taken at the same moment, and is due at the latest a width and a half later."""
    queue: PollQueue[Entry] = PollQueue(width)
    entry = Entry()
    queue.add(entry, now + ahead, now)
    assert queue.take(now, 1) == []
    assert queue.take(now + max(ahead, width) + 1.5 * width, 1) == [entry]


def test_the_longest_overdue_come_first_and_the_rest_stays() -> None:
    """`take` gives the oldest buckets first, up to the limit, and keeps what it did not give."""
    queue: PollQueue[Entry] = PollQueue()
    for name, at in (("new", 99.0), ("old", 10.0), ("later", 105.0)):
        queue.add(Entry(name), at, 100.0)
    assert names(queue.take(100.0, 1)) == ["old"]
    assert names(queue.take(100.0, 10)) == ["new"]
    assert names(queue.take(200.0, 10)) == ["later"]
    assert queue.earliest() is None


def test_an_entry_that_was_moved_or_dropped_is_not_taken_at_its_old_time() -> None:
    """What it left behind in its old bucket is skipped, also if it comes back to that very bucket."""
    queue: PollQueue[Entry] = PollQueue()
    moved, gone, back, stays = map(Entry, ("moved", "gone", "back", "stays"))
    for entry in (moved, gone, back, stays):
        queue.add(entry, 5.0, 0.0)
    queue.add(moved, 50.0, 0.0)
    queue.drop(gone)
    queue.add(back, 50.0, 0.0)
    queue.add(back, 5.0, 0.0)
    assert names(queue.take(10.0, 10)) == ["back", "stays"]
    assert names(queue.take(60.0, 10)) == ["moved"]


def test_an_entry_that_is_moved_often_does_not_fill_the_memory() -> None:
    """Places left behind by moves are removed before they outnumber the entries by far."""
    queue: PollQueue[Entry] = PollQueue()
    entries = [Entry(str(number)) for number in range(10)]
    for turn in range(50_000):
        queue.add(entries[turn % 10], 100.0 + turn % 97, 0.0)
    assert queue._places <= 2 * queue.live + 1_025
    assert sum(len(bucket.places) for bucket in queue._buckets.values()) == queue._places
    assert sorted(names(queue.take(1_000.0, 100))) == sorted(names(entries))


def test_to_see_what_is_soonest_takes_nothing() -> None:
    """It stays, in the order in which it falls due, however often it is asked for."""
    queue: PollQueue[Entry] = PollQueue()
    for name, at in (("c", 30.0), ("a", 10.0), ("b", 20.0)):
        queue.add(Entry(name), at, 0.0)
    assert names(queue.soonest(2)) == names(queue.soonest(2)) == ["a", "b"]
    assert names(queue.take(100.0, 9)) == ["a", "b", "c"]
    assert queue.soonest(2) == []

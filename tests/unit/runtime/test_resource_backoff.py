"""How attempts go on where this machine has too little for them."""

from notifier.runtime.resource_backoff import CAREFUL, FIRST, LONGEST, ResourceBackoff


def test_nothing_is_limited_while_nothing_failed() -> None:
    """No attempt that works changes that."""
    backoff = ResourceBackoff()
    assert not backoff.succeeded(began=1.0)
    assert backoff.room(now=1.0, in_flight=900) is None
    assert backoff.wait(1.0) <= 0


def test_the_rest_grows_and_has_an_end() -> None:
    """A second, then twice as long each time, half a minute at most; nothing begins meanwhile."""
    backoff, now, rests = ResourceBackoff(), 100.0, []
    for _ in range(8):
        backoff.failed(began=now, now=now, in_flight=4)
        assert backoff.room(now=now, in_flight=0) == 0
        rests.append(backoff.wait(now))
        now += rests[-1]
    assert rests == [FIRST, 2, 4, 8, 16, LONGEST, LONGEST, LONGEST]


def test_many_that_fail_together_are_one_sign() -> None:
    """Nor does one that began before show that it is over."""
    backoff = ResourceBackoff()
    for number in range(300):
        backoff.failed(began=100.0, now=100.0 + number / 1000, in_flight=300 - number)
    assert backoff.wait(100.3) == FIRST - 0.3 + 0.0 or backoff.wait(100.3) < FIRST
    assert not backoff.succeeded(began=100.5)
    assert backoff.active
    assert backoff.succeeded(began=101.0)
    assert not backoff.active


def test_fewer_go_at_a_time_for_a_minute() -> None:
    """Half of what there were when it happened, and one at least; then as many as ever."""
    backoff = ResourceBackoff()
    backoff.failed(began=100.0, now=100.0, in_flight=300)
    assert backoff.room(now=101.0, in_flight=0) == 150
    assert backoff.room(now=101.0, in_flight=149) == 1
    assert backoff.room(now=101.0, in_flight=200) == 0
    assert backoff.succeeded(began=101.0)
    assert backoff.room(now=100.0 + CAREFUL - 1, in_flight=0) == 150
    assert backoff.room(now=100.0 + CAREFUL, in_flight=0) is None
    backoff.failed(began=200.0, now=200.0, in_flight=1)
    assert backoff.room(now=201.0, in_flight=0) == 1

"""When a provider is paused, when it is asked again, and when an ID is unknown."""

from datetime import timedelta

import pytest

from notifier.polling.trouble import Misses, Standing, Trouble, is_unknown, knows_none


def test_a_provider_that_stands_well_is_asked_as_usual() -> None:
    """Without trouble all free seats may be used."""
    assert Standing().room(0, free=9, in_flight=3) == 9


def test_pauses_of_a_busy_provider_double_to_a_minute() -> None:
    """1, 2, 4 … 60 seconds, each counted from the failure."""
    standing, pauses, now = Standing(), [], 100.0
    for _ in range(8):
        standing = standing.busy(now, asked_at=now, reason="503", jitter=0)
        pauses.append(standing.until - now)
        now = standing.until
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]


def test_jitter_only_adds() -> None:
    """The pause is longer by up to a half, never shorter."""
    assert Standing().busy(0, asked_at=0, reason="", jitter=1).until == 1.5


def test_retry_after_makes_a_pause_longer_but_never_for_ever() -> None:
    """The provider's wish is kept up to ten minutes, and a wish below our own pause changes nothing."""
    assert Standing().busy(0, asked_at=0, reason="", jitter=0, retry_after=20).until == 20
    assert Standing().busy(0, asked_at=0, reason="", jitter=0, retry_after=0.1).until == 1
    assert Standing().busy(0, asked_at=0, reason="", jitter=0, retry_after=1e9).until == 600


def test_a_refused_provider_is_tried_again_slowly() -> None:
    """30 seconds, then doubling to five minutes; readiness can tell."""
    standing, pauses, now = Standing(), [], 0.0
    for _ in range(6):
        standing = standing.refused(now, asked_at=now, reason="401")
        pauses.append(standing.until - now)
        now = standing.until
    assert pauses == [30, 60, 120, 240, 300, 300]
    assert standing.paused
    assert not Standing().busy(0, asked_at=0, reason="", jitter=0).paused


def test_in_trouble_there_is_one_probe_at_a_time() -> None:
    """Nothing before the pause ends, then one request, and no second beside it."""
    standing = Standing().refused(0, asked_at=0, reason="401")
    assert standing.room(29.9, free=9, in_flight=0) == 0
    assert standing.room(30, free=9, in_flight=0) == 1
    assert standing.room(30, free=9, in_flight=1) == 0
    assert standing.room(30, free=0, in_flight=0) == 0


def test_requests_that_fail_together_are_one_strike() -> None:
    """Those sent before the trouble began do not make the pause longer."""
    standing = Standing().busy(10, asked_at=9, reason="", jitter=0)
    for _ in range(8):
        assert standing.busy(10.2, asked_at=9.5, reason="", jitter=0) is standing
        assert standing.refused(10.2, asked_at=9.5, reason="") is standing
    assert (standing.strikes, standing.until) == (1, 11)
    standing = standing.busy(10.5, asked_at=9.5, reason="", jitter=0, retry_after=30)
    assert (standing.strikes, standing.until) == (1, 40.5)


def test_only_a_success_asked_after_the_trouble_clears_it() -> None:
    """A late answer to an earlier request is no cure; the probe's is."""
    standing = Standing().busy(10, asked_at=9, reason="", jitter=0)
    assert standing.answered(asked_at=9.5) == standing
    assert standing.answered(asked_at=11).ok
    assert standing.answered(asked_at=11).busy(20, asked_at=20, reason="", jitter=0).until == 21


def test_another_trouble_counts_from_one() -> None:
    """A key that is refused after an outage starts its own pauses."""
    standing = Standing().busy(0, asked_at=0, reason="", jitter=0).busy(1, asked_at=1, reason="", jitter=0)
    standing = standing.refused(3, asked_at=3, reason="401")
    assert (standing.trouble, standing.strikes, standing.until) == (Trouble.REFUSED, 1, 33)


def test_a_new_registration_ends_the_pause_of_a_provider_that_knew_no_id() -> None:
    """It may know the new one; a refused key is not helped by that."""
    absent = Standing().absent(0, asked_at=0, reason="none").absent(5, asked_at=5, reason="none")
    assert absent.until == 15
    assert absent.welcome(7).until == 7
    assert absent.welcome(7).strikes == 2
    assert absent.welcome(20).until == 15
    refused = Standing().refused(0, asked_at=0, reason="401")
    assert refused.welcome(1) == refused


def test_many_strikes_stay_at_the_longest_pause() -> None:
    """The number of failures never overflows anything."""
    standing = Standing(trouble=Trouble.ABSENT, strikes=10**6)
    assert standing.absent(0, asked_at=0, reason="").until == 300


@pytest.mark.parametrize(
    ("asked", "held", "answered_at", "expected"),
    [
        (2, 0, None, True),
        (2, 0, 400.0, True),
        (2, 0, 400.1, False),
        (2, 1, None, False),
        (1, 0, None, False),
    ],
)
def test_a_reply_without_any_id_speaks_against_the_provider(
    asked: int, held: int, answered_at: float | None, *, expected: bool
) -> None:
    """Two or more asked, none held, and none held by any reply of the last ten minutes."""
    assert knows_none(asked=asked, held=held, now=1000.0, answered_at=answered_at) is expected


def missed(*singles: bool) -> Misses:
    misses = Misses()
    for second, single in enumerate(singles):
        misses = misses.missed(100.0 + second, single=single)
    return misses


OLD = timedelta(minutes=10)


def test_an_id_is_unknown_when_everything_speaks_for_it() -> None:
    """Ten minutes, three misses, one of them alone, another ID answered since, and never seen."""
    assert is_unknown(missed(False, False, True), age=OLD, seen=False, other_answered_at=100.0)


@pytest.mark.parametrize(
    ("misses", "age", "seen", "other"),
    [
        (missed(False, False, True), OLD - timedelta(seconds=1), False, 101.0),
        (missed(False, True), OLD, False, 101.0),
        (missed(False, False, False), OLD, False, 101.0),
        (missed(True, False, False), OLD, False, 101.0),
        (missed(False, False, True), OLD, True, 101.0),
        (missed(False, False, True), OLD, False, None),
        (missed(False, False, True), OLD, False, 99.0),
        (Misses(), OLD, False, 101.0),
    ],
)
def test_an_id_is_not_unknown_while_anything_speaks_against_it(
    misses: Misses, age: timedelta, *, seen: bool, other: float | None
) -> None:
    """Each condition is needed: the first look alone is no confirmation, and an ID once seen is never unknown."""
    assert not is_unknown(misses, age=age, seen=seen, other_answered_at=other)


def test_an_id_is_to_be_confirmed_alone_before_the_third_miss() -> None:
    """After two misses the next look should be for this ID alone, until one was."""
    assert not missed(False).to_confirm
    assert missed(False, False).to_confirm
    assert not missed(False, False, True).to_confirm

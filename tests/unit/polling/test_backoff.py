"""When a provider is paused, when it is asked again, and when an ID is unknown."""

import pytest

from notifier.polling.backoff import Misses, ProviderHealth, Trouble, is_unknown, knows_none


def test_a_provider_that_stands_well_is_asked_as_usual() -> None:
    """Without trouble all free seats may be used."""
    assert ProviderHealth().room(0, free=9, in_flight=3) == 9


def test_pauses_of_a_busy_provider_double_to_a_minute() -> None:
    """1, 2, 4 … 60 seconds, each counted from the failure."""
    health, pauses, now = ProviderHealth(), [], 100.0
    for _ in range(8):
        health = health.failed(Trouble.BUSY, now, asked_at=now, reason="503", jitter=0)
        pauses.append(health.until - now)
        now = health.until
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]


def test_jitter_only_adds() -> None:
    """The pause is longer by up to a half, never shorter."""
    assert ProviderHealth().failed(Trouble.BUSY, 0, asked_at=0, reason="", jitter=1).until == 1.5


def test_retry_after_makes_a_pause_longer_but_never_for_ever() -> None:
    """The provider's wish is kept up to ten minutes, and a wish below our own pause changes nothing."""
    assert ProviderHealth().failed(Trouble.BUSY, 0, asked_at=0, reason="", jitter=0, retry_after=20).until == 20
    assert ProviderHealth().failed(Trouble.BUSY, 0, asked_at=0, reason="", jitter=0, retry_after=0.1).until == 1
    assert ProviderHealth().failed(Trouble.BUSY, 0, asked_at=0, reason="", jitter=0, retry_after=1e9).until == 600


def test_a_refused_provider_is_tried_again_slowly() -> None:
    """30 seconds, then doubling to five minutes; readiness can tell."""
    health, pauses, now = ProviderHealth(), [], 0.0
    for _ in range(6):
        health = health.failed(Trouble.REFUSED, now, asked_at=now, reason="401")
        pauses.append(health.until - now)
        now = health.until
    assert pauses == [30, 60, 120, 240, 300, 300]
    assert health.paused
    assert not ProviderHealth().failed(Trouble.BUSY, 0, asked_at=0, reason="", jitter=0).paused


def test_in_trouble_there_is_one_probe_at_a_time() -> None:
    """Nothing before the pause ends, then one request, and no second beside it."""
    health = ProviderHealth().failed(Trouble.REFUSED, 0, asked_at=0, reason="401")
    assert health.room(29.9, free=9, in_flight=0) == 0
    assert health.room(30, free=9, in_flight=0) == 1
    assert health.room(30, free=9, in_flight=1) == 0
    assert health.room(30, free=0, in_flight=0) == 0


def test_requests_that_fail_together_are_one_strike() -> None:
    """Those sent before the trouble began do not make the pause longer."""
    health = ProviderHealth().failed(Trouble.BUSY, 10, asked_at=9, reason="", jitter=0)
    for _ in range(8):
        assert health.failed(Trouble.BUSY, 10.2, asked_at=9.5, reason="", jitter=0) is health
        assert health.failed(Trouble.REFUSED, 10.2, asked_at=9.5, reason="") is health
    assert (health.failures, health.until) == (1, 11)
    health = health.failed(Trouble.BUSY, 10.5, asked_at=9.5, reason="", jitter=0, retry_after=30)
    assert (health.failures, health.until) == (1, 40.5)


def test_only_a_success_asked_after_the_trouble_clears_it() -> None:
    """A late answer to an earlier request is no cure; the probe's is."""
    health = ProviderHealth().failed(Trouble.BUSY, 10, asked_at=9, reason="", jitter=0)
    assert health.answered(asked_at=9.5) == health
    assert health.answered(asked_at=11).ok
    assert health.answered(asked_at=11).failed(Trouble.BUSY, 20, asked_at=20, reason="", jitter=0).until == 21


def test_another_trouble_counts_from_one() -> None:
    """A key that is refused after an outage starts its own pauses."""
    health = (
        ProviderHealth()
        .failed(Trouble.BUSY, 0, asked_at=0, reason="", jitter=0)
        .failed(Trouble.BUSY, 1, asked_at=1, reason="", jitter=0)
    )
    health = health.failed(Trouble.REFUSED, 3, asked_at=3, reason="401")
    assert (health.trouble, health.failures, health.until) == (Trouble.REFUSED, 1, 33)


def test_a_new_registration_ends_the_pause_of_a_provider_that_knew_no_id() -> None:
    """It may know the new one; a refused key is not helped by that."""
    absent = ProviderHealth().absent(0, asked_at=0, reason="none").absent(5, asked_at=5, reason="none")
    assert absent.until == 15
    assert absent.registered(7).until == 7
    assert absent.registered(7).failures == 2
    assert absent.registered(20).until == 15
    refused = ProviderHealth().failed(Trouble.REFUSED, 0, asked_at=0, reason="401")
    assert refused.registered(1) == refused


def test_a_provider_that_knew_none_is_asked_as_usual_about_those_that_were_not_asked_about_yet() -> None:
    """It is in trouble all the same, and once all were asked about the pauses begin, with the shortest."""
    trying = ProviderHealth().absent(0, asked_at=0, reason="none", untried=True)
    assert trying.paused
    assert trying.room(0, free=4, in_flight=5) == 4
    again = trying.absent(3, asked_at=1, reason="none", untried=True)
    assert again.room(3, free=4, in_flight=5) == 4
    over = again.absent(9, asked_at=8, reason="none")
    assert over.room(9, free=4, in_flight=0) == 0
    assert over.until == 14
    assert again.failed(Trouble.BUSY, 9, asked_at=8, reason="503", jitter=0.0).room(9, free=4, in_flight=0) == 0


def test_many_failures_stay_at_the_longest_pause() -> None:
    """The number of failures never overflows anything."""
    health = ProviderHealth(trouble=Trouble.ABSENT, failures=10**6)
    assert health.absent(1, asked_at=1, reason="").until == 301


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


def missed(*singles: bool, every: float = 100.0) -> Misses:
    """So many polls in vain, from second 100 on."""
    misses = Misses()
    for number, single in enumerate(singles):
        misses = misses.missed(100.0 + every * number, single=single)
    return misses


#: Ten minutes of polls, one every 100 s, of which the second was for this ID alone.
LONG = [False, True, False, False, False, False, False]


def test_an_id_is_unknown_when_everything_speaks_for_it() -> None:
    """Ten minutes of being asked, three misses, one of them alone, and another ID answered since."""
    assert is_unknown(missed(*LONG), other_answered_at=100.0)


@pytest.mark.parametrize(
    ("misses", "other"),
    [
        pytest.param(missed(*LONG, every=99.9), 101.0, id="not yet ten minutes"),
        pytest.param(missed(False, True, every=600.0), 101.0, id="two misses"),
        pytest.param(missed(*[False] * 7), 101.0, id="never alone"),
        pytest.param(missed(True, *[False] * 6), 101.0, id="the first poll alone is no confirmation"),
        pytest.param(missed(*LONG), None, id="no other ID was ever answered"),
        pytest.param(missed(*LONG), 99.0, id="no other ID was answered since"),
        pytest.param(Misses(), 101.0, id="never missed"),
    ],
)
def test_an_id_is_not_unknown_while_anything_speaks_against_it(misses: Misses, other: float | None) -> None:
    """Each condition is needed."""
    assert not is_unknown(misses, other_answered_at=other)


def test_time_in_which_nobody_asked_is_no_proof() -> None:
    """Two polls, an outage of hours, two polls: that is minutes of being asked, however long ago the first one was."""
    misses = missed(False, True)
    for now in (20_000.0, 20_010.0):
        misses = misses.missed(now, single=True)
    assert misses.asked_for == 100 + 150 + 10
    assert not is_unknown(misses, other_answered_at=20_005.0)


def test_a_clock_that_goes_back_takes_no_proof_away() -> None:
    """A reply that comes later than one that was asked for after it counts, and adds no time."""
    misses = missed(False, True).missed(150.0, single=True)
    assert (misses.count, misses.asked_for, misses.last_at) == (3, 100.0, 200.0)


def test_pauses_are_short_while_there_are_others_to_ask_about() -> None:
    """403 for three IDs of many may speak of those three: 1 s three times, then 2, 4, and not half a minute."""
    health, pauses, now = ProviderHealth(), [], 10.0
    for _ in range(5):
        health = health.failed(Trouble.REFUSED, now, asked_at=now, reason="403", since=9.0, doubted=True)
        pauses.append(health.until - now)
        now = health.until
    assert pauses == [1, 1, 1, 2, 4]
    assert health.paused


def test_an_answer_beside_the_failures_ends_doubted_trouble() -> None:
    """What was sent together with the first of them and was answered shows that the others failed for themselves."""
    health = ProviderHealth().failed(Trouble.BUSY, 10, asked_at=9, reason="500", jitter=0, since=8.0)
    assert health.answered(asked_at=7.9) is health
    assert health.answered(asked_at=8.0).ok


def test_registrations_in_an_outage_ask_less_and_less_often() -> None:
    """A new ID may be answered where the others failed: a second after the last failure, then 2, 4 … up to a minute."""
    health, early = ProviderHealth(), []
    for now in range(0, 100_000, 1_000):
        health = health.failed(Trouble.REFUSED, now, asked_at=now, reason="410", since=0.0)
        health = health.registered(now + 0.5)
        early.append(health.until - now)
    assert early[:8] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert set(early[8:]) == {60}


def test_an_id_is_to_be_confirmed_alone_before_the_third_miss() -> None:
    """After two misses the next poll should be for this ID alone, until one was."""
    assert not missed(False).to_confirm
    assert missed(False, False).to_confirm
    assert not missed(False, False, True).to_confirm

"""Endpoint health: the whole table, and no way to be disabled but those that the header names."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifier.domain.endpoint_health import (
    DISABLE_AFTER,
    DISABLE_FAILURES,
    SUCCESS_EVERY,
    TRANSITIONS,
    WARN_AFTER,
    WARN_FAILURES,
    WARNED_FOR,
    Change,
    EndpointHealth,
    EndpointSignal,
    EndpointState,
    after_attempt,
    disabled,
    enabled,
)
from notifier.domain.ids import Destination
from notifier.domain.model import Verdict

NOW = datetime(2026, 11, 22, 5, 14, tzinfo=UTC)
DAY = timedelta(days=1)
STUDIO = EndpointHealth(destination=Destination("studio"))
ORIGIN = EndpointHealth(destination=Destination("https://app.example.com"))
FAILURES = sorted(set(Verdict) - {Verdict.DELIVERED, Verdict.GONE, Verdict.INTERRUPTED})
#: Attempts: how long after the one before, and what they came to.
ATTEMPTS = st.lists(
    st.tuples(
        st.one_of(st.just(timedelta(0)), st.timedeltas(timedelta(minutes=-5), timedelta(days=2))),
        st.sampled_from([*FAILURES[:2] * 6, Verdict.DELIVERED, Verdict.GONE, Verdict.INTERRUPTED]),
    ),
    max_size=60,
)


def failed(
    health: EndpointHealth, times: int, *, at: datetime, verdict: Verdict = Verdict.SERVER_ERROR
) -> EndpointHealth:
    for _ in range(times):
        health = after_attempt(health, verdict, now=at)
    return health


# ---- the table ----------------------------------------------------------------------------------------------------
def test_every_state_answers_every_signal() -> None:
    """The table is whole: no attempt and no person meets a state that has no answer."""
    assert set(TRANSITIONS) == set(EndpointState)
    for state, row in TRANSITIONS.items():
        assert set(row) == set(EndpointSignal), state


def test_disabled_is_left_by_a_person_alone() -> None:
    """Not by a success either: it answers an attempt that was under way already."""
    row = TRANSITIONS[EndpointState.DISABLED]
    assert {signal for signal, state in row.items() if state is not EndpointState.DISABLED} == {EndpointSignal.ENABLE}


def test_a_warning_comes_before_giving_up() -> None:
    """A working endpoint is never given up: first it is failing."""
    assert TRANSITIONS[EndpointState.WORKING][EndpointSignal.GIVE_UP] is EndpointState.FAILING
    assert TRANSITIONS[EndpointState.FAILING][EndpointSignal.GIVE_UP] is EndpointState.DISABLED


# ---- the rules, at their edges ------------------------------------------------------------------------------------
@pytest.mark.parametrize("verdict", FAILURES)
def test_every_failure_counts(verdict: Verdict) -> None:
    """Whatever it was, from a refused connection to a redirect."""
    found = after_attempt(STUDIO, verdict, now=NOW)
    assert (found.failures, found.first_failure, found.state) == (1, NOW, EndpointState.WORKING)


def test_it_is_failing_after_a_day_and_five_attempts() -> None:
    """Not a moment before, and not with four."""
    early = failed(failed(STUDIO, WARN_FAILURES, at=NOW), 1, at=NOW + WARN_AFTER - timedelta(microseconds=1))
    few = failed(failed(STUDIO, WARN_FAILURES - 2, at=NOW), 1, at=NOW + WARN_AFTER)
    assert (early.state, few.state) == (EndpointState.WORKING, EndpointState.WORKING)
    found = failed(few, 1, at=NOW + WARN_AFTER)
    assert (found.state, found.warned_at) == (EndpointState.FAILING, NOW + WARN_AFTER)
    assert found.reason == (
        "no success since 2026-11-22T05:14:00.000Z, in 5 failed attempts; the last one: server error"
    )


def test_it_is_disabled_after_five_days_and_ten_attempts() -> None:
    """Not a moment before, and not with nine."""
    warned = failed(failed(STUDIO, 4, at=NOW), 4, at=NOW + DAY)
    assert failed(warned, 1, at=NOW + DISABLE_AFTER).state is EndpointState.FAILING
    assert failed(warned, 9, at=NOW + DISABLE_AFTER - timedelta(microseconds=1)).state is EndpointState.FAILING
    found = failed(warned, 2, at=NOW + DISABLE_AFTER)
    assert (found.state, found.failures, found.disabled_at) == (EndpointState.DISABLED, 10, NOW + DISABLE_AFTER)
    assert found.warned_at == NOW + DAY


def test_an_endpoint_that_is_sent_little_is_warned_of_first_all_the_same() -> None:
    """Both conditions met at once, a week after the first failure: a warning, and a day more."""
    found = failed(failed(STUDIO, 9, at=NOW), 1, at=NOW + 7 * DAY)
    assert (found.state, found.warned_at) == (EndpointState.FAILING, NOW + 7 * DAY)
    assert failed(found, 9, at=NOW + 8 * DAY - timedelta(microseconds=1)).state is EndpointState.FAILING
    assert failed(found, 1, at=NOW + 8 * DAY).state is EndpointState.DISABLED


def test_gone_disables_a_configured_endpoint_and_no_origin() -> None:
    """At once, also where nothing failed before; for an origin it is a failure like any other."""
    found = after_attempt(STUDIO, Verdict.GONE, now=NOW)
    assert (found.state, found.reason, found.disabled_at) == (EndpointState.DISABLED, "it answered 410 Gone", NOW)
    other = after_attempt(ORIGIN, Verdict.GONE, now=NOW)
    assert (other.state, other.failures) == (EndpointState.WORKING, 1)


def test_an_origin_is_disabled_by_five_days_of_failure() -> None:
    """Of whatever kind."""
    found = failed(ORIGIN, 9, at=NOW, verdict=Verdict.GONE)
    found = failed(found, 1, at=NOW + DAY, verdict=Verdict.GONE)
    assert failed(found, 1, at=NOW + 5 * DAY, verdict=Verdict.GONE).state is EndpointState.DISABLED


def test_a_success_is_written_once_a_minute() -> None:
    """A busy endpoint that works costs no write for each answer; the first one after a failure counts at once."""
    found = after_attempt(STUDIO, Verdict.DELIVERED, now=NOW)
    soon = NOW + SUCCESS_EVERY - timedelta(microseconds=1)
    assert after_attempt(found, Verdict.DELIVERED, now=soon) is found
    assert after_attempt(found, Verdict.DELIVERED, now=NOW + SUCCESS_EVERY).last_success == NOW + SUCCESS_EVERY
    assert after_attempt(failed(found, 1, at=soon), Verdict.DELIVERED, now=soon).last_success == soon


# ---- a person -----------------------------------------------------------------------------------------------------
def test_a_person_disables_and_enables() -> None:
    """It begins anew then: the failures of before do not count any more."""
    found = disabled(failed(STUDIO, 9, at=NOW), "the app moves", now=NOW)
    assert (found.state, found.reason, found.disabled_at) == (EndpointState.DISABLED, "the app moves", NOW)
    assert enabled(found) == STUDIO


def test_what_is_disabled_already_keeps_its_reason() -> None:
    """The first one is the one that explains what is parked."""
    found = after_attempt(STUDIO, Verdict.GONE, now=NOW)
    assert disabled(found, "the app moves", now=NOW + DAY) is found


@pytest.mark.parametrize("health", [STUDIO, failed(failed(STUDIO, 9, at=NOW), 1, at=NOW + DAY)])
def test_enabling_what_is_not_disabled_changes_nothing(health: EndpointHealth) -> None:
    """Only a success shows that a failing endpoint works."""
    assert enabled(health) is health


# ---- whatever happens ---------------------------------------------------------------------------------------------
@given(st.sampled_from([STUDIO, ORIGIN]), ATTEMPTS)
def test_whatever_the_attempts_it_is_disabled_by_the_rules_alone(
    health: EndpointHealth, attempts: list[tuple[timedelta, Verdict]]
) -> None:
    """Disabled by 410, or by five days, ten failures and a warning a day old; working again with each success."""
    now, failures = NOW, list[datetime]()
    for wait, verdict in attempts:
        now += wait
        before, health = health, after_attempt(health, verdict, now=now)
        if before.state is EndpointState.DISABLED or verdict is Verdict.INTERRUPTED:
            assert health is before
            continue
        failures = [] if verdict is Verdict.DELIVERED else [*failures, now]
        assert health.failures == len(failures)
        assert health.first_failure == (failures[0] if failures else None)
        if verdict is Verdict.DELIVERED:
            assert (health.state, health.reason) == (EndpointState.WORKING, "")
        if health.state is EndpointState.DISABLED and not (
            verdict is Verdict.GONE and health.destination == STUDIO.destination
        ):
            assert before.state is EndpointState.FAILING
            assert before.warned_at is not None
            assert now - before.warned_at >= WARNED_FOR
            assert now - failures[0] >= DISABLE_AFTER
            assert len(failures) >= DISABLE_FAILURES


@given(ATTEMPTS)
def test_a_reason_stands_where_it_is_asked_for(attempts: list[tuple[timedelta, Verdict]]) -> None:
    """Failing and disabled say why and since when; working says nothing."""
    now, health = NOW, STUDIO
    for wait, verdict in attempts:
        now += wait
        health = after_attempt(health, verdict, now=now)
        assert bool(health.reason) == (health.state is not EndpointState.WORKING)
        assert (health.disabled_at is not None) == (health.state is EndpointState.DISABLED)


def test_only_a_change_of_state_is_an_event() -> None:
    """Each has one name; a failure more is no news."""
    failing = failed(failed(STUDIO, 9, at=NOW), 1, at=NOW + DAY)
    steps = [STUDIO, failing, failed(failing, 1, at=NOW + DAY), failed(failing, 1, at=NOW + 5 * DAY), STUDIO]
    changes = [Change(before=one, after=other, parked=0) for one, other in pairwise(steps)]
    assert [change.event for change in changes] == [
        "endpoint.failing",
        "",
        "endpoint.disabled",
        "endpoint.recovered",
    ]
    assert [change.explaining for change in changes] == [steps[1], steps[2], steps[3], steps[3]]

"""When to try again."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from notifier.domain.ids import Destination, EndpointIdentity, GenerationId, MessageId, ProviderName, WatchId
from notifier.domain.model import Answer, AttemptResult, Claim, DeliveryStatus, Interruption, Verdict
from notifier.domain.retry import LONGEST_HINT, after_interruption, next_attempt_at, settle
from notifier.domain.settings import DEFAULT_RETRY
from notifier.domain.verdict import judge

NOW = datetime(2026, 11, 22, 5, 14, tzinfo=UTC)
NO_HINT = timedelta(0)
schedules = st.lists(st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=2)), min_size=1, max_size=12)
hints = st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=3))
chances = st.floats(min_value=0, max_value=1)


def claim(*, failures: int = 0, number: int = 1) -> Claim:
    return Claim(
        message_id=MessageId("msg_a"),
        endpoint=EndpointIdentity("studio"),
        destination=Destination("studio"),
        type="generation.completed",
        content_type="application/json",
        body=b"{}",
        number=number,
        failures=failures,
        interruptions=0,
        started_at=NOW - timedelta(seconds=1),
        leased_until=NOW + timedelta(seconds=30),
        provider=ProviderName("luma"),
        generation=GenerationId("g"),
        watch_id=WatchId("wch_a"),
    )


def settled(answer: Answer, *, failures: int = 0, jitter: float = 0.0) -> AttemptResult:
    took = timedelta(milliseconds=40)
    return settle(
        claim(failures=failures), answer, judge(answer), retry=DEFAULT_RETRY, took=took, now=NOW, jitter=jitter
    )


@given(retry=schedules, hint=hints, jitter=chances, data=st.data())
def test_neither_step_nor_hint_is_ever_undercut(
    retry: list[timedelta], hint: timedelta, jitter: float, data: st.DataObject
) -> None:
    """Trap 2: jitter only adds, a tenth at most, and a hint counts up to 24 h."""
    failures = data.draw(st.integers(min_value=0, max_value=len(retry) - 1))
    due_at = next_attempt_at(retry, failures, now=NOW, hint=hint, jitter=jitter)
    assert due_at is not None
    least = max(retry[failures], min(hint, LONGEST_HINT))
    assert least <= due_at - NOW <= least * 1.1 + timedelta(microseconds=1)


@given(retry=schedules, extra=st.integers(min_value=0, max_value=5), hint=hints, jitter=chances)
def test_a_schedule_of_n_entries_ends_after_n_failures(
    retry: list[timedelta], extra: int, hint: timedelta, jitter: float
) -> None:
    """No hint adds an attempt."""
    assert next_attempt_at(retry, len(retry) + extra, now=NOW, hint=hint, jitter=jitter) is None


def test_the_default_schedule_is_ten_attempts_over_75_hours_and_35_minutes() -> None:
    """Trap 9: a window of days, not of minutes."""
    moment, attempts = NOW, 0
    while (due_at := next_attempt_at(DEFAULT_RETRY, attempts, now=moment, hint=NO_HINT, jitter=0.0)) is not None:
        moment, attempts = due_at, attempts + 1
    assert attempts == 10
    assert moment - NOW == timedelta(hours=75, minutes=35, seconds=5)


def test_the_first_entry_precedes_the_first_attempt() -> None:
    """After one failure the second entry counts."""
    assert settled(Answer(status_code=500)).due_at == NOW + timedelta(seconds=5)


def test_a_success_ends_the_delivery() -> None:
    """It uses up no step."""
    result = settled(Answer(status_code=204, head=b"ok"), failures=3)
    assert (result.status, result.due_at, result.failures) == (DeliveryStatus.DELIVERED, None, 3)
    assert (result.verdict, result.status_code, result.head) == (Verdict.DELIVERED, 204, b"ok")
    assert (result.message_id, result.number, result.started_at) == ("msg_a", 1, NOW - timedelta(seconds=1))
    assert result.took == timedelta(milliseconds=40)


def test_410_ends_the_delivery_at_once() -> None:
    """Nothing is scheduled for an endpoint that says it is gone."""
    result = settled(Answer(status_code=410))
    assert (result.status, result.due_at, result.failures) == (DeliveryStatus.EXHAUSTED, None, 1)


def test_the_last_failure_exhausts_the_delivery() -> None:
    """Nine used up, and this is the tenth."""
    result = settled(Answer(status_code=500, retry_after=60.0), failures=9)
    assert (result.status, result.due_at, result.failures) == (DeliveryStatus.EXHAUSTED, None, 10)


def test_a_hint_delays_the_next_attempt() -> None:
    """Retry-After beyond the step counts; below it, the step does."""
    assert settled(Answer(status_code=429, retry_after=90.0)).due_at == NOW + timedelta(seconds=90)
    assert settled(Answer(status_code=429, retry_after=1.0)).due_at == NOW + timedelta(seconds=5)
    assert settled(Answer(status_code=429, retry_after=90.0), jitter=1.0).due_at == NOW + timedelta(seconds=99)


def test_a_redirect_is_retried_and_says_what_to_do() -> None:
    """The url may be put right before the next attempt."""
    result = settled(Answer(status_code=302, location="https://new.example/"))
    assert result.status is DeliveryStatus.PENDING
    assert result.detail == "moved to https://new.example/: change the url"


def interrupted(*, in_a_row: int, failures: int) -> AttemptResult:
    interruption = Interruption(
        message_id=MessageId("msg_a"),
        destination=Destination("studio"),
        number=4,
        failures=failures,
        interruptions=in_a_row,
    )
    return after_interruption(interruption, DEFAULT_RETRY, now=NOW, jitter=0.0)


def test_an_interrupted_attempt_uses_up_no_step_and_is_due_at_once() -> None:
    """It was our fault."""
    for in_a_row in (1, 2):
        result = interrupted(in_a_row=in_a_row, failures=2)
        assert (result.status, result.failures, result.due_at) == (DeliveryStatus.PENDING, 2, NOW)
        assert result.verdict is Verdict.INTERRUPTED


def test_from_the_third_in_a_row_an_interruption_counts_as_a_failure() -> None:
    """A message that kills its worker must not do so for ever."""
    third, last = interrupted(in_a_row=3, failures=2), interrupted(in_a_row=4, failures=9)
    assert (third.status, third.failures, third.due_at) == (DeliveryStatus.PENDING, 3, NOW + timedelta(minutes=30))
    assert (last.status, last.failures, last.due_at) == (DeliveryStatus.EXHAUSTED, 10, None)


@given(failures=st.integers(min_value=0, max_value=20), jitter=chances)
def test_what_this_machine_could_not_try_uses_up_no_step(failures: int, jitter: float) -> None:
    """At the end of the schedule too it is due again, after the rest and not after the next step."""
    answer = Answer(error=Verdict.OUT_OF_RESOURCES, detail="out of file descriptors")
    closed = settle(
        claim(failures=failures),
        answer,
        judge(answer),
        affects_health=False,
        retry=DEFAULT_RETRY,
        took=timedelta(0),
        now=NOW,
        jitter=jitter,
        resource_wait=timedelta(seconds=4),
    )
    assert (closed.status, closed.failures, closed.due_at) == (
        DeliveryStatus.PENDING,
        failures,
        NOW + timedelta(seconds=4),
    )

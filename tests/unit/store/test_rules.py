"""What every store decides, apart from any database."""

from datetime import UTC, datetime, timedelta

import pytest

from notifier.domain.endpoint_health import EndpointHealth, EndpointState
from notifier.domain.ids import Destination, EndpointIdentity, MessageId
from notifier.domain.model import DeliveryStatus, EndpointDirectory, Interruption, Outcome, State, Verdict, WatchStatus
from notifier.store import rules
from tests.support.store_builders import again_at, request, seen

NOW = datetime(2026, 11, 22, 5, 14, tzinfo=UTC)
HOUR = timedelta(hours=1)
STUDIO = Destination("studio")


@pytest.mark.parametrize(
    ("status", "keep_first", "expected"),
    [
        (WatchStatus.OPEN, False, Outcome.EXISTING),
        (WatchStatus.SATISFIED, False, Outcome.FINISHED),
        (WatchStatus.EXPIRED, False, Outcome.REOPENED),
        (WatchStatus.CANCELLED, False, Outcome.REOPENED),
        (WatchStatus.UNKNOWN, False, Outcome.REOPENED),
        (WatchStatus.UNKNOWN, True, Outcome.FINISHED),
    ],
)
def test_a_recorded_watch_decides_by_its_status(status: WatchStatus, *, keep_first: bool, expected: Outcome) -> None:
    """The same request once more."""
    answer = rules.outcome(request(), status, b"{}", HOUR, NOW - HOUR, keep_first=keep_first, now=NOW)
    assert answer == (expected, ())


@pytest.mark.parametrize(
    ("metadata", "timeout", "differs"),
    [
        (b'{"b":2,"a":1}', HOUR, ()),
        (b'{"a":true,"b":2}', HOUR, ("metadata",)),
        (b'{"a":1,"b":2}', 2 * HOUR, ("timeout",)),
        (b"{}", 2 * HOUR, ("metadata", "timeout")),
    ],
)
def test_an_open_watch_says_what_differs(metadata: bytes, timeout: timedelta, differs: tuple[str, ...]) -> None:
    """The order of keys is no difference; a number and a truth value are."""
    wanted = request(metadata=b'{"a":1,"b":2}')
    answer = rules.outcome(wanted, WatchStatus.OPEN, metadata, timeout, NOW, keep_first=False, now=NOW)
    assert answer == (Outcome.KEPT if differs else Outcome.EXISTING, differs)


@pytest.mark.parametrize(
    ("registered_at", "expected"),
    [(NOW - 3 * HOUR, Outcome.REOPENED), (NOW - HOUR, Outcome.FINISHED), (NOW + HOUR, Outcome.REOPENED)],
)
def test_a_request_that_was_registered_before_a_crash_does_not_reopen(
    registered_at: datetime, expected: Outcome
) -> None:
    """Registered since it was put there and not in the future, it is the very same one."""
    wanted = request(put_at=NOW - 2 * HOUR)
    answer, _ = rules.outcome(wanted, WatchStatus.EXPIRED, b"{}", HOUR, registered_at, keep_first=False, now=NOW)
    assert answer is expected


def test_no_batch_names_a_generation_twice() -> None:
    """The order of all of them stays."""
    sights = [seen("g-1", State.QUEUED), seen("g-2"), seen("g-1"), seen("g-2", State.FAILED)]
    assert list(rules.batches(sights)) == [sights[:2], sights[2:]]
    assert list(rules.batches([])) == [[]]


def test_an_interrupted_attempt_lasted_no_longer_than_its_lease() -> None:
    """Nor less than nothing, by a clock that was set back."""
    interruption = Interruption(
        message_id=MessageId("msg_a"), destination=STUDIO, number=1, failures=0, interruptions=1
    )
    result = again_at(NOW)(interruption)
    for now, took in [(NOW + HOUR, HOUR / 2), (NOW + HOUR / 4, HOUR / 4), (NOW - HOUR, timedelta(0))]:
        known = rules.interrupted(result, started_at=NOW, leased_until=NOW + HOUR / 2, now=now)
        assert (known.started_at, known.took, known.verdict) == (NOW, took, Verdict.INTERRUPTED)


def test_only_destinations_that_changed_are_written() -> None:
    """Verdicts count in their order; one that says nothing of its endpoint changes nothing."""
    before = {name: EndpointHealth(destination=name) for name in (STUDIO, Destination("audit"), Destination("ops"))}
    attempts = [(STUDIO, Verdict.SERVER_ERROR), (STUDIO, Verdict.GONE), (Destination("audit"), None)]
    attempts.append((Destination("ops"), Verdict.TIMED_OUT))
    changes = rules.health_changes(before, attempts, now=NOW)
    assert [(new.destination, new.failures) for _, new in changes.noted] == [("studio", 2), ("ops", 1)]
    assert [new.state for _, new in changes.moved] == [EndpointState.DISABLED]
    assert changes.disabled == {"studio": "it answered 410 Gone"}


def test_a_directory_parks_and_resumes() -> None:
    """A disabled destination's pending deliveries are left to others, and its parked ones do not resume."""
    directory = EndpointDirectory(events={"studio": None, "audit": None}, callbacks=False, disabled={STUDIO: "410"})
    named = [(key, EndpointIdentity(name), Destination(name)) for key, name in enumerate(("studio", "audit", "gone"))]
    found = rules.parking(named, named, directory)
    assert found.gone == [(2, "endpoint gone is not in the configuration")]
    assert found.stuck == [(0, "endpoint studio is disabled: 410")]
    assert found.back == [1]


@pytest.mark.parametrize(
    ("status", "leased", "parked", "has_body", "expected"),
    [
        (DeliveryStatus.EXHAUSTED, False, None, True, (DeliveryStatus.PENDING, "")),
        (DeliveryStatus.PENDING, True, "gone", False, (None, "being sent now")),
        (DeliveryStatus.PARKED, False, "gone", False, (None, "gone")),
        (DeliveryStatus.DELIVERED, False, None, False, (None, "its body is not kept any more")),
    ],
)
def test_a_redelivery_is_refused_with_its_first_reason(
    status: DeliveryStatus,
    parked: str | None,
    expected: tuple[DeliveryStatus | None, str],
    *,
    leased: bool,
    has_body: bool,
) -> None:
    """Being sent, then where it goes, then what there is to send."""
    assert rules.redelivered(status, leased=leased, parked=parked, has_body=has_body) == expected

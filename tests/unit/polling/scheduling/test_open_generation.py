"""What is remembered of one generation between polls."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from notifier.domain.ids import Destination, GenerationId, ProviderName
from notifier.domain.model import Observation, OpenGeneration, State
from notifier.domain.settings import ProviderSettings, Secret
from notifier.polling.backoff import is_unknown
from notifier.polling.learning.hazard import HazardCurve
from notifier.polling.scheduling.open_generation import (
    PollTimes,
    TrackedGeneration,
    believes,
    miss,
    overdue,
    see,
)

NOW = datetime(2026, 11, 22, 5, 14, tzinfo=UTC)
SECOND = timedelta(seconds=1)
G1 = GenerationId("g-1")
LUMA = ProviderSettings(name=ProviderName("luma"), kind="aimlapi-luma", base_url="http://x", api_key=Secret("k"))


CURVE = HazardCurve()


def opened(state: State | None = None, *, deadline: datetime = NOW + timedelta(hours=1)) -> OpenGeneration:
    return OpenGeneration(
        provider=LUMA.name,
        id=G1,
        state=state,
        registered_at=NOW,
        deadline=deadline,
        target=State.COMPLETED,
        destinations=(Destination("studio"),),
    )


def known(state: State | None = None, *, deadline: datetime = NOW + timedelta(hours=1)) -> TrackedGeneration:
    """Registered at `NOW`, which is second 0 of the monotonic clock."""
    return TrackedGeneration.of(opened(state, deadline=deadline), CURVE, age_origin=0.0, registered=0.0)


def sent(at: datetime, took: timedelta = SECOND) -> PollTimes:
    sent = (at - NOW).total_seconds()
    return PollTimes(asked_at=at, answered_at=at + took, sent=sent, got=sent + took.total_seconds())


def sight(state: State) -> Observation:
    return Observation(id=G1, state=state)


def test_an_older_poll_that_is_answered_later_takes_no_bound_back() -> None:
    """A long-poll shows again what polls beside it have shown; but a clock that was set back counts anew."""
    tracked = known(State.RUNNING)
    see(tracked, sight(State.RUNNING), sent(NOW + 20 * SECOND), LUMA)
    see(tracked, sight(State.RUNNING), sent(NOW, took=30 * SECOND), LUMA)
    assert tracked.not_before == NOW + 20 * SECOND
    see(tracked, sight(State.RUNNING), sent(NOW), LUMA)
    assert tracked.not_before == NOW


def test_the_first_poll_after_a_start_knows_no_before() -> None:
    """Nothing is known of the time before us: `not_before` is null until a poll has been made."""
    tracked = known()
    moved = see(tracked, sight(State.COMPLETED), sent(NOW), LUMA)
    assert moved is not None
    assert moved.not_before is None
    assert moved.observed_at == NOW + SECOND


def test_not_before_is_when_the_last_poll_without_it_was_sent() -> None:
    """The reply may be as old as the question: the time it was sent is the only one that is safe to claim."""
    tracked = known(State.RUNNING)
    assert see(tracked, sight(State.RUNNING), sent(NOW, took=4 * SECOND), LUMA) is None
    moved = see(tracked, sight(State.COMPLETED), sent(NOW + 5 * SECOND), LUMA)
    assert moved is not None
    assert (moved.not_before, moved.observed_at) == (NOW, NOW + 6 * SECOND)


def test_a_provider_that_steps_back_moves_nothing() -> None:
    """Queued after running is a poll without the next state, and no transition."""
    tracked = known(State.RUNNING)
    assert see(tracked, sight(State.QUEUED), sent(NOW), LUMA) is None
    assert tracked.not_before == NOW


def test_a_sight_ends_all_doubt() -> None:
    """Misses count in a row only."""
    tracked = known()
    miss(tracked, 1.0, single=False)
    miss(tracked, 2.0, single=False)
    see(tracked, sight(State.QUEUED), sent(NOW), LUMA)
    assert tracked.misses.count == 0


def test_an_id_that_two_batches_left_out_is_asked_alone() -> None:
    """A batch route may leave IDs out; only a single request can tell."""
    tracked = known()
    miss(tracked, 1.0, single=False)
    assert not tracked.poll_singly
    miss(tracked, 2.0, single=False)
    assert tracked.poll_singly


def test_an_id_found_alone_rejoins_once() -> None:
    """One wrong suspicion is forgiven; one that is isolated a second time is polled singly, seen or not."""
    tracked = known()
    for alone_after_sight in (False, True):
        tracked.isolate()
        see(tracked, sight(State.QUEUED), sent(NOW), LUMA)
        assert tracked.poll_singly is alone_after_sight


def test_a_missed_id_does_not_rejoin() -> None:
    """Until a poll finds it, one that is polled singly stays so, confirmed or not."""
    tracked = known()
    tracked.isolate()
    for at in range(5):
        miss(tracked, float(at), single=True)
        assert tracked.poll_singly


def test_a_second_watch_can_only_bring_the_deadline_nearer() -> None:
    """The earliest deadline of all its watches counts, and each that joins is counted."""
    tracked = known(deadline=NOW + 60 * SECOND)
    tracked.join(opened(deadline=NOW + 90 * SECOND))
    assert tracked.deadline == (NOW + 60 * SECOND).timestamp()
    tracked.join(opened(deadline=NOW + 30 * SECOND))
    assert tracked.deadline == (NOW + 30 * SECOND).timestamp()
    assert tracked.joined == 2


def test_only_a_poll_sent_at_the_deadline_or_later_lets_it_expire() -> None:
    """A poll sent before and answered after says nothing about the time after."""
    tracked = known(deadline=NOW)
    assert not overdue(tracked, (NOW - SECOND).timestamp())
    assert overdue(tracked, NOW.timestamp())
    assert overdue(tracked, (NOW + SECOND).timestamp())


def test_unknown_needs_all_its_proofs() -> None:
    """Ten minutes of misses, one of them alone, and the provider answering about another ID since the first."""
    tracked = known()
    for at in range(0, 601, 60):
        assert not is_unknown(tracked.misses, other_answered_at=25.0)
        miss(tracked, float(at), single=at == 120)
    assert is_unknown(tracked.misses, other_answered_at=25.0)
    assert not is_unknown(tracked.misses, other_answered_at=None)
    assert not is_unknown(tracked.misses, other_answered_at=-1.0)


def test_an_id_once_seen_is_unknown_by_the_same_proof() -> None:
    """It was deleted, or has run out; a sight in between begins the ten minutes anew."""
    tracked = known(State.QUEUED)
    for at in range(0, 541, 60):
        miss(tracked, float(at), single=True)
    see(tracked, sight(State.QUEUED), sent(NOW + timedelta(seconds=570)), LUMA)
    for at in range(600, 1_141, 60):
        miss(tracked, float(at), single=True)
        assert not is_unknown(tracked.misses, other_answered_at=700.0)
    miss(tracked, 1_200.0, single=True)
    assert is_unknown(tracked.misses, other_answered_at=700.0)


def test_who_was_singled_out_for_nothing_rejoins() -> None:
    """It was the batch and not the ID: that suspicion is not held against it later."""
    tracked = known()
    tracked.isolate()
    tracked.clear_isolation()
    assert not tracked.poll_singly
    tracked.isolate()
    see(tracked, sight(State.QUEUED), sent(NOW), LUMA)
    assert not tracked.poll_singly


def test_to_acquit_whom_nobody_suspects_changes_nothing() -> None:
    """An ID that rides with others keeps what is known of it."""
    tracked = known()
    tracked.isolate()
    see(tracked, sight(State.QUEUED), sent(NOW), LUMA)
    tracked.clear_isolation()
    tracked.isolate()
    see(tracked, sight(State.QUEUED), sent(NOW), LUMA)
    assert tracked.poll_singly


def test_a_doubtful_sight_counts_after_so_many_in_a_row() -> None:
    """Until then it is neither a state nor a miss; any other sight begins anew, and the deadline ends all doubt."""
    tracked, doubtful = known(), replace(sight(State.COMPLETED), confirmations=3)
    miss(tracked, 0.0, single=False)
    assert [believes(tracked, doubtful, sent(NOW)) for _ in range(3)] == [False, False, True]
    assert tracked.misses.count == 0
    assert believes(tracked, sight(State.RUNNING), sent(NOW))
    assert not believes(tracked, doubtful, sent(NOW))
    assert believes(tracked, doubtful, sent(NOW + timedelta(hours=1)))
    assert believes(known(State.COMPLETED), doubtful, sent(NOW))

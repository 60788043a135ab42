"""What is remembered of one generation between looks."""

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


def look(at: datetime, took: timedelta = SECOND) -> PollTimes:
    sent = (at - NOW).total_seconds()
    return PollTimes(asked_at=at, answered_at=at + took, sent=sent, got=sent + took.total_seconds())


def sight(state: State) -> Observation:
    return Observation(id=G1, state=state)


def test_an_older_look_that_is_answered_later_takes_no_bound_back() -> None:
    """A request that waited shows again what looks beside it have shown; but a clock that was set back counts anew."""
    watched = known(State.RUNNING)
    see(watched, sight(State.RUNNING), look(NOW + 20 * SECOND), LUMA)
    see(watched, sight(State.RUNNING), look(NOW, took=30 * SECOND), LUMA)
    assert watched.not_before == NOW + 20 * SECOND
    see(watched, sight(State.RUNNING), look(NOW), LUMA)
    assert watched.not_before == NOW


def test_the_first_look_after_a_start_knows_no_before() -> None:
    """Nothing is known of the time before us: `not_before` is null until a look has been made."""
    watched = known()
    moved = see(watched, sight(State.COMPLETED), look(NOW), LUMA)
    assert moved is not None
    assert moved.not_before is None
    assert moved.observed_at == NOW + SECOND


def test_not_before_is_when_the_last_look_without_it_was_sent() -> None:
    """The reply may be as old as the question: the time it was sent is the only one that is safe to claim."""
    watched = known(State.RUNNING)
    assert see(watched, sight(State.RUNNING), look(NOW, took=4 * SECOND), LUMA) is None
    moved = see(watched, sight(State.COMPLETED), look(NOW + 5 * SECOND), LUMA)
    assert moved is not None
    assert (moved.not_before, moved.observed_at) == (NOW, NOW + 6 * SECOND)


def test_a_provider_that_steps_back_moves_nothing() -> None:
    """Queued after running is a look at which it was not there yet, and no transition."""
    watched = known(State.RUNNING)
    assert see(watched, sight(State.QUEUED), look(NOW), LUMA) is None
    assert watched.not_before == NOW


def test_a_sight_ends_all_doubt() -> None:
    """Misses count in a row only."""
    watched = known()
    miss(watched, 1.0, single=False)
    miss(watched, 2.0, single=False)
    see(watched, sight(State.QUEUED), look(NOW), LUMA)
    assert watched.misses.count == 0


def test_an_id_that_two_batches_left_out_is_asked_alone() -> None:
    """A multi route may leave IDs out; only a single request can tell."""
    watched = known()
    miss(watched, 1.0, single=False)
    assert not watched.poll_singly
    miss(watched, 2.0, single=False)
    assert watched.poll_singly


def test_an_id_found_alone_rejoins_once() -> None:
    """One wrong suspicion is forgiven; who is singled out a second time stays alone, seen or not."""
    watched = known()
    for alone_after_sight in (False, True):
        watched.isolate()
        see(watched, sight(State.QUEUED), look(NOW), LUMA)
        assert watched.poll_singly is alone_after_sight


def test_a_missed_id_does_not_rejoin() -> None:
    """While nobody has seen it, one that stands alone stays alone, confirmed or not."""
    watched = known()
    watched.isolate()
    for at in range(5):
        miss(watched, float(at), single=True)
        assert watched.poll_singly


def test_a_second_watch_can_only_bring_the_deadline_nearer() -> None:
    """The earliest deadline of all its watches counts, and each that joins is counted."""
    watched = known(deadline=NOW + 60 * SECOND)
    watched.join(opened(deadline=NOW + 90 * SECOND))
    assert watched.deadline == (NOW + 60 * SECOND).timestamp()
    watched.join(opened(deadline=NOW + 30 * SECOND))
    assert watched.deadline == (NOW + 30 * SECOND).timestamp()
    assert watched.joined == 2


def test_only_a_look_sent_at_the_deadline_or_later_lets_it_expire() -> None:
    """A look sent before and answered after says nothing about the time after."""
    watched = known(deadline=NOW)
    assert not overdue(watched, (NOW - SECOND).timestamp())
    assert overdue(watched, NOW.timestamp())
    assert overdue(watched, (NOW + SECOND).timestamp())


def test_unknown_needs_all_its_proofs() -> None:
    """Ten minutes of misses, one of them alone, and the provider answering about another ID since the first."""
    watched = known()
    for at in range(0, 601, 60):
        assert not is_unknown(watched.misses, other_answered_at=25.0)
        miss(watched, float(at), single=at == 120)
    assert is_unknown(watched.misses, other_answered_at=25.0)
    assert not is_unknown(watched.misses, other_answered_at=None)
    assert not is_unknown(watched.misses, other_answered_at=-1.0)


def test_an_id_once_seen_is_unknown_by_the_same_proof() -> None:
    """It was deleted, or has run out; a sight in between begins the ten minutes anew."""
    watched = known(State.QUEUED)
    for at in range(0, 541, 60):
        miss(watched, float(at), single=True)
    see(watched, sight(State.QUEUED), look(NOW + timedelta(seconds=570)), LUMA)
    for at in range(600, 1_141, 60):
        miss(watched, float(at), single=True)
        assert not is_unknown(watched.misses, other_answered_at=700.0)
    miss(watched, 1_200.0, single=True)
    assert is_unknown(watched.misses, other_answered_at=700.0)


def test_who_was_singled_out_for_nothing_rejoins() -> None:
    """It was the batch and not the ID: that suspicion is not held against it later."""
    watched = known()
    watched.isolate()
    watched.clear_isolation()
    assert not watched.poll_singly
    watched.isolate()
    see(watched, sight(State.QUEUED), look(NOW), LUMA)
    assert not watched.poll_singly


def test_to_acquit_whom_nobody_suspects_changes_nothing() -> None:
    """An ID that rides with others keeps what is known of it."""
    watched = known()
    watched.isolate()
    see(watched, sight(State.QUEUED), look(NOW), LUMA)
    watched.clear_isolation()
    watched.isolate()
    see(watched, sight(State.QUEUED), look(NOW), LUMA)
    assert watched.poll_singly


def test_a_doubtful_sight_counts_after_so_many_in_a_row() -> None:
    """Until then it is neither a state nor a miss; any other sight begins anew, and the deadline ends all doubt."""
    watched, doubtful = known(), replace(sight(State.COMPLETED), confirmations=3)
    miss(watched, 0.0, single=False)
    assert [believes(watched, doubtful, look(NOW)) for _ in range(3)] == [False, False, True]
    assert watched.misses.count == 0
    assert believes(watched, sight(State.RUNNING), look(NOW))
    assert not believes(watched, doubtful, look(NOW))
    assert believes(watched, doubtful, look(NOW + timedelta(hours=1)))
    assert believes(known(State.COMPLETED), doubtful, look(NOW))

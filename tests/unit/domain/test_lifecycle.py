"""The state tables, read as a reviewer would: nothing moves that is not in them, and nothing is missing."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifier.domain.lifecycle import DELIVERY, WATCH, DeliverySignal, WatchSignal, advance, satisfies
from notifier.domain.model import DeliveryStatus, State, WatchStatus

SEEN = st.sampled_from(State)
RECORDED = st.none() | SEEN
AUTOMATIC = {WatchSignal.SATISFY, WatchSignal.EXPIRE, WatchSignal.LOSE}
BY_A_PERSON = {DeliverySignal.REDELIVER: DeliveryStatus.PENDING}


def test_both_tables_are_whole() -> None:
    """Every status has a row, and every row leads from signals to statuses of its own table."""
    assert set(WATCH) == set(WatchStatus)
    assert set(DELIVERY) == set(DeliveryStatus)
    for watch_row in WATCH.values():
        assert set(watch_row) <= set(WatchSignal)
        assert set(watch_row.values()) <= set(WatchStatus)
    for delivery_row in DELIVERY.values():
        assert set(delivery_row) <= set(DeliverySignal)
        assert set(delivery_row.values()) <= set(DeliveryStatus)


def test_every_signal_is_answered_somewhere() -> None:
    """A signal that no status answers would be a word without use."""
    assert {signal for row in WATCH.values() for signal in row} == set(WatchSignal)
    assert {signal for row in DELIVERY.values() for signal in row} == set(DeliverySignal)


def test_an_open_watch_answers_all_that_can_end_it() -> None:
    """Each end of an open watch has a status of its own, and an open watch cannot be reopened."""
    assert WATCH[WatchStatus.OPEN] == {
        WatchSignal.SATISFY: WatchStatus.SATISFIED,
        WatchSignal.EXPIRE: WatchStatus.EXPIRED,
        WatchSignal.LOSE: WatchStatus.UNKNOWN,
        WatchSignal.CANCEL: WatchStatus.CANCELLED,
    }


def test_no_automatic_signal_moves_a_watch_that_has_ended() -> None:
    """A satisfied watch answers nothing; the other ends answer only a person who registers it again."""
    assert WATCH[WatchStatus.SATISFIED] == {}
    for status in (WatchStatus.EXPIRED, WatchStatus.CANCELLED, WatchStatus.UNKNOWN):
        assert WATCH[status] == {WatchSignal.REOPEN: WatchStatus.OPEN}, status
        assert not AUTOMATIC & WATCH[status].keys()


def test_a_pending_delivery_answers_every_outcome() -> None:
    """An attempt may succeed, fail with or without a next one, or be interrupted; and it may be parked."""
    assert (
        DELIVERY[DeliveryStatus.PENDING]
        == {
            DeliverySignal.SUCCEED: DeliveryStatus.DELIVERED,
            DeliverySignal.RETRY: DeliveryStatus.PENDING,
            DeliverySignal.GIVE_UP: DeliveryStatus.EXHAUSTED,
            DeliverySignal.INTERRUPT: DeliveryStatus.PENDING,
            DeliverySignal.PARK: DeliveryStatus.PARKED,
        }
        | BY_A_PERSON
    )


@pytest.mark.parametrize("status", [DeliveryStatus.DELIVERED, DeliveryStatus.EXHAUSTED, DeliveryStatus.FILTERED])
def test_no_automatic_signal_moves_a_finished_delivery(status: DeliveryStatus) -> None:
    """What was delivered, given up or filtered out answers a person who asks for it again, and nothing else."""
    assert DELIVERY[status] == BY_A_PERSON


def test_a_parked_delivery_only_resumes() -> None:
    """It waits for its endpoint, or for a person, and for nothing else."""
    assert DELIVERY[DeliveryStatus.PARKED] == {DeliverySignal.RESUME: DeliveryStatus.PENDING} | BY_A_PERSON


@given(RECORDED, SEEN)
def test_a_generation_only_rises(recorded: State | None, seen: State) -> None:
    """The state to record is above the recorded one, or there is nothing to record."""
    moved = advance(recorded, seen)
    assert moved in (None, seen)
    if moved is not None and recorded is not None:
        assert moved.rank > recorded.rank


@given(RECORDED, SEEN)
def test_what_is_seen_is_recorded_once(recorded: State | None, seen: State) -> None:
    """Seeing the same state a second time moves nothing."""
    now = advance(recorded, seen) or recorded
    assert now is not None
    assert advance(now, seen) is None


@given(SEEN)
def test_the_first_sight_is_always_recorded(seen: State) -> None:
    """Whatever is seen first is news."""
    assert advance(None, seen) is seen


@pytest.mark.parametrize(("final", "seen"), list(product((State.COMPLETED, State.FAILED), State)))
def test_a_final_state_is_final(final: State, seen: State) -> None:
    """Nothing follows completed or failed, not even each other."""
    assert advance(final, seen) is None


@given(st.lists(SEEN))
def test_any_order_of_observations_ends_at_the_first_final_one_or_the_highest(states: list[State]) -> None:
    """However a provider jumps about, what is recorded is the first final state, or else the highest one."""
    recorded: State | None = None
    for seen in states:
        recorded = advance(recorded, seen) or recorded
    finals = [seen for seen in states if seen.final]
    assert recorded == (finals[0] if finals else max(states, key=lambda seen: seen.rank, default=None))


@pytest.mark.parametrize(("state", "target"), list(product(State, State)))
def test_a_target_is_met_at_or_above_it(state: State, target: State) -> None:
    """A watch gets its delivery as soon as the generation is at its target or beyond."""
    order = [State.QUEUED, State.RUNNING, State.COMPLETED, State.FAILED]
    assert satisfies(state, target) == (order.index(state) >= order.index(target))


@pytest.mark.parametrize("target", State)
def test_nothing_seen_satisfies_nothing(target: State) -> None:
    """A generation that was never seen has reached no target."""
    assert not satisfies(None, target)


@given(RECORDED, SEEN, st.sampled_from(State))
def test_satisfied_once_is_satisfied_for_good(recorded: State | None, seen: State, target: State) -> None:
    """No later observation takes a reached target back."""
    if satisfies(recorded, target):
        assert satisfies(advance(recorded, seen) or recorded, target)

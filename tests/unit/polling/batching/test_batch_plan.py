"""What the planner chooses."""

from collections.abc import Sequence

import hypothesis
from hypothesis import given
from hypothesis import strategies as st

from notifier.polling.batching.batch_plan import Plan, plan
from notifier.polling.learning.hazard import HazardCurve
from notifier.polling.scheduling.open_generation import TrackedGeneration
from tests.support.generations import entry

#: A busy machine is no failure.
STEADY = hypothesis.settings(deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])


CURVE = HazardCurve()


def due_ids(*names: str) -> list[TrackedGeneration]:
    """A name that begins with "!" is polled singly."""
    entries = [entry(name.lstrip("!"), curve=CURVE) for name in names]
    for each, name in zip(entries, names, strict=True):
        each.poll_singly = name.startswith("!")
    return entries


def planned(
    due: Sequence[TrackedGeneration],
    *,
    fit: int = 100,
    batch_limit: int = 100,
    multi: bool = True,
    room: int = 9,
    single_room: int = 9,
) -> Plan:
    return plan(
        due,
        fit=lambda ids: min(fit, len(ids)),
        batch_limit=batch_limit,
        multi=multi,
        room=room,
        single_room=single_room,
    )


def shown(result: Plan) -> list[str]:
    return [("*" if request.multi else "") + "".join(request.ids) for request in result.requests]


def test_ids_ride_together_up_to_the_limit() -> None:
    """Batch polls are filled in the order given, none above the learned limit or what fits in a URL."""
    assert shown(planned(due_ids(*"abcdefg"), batch_limit=3)) == ["*abc", "*def", "*g"]
    assert shown(planned(due_ids(*"abcdefg"), fit=2, batch_limit=3)) == ["*ab", "*cd", "*ef", "*g"]


def test_an_id_that_is_polled_singly_never_joins_a_batch() -> None:
    """Such an ID is asked by itself, at its own place in the order."""
    assert shown(planned(due_ids("a", "!x", "b", "!y", "c"))) == ["*abc", "x", "y"]
    assert shown(planned(due_ids("!x", "a", "b"), batch_limit=1)) == ["x", "*a", "*b"]


def test_without_a_multi_route_every_id_is_asked_by_itself() -> None:
    """`batch: off` makes single requests, in the order given; with no batch to protect, nothing is reserved."""
    assert shown(planned(due_ids("a", "!x", "b"), multi=False, single_room=0)) == ["a", "x", "b"]


def test_what_there_is_no_room_for_is_given_back_in_order() -> None:
    """Beyond `room` nothing is asked; the rest keeps its order."""
    result = planned(due_ids("a", "b", "!x", "c", "d", "e"), batch_limit=2, room=2)
    assert shown(result) == ["*ab", "x"]
    assert [entry.id for entry in result.rest] == ["c", "d", "e"]
    assert planned(due_ids("a"), room=0).requests == []


def test_bad_ids_do_not_take_the_room_of_good_ones() -> None:
    """IDs that are polled singly stop at their reserved room, and batch polls go on."""
    result = planned(due_ids("!x", "!y", "!z", "a", "b"), room=5, single_room=1)
    assert shown(result) == ["x", "*ab"]
    assert [entry.id for entry in result.rest] == ["y", "z"]


@STEADY
@given(
    alone=st.lists(st.booleans(), max_size=40),
    fit=st.integers(1, 7),
    batch_limit=st.integers(1, 7),
    multi=st.booleans(),
    room=st.integers(0, 6),
    single_room=st.integers(0, 6),
)
def test_nothing_is_lost_or_asked_twice(
    alone: list[bool], fit: int, batch_limit: int, *, multi: bool, room: int, single_room: int
) -> None:
    """Every due ID is in exactly one request or in the rest; all the limits hold; the longest overdue is served."""
    due = due_ids(*[f"{'!' * flag}{number}" for number, flag in enumerate(alone)])
    result = planned(due, fit=fit, batch_limit=batch_limit, multi=multi, room=room, single_room=single_room)
    asked = [entry for request in result.requests for entry in request.entries]
    assert sorted(asked + list(result.rest), key=lambda entry: int(entry.id)) == due
    assert len(result.requests) <= room
    assert not multi or sum(request.poll_singly for request in result.requests) <= single_room
    for request in result.requests:
        assert 1 <= len(request.ids) <= min(fit, batch_limit)
        assert len(request.ids) == 1 or request.multi
        assert not (request.multi and any(entry.poll_singly for entry in request.entries))
    first = [entry for entry in due if single_room or not multi or not entry.poll_singly][:1]
    assert not (first and room) or first[0] in asked

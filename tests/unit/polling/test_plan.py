"""What the planner chooses."""

from collections.abc import Sequence

import hypothesis
from hypothesis import given
from hypothesis import strategies as st

from notifier.ids import GenerationId
from notifier.polling.plan import GOOD_SWEEPS, BatchLimit, Look, Plan, plan, split

#: A busy machine is no failure.
STEADY = hypothesis.settings(deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])


def looks(*names: str) -> list[Look]:
    """A name that begins with "!" stands alone."""
    return [Look(id=GenerationId(name.lstrip("!")), alone=name.startswith("!")) for name in names]


def planned(
    due: Sequence[Look],
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
    return [("*" if ask.multi else "") + "".join(ask.ids) for ask in result.asks]


def test_ids_ride_together_up_to_the_limit() -> None:
    """Sweeps are filled in the order given, none above the learned limit or what fits in a URL."""
    assert shown(planned(looks(*"abcdefg"), batch_limit=3)) == ["*abc", "*def", "*g"]
    assert shown(planned(looks(*"abcdefg"), fit=2, batch_limit=3)) == ["*ab", "*cd", "*ef", "*g"]


def test_an_id_that_stands_alone_never_joins_a_batch() -> None:
    """Such an ID is asked by itself, at its own place in the order."""
    assert shown(planned(looks("a", "!x", "b", "!y", "c"))) == ["*abc", "x", "y"]
    assert shown(planned(looks("!x", "a", "b"), batch_limit=1)) == ["x", "*a", "*b"]


def test_without_a_multi_route_every_id_is_asked_by_itself() -> None:
    """`batch: off` makes singles, which are not the singles of bad IDs and so not bound by their share."""
    assert shown(planned(looks("a", "b", "!x"), multi=False, single_room=0)) == ["a", "b"]


def test_what_there_is_no_room_for_is_given_back_in_order() -> None:
    """Beyond `room` nothing is asked; the rest keeps its order."""
    result = planned(looks("a", "b", "!x", "c", "d", "e"), batch_limit=2, room=2)
    assert shown(result) == ["*ab", "x"]
    assert [look.id for look in result.rest] == ["c", "d", "e"]
    assert planned(looks("a"), room=0).asks == ()


def test_bad_ids_do_not_take_the_room_of_good_ones() -> None:
    """Singles of IDs that stand alone stop at their share, and sweeps go on."""
    result = planned(looks("!x", "!y", "!z", "a", "b"), room=5, single_room=1)
    assert shown(result) == ["x", "*ab"]
    assert [look.id for look in result.rest] == ["y", "z"]


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
    due = [Look(id=GenerationId(str(n)), alone=flag) for n, flag in enumerate(alone)]
    result = planned(due, fit=fit, batch_limit=batch_limit, multi=multi, room=room, single_room=single_room)
    asked = [look for ask in result.asks for look in ask.looks]
    assert sorted(asked + list(result.rest), key=lambda look: int(look.id)) == due
    assert len(result.asks) <= room
    assert sum(ask.looks[0].alone for ask in result.asks) <= single_room
    for ask in result.asks:
        assert 1 <= len(ask.ids) <= min(fit, batch_limit)
        assert len(ask.ids) == 1 or ask.multi
        assert not (ask.multi and any(look.alone for look in ask.looks))
    first = [look for look in due if single_room or not look.alone][:1]
    assert not (first and room) or first[0] in asked


@STEADY
@given(st.lists(st.text(), min_size=2, max_size=50))
def test_a_split_is_two_halves(names: list[str]) -> None:
    """Both halves hold something, together they are the whole in its order, and they differ by one at most."""
    ids = [GenerationId(name) for name in names]
    left, right = split(ids)
    assert [*left, *right] == ids
    assert 0 <= len(left) - len(right) <= 1


def test_a_batch_that_was_too_large_halves_the_limit() -> None:
    """The learned limit is half of what was refused, never above what is known already, never below one."""
    limit = BatchLimit.of(100)
    assert limit.refused(100).limit == 50
    assert limit.refused(100).refused(100).limit == 50
    assert limit.refused(40).limit == 20
    assert limit.refused(1).limit == 1


def test_the_limit_grows_again_after_twenty_good_sweeps_at_it() -> None:
    """A quarter more, only for sweeps of the full limit, and never above `max_ids`."""
    limit = BatchLimit.of(100).refused(100)
    for _ in range(GOOD_SWEEPS - 1):
        limit = limit.proved(50).proved(49)
    assert limit.limit == 50
    limit = limit.proved(50)
    assert limit.limit == 62
    for _ in range(200):
        limit = limit.proved(limit.limit)
    assert limit.limit == 100
    assert BatchLimit.of(3).refused(2).limit == 1

"""What the planner chooses."""

from collections.abc import Sequence
from dataclasses import dataclass

import hypothesis
from hypothesis import given
from hypothesis import strategies as st

from notifier.domain.ids import GenerationId
from notifier.polling.batching.plan import GOOD_BATCHES, BatchLimit, Plan, plan, split

#: A busy machine is no failure.
STEADY = hypothesis.settings(deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])


@dataclass(kw_only=True)
class Look:
    """The least that can be planned."""

    id: GenerationId
    poll_singly: bool


def looks(*names: str) -> list[Look]:
    """A name that begins with "!" stands alone."""
    return [Look(id=GenerationId(name.lstrip("!")), poll_singly=name.startswith("!")) for name in names]


def planned(
    due: Sequence[Look],
    *,
    fit: int = 100,
    batch_limit: int = 100,
    multi: bool = True,
    room: int = 9,
    single_room: int = 9,
) -> Plan[Look]:
    return plan(
        due,
        fit=lambda ids: min(fit, len(ids)),
        batch_limit=batch_limit,
        multi=multi,
        room=room,
        single_room=single_room,
    )


def shown(result: Plan[Look]) -> list[str]:
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
    """`batch: off` makes singles, in the order given; there is no batch to keep bad IDs out of, and so no share."""
    assert shown(planned(looks("a", "!x", "b"), multi=False, single_room=0)) == ["a", "x", "b"]


def test_what_there_is_no_room_for_is_given_back_in_order() -> None:
    """Beyond `room` nothing is asked; the rest keeps its order."""
    result = planned(looks("a", "b", "!x", "c", "d", "e"), batch_limit=2, room=2)
    assert shown(result) == ["*ab", "x"]
    assert [look.id for look in result.rest] == ["c", "d", "e"]
    assert planned(looks("a"), room=0).asks == []


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
    due = [Look(id=GenerationId(str(n)), poll_singly=flag) for n, flag in enumerate(alone)]
    result = planned(due, fit=fit, batch_limit=batch_limit, multi=multi, room=room, single_room=single_room)
    asked = [look for ask in result.asks for look in ask.looks]
    assert sorted(asked + list(result.rest), key=lambda look: int(look.id)) == due
    assert len(result.asks) <= room
    assert not multi or sum(ask.poll_singly for ask in result.asks) <= single_room
    for ask in result.asks:
        assert 1 <= len(ask.ids) <= min(fit, batch_limit)
        assert len(ask.ids) == 1 or ask.multi
        assert not (ask.multi and any(look.poll_singly for look in ask.looks))
    first = [look for look in due if single_room or not multi or not look.poll_singly][:1]
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
    for _ in range(GOOD_BATCHES - 1):
        limit = limit.proved(50).proved(49)
    assert limit.limit == 50
    limit = limit.proved(50)
    assert limit.limit == 62
    for _ in range(200):
        limit = limit.proved(limit.limit)
    assert limit.limit == 100
    assert BatchLimit.of(3).refused(2).limit == 1


def sweeps_at(limit: BatchLimit, most: int, count: int) -> tuple[BatchLimit, int]:
    """After so many full sweeps of a provider that takes `most` IDs; how many were refused."""
    refused = 0
    for _ in range(count):
        if limit.limit > most:
            limit, refused = limit.refused(limit.limit), refused + 1
        else:
            limit = limit.proved(limit.limit)
    return limit, refused


def test_a_limit_that_went_too_far_goes_back_to_what_was_answered() -> None:
    """What was answered is known to fit: one step too far costs one request, not half of the batch."""
    limit = BatchLimit.of(100).refused(100)
    for _ in range(GOOD_BATCHES):
        limit = limit.proved(50)
    assert limit.refused(62).limit == 50


def test_what_was_answered_and_is_refused_now_is_halved() -> None:
    """The provider has become smaller: what it took once proves nothing any more."""
    limit = BatchLimit.of(100).refused(100)
    for _ in range(GOOD_BATCHES):
        limit = limit.proved(50)
    limit = limit.refused(62).refused(50)
    assert limit.limit == 25
    assert limit.refused(25).limit == 12


def test_trying_more_in_vain_becomes_rare() -> None:
    """Each time that more is refused it takes twice as many good sweeps until it is tried again, up to 2,000."""
    limit, refused = sweeps_at(BatchLimit.of(100), 60, 100_000)
    assert limit.limit in (50, 62)
    assert limit.enough == 2_000
    assert refused < 60


@STEADY
@given(st.integers(1, 300), st.integers(1, 300))
def test_the_limit_comes_near_what_the_provider_takes(max_ids: int, most: int) -> None:
    """Whatever that is: never above `max_ids`, at most halves on the way down, and never for ever far below."""
    limit, refused = sweeps_at(BatchLimit.of(max_ids), most, 400)
    assert 1 <= limit.limit <= max_ids
    wanted = min(max_ids, most)
    assert wanted / 2 - 1 <= limit.limit <= max(wanted * 1.25, wanted + 1)
    assert refused <= 9 + 5  # halves of 300; and 20 + 40 + ... + 320 sweeps until more is tried


def test_what_a_smaller_batch_proved_is_gone_back_to() -> None:
    """A sweep below the limit that was answered is evidence too: a refusal goes down to it, not to half."""
    assert BatchLimit.of(100).proved(60).refused(100).limit == 60

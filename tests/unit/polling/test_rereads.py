"""IDs that somebody wants to see once more: when they ride, when they are asked for by themselves, who is answered."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import anyio
from anyio.lowlevel import checkpoint

from notifier.domain.ids import GenerationId
from notifier.domain.model import Observation, RereadResult, State
from notifier.polling.rereads import MISTRUST, PATIENCE, Rereads

SEEN_AT = datetime(2026, 11, 22, 5, 14, tzinfo=UTC)


def some(*names: str) -> list[GenerationId]:
    return [GenerationId(name) for name in names]


def all_fit(ids: Sequence[GenerationId]) -> int:
    return len(ids)


def sight(name: str, state: State | None = State.COMPLETED) -> Observation:
    return Observation(id=GenerationId(name), state=state)


Answers = list[tuple[str, RereadResult | None]]


@asynccontextmanager
async def wanted(rereads: Rereads, *wishes: str, now: float = 0.0) -> AsyncIterator[Answers]:
    """Somebody waits for each of `wishes`; what they were answered."""
    answers: Answers = []

    async def ask(name: str) -> None:
        answers.append((name, await rereads.show(GenerationId(name), now)))

    async with anyio.create_task_group() as tasks:
        for name in wishes:
            tasks.start_soon(ask, name)
        await checkpoint()
        await checkpoint()
        yield answers
        tasks.cancel_scope.cancel()


async def settled(answers: Answers, count: int = 1) -> None:
    """A few turns of the event loop are enough for who was answered."""
    for _ in range(5):
        await checkpoint()
    assert len(answers) == count


def test_nothing_wanted_is_nothing_to_do() -> None:
    """And what is seen by the way is nobody's."""
    rereads = Rereads()
    rereads.answered([sight("a")], SEEN_AT)
    rereads.give_up()
    assert not rereads.due(0.0, poll_at=None)
    assert rereads.piggyback(some("a"), 99, 0.0, fit=all_fit) == ()


async def test_they_ride_where_a_batch_poll_is_expected() -> None:
    """They wait for it, but no longer than their patience; without one they are due at once."""
    rereads = Rereads()
    async with wanted(rereads, "a", "b"):
        assert not rereads.due(0.0, poll_at=PATIENCE)
        assert rereads.due(0.0, poll_at=PATIENCE + 0.1)
        assert rereads.due(0.0, poll_at=None)
        assert rereads.due(PATIENCE, poll_at=PATIENCE)
        assert sorted(rereads.piggyback(some("x"), 99, 0.0, fit=all_fit)) == ["a", "b"]
        assert not rereads.due(PATIENCE, poll_at=None)


async def test_no_more_ride_than_there_are_seats_and_room_in_the_url() -> None:
    """The others go on waiting."""
    rereads = Rereads()
    async with wanted(rereads, "a", "b", "c", "d"):
        assert rereads.piggyback(some("x"), 0, 0.0, fit=all_fit) == ()
        assert len(rereads.piggyback(some("x"), 1, 0.0, fit=all_fit)) == 1
        assert len(rereads.piggyback(some("x", "y"), 99, 0.0, fit=lambda _: 4)) == 2
        assert rereads.piggyback(some("x", "y"), 99, 0.0, fit=lambda _: 1) == ()
        assert len(rereads.next(99, all_fit)) == 1


async def test_one_that_is_in_the_batch_poll_anyway_needs_no_seat() -> None:
    """It is watched still: whoever looks answers both."""
    rereads = Rereads()
    async with wanted(rereads, "a") as answers:
        assert rereads.piggyback(some("a"), 99, 0.0, fit=all_fit) == ()
        assert not rereads.due(0.0, poll_at=None)
        rereads.answered([sight("a"), sight("other")], SEEN_AT)
        await settled(answers)
        assert answers == [("a", RereadResult(observation=sight("a"), seen_at=SEEN_AT))]


async def test_an_id_that_two_want_is_asked_for_once() -> None:
    """Both are answered the same; of one that is absent nothing is shown."""
    rereads = Rereads()
    async with wanted(rereads, "a", "gone", "a") as answers:
        assert sorted(rereads.next(99, all_fit)) == ["a", "gone"]
        rereads.answered([sight("a")], SEEN_AT)
        await settled(answers, 2)
        assert answers == [("a", RereadResult(observation=sight("a"), seen_at=SEEN_AT))] * 2
        rereads.answered([sight("gone", None)], SEEN_AT)
        await settled(answers, 3)
        assert answers[2] == ("gone", None)


async def test_a_request_that_fails_answers_nothing() -> None:
    """Who waits is told at once, and goes on with what there is."""
    rereads = Rereads()
    async with wanted(rereads, "a", "b") as answers:
        rereads.failed(rereads.next(1, all_fit))
        await settled(answers, 1)
        rereads.give_up()
        await settled(answers, 2)
        assert [reread for _, reread in answers] == [None, None]
        assert not rereads.due(0.0, poll_at=None)


async def test_after_a_refusal_each_is_asked_for_alone_and_none_rides() -> None:
    """For a while; then they ride again."""
    rereads = Rereads()
    async with wanted(rereads, "a", "b"):
        rereads.refused(rereads.piggyback(some("x"), 99, 0.0, fit=all_fit), 0.0)
        assert rereads.due(0.0, poll_at=0.0)
        assert sorted([*rereads.next(99, all_fit), *rereads.next(99, all_fit)]) == ["a", "b"]
        assert not rereads.due(0.0, poll_at=None)
    async with wanted(rereads, "c", now=1.0):
        assert rereads.due(1.0, poll_at=1.0)
        assert rereads.piggyback(some("x"), 99, MISTRUST - 0.1, fit=all_fit) == ()
        assert rereads.piggyback(some("x"), 99, MISTRUST, fit=all_fit) == ("c",)


async def test_who_was_hurried_waits_for_no_batch_poll() -> None:
    """A connection was freed for it, which nothing else may take first."""
    rereads = Rereads()
    async with wanted(rereads, "a"):
        rereads.hurry()
        assert rereads.due(0.0, poll_at=0.0)


async def test_who_gives_up_leaves_nothing_behind() -> None:
    """What nobody wants any more is not asked for, and an answer that comes late finds nobody."""
    rereads = Rereads()
    async with wanted(rereads, "a", "b"):
        assert len(rereads.next(1, all_fit)) == 1
    async with wanted(rereads, "c") as answers, wanted(rereads, "c"):
        pass
    assert answers == []
    assert not rereads.due(100.0, poll_at=None)
    rereads.answered([sight("a"), sight("b")], SEEN_AT)
    rereads.refused(some("a"), 0.0)
    assert not rereads.due(100.0, poll_at=None)

"""What a provider loop learns from completions: kept over a restart, and used to tell who is stuck."""

import structlog

from notifier.domain.model import State
from notifier.store.sqlite.store import SqliteStore
from tests.support.fakes import Watching, request, watching


async def complete(stage: Watching, count: int, *, after: float) -> None:
    """So many generations, one after the other, each done after so many seconds."""
    for number in range(count):
        id_ = f"done-{stage.clock.seconds:.0f}-{number}"
        stage.upstream.states[id_] = "dreaming"
        await stage.watch(request(id_))
        await stage.ticks(after, step=1.0)
        stage.upstream.states[id_] = "completed"
        await stage.ticks(5, step=1.0)


async def test_what_was_learned_is_kept_over_a_restart(store: SqliteStore) -> None:
    """A provider loop that starts on the same store knows how long generations took before."""
    async with watching(store) as before:
        await complete(before, 12, after=30.0)
        usual = before.loop._generations.curves.most_learned(State.COMPLETED)
        assert usual.learned == 12
        learned = usual.quantile(0.5)
    async with watching(store) as after:
        usual = after.loop._generations.curves.most_learned(State.COMPLETED)
        assert usual.learned >= 10  # the last minute may be lost
        assert abs(usual.quantile(0.5) - learned) < 3


async def test_a_generation_far_beyond_its_kind_is_warned_of_once(store: SqliteStore) -> None:
    """Three times as old as 99 of 100 get: one line in the log that names it, and its watch goes on."""
    async with watching(store) as stage:
        await complete(stage, 42, after=20.0)
        stage.upstream.states["stuck"] = "dreaming"
        with structlog.testing.capture_logs() as lines:
            await stage.watch(request("stuck"))
            await stage.ticks(1800, step=5.0)
        warned = [line for line in lines if line["event"] == "generation.stalled"]
        assert [line["generation"] for line in warned] == ["stuck"]
        assert warned[0]["age_s"] > 3 * warned[0]["usual_s"] - 5
        assert stage.loop.watched == 1


async def test_how_late_we_knew_is_told_every_ten_minutes(store: SqliteStore) -> None:
    """One line with bounds that evidence gives, and none where nothing was seen."""
    with structlog.testing.capture_logs() as lines:
        async with watching(store) as stage:
            await complete(stage, 3, after=30.0)
            await stage.ticks(1500, step=5.0)
    told = [line for line in lines if line["event"] == "generations.observed"]
    assert sum(line["count"] for line in told) == 6  # running, then completed, of each
    assert len(told) <= 2
    assert 0.5 <= told[-1]["within_s_99"] <= 10.0

"""The whole daemon in process over real loopback HTTP: emulated API, real store, verifying receiver."""

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from notifier.config import known_to_drop
from notifier.daemon.app import Daemon
from notifier.domain.errors import ConfigError, StoreUnavailable
from notifier.domain.ids import GenerationId, ProviderName
from notifier.domain.model import DeliveryStatus, EndpointDirectory, Kind, State, WatchStatus
from notifier.emulator.receiver import ReceiverSettings, serve_receiver
from notifier.emulator.server import serve_emulator
from notifier.emulator.settings import EmulatorSettings
from notifier.intake.parse import parse_drop
from notifier.runtime.clock import SystemClock
from notifier.store.records import Ending
from notifier.store.sqlite import open_reader, open_store
from tests.support.daemon_rig import KEY, Site, endpoint, provider, site, up
from tests.support.fakes import SECRET, HandClock


async def test_a_drop_file_becomes_a_verified_callback(tmp_path: Path) -> None:
    """The whole path: dropped, watched, completed, signed, posted, verified, moved to done/; nothing hangs."""
    async with up(tmp_path) as place:
        (id_,) = place.emulator.create(complete_at=0)
        place.drop("one.json", {"id": id_, "metadata": {"order": 7}})
        (call,) = await place.receiver.wait_for(1)
        assert (call.type, call.generation_id) == ("generation.completed", id_)
        assert call.content["metadata"] == {"order": 7}
        await place.until(lambda: [file.name for file in (tmp_path / "drop" / "done").iterdir()])
        assert place.running.heartbeats.hanging == []
        assert place.running.troubles == {}
        assert place.running.watched == {"luma": 0}


async def test_a_watch_of_the_configuration_is_declared_at_start(tmp_path: Path) -> None:
    """It is watched before READY, and a second start posts nothing again."""
    async with site(tmp_path) as place:
        (id_,) = place.emulator.create(complete_at=0)
        place.config["watches"] = [{"id": id_}]
        for _ in range(2):
            async with anyio.create_task_group() as tasks:
                await tasks.start(place.run)
                await place.receiver.wait_for(1)
                await place.until(lambda: _only(place, DeliveryStatus.DELIVERED))
                await place.stop()
        assert place.receiver.post_count == 1


class _Weeks:
    """The machine's clocks, forty days on, and as much more as a test says."""

    def __init__(self) -> None:
        self._real = SystemClock()
        self.more = 0.0

    def now(self) -> datetime:
        return self._real.now() + timedelta(days=40, seconds=self.more)

    def monotonic(self) -> float:
        return self._real.monotonic() + self.more

    def elapsed(self) -> float:
        return self._real.elapsed() + self.more


async def test_a_declared_watch_posts_nothing_again_after_weeks(tmp_path: Path) -> None:
    """Declared in the configuration or a watch file, it outlives retention; what came in a drop file does not."""
    async with site(tmp_path, watch_files=["*.w.yaml"]) as place:
        ids = place.emulator.create(3, complete_at=0)
        place.config["watches"] = [{"id": ids[0]}]
        (tmp_path / "a.w.yaml").write_text(f'- id: "{ids[1]}"\n')
        async with anyio.create_task_group() as tasks:
            await tasks.start(place.run)
            place.drop("one.json", {"id": ids[2]})
            await place.receiver.wait_for(3)
            await place.until(lambda: _only(place, DeliveryStatus.DELIVERED))
            await place.stop()
        clock = _Weeks()
        for _ in range(2):
            weeks_later = Daemon(place.settings(), clock=clock)
            async with anyio.create_task_group() as tasks:
                await tasks.start(weeks_later.run)
                clock.more += 3601
                weeks_later._housekeeping.notify()
                await place.until(lambda: _forgotten(place, ids[2]))
                weeks_later.stop()
        assert [await place.statuses(id_) for id_ in ids] == [[WatchStatus.SATISFIED], [WatchStatus.SATISFIED], []]
        assert await place.deliveries() == {}
        assert place.receiver.post_count == 3


async def test_a_faulty_watch_file_keeps_every_watch_until_it_is_gone(tmp_path: Path) -> None:
    """It may declare any of them; one that the configuration names no more declares nothing."""
    (tmp_path / "bad.w.yaml").write_text("- id: [")
    async with up(tmp_path, watch_files=["*.w.yaml"]) as place:
        (id_,) = place.emulator.create(complete_at=float("inf"))
        assert place.running._declared() is None
        await place.running.reload(place.settings(watch_files=None, watches=[{"id": id_}]))
        declared = place.running._declared()
        assert declared is not None
        async with open_reader(str(tmp_path / "notifier.db")) as store:
            (history,) = await store.histories(GenerationId(id_))
        assert [watch.id in declared for watch in history.watches] == [True]


async def _forgotten(place: Site, id_: str) -> bool:
    return await place.statuses(id_) == []


async def _only(place: Site, status: DeliveryStatus) -> bool:
    return set(await place.deliveries()) == {status}


async def test_a_provider_that_answers_shows_that_the_network_is_up(tmp_path: Path) -> None:
    """An endpoint that refuses connections is held to it, though it is the only one."""
    async with site(tmp_path) as place:
        place.config["endpoints"] = {"studio": endpoint(place.receiver) | {"url": "http://127.0.0.1:1/hooks"}}
        (id_,) = place.emulator.create(complete_at=0)
        async with anyio.create_task_group() as tasks:
            await tasks.start(place.run)
            place.drop("one.json", {"id": id_})
            await place.until(lambda: _failed(place))
            await place.stop()


async def _failed(place: Site) -> bool:
    async with open_reader(str(place.directory / "notifier.db")) as store:
        return any(line.health.failures for line in await store.endpoint_summaries())


async def test_watch_files_are_read(tmp_path: Path) -> None:
    """A file that matches the glob is as good as a drop file, and a broken one makes readiness name it."""
    (tmp_path / "watches.d").mkdir()
    (tmp_path / "watches.d" / "bad.yaml").write_text("- id: [")
    async with site(tmp_path, watch_files=["watches.d/*.yaml"]) as place:
        (id_,) = place.emulator.create(complete_at=0)
        (tmp_path / "watches.d" / "good.yaml").write_text(f'- id: "{id_}"\n')
        async with anyio.create_task_group() as tasks:
            await tasks.start(place.run)
            await place.receiver.wait_for(1)
            await place.until(lambda: any("bad.yaml" in part for part in place.running.troubles))
            await place.stop()


async def test_a_restart_loses_nothing(tmp_path: Path) -> None:
    """What was watched by the run before is watched by the next one, without being registered again."""
    async with site(tmp_path) as place:
        (id_,) = place.emulator.create(complete_at=float("inf"))
        async with anyio.create_task_group() as tasks:
            await tasks.start(place.run)
            place.drop("one.json", {"id": id_})
            await place.until(lambda: place.running.watched == {"luma": 1})
            await place.stop()
        place.emulator.move(id_, State.COMPLETED)
        async with anyio.create_task_group() as tasks:
            await tasks.start(place.run)
            await place.receiver.wait_for(1)
            await place.stop()


async def test_a_drop_file_that_a_crash_left_behind_is_only_moved(tmp_path: Path) -> None:
    """Killed between its commit and its move, down past the deadline: one message says so, and no second follows."""
    async with site(tmp_path) as place:
        (id_,) = place.emulator.create(complete_at=float("inf"))
        place.drop("one.json", {"id": id_, "timeout": "1s"})
        async with open_store(str(tmp_path / "notifier.db")) as store:
            known, content = known_to_drop(place.settings()), (tmp_path / "drop" / "one.json").read_bytes()
            (asked,) = parse_drop("one.json", content, known)
            now, directory = SystemClock().now(), EndpointDirectory(events={"studio": None}, callbacks=False)
            await store.apply_directory(directory, now=now)
            await store.add_watches([asked], now=now)
            late = now + timedelta(seconds=1)
            over = Ending(provider=asked.provider, generation=asked.generation, kind=Kind.EXPIRED, observed_at=late)
            await store.end_watches([over], now=late)
        async with anyio.create_task_group() as tasks:
            await tasks.start(place.run)
            await place.until(lambda: list((tmp_path / "drop" / "done").iterdir()))
            await place.receiver.wait_for(1)
            await place.until(lambda: _only(place, DeliveryStatus.DELIVERED))
            await place.stop()
        assert await place.statuses(id_) == [WatchStatus.EXPIRED]
        assert await place.deliveries() == {DeliveryStatus.DELIVERED: 1}


async def test_a_drop_file_that_comes_after_the_end_asks_again(tmp_path: Path) -> None:
    """The very same content, dropped once more after the watch expired: it is watched once more."""
    async with site(tmp_path) as place:
        (id_,) = place.emulator.create(complete_at=float("inf"))
        async with anyio.create_task_group() as tasks:
            await tasks.start(place.run)
            for count in (1, 2):
                place.drop("one.json", {"id": id_, "timeout": "1s"})
                calls = await place.receiver.wait_for(count)
            await place.stop()
        assert [call.type for call in calls] == ["watch.expired"] * 2


async def test_what_was_learned_last_is_there_after_a_stop(tmp_path: Path) -> None:
    """A run that was stopped within a minute of its first completion has learned from it all the same."""
    async with site(tmp_path) as place:
        place.config["providers"] = {"luma": provider(place.emulator, long_poll="off")}
        (id_,) = place.emulator.create(complete_at=float("inf"))
        place.emulator.move(id_, State.RUNNING)
        async with anyio.create_task_group() as tasks:
            await tasks.start(place.run)
            place.drop("one.json", {"id": id_})
            await place.until(lambda: _state(place, id_))
            place.emulator.move(id_, State.COMPLETED)
            await place.receiver.wait_for(1)
            await place.stop()
        async with open_store(str(tmp_path / "notifier.db")) as store:
            assert await store.learned(ProviderName("luma"))


async def _state(place: Site, id_: str) -> State | None:
    async with open_reader(str(place.directory / "notifier.db")) as store:
        return next((history.state for history in await store.histories(GenerationId(id_))), None)


async def test_a_reload_adds_an_endpoint_and_unparks_what_it_was_owed(tmp_path: Path) -> None:
    """Taken out, its message is parked; the name returns, and the message goes out with the same id."""
    async with site(tmp_path) as place:
        both = {"studio": endpoint(place.receiver), "audit": endpoint(place.receiver)}
        place.config["endpoints"] = both
        (id_,) = place.emulator.create(complete_at=float("inf"))
        async with anyio.create_task_group() as tasks:
            await tasks.start(place.run)
            place.drop("one.json", {"id": id_, "notify": "audit"})
            await place.until(lambda: place.running.watched == {"luma": 1})
            await place.running.reload(place.settings(endpoints={"studio": endpoint(place.receiver)}))
            place.emulator.move(id_, State.COMPLETED)
            await place.until(lambda: _only(place, DeliveryStatus.PARKED))
            assert place.receiver.post_count == 0
            await place.running.reload(place.settings(endpoints=both))
            (call,) = await place.receiver.wait_for(1)
            assert call.generation_id == id_
            await place.stop()


async def test_a_reload_adds_a_provider(tmp_path: Path) -> None:
    """The new one is asked for what is dropped for it, beside the old one."""
    async with up(tmp_path) as place, serve_emulator(EmulatorSettings(api_key=KEY, seed=2)) as second:
        (id_,) = second.create(complete_at=0)
        both = {"luma": provider(place.emulator), "second": provider(second)}
        await place.running.reload(place.settings(providers=both))
        place.drop("one.json", {"id": id_, "provider": "second"})
        (call,) = await place.receiver.wait_for(1)
        assert call.content["provider"] == "second"


async def test_a_reload_declares_new_watches(tmp_path: Path) -> None:
    """A watch written into the configuration is registered; one taken out stays registered."""
    async with up(tmp_path) as place:
        first, second = place.emulator.create(2, complete_at=float("inf"))
        await place.running.reload(place.settings(watches=[{"id": first}]))
        await place.running.reload(place.settings(watches=[{"id": second}]))
        assert place.running.watched == {"luma": 2}


async def test_a_reload_reads_other_watch_files(tmp_path: Path) -> None:
    """The first glob ever, and then none at all."""
    (tmp_path / "watches.d").mkdir()
    async with up(tmp_path) as place:
        (id_,) = place.emulator.create(complete_at=0)
        (tmp_path / "watches.d" / "good.yaml").write_text(f'- id: "{id_}"\n')
        await place.running.reload(place.settings(watch_files=["watches.d/*.yaml"]))
        await place.receiver.wait_for(1)
        await place.running.reload(place.settings(watch_files=None))
        assert place.running.troubles == {}


async def test_a_reload_that_needs_a_restart_changes_nothing(tmp_path: Path) -> None:
    """Another store and a new endpoint in one change: all of it is refused, and the daemon goes on as it was."""
    async with up(tmp_path) as place:
        before = dict(place.config)
        with pytest.raises(ConfigError, match="store: needs a restart"):
            await place.running.reload(
                place.settings(store="sqlite:other.db", endpoints={"other": endpoint(place.receiver)})
            )
        assert not (tmp_path / "other.db").exists()
        place.config = before
        (id_,) = place.emulator.create(complete_at=0)
        place.drop("one.json", {"id": id_, "notify": "studio"})
        await place.receiver.wait_for(1)


async def test_a_reload_while_the_store_cannot_write_leaves_a_daemon_that_can_be_asked(tmp_path: Path) -> None:
    """The status line is still sent, and the same reload acts whole once the store works."""
    (tmp_path / "watches.d").mkdir()
    async with up(tmp_path) as place:
        first, second = place.emulator.create(2, complete_at=float("inf"))
        (tmp_path / "watches.d" / "good.yaml").write_text(f'- id: "{second}"\n')
        writer = place.running._store.writer
        await writer.run(lambda conn: conn.execute("PRAGMA query_only = on").close())
        settings = place.settings(watch_files=["watches.d/*.yaml"], watches=[{"id": first}])
        with pytest.raises(StoreUnavailable):
            await place.running.reload(settings)
        assert place.running.troubles.keys() <= {"store"}
        await writer.run(lambda conn: conn.execute("PRAGMA query_only = off").close())
        await place.running.reload(settings)
        await place.until(lambda: place.running.watched == {"luma": 2})


async def test_stop_does_not_wait_for_a_provider_that_hangs(tmp_path: Path) -> None:
    """A look that would take forty-five seconds is let go at once."""
    async with site(tmp_path) as place:
        place.emulator.change_faults(slow=1.0, slow_by=3600.0)
        (id_,) = place.emulator.create(complete_at=0)
        place.config["watches"] = [{"id": id_}]
        async with anyio.create_task_group() as tasks:
            await tasks.start(place.run)
            await place.until(lambda: place.emulator.stats.faults)
            await place.stop()
        assert await place.statuses(id_) == [WatchStatus.OPEN]


async def test_stop_gives_an_attempt_in_flight_its_time(tmp_path: Path) -> None:
    """A receiver that answers late has its answer heard: no attempt is cut off, none is made twice."""
    slow = ReceiverSettings(secrets=(SECRET,), delay=0.3)
    async with site(tmp_path) as place, serve_receiver(slow) as late:
        place.config["endpoints"] = {"studio": endpoint(late)}
        (id_,) = place.emulator.create(complete_at=0)
        place.config["watches"] = [{"id": id_}]
        async with anyio.create_task_group() as tasks:
            await tasks.start(place.run)
            await late.wait_for_posts(1)
            await place.stop()
        assert await place.deliveries() == {DeliveryStatus.DELIVERED: 1}
        assert late.post_count == 1


async def test_a_daemon_can_be_asked_before_its_sources_are_open(tmp_path: Path) -> None:
    """A chore or a status line that comes in the middle of a long start finds nothing there, and breaks nothing."""
    async with site(tmp_path, watch_files=["*.w.yaml"]) as place:
        daemon = Daemon(place.settings())
        assert daemon.troubles == {}
        assert await daemon.dropped() == {}
        assert await daemon._sources.prune_drop() == 0


async def test_a_loop_that_stands_still_is_named(tmp_path: Path) -> None:
    """By a clock that runs ahead of all loops: none has turned for too long, so the watchdog would not be fed."""
    async with site(tmp_path, drop=None) as place:
        clock = HandClock()
        daemon = Daemon(place.settings(), clock=clock)
        async with anyio.create_task_group() as tasks:
            await tasks.start(daemon.run)
            assert daemon.heartbeats.hanging == []
            clock.advance(60)
            assert set(daemon.heartbeats.hanging) == {"dispatcher", "poller", "timer"}
            clock.advance(300)  # a round of chores may take its time
            assert set(daemon.heartbeats.hanging) == {"dispatcher", "poller", "upkeep", "timer"}
            daemon.stop()


@pytest.mark.parametrize("steps", range(0, 40, 3))
async def test_a_stop_beside_a_reload_ends_both_in_peace(tmp_path: Path, steps: int) -> None:
    """Whatever step the reload is at: the daemon winds down as usual, and nothing trips over what is gone."""
    (tmp_path / "watches.d").mkdir()
    (tmp_path / "watches.d" / "some.yaml").write_text("- id: g-1\n")
    async with site(tmp_path) as place:
        one, two = ({name: provider(place.emulator) for name in names} for names in (["luma"], ["luma", "other"]))
        daemon = Daemon(place.settings(providers=one))
        settings = place.settings(providers=two, watch_files=["watches.d/*.yaml"])
        async with anyio.create_task_group() as tasks:
            await tasks.start(daemon.run)
            tasks.start_soon(daemon.reload, settings)
            for _ in range(steps):
                await anyio.lowlevel.checkpoint()
            daemon.stop()


async def test_a_late_attempt_of_the_daemon_is_refreshed(tmp_path: Path) -> None:
    """The first attempt is refused; a second later its result is old, by the setting, and is read again."""
    async with site(tmp_path) as place, anyio.create_task_group() as tasks:
        place.config["endpoints"] = {"studio": endpoint(place.receiver, retry=["0s", "1s"], refresh_after="1s")}
        accepting = place.receiver.settings
        place.receiver.settings = replace(accepting, status=503)
        await tasks.start(place.run)
        (id_,) = place.emulator.create(complete_at=0)
        place.drop("one.json", {"id": id_})
        (first,) = await place.receiver.wait_for_posts(1)
        place.receiver.settings = accepting
        (call,) = await place.receiver.wait_for(1)
        assert (first.message_id, first.content["refreshed_at"]) == (call.message_id, None)
        assert call.content["refreshed_at"] > call.content["observed_at"] == first.content["observed_at"]
        assert call.content["result"] == first.content["result"]
        await place.stop()

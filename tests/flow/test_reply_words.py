"""Records that say less than they should, or in other words, on their way to a callback."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from notifier.domain.model import State
from notifier.store.sqlite.store import SqliteStore
from tests.support.fakes import Asked, heard, luma, quiet, request, watching

URL = "https://cdn.example.com/g-1.mp4"


def answering(**fields: Any) -> Callable[[Asked], httpx.Response]:
    """Every ID asked has these fields beside its `id`."""
    return lambda asked: httpx.Response(200, json=[{"id": id_, **fields} for id_ in asked.ids])


async def types(stage: Any) -> list[str]:
    return [line.type for line in await stage.enqueued()]


async def test_a_finished_record_without_a_word_counts_at_the_second_poll(store: SqliteStore) -> None:
    """One poll could have caught it half written; a second that shows the same a second later settles it."""
    async with watching(store) as stage:
        stage.upstream.judge = answering(video_url=URL)
        await stage.watch(request())
        await stage.tick()
        assert (await types(stage), len(stage.upstream.asked)) == ([], 1)
        await stage.tick(1)
        assert (await types(stage), len(stage.upstream.asked)) == (["generation.completed"], 2)
        history = await stage.history()
        assert history.not_before is None  # no poll showed that it was not there


async def test_two_looks_must_show_it_in_a_row(store: SqliteStore) -> None:
    """One that goes on in between begins the count anew."""
    async with watching(store) as stage:
        await stage.watch(request())
        for fields in ({"video_url": URL}, {"state": "dreaming"}, {"video_url": URL}):
            stage.upstream.judge = answering(**fields)
            await stage.tick(5)
            assert await types(stage) == []
        await stage.tick(5)
        assert await types(stage) == ["generation.completed"]


async def test_completed_without_a_result_is_looked_at_twice_more(store: SqliteStore) -> None:
    """A file that comes a moment later is not missed."""
    async with watching(store) as stage:
        stage.upstream.judge = answering(state="completed", assets=None)
        await stage.watch(request())
        await stage.tick()
        await stage.tick(1)
        assert (await types(stage), len(stage.upstream.asked)) == ([], 2)
        stage.upstream.judge = answering(state="completed", assets={"video": URL})
        async with heard() as events:
            await stage.tick(1)
        assert await types(stage) == ["generation.completed"]
        body = await store.writer.run(lambda conn: conn.execute("SELECT body FROM bodies").fetchone()[0])
        assert URL.encode() in body
        assert [each for each in events if each["event"] == "result.missing"] == []


async def test_completed_without_a_result_is_told_then_and_named_in_the_log(store: SqliteStore) -> None:
    """Nobody waits for ever for what does not come: the third poll is believed."""
    async with watching(store) as stage, heard() as events:
        stage.upstream.judge = answering(status="done", note="no file here")
        await stage.watch(request())
        for _ in range(3):
            await stage.tick(1)
        assert (await types(stage), len(stage.upstream.asked)) == (["generation.completed"], 3)
    (warned,) = [each for each in events if each["event"] == "result.missing"]
    assert (warned["log_level"], warned["provider"], warned["generation"], warned["word"]) == (
        "warning",
        "luma",
        "g-1",
        "done",
    )


async def test_a_record_in_doubt_at_its_deadline_is_a_result(store: SqliteStore) -> None:
    """A poll after the deadline is the last one, so what it shows counts: `watch.expired` would be wrong."""
    async with watching(store) as stage:
        await stage.watch(request())
        stage.upstream.states["g-1"] = "dreaming"
        await stage.tick()
        stage.upstream.judge = answering(state="completed")
        stage.clock.advance(24 * 3600)
        await stage.tick(1)
        assert await types(stage) == ["generation.completed"]


async def test_a_word_in_doubt_is_no_running(store: SqliteStore) -> None:
    """A watch for running waits for the poll that settles it, and hears what it really is."""
    async with watching(store) as stage:
        stage.upstream.judge = answering(url=URL)
        await stage.watch(request(target=State.RUNNING))
        await stage.tick()
        assert await types(stage) == []
        await stage.tick(1)
        assert await types(stage) == ["generation.completed"]


@pytest.mark.parametrize("word", ["upscaling", "Fertig!", 7])
async def test_a_word_nobody_knows_is_named_once_with_what_to_write(store: SqliteStore, word: object) -> None:
    """It counts as running; the log names the ID, the word and the line for the configuration."""
    async with watching(store) as stage, heard() as events:
        stage.upstream.judge = answering(state=word, model="ray-2")
        await stage.watch(request(), request("g-2"))
        for _ in range(5):
            await stage.tick(5)
        assert await types(stage) == []
    (warned,) = [each for each in events if each["event"] == "state.unmapped"]
    assert warned["log_level"] == "warning"
    assert warned["generation"] in ("g-1", "g-2")
    assert warned["word"] == str(word)
    shown = f'"{word}"' if word == "Fertig!" else word
    assert f"`state_words: {{completed: [{shown}]}}`, or failed, running, queued" in warned["fix"]


@pytest.mark.parametrize(("word", "taught"), [("upscaled", "upscaled"), (7, "7"), ("Good-Bye", "good_bye")])
async def test_a_taught_word_counts_from_the_next_look_on(store: SqliteStore, word: object, taught: str) -> None:
    """What the operator writes is believed after a reload, without a restart."""
    async with watching(store) as stage:
        stage.upstream.judge = answering(state=word, model="ray-2")
        await stage.watch(request())
        await stage.tick()
        assert await types(stage) == []
        stage.loop.apply(luma(state_words={taught: State.FAILED}))
        await stage.tick(5)
        await quiet(store)
        assert await types(stage) == ["generation.failed"]

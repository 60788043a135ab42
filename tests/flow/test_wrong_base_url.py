"""A provider whose base_url leads to something else, or to another account: the daemon says so."""

from collections.abc import Callable
from datetime import timedelta

import httpx
import pytest

from notifier.store.sqlite.store import SqliteStore
from tests.support.fakes import MINUTE, error, request, some, watching

#: What stands behind a wrong base_url.
NO_API: dict[str, Callable[[], httpx.Response]] = {
    "Cannot GET": lambda: error(404, "Cannot GET /v1/v2/generate"),
    "a page": lambda: httpx.Response(404, text="<!DOCTYPE html><title>Not Found</title>"),
    "a text": lambda: httpx.Response(404, text="404 page not found"),
    "a sign-in": lambda: httpx.Response(200, text="<html><form>"),
    "a redirect": lambda: httpx.Response(302, headers={"location": "https://login.example/"}),
}


@pytest.mark.parametrize("answer", NO_API.values(), ids=NO_API)
@pytest.mark.parametrize(("batch", "count"), [(False, 1), (False, 2), (True, 1), (True, 2), (True, 20)])
async def test_what_is_no_api_is_trouble_of_the_provider(
    store: SqliteStore, answer: Callable[[], httpx.Response], count: int, *, batch: bool
) -> None:
    """Readiness says so within seconds, for one ID or for many, with a batch route and without."""
    async with watching(store, batch=batch) as stage:
        stage.upstream.judge = lambda _: answer()
        await stage.watch(*map(request, some(count)))
        await stage.ticks(15, step=0.5)
        assert "provider luma" in stage.health.troubles


@pytest.mark.parametrize("long_poll", ["off", "single"])
@pytest.mark.parametrize("batch", [True, False])
async def test_two_ids_that_nobody_knows_speak_against_the_provider(
    store: SqliteStore, long_poll: str, *, batch: bool
) -> None:
    """Asked one by one or held: after some seconds it says which, and what to check."""
    async with watching(store, batch=batch, long_poll=long_poll) as stage:
        await stage.watch(*map(request, some(2)))
        await stage.ticks(40, step=0.5)
        said = stage.health.troubles["provider luma"]
        assert "none of the 2 IDs asked, such as g-" in said
        assert "check this provider's api_key (is it the account that made them?), base_url and kind" in said
        stage.upstream.states |= {"g-new": "completed"}
        await stage.watch(request("g-new"))
        await stage.ticks(4, step=0.5)
        assert not stage.health.troubles
        assert len(await stage.enqueued("g-new")) == 1


async def test_new_ids_that_are_not_readable_yet_are_no_trouble(store: SqliteStore) -> None:
    """For some seconds a provider may not show what it has just made."""
    async with watching(store, batch=False) as stage:
        await stage.watch(*map(request, some(3)))
        await stage.ticks(6, step=0.5)
        assert not stage.health.troubles
        stage.upstream.states |= dict.fromkeys(some(3), "completed")
        await stage.ticks(40, step=0.5)
        assert not stage.health.troubles
        assert len(await stage.enqueued("g-3")) == 1


async def test_ids_that_nobody_knows_expire_all_the_same(store: SqliteStore) -> None:
    """The provider answers about them, though it knows none: their deadlines tell."""
    async with watching(store, batch=False) as stage:
        await stage.watch(*[request(id_, timeout=timedelta(minutes=20)) for id_ in some(2)])
        await stage.ticks(30 * MINUTE, step=5)
        for id_ in some(2):
            assert [line.type for line in await stage.enqueued(id_)] == ["watch.expired"]


async def test_dead_ids_beside_a_good_one_are_their_own_trouble(store: SqliteStore) -> None:
    """A provider that answered about any of them lately knows its IDs."""
    async with watching(store, batch=False) as stage:
        stage.upstream.states["g-1"] = "queued"
        await stage.watch(*map(request, some(4)))
        await stage.ticks(60)
        assert not stage.health.troubles

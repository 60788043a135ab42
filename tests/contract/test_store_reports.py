"""What people are told: counts, lists, histories, problems, backups."""

from pathlib import Path

import pytest

from notifier.domain.errors import StoreError
from notifier.domain.ids import GenerationId, ProviderName
from notifier.domain.model import DeliveryStatus, Kind, State, Verdict, WatchStatus
from notifier.store.ports import Store
from notifier.store.records import Trouble
from tests.support.store_builders import (
    HOUR,
    LUMA,
    NOW,
    SECOND,
    OpeningCopy,
    add,
    deliveries,
    ending,
    enqueue,
    history,
    id_of,
    outcome,
    request,
    seen,
    take,
)


async def test_an_empty_store_counts_nothing(store: Store) -> None:
    """Zero, and no keys for statuses that nothing has."""
    counts = await store.counts()
    assert (counts.open_generations, dict(counts.watches), dict(counts.deliveries)) == (0, {}, {})


async def test_counts(store: Store) -> None:
    """Generations with an open watch, watches by status, deliveries by status."""
    await add(store, request("g-1"), request("g-1", endpoint="audit"), request("g-2"), request("g-3"))
    await store.record_transitions([seen("g-2")], now=NOW)
    await store.end_watches([ending("g-3", Kind.UNKNOWN)], now=NOW)
    (one, _) = (await take(store)).claims
    await take(store, outcome(one))
    counts = await store.counts()
    assert counts.open_generations == 1
    assert counts.watches == {WatchStatus.OPEN: 2, WatchStatus.SATISFIED: 1, WatchStatus.UNKNOWN: 1}
    assert counts.deliveries == {DeliveryStatus.DELIVERED: 1, DeliveryStatus.PENDING: 1}


async def test_the_list_begins_with_the_newest(store: Store) -> None:
    """No longer than asked for, with each generation's watches and deliveries by status."""
    await add(store, request("g-1"))
    await add(store, request("g-2"), request("g-2", endpoint="audit", target=State.RUNNING), now=NOW + SECOND)
    await add(store, request("g-3"), now=NOW + 2 * SECOND)
    await store.record_transitions([seen("g-2", State.RUNNING), seen("g-3")], now=NOW)
    lines = await store.generations(open_only=False, limit=10)
    assert [(line.id, line.state, line.registered_at) for line in lines] == [
        ("g-3", State.COMPLETED, NOW + 2 * SECOND),
        ("g-2", State.RUNNING, NOW + SECOND),
        ("g-1", None, NOW),
    ]
    assert lines[1].provider == LUMA
    assert lines[1].watches == {WatchStatus.OPEN: 1, WatchStatus.SATISFIED: 1}
    assert lines[1].deliveries == {DeliveryStatus.PENDING: 1}
    assert lines[2].deliveries == {}
    assert [line.id for line in await store.generations(open_only=False, limit=2)] == ["g-3", "g-2"]
    assert [line.id for line in await store.generations(open_only=True, limit=10)] == ["g-2", "g-1"]
    assert [line.id for line in await store.generations(open_only=True, limit=1)] == ["g-2"]


async def test_a_history_tells_everything(store: Store) -> None:
    """States, watches, deliveries and every attempt, oldest first."""
    await add(store, request(metadata=b'{"job":7}'))
    await store.record_transitions(
        [seen(state=State.FAILED, provider_state="failed", failure="moderated", not_before=NOW - SECOND)],
        now=NOW,
    )
    (claim,) = (await take(store)).claims
    (claim,) = (await take(store, outcome(claim, Verdict.SERVER_ERROR, due_at=NOW))).claims
    told = await history(store)
    assert (told.provider, told.id, told.state, told.provider_state) == ("luma", "g-1", State.FAILED, "failed")
    assert (told.failure, told.result_url) == ("moderated", "https://cdn.example.com/v.mp4")
    assert (told.registered_at, told.observed_at, told.not_before) == (NOW, NOW, NOW - SECOND)
    (watch,) = told.watches
    assert (watch.id, watch.target, watch.endpoint) == (id_of(request()), State.COMPLETED, "studio")
    assert (watch.status, watch.round, watch.metadata) == (WatchStatus.SATISFIED, 0, b'{"job":7}')
    assert (watch.registered_at, watch.deadline, watch.ended_at) == (NOW, NOW + HOUR, NOW)
    (line,) = watch.deliveries
    assert (line.message_id, line.type, line.created_at) == (claim.message_id, "generation.failed", NOW)
    assert [(attempt.number, attempt.verdict, attempt.status_code) for attempt in line.attempts] == [
        (1, Verdict.SERVER_ERROR, 503),
        (2, None, None),
    ]


async def test_histories_of_one_id_at_two_providers(store: Store) -> None:
    """One for each provider that has it; none for an ID nobody watched."""
    await add(store, request(provider="luma"), request(provider="other"))
    assert [told.provider for told in await store.histories(GenerationId("g-1"))] == ["luma", "other"]
    assert await store.histories(GenerationId("g-9")) == []


async def test_a_history_is_found_without_case_where_no_exact_match_exists(store: Store) -> None:
    """An exact match comes alone; otherwise all that differ in case only."""
    await add(store, request("ABC"), request("abc"))
    assert [told.id for told in await store.histories(GenerationId("abc"))] == ["abc"]
    assert sorted(told.id for told in await store.histories(GenerationId("Abc"))) == ["ABC", "abc"]


@pytest.mark.parametrize("deep", [False, True])
async def test_a_healthy_store_has_no_problems(store: Store, *, deep: bool) -> None:
    """Empty when all is well."""
    await enqueue(store, "g-1", "g-2")
    assert await store.problems(deep=deep) == []


async def test_a_backup_is_whole_and_consistent(store: Store, opening_copy: OpeningCopy, memory: Path) -> None:
    """It holds what was recorded when it was made, opens as a file of its own, and only its owner may read it."""
    await enqueue(store, "g-1")
    target = memory / "backup.db"
    await store.backup(str(target))
    await enqueue(store, "g-2")
    assert target.stat().st_mode & 0o777 == 0o600
    async with opening_copy(str(target)) as copy:
        assert await deliveries(copy, "g-1") == await deliveries(store, "g-1")
        assert await copy.histories(GenerationId("g-2")) == []
        assert await copy.problems(deep=True) == []


@pytest.mark.parametrize("place", ["taken.db", "no/such/directory/copy.db"])
async def test_a_backup_overwrites_nothing(store: Store, memory: Path, place: str) -> None:
    """A path that exists, or cannot be made, is refused with its name, and what is there stays."""
    (memory / "taken.db").write_text("precious")
    with pytest.raises(StoreError, match=Path(place).parent.name if "/" in place else place):
        await store.backup(str(memory / place))
    assert (memory / "taken.db").read_text() == "precious"


def trouble(reason: str, *, times: int = 1) -> Trouble:
    return Trouble(kind="failing", reason=reason, since=NOW, last=NOW + SECOND, times=times)


async def test_what_is_wrong_is_told_until_it_is_over(store: Store) -> None:
    """Of a provider and of its generations, each as it was saved last; what is not named stays as it is."""
    await add(store, request("g-1"), request("g-2"))
    first: dict[GenerationId | None, Trouble | None] = {None: trouble("401"), GenerationId("g-1"): trouble("500")}
    await store.save_troubles(LUMA, first)
    await store.save_troubles(LUMA, {GenerationId("g-1"): trouble("502", times=2), GenerationId("g-2"): trouble("410")})
    assert await store.troubles(LUMA) == {
        None: trouble("401"),
        GenerationId("g-1"): trouble("502", times=2),
        GenerationId("g-2"): trouble("410"),
    }
    told = await history(store, "g-1")
    assert (told.trouble, told.provider_trouble) == (trouble("502", times=2), trouble("401"))
    lines = {line.id: line.trouble for line in await store.generations(open_only=True, limit=9)}
    assert lines == {"g-1": trouble("502", times=2), "g-2": trouble("410")}
    await store.save_troubles(LUMA, {None: None, GenerationId("g-1"): None})
    assert await store.troubles(LUMA) == {GenerationId("g-2"): trouble("410")}
    assert await store.provider_troubles() == {}


async def test_a_trouble_of_an_id_that_nobody_ever_watched_is_passed_over(store: Store) -> None:
    """It may have been forgotten meanwhile; that of another provider with the same ID is not touched."""
    await add(store, request("g-1"))
    await store.save_troubles(
        ProviderName("other"), {GenerationId("g-1"): trouble("500"), GenerationId("never"): trouble("500")}
    )
    assert await store.troubles(LUMA) == {}
    assert (await history(store, "g-1")).trouble is None

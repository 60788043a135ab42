"""Every freedom that the upstream's document leaves open: each is a provider of its own, all in one daemon."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.support.process_rig import Daemon, Receiver, Stage, Upstream, some_ids, staged


@dataclass(frozen=True, kw_only=True)
class Freedom:
    name: str
    habit: dict[str, Any] = field(default_factory=dict)
    #: Settings of the provider.
    provider: dict[str, Any] = field(default_factory=dict)
    watches: int = 7
    #: IDs among them that the upstream does not know.
    unknown: int = 0
    word: str = "completed"


REFUSALS = [Freedom(name=f"batch-{status}", habit={"unknown": status}, unknown=1) for status in (400, 404, 422)]
LIMITS = [Freedom(name=f"limit-{status}", habit={"max_ids": (3, status)}, watches=11) for status in (400, 413, 414)]
SHAPES = [
    Freedom(name=f"shape-{shape}", habit={"shape": shape}) for shape in ("array", "generations", "data", "items", "map")
]
FAULTS = [
    Freedom(name="busy-seconds", habit={"faults": [{"status": 429, "retry_after": 1}]}),
    Freedom(name="busy-date", habit={"faults": [{"status": 429, "retry_after": 1, "as_date": True}]}),
    Freedom(name="error-500", habit={"faults": [{"status": 500}]}),
    Freedom(name="html-502", habit={"faults": [{"status": 502, "html": True}]}),
    Freedom(name="html-200", habit={"faults": [{"status": 200, "html": True}]}),
    Freedom(name="half", habit={"faults": [{"half": True}]}),
    Freedom(name="cut", habit={"faults": [{"cut": True}]}),
    Freedom(name="drip", habit={"faults": [{}, {"drip": 1.0}]}),
]
FREEDOMS = [
    *SHAPES,
    Freedom(name="shape-object", habit={"shape": "object"}, watches=1),
    Freedom(name="reversed", habit={"order": "reversed"}),
    Freedom(name="shuffled-foreign", habit={"order": "shuffled", "foreign": True}),
    Freedom(name="capitals", habit={"upper": True}),
    Freedom(name="universal", habit={"record": "universal"}),
    Freedom(name="unknown-left-out", habit={"unknown": "omit"}, unknown=2),
    Freedom(name="unknown-null", habit={"unknown": "null"}, unknown=2),
    Freedom(name="unknown-null-in-map", habit={"unknown": "null", "shape": "map"}, unknown=2),
    Freedom(name="unknown-error", habit={"unknown": "error"}, unknown=2),
    Freedom(name="unknown-error-in-map", habit={"unknown": "error", "shape": "map"}, unknown=2),
    *REFUSALS,
    *LIMITS,
    Freedom(name="no-multi", habit={"no_multi": True}, provider={"batch": False}),
    Freedom(name="commas-only", habit={"ids_as": ["comma"]}, provider={"ids_as": "comma"}),
    Freedom(name="arrays-only", habit={"ids_as": ["array"]}),
    Freedom(name="short-urls", provider={"max_url": 500}, watches=20),
    Freedom(name="gzip", habit={"gzip": True}),
    Freedom(name="failed", word="failed"),
    *FAULTS,
]


#: Freedom -> the IDs that are watched and known to the upstream.
Known = dict[str, list[str]]


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream, receiver: Receiver) -> Iterator[Known]:
    """One daemon with a provider and an endpoint for each freedom; it was asked to watch generations of all of them.

    They finish as soon as each was asked for. Where the daemon never asks, the test of that freedom finds it.
    """
    with staged(tmp_path_factory.mktemp("freedoms")) as stage:
        for freedom in FREEDOMS:
            stage.provider(freedom.name, upstream, **freedom.provider)
            stage.endpoint(freedom.name, receiver)
        daemon = stage.start().ready()
        known = {freedom.name: _watch(freedom, stage, upstream, receiver) for freedom in FREEDOMS}
        for freedom in FREEDOMS:
            with suppress(AssertionError):
                upstream.wait(freedom.name, ids=freedom.watches)
                upstream.move(freedom.name, freedom.word)
        yield known
        _end(daemon, receiver)


def _watch(freedom: Freedom, stage: Stage, upstream: Upstream, receiver: Receiver) -> list[str]:
    known, unknown = some_ids(freedom.watches), some_ids(freedom.unknown)
    upstream.begin(freedom.name, dict.fromkeys(known, "dreaming"), **freedom.habit)
    receiver.begin(freedom.name)
    middle = len(known) // 2
    ids = known[:middle] + unknown + known[middle:]
    stage.put_watches(freedom.name, ids, provider=freedom.name, notify=freedom.name)
    return known


def _end(daemon: Daemon, receiver: Receiver) -> None:
    """Whatever came after its test looked: no callback was sent twice."""
    assert daemon.stop() == 0
    for freedom in FREEDOMS:
        ids = [entry["id"] for entry in receiver.ledger(freedom.name)]
        assert len(set(ids)) == len(ids), f"{freedom.name}: sent twice"


@pytest.mark.parametrize("freedom", FREEDOMS, ids=lambda freedom: freedom.name)
def test_every_watch_gets_its_one_callback(
    watched: Known, upstream: Upstream, receiver: Receiver, freedom: Freedom
) -> None:
    """Whatever form the replies take, each watched generation leads to one verified callback with its result."""
    known = watched[freedom.name]
    upstream.wait(freedom.name, ids=freedom.watches)
    ledger = receiver.wait(freedom.name, delivered=freedom.watches)
    assert sorted(entry["generation"] for entry in ledger) == sorted(known)
    assert {entry["type"] for entry in ledger} == {f"generation.{freedom.word}"}
    assert all(entry["verified"] for entry in ledger)
    if freedom.word == "completed":
        assert {entry["url"].lower() for entry in ledger} == {f"https://cdn.example.com/{id_}.mp4" for id_ in known}

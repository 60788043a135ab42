"""`kill -9`: nothing is lost, nothing gets another ID, nothing recorded as delivered is sent again."""

import random
import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.process_rig import Receiver, Stage, Upstream, by_message, some_ids

KILLS = 6
WAVE = 40
CONCURRENCY = 16


def test_what_was_in_flight_is_sent_again_with_the_same_id(
    stage: Stage, upstream: Upstream, receiver: Receiver
) -> None:
    """A daemon killed between its POST and the record repeats the POST, with the same webhook-id and the same bytes."""
    ids = some_ids(1)
    upstream.begin("api", dict.fromkeys(ids, "completed"))
    receiver.begin("app", script=["hold"])
    stage.provider("api", upstream)
    stage.endpoint("app", receiver)
    first = stage.start().ready()
    stage.put_watches("one", ids)
    receiver.wait("app", held=1)
    first.kill()
    receiver.release("app")
    stage.start().ready()
    one, two = receiver.wait("app", entries=2)
    assert one["id"] == two["id"]
    assert one["body"] == two["body"]
    assert one["verified"]
    assert two["verified"]
    assert stage.daemons[-1].stop() == 0
    told = stage.command("show", ids[0], "--config", "{config}").stdout
    assert "attempt 1" in told
    assert "interrupted" in told
    assert "attempt 2" in told
    assert "delivered" in told


@pytest.mark.timeout(180)  # seven starts of a daemon, each some seconds of a busy machine
def test_kills_under_load_lose_and_repeat_nothing(stage: Stage, upstream: Upstream, receiver: Receiver) -> None:
    """With a receiver that fails one in five, killed again and again: each watch ends with one message that arrived."""
    chance = random.Random(20)  # the moments of the kills
    upstream.begin("api", {})
    receiver.begin("app", one_in=5, seed=3)
    stage.provider("api", upstream)
    stage.endpoint("app", receiver, timeout="1s", concurrency=CONCURRENCY)
    ids: list[str] = []
    recorded: list[tuple[int, set[str]]] = []
    for kill in range(KILLS):
        daemon = stage.start().ready()
        fresh = some_ids(WAVE)
        ids += fresh
        upstream.move("api", "completed", fresh)
        before = len(receiver.ledger("app"))
        stage.put_watches(f"wave-{kill}", fresh)
        receiver.wait("app", entries=before + chance.randrange(1, WAVE))
        time.sleep(chance.uniform(0, 0.03))  # not for luck: the moment itself is what is drawn
        daemon.kill()
        receiver.settled()
        recorded.append((len(receiver.ledger("app")), delivered_in(stage.store)))
    last = stage.start().ready()
    receiver.wait_while_it_grows("app", delivered=len(ids))
    stage.wait_while_it_owes()
    assert last.stop() == 0
    ledger = receiver.ledger("app")
    messages = by_message(ledger)
    assert all(entry["verified"] for entry in ledger)
    assert sorted(entries[0]["generation"] for entries in messages.values()) == sorted(ids)
    assert all(len({entry["body"] for entry in entries}) == 1 for entries in messages.values())
    assert delivered_in(stage.store) == set(messages)
    for length, done in recorded:
        again = {entry["id"] for entry in ledger[length:]} & done
        assert not again, f"recorded as delivered and sent again: {again}"
    repeats = sum(max(0, sum(entry["answer"] == "200" for entry in entries) - 1) for entries in messages.values())
    assert repeats <= KILLS * CONCURRENCY


def delivered_in(store: Path) -> set[str]:
    """The IDs recorded as delivered, read from a copy so that the store stays as the kill left it."""
    copy = store.with_name("copy.db")
    for end in ("", "-wal"):
        source = store.with_name(store.name + end)
        if source.exists():
            shutil.copy(source, copy.with_name(copy.name + end))
        else:
            copy.with_name(copy.name + end).unlink(missing_ok=True)
    copy.with_name(copy.name + "-shm").unlink(missing_ok=True)
    with closing(sqlite3.connect(copy)) as reader:
        return {row[0] for row in reader.execute("SELECT message_id FROM deliveries WHERE status = 'delivered'")}

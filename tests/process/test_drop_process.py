"""Files renamed into the drop directory of a running daemon, and a store that has no space left."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.process_rig import Receiver, Stage, Upstream, some_ids, staged


def test_a_file_leads_to_callbacks_and_moves(stage: Stage, upstream: Upstream, receiver: Receiver) -> None:
    """JSON, YAML and text, renamed in: each watch has its callback with its metadata, and the files are in done/."""
    ids = some_ids(5)
    upstream.begin("api", dict.fromkeys(ids, "completed"))
    receiver.begin("app")
    stage.provider("api", upstream)
    stage.endpoint("app", receiver)
    stage.start().ready()
    stage.put("one.json", json.dumps({"id": ids[0], "metadata": {"order": 17}}))
    stage.put("two.yaml", f"- id: {ids[1]}\n- {{id: {ids[2]}, provider: api, state: completed, notify: app}}\n")
    stage.put("three.txt", f"{ids[3]}\n{ids[4]}\n")
    ledger = receiver.wait("app", delivered=5)
    assert {entry["generation"] for entry in ledger} == set(ids)
    assert next(entry["metadata"] for entry in ledger if entry["generation"] == ids[0]) == {"order": 17}
    assert stage.daemons[0].stop() == 0
    assert len(list((stage.drop / "done").iterdir())) == 3
    assert not [file for file in stage.drop.iterdir() if file.is_file()]


def test_a_bad_file_is_refused_whole_with_the_reason(stage: Stage, upstream: Upstream, receiver: Receiver) -> None:
    """One bad entry refuses the list, with every fault in the .error file beside it; a good file after it is taken."""
    ids = some_ids(3)
    upstream.begin("api", dict.fromkeys(ids, "completed"))
    receiver.begin("app")
    stage.provider("api", upstream)
    stage.endpoint("app", receiver)
    daemon = stage.start().ready()
    stage.put("bad.yaml", f"- id: {ids[0]}\n- id: 0123\n- {{id: {ids[1]}, state: failed}}\n- {{id: x, notify: ap}}\n")
    daemon.log.wait("drop.rejected")
    stage.put_watches("good", ids[2:])
    ledger = receiver.wait("app", delivered=1)
    assert daemon.stop() == 0
    assert [entry["generation"] for entry in ledger] == ids[2:]
    rejected = sorted(file.name for file in (stage.drop / "rejected").iterdir())
    assert len(rejected) == 2
    assert rejected[1] == rejected[0] + ".error"
    reason = (stage.drop / "rejected" / rejected[1]).read_text()
    assert "quote it" in reason
    assert "failed" in reason
    assert '"app"' in reason


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Path]:
    """A file system of 16 MiB; skipped if we may not mount one."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a file system that can be filled")
    place = tmp_path / "tiny"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(place)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"a file system that can be filled cannot be mounted here: {mounted.stderr.strip()}")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def fill(place: Path) -> Path:
    """A file that takes all the space there is."""
    filler = place / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * 4096)
        except OSError:
            return filler


def test_a_full_disk_loses_nothing(tmp_path: Path, tiny: Path, upstream: Upstream, receiver: Receiver) -> None:
    """Without space nothing is accepted and what finished waits; with space all goes on and nothing is repeated."""
    first, rest = some_ids(1), some_ids(400)
    upstream.begin("api", dict.fromkeys(first + rest, "completed"))
    receiver.begin("app", script=["hold"])
    with staged(tmp_path) as stage:
        stage.settings["store"] = f"sqlite:{tiny / 'store.db'}"
        stage.provider("api", upstream)
        stage.endpoint("app", receiver)
        daemon = stage.start().ready()
        stage.put_watches("first", first)
        receiver.wait("app", held=1)
        filler = fill(tiny)
        file = stage.put_watches("rest", rest, metadata={"long": "x" * 4000})
        assert "store" in daemon.log.wait("store.unavailable")
        daemon.notices.heard.wait("STATUS=", "store")
        receiver.release("app")
        assert file.exists()
        filler.unlink()
        daemon.log.wait("store.recovered")
        ledger = receiver.wait("app", distinct=401)
        assert daemon.stop() == 0
        assert not file.exists()
        assert len(ledger) == 401

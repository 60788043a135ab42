"""The commands that read the store, beside the daemon that writes it."""

import sqlite3
from contextlib import closing

from tests.support.process_rig import Receiver, Stage, Upstream, some_ids

DASHED = "-G3b3vVKdoC42fMNeK1T5"


def test_the_commands_of_a_file_only_user(stage: Stage, upstream: Upstream, receiver: Receiver) -> None:
    """list, show (IDs that begin with a dash too), check and backup answer beside a running daemon."""
    ids = [DASHED, *some_ids(3)]
    upstream.begin("api", {**dict.fromkeys(ids, "completed"), ids[3]: "dreaming"})
    receiver.begin("app", script=["500"])
    stage.provider("api", upstream)
    stage.endpoint("app", receiver)
    daemon = stage.start().ready()
    stage.put_watches("dashed", [DASHED])
    receiver.wait("app", delivered=1)
    stage.put_watches("others", ids[1:])
    receiver.wait("app", delivered=3)
    for id_ in ids[:3]:
        stage.told("show", "--config", "{config}", "--", id_, until="delivered")

    listed = stage.command("list", "--config", "{config}")
    assert listed.returncode == 0, listed.stderr
    assert ids[3] in listed.stdout
    assert ids[1] not in listed.stdout
    listed = stage.command("list", "--all", "--config", "{config}")
    assert all(id_ in listed.stdout for id_ in ids)

    for words in (["show", DASHED, "--config", "{config}"], ["show", "--config", "{config}", "--", DASHED]):
        shown = stage.command(*words)
        assert shown.returncode == 0, shown.stderr
        for part in (DASHED, "completed", "satisfied", "msg_", "attempt 1", "(500)", "attempt 2", "delivered"):
            assert part in shown.stdout, shown.stdout
    assert stage.command("show", "nobody", "--config", "{config}").returncode == 1

    copy = stage.directory / "copy.db"
    done = stage.command("backup", str(copy), "--config", "{config}")
    assert done.returncode == 0, done.stderr
    with closing(sqlite3.connect(copy)) as reader:
        assert reader.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert reader.execute("SELECT count(*) FROM watches").fetchone() == (4,)
    assert stage.command("backup", str(copy), "--config", "{config}").returncode != 0

    checked = stage.command("check", "--online", "--config", "{config}")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert daemon.stop() == 0


def test_a_backup_takes_the_stores_place(stage: Stage, upstream: Upstream, receiver: Receiver) -> None:
    """A daemon on a restored copy goes on with what was open then, and repeats nothing that had arrived."""
    ids = some_ids(2)
    upstream.begin("api", {ids[0]: "completed", ids[1]: "dreaming"})
    receiver.begin("app")
    stage.provider("api", upstream)
    stage.endpoint("app", receiver)
    daemon = stage.start().ready()
    stage.put_watches("both", ids)
    receiver.wait("app", delivered=1)
    stage.told("show", ids[0], "--config", "{config}", until="delivered")
    copy = stage.directory / "copy.db"
    assert stage.command("backup", str(copy), "--config", "{config}").returncode == 0
    daemon.kill()
    stage.settings["store"] = f"sqlite:{copy}"
    stage.start().ready()
    upstream.move("api", "completed", ids[1:])
    ledger = receiver.wait("app", delivered=2)
    assert [entry["generation"] for entry in ledger] == ids

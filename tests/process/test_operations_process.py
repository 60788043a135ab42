"""The commands that a running daemon carries out, as a person types them."""

import os
import socket
import stat
import time

from notifier.runtime.clock import SystemClock
from tests.support.process_rig import Receiver, Stage, Upstream, some_ids

DASHED = "-G3b3vVKdoC42fMNeK1T5"
CONFIG = ("--config", "{config}")


def test_a_delivered_message_is_sent_again(stage: Stage, upstream: Upstream, receiver: Receiver) -> None:
    """The same webhook-id and bytes, a timestamp of its own, signed anew; the history says that a person asked."""
    (id_,) = some_ids(1)
    upstream.begin("api", {id_: "completed"})
    receiver.begin("app")
    stage.provider("api", upstream)
    stage.endpoint("app", receiver)
    stage.start().ready()
    stage.put_watches("one", [id_])
    (first,) = receiver.wait("app", entries=1)
    stage.told("show", *CONFIG, id_, until="after")
    while int(SystemClock().now().timestamp()) <= first["timestamp"]:  # the next second has another timestamp
        time.sleep(0.05)
    done = stage.command("redeliver", first["id"], *CONFIG)
    assert (done.returncode, done.stdout) == (0, "1 message is being sent again.\n"), done.stderr
    _, second = receiver.wait("app", entries=2)
    assert (second["id"], second["body"], second["verified"]) == (first["id"], first["body"], True)
    assert second["timestamp"] > first["timestamp"]
    assert "attempt 2" in stage.told("show", *CONFIG, id_, until="asked for by a person")


def test_an_id_that_begins_with_a_dash_is_an_id(stage: Stage, upstream: Upstream, receiver: Receiver) -> None:
    """As the value of an option, and behind `--`, where it is told what a message's ID looks like."""
    upstream.begin("api", {DASHED: "completed"})
    receiver.begin("app")
    stage.provider("api", upstream)
    stage.endpoint("app", receiver)
    stage.start().ready()
    stage.put_watches("one", [DASHED])
    receiver.wait("app", entries=1)
    stage.told("show", *CONFIG, "--", DASHED, until="after")
    done = stage.command("redeliver", *CONFIG, "--generation", DASHED)
    assert done.returncode == 0, done.stderr
    receiver.wait("app", entries=2)
    wrong = stage.command("redeliver", *CONFIG, "--", DASHED)
    assert (wrong.returncode, "begins with msg_" in wrong.stderr) == (2, True)


def test_what_was_given_up_is_recovered(stage: Stage, upstream: Upstream, receiver: Receiver) -> None:
    """Everything that an endpoint never got, and nothing that it had got; each keeps its webhook-id."""
    ids = some_ids(3)
    upstream.begin("api", dict.fromkeys(ids, "completed"))
    receiver.begin("app", script=["500", "500"])
    stage.provider("api", upstream)
    stage.endpoint("app", receiver, retry=["0s"])
    stage.start().ready()
    stage.put_watches("lost", ids[:2])
    lost = receiver.wait("app", entries=2)
    for id_ in ids[:2]:
        stage.told("show", *CONFIG, id_, until="exhausted")
    stage.put_watches("kept", ids[2:])
    receiver.wait("app", delivered=1)
    stage.told("show", *CONFIG, ids[2], until="after")
    done = stage.command("recover", "app", "--since", "1h", *CONFIG)
    assert (done.returncode, done.stdout) == (0, "2 messages are being sent again.\n"), done.stderr
    ledger = receiver.wait("app", delivered=3)
    assert sorted(entry["id"] for entry in ledger[3:]) == sorted(entry["id"] for entry in lost)
    again = stage.command("recover", "app", "--since", "1h", *CONFIG)
    assert (again.returncode, "There are 3 delivered messages to app" in again.stderr) == (1, True), again.stderr


def test_an_endpoint_is_taken_out_of_use_and_put_back(stage: Stage, upstream: Upstream, receiver: Receiver) -> None:
    """Its messages are kept, after a restart too, until the command that `enable` prints is typed."""
    ids = some_ids(2)
    upstream.begin("api", {ids[0]: "completed", ids[1]: "dreaming"})
    receiver.begin("app")
    stage.provider("api", upstream)
    stage.endpoint("app", receiver)
    daemon = stage.start().ready()
    done = stage.command("disable", "app", "--reason", "moving house", *CONFIG)
    assert (done.returncode, "disabled: moving house" in done.stdout) == (0, True), done.stderr
    stage.put_watches("both", ids)
    stage.told("show", *CONFIG, ids[0], until="parked")
    assert daemon.stop() == 0
    stage.start().ready()
    enabled = stage.command("enable", "app", *CONFIG)
    assert (enabled.returncode, "1 message is parked" in enabled.stdout) == (0, True), enabled.stderr
    command = enabled.stdout.split("notifier recover ")[1].splitlines()[0].split()
    upstream.move("api", "completed", ids[1:])
    assert [entry["generation"] for entry in receiver.wait("app", entries=1)] == ids[1:]
    assert stage.command("recover", *command, *CONFIG).stdout == "1 message is being sent again.\n"
    assert [entry["generation"] for entry in receiver.wait("app", entries=2)] == [ids[1], ids[0]]


def test_a_watch_is_cancelled(stage: Stage, upstream: Upstream, receiver: Receiver) -> None:
    """By its ID as `show` prints it; nothing is sent for it, and a second time there is nothing to cancel."""
    ids = some_ids(2)
    upstream.begin("api", dict.fromkeys(ids, "dreaming"))
    receiver.begin("app")
    stage.provider("api", upstream)
    stage.endpoint("app", receiver)
    stage.start().ready()
    stage.put_watches("both", ids)
    shown = stage.told("show", *CONFIG, ids[0], until="wch_")
    watch = shown.split("watch       ")[1].split(":")[0]
    stage.told("show", *CONFIG, ids[1], until="wch_")
    done = stage.command("cancel", watch, *CONFIG)
    assert (done.returncode, done.stdout) == (0, "1 watch is cancelled; no message is sent.\n"), done.stderr
    assert stage.command("cancel", "--generation", ids[0], *CONFIG).returncode == 1
    upstream.move("api", "completed")
    assert [entry["generation"] for entry in receiver.wait("app", delivered=1)] == ids[1:]
    assert "cancelled" in stage.command("show", ids[0], *CONFIG).stdout


def test_an_endpoint_is_tried_out(stage: Stage, upstream: Upstream, receiver: Receiver) -> None:
    """One signed message; the exit code says whether it arrived, the line what was answered."""
    upstream.begin("api", {})
    receiver.begin("app", script=["200", "500", "close", "close"])  # a lost connection is tried a second time
    stage.provider("api", upstream)
    stage.endpoint("app", receiver)
    stage.start().ready()
    said = [stage.command("test", "app", *CONFIG) for _ in range(3)]
    assert [each.returncode for each in said] == [0, 1, 1]
    assert ": delivered (200) after " in said[0].stdout
    assert "it answered: as told" in said[1].stdout
    assert "connection lost" in said[2].stdout
    ledger = receiver.ledger("app")
    assert {(entry["type"], entry["verified"]) for entry in ledger} == {("endpoint.test", True)}
    assert [entry["id"] for entry in ledger[:3]] == [each.stdout.split(":")[0] for each in said]


def test_what_keeps_a_command_from_being_done(stage: Stage, upstream: Upstream, receiver: Receiver) -> None:
    """Each reason has its own exit code and a sentence that says what to do."""
    upstream.begin("api", {})
    receiver.begin("app")
    stage.provider("api", upstream)
    stage.endpoint("app", receiver)
    stage.write()
    nobody = stage.command("redeliver", "msg_abc", *CONFIG)
    assert (nobody.returncode, "Start it (`systemctl start notifier`" in nobody.stderr) == (75, True)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(stage.directory / "api.sock"))
    assert stage.command("redeliver", "msg_abc", *CONFIG).returncode == 75

    stage.start().ready()
    for code, words, sentence in (
        (2, ["redeliver"], "Say which messages"),
        (2, ["redeliver", "--endpoint", "app", "--since", "yesterday"], 'how long ago: "2d"'),
        (1, ["redeliver", "--status", "pending"], "No message is kept"),
        (1, ["redeliver", "--provider", "ap"], 'Did you mean "api"? Known: api.'),
        (2, ["recover", "app"], "--since"),
        (2, ["cancel"], "Say which"),
        (1, ["redeliver", "msg_abc"], "There is no message msg_abc"),
        (1, ["recover", "ap", "--since", "2d"], 'Did you mean "app"?'),
        (1, ["enable", "nobody/../x"], "Endpoint nobody/../x is not in the configuration"),
        (75, ["test", "app", "--socket", "/nowhere/api.sock"], "No daemon answers at /nowhere/api.sock"),
    ):
        said = stage.command(*words, *CONFIG)
        assert (said.returncode, sentence in said.stderr) == (code, True), (words, said.stderr)

    stage.settings["store"] = f"sqlite:{stage.directory / 'other.db'}"
    stage.write()  # beside the daemon's socket, but another store
    other = stage.command("test", "app", *CONFIG)
    assert (other.returncode, "keeps another store" in other.stderr) == (78, True)
    assert stage.command("test", "app", *CONFIG, "--socket", str(stage.directory / "api.sock")).returncode == 0


def test_the_socket_is_in_the_services_directory(stage: Stage, upstream: Upstream, receiver: Receiver) -> None:
    """Where systemd gives the daemon one; it is for the group too, whatever the unit's umask."""
    upstream.begin("api", {})
    receiver.begin("app")
    stage.provider("api", upstream)
    stage.endpoint("app", receiver)
    runtime = stage.directory / "run"
    runtime.mkdir()
    before = os.umask(0o027)
    try:
        stage.start(whole=True, RUNTIME_DIRECTORY=str(runtime)).ready()
    finally:
        os.umask(before)
    assert stat.S_IMODE((runtime / "api.sock").stat().st_mode) == 0o660
    assert not (stage.directory / "api.sock").exists()
    assert stage.command("test", "app", *CONFIG, "--socket", str(runtime / "api.sock")).returncode == 0


def test_a_killed_daemon_leaves_no_socket_in_the_way(stage: Stage, upstream: Upstream, receiver: Receiver) -> None:
    """The next start takes its place over."""
    upstream.begin("api", {})
    receiver.begin("app")
    stage.provider("api", upstream)
    stage.endpoint("app", receiver)
    daemon = stage.start().ready()
    daemon.kill()
    assert (stage.directory / "api.sock").exists()
    assert stage.command("test", "app", *CONFIG).returncode == 75
    daemon = stage.start().ready()
    assert stage.command("test", "app", *CONFIG).returncode == 0
    assert daemon.stop() == 0
    assert not (stage.directory / "api.sock").exists()


def test_the_command_that_is_printed_after_a_410_includes_the_message_that_got_it(
    stage: Stage, upstream: Upstream, receiver: Receiver
) -> None:
    """The endpoint was disabled by it; enabled again, the command as it is printed sends that message too."""
    (id_,) = some_ids(1)
    upstream.begin("api", {id_: "completed"})
    receiver.begin("app", script=["410"])
    stage.provider("api", upstream)
    stage.endpoint("app", receiver)
    stage.start().ready()
    stage.put_watches("one", [id_])
    stage.told("endpoints", *CONFIG, until="disabled since")
    enabled = stage.command("enable", "app", *CONFIG)
    assert "1 message was given up, answered by 410 too; this sends them" in enabled.stdout, enabled.stderr
    command = enabled.stdout.split("notifier recover ")[1].splitlines()[0].split()
    assert stage.command("recover", *command).stdout == "1 message is being sent again.\n"
    assert [entry["generation"] for entry in receiver.wait("app", entries=2)] == [id_, id_]

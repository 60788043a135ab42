"""What signals do to the daemon, and with which codes it ends."""

import os
import signal
from pathlib import Path

from tests.support.process_rig import Receiver, Stage, Upstream, some_ids


def set_up(stage: Stage, upstream: Upstream, receiver: Receiver, *, script: list[str] | None = None) -> list[str]:
    """A provider and an endpoint, three completed generations, a receiver that follows `script`."""
    ids = some_ids(3)
    upstream.begin("api", dict.fromkeys(ids, "completed"))
    receiver.begin("app", script=script or [])
    stage.provider("api", upstream)
    stage.endpoint("app", receiver)
    return ids


def test_a_request_that_hangs_does_not_delay_the_stop(stage: Stage, upstream: Upstream, receiver: Receiver) -> None:
    """SIGTERM ends the daemon with 0 while a request to the upstream hangs for half a minute."""
    ids = set_up(stage, upstream, receiver)
    upstream.begin("api", dict.fromkeys(ids, "dreaming"), hang=30)
    daemon = stage.start().ready()
    stage.put_watches("some", ids)
    upstream.wait("api", asked=1)
    daemon.signal(signal.SIGTERM)
    assert daemon.ended(deadline=5) == 0


def test_what_is_in_flight_may_finish(stage: Stage, upstream: Upstream, receiver: Receiver) -> None:
    """After SIGTERM an attempt in flight gets its answer and is recorded, so that the next run does not repeat it."""
    ids = set_up(stage, upstream, receiver, script=["hold"])
    daemon = stage.start().ready()
    stage.put_watches("one", ids[:1])
    receiver.wait("app", held=1)
    daemon.signal(signal.SIGTERM)
    daemon.notices.heard.wait("STOPPING=1")
    receiver.release("app")
    assert daemon.ended() == 0
    stage.start().ready()
    stage.put_watches("two", ids[1:])
    ledger = receiver.wait("app", distinct=3)
    assert [entry["generation"] for entry in ledger].count(ids[0]) == 1


def test_sigint_is_a_stop_too(stage: Stage, upstream: Upstream, receiver: Receiver) -> None:
    """Ctrl-C stops as SIGTERM does, without a traceback."""
    set_up(stage, upstream, receiver)
    daemon = stage.start(whole=True).ready()
    daemon.signal(signal.SIGINT)
    assert daemon.ended() == 0
    assert "Traceback" not in "\n".join(daemon.log.all())


def test_a_second_sigterm_ends_at_once(stage: Stage, upstream: Upstream, receiver: Receiver) -> None:
    """The second SIGTERM does not wait for the attempt in flight; that one is interrupted and made again."""
    ids = set_up(stage, upstream, receiver, script=["hold"])
    daemon = stage.start().ready()
    stage.put_watches("one", ids[:1])
    receiver.wait("app", held=1)
    daemon.signal(signal.SIGTERM)
    daemon.notices.heard.wait("STOPPING=1")
    daemon.signal(signal.SIGTERM)
    daemon.ended(deadline=10)
    stage.start().ready()
    one, two = receiver.wait("app", entries=2)
    assert one["id"] == two["id"]
    receiver.release("app")


def test_a_good_reload_acts_from_the_next_attempt(stage: Stage, upstream: Upstream, receiver: Receiver) -> None:
    """SIGHUP with a changed URL: what comes after goes to the new one."""
    ids = set_up(stage, upstream, receiver)
    receiver.begin("other")
    daemon = stage.start().ready()
    stage.put_watches("one", ids[:1])
    receiver.wait("app", delivered=1)
    stage.settings["endpoints"]["app"]["url"] = receiver.hook("other")
    stage.write()
    daemon.signal(signal.SIGHUP)
    daemon.log.wait("config.reloaded")
    stage.put_watches("two", ids[1:])
    assert len(receiver.wait("other", delivered=2)) == 2
    assert len(receiver.ledger("app")) == 1


def test_a_key_that_was_mended_is_used_after_a_reload(stage: Stage, upstream: Upstream, receiver: Receiver) -> None:
    """A 401 pauses the provider and says so; with the right key and SIGHUP its watches are answered."""
    ids = set_up(stage, upstream, receiver)
    right = stage.settings["providers"]["api"]["api_key"]
    stage.settings["providers"]["api"]["api_key"] = "sk-upstream-of-somebody-else"
    daemon = stage.start().ready()
    stage.put_watches("some", ids)
    assert "401" in daemon.log.wait("provider.paused")
    daemon.notices.heard.wait("STATUS=", "401")
    stage.settings["providers"]["api"]["api_key"] = right
    stage.write()
    daemon.signal(signal.SIGHUP)
    receiver.wait("app", delivered=3)


def test_a_reload_asked_for_before_the_daemon_is_up_does_not_end_it(
    stage: Stage, upstream: Upstream, receiver: Receiver
) -> None:
    """SIGHUP while the program starts is kept, and done once it has started."""
    set_up(stage, upstream, receiver)
    daemon = stage.start(whole=True)
    blocked = f"SigBlk:\t{1 << (signal.SIGHUP - 1):016x}"
    while blocked not in Path(f"/proc/{daemon.pid}/status").read_text():
        os.sched_yield()
    for _ in range(3):
        daemon.signal(signal.SIGHUP)
    daemon.ready()
    daemon.log.wait("config.reloaded")
    assert daemon.stop() == 0


def test_a_bad_reload_leaves_the_old_configuration(stage: Stage, upstream: Upstream, receiver: Receiver) -> None:
    """SIGHUP with a faulty file is refused with its fault, and the daemon goes on as it was."""
    ids = set_up(stage, upstream, receiver)
    daemon = stage.start().ready()
    good = stage.config.read_text()
    stage.config.write_text(good + "endpoint: {}\n")
    daemon.signal(signal.SIGHUP)
    assert "endpoint" in daemon.log.wait("config.refused")
    stage.put_watches("some", ids)
    receiver.wait("app", delivered=3)
    said = len(daemon.log)
    stage.config.write_text(good.replace("store.db", "other.db"))
    daemon.signal(signal.SIGHUP)
    assert "restart" in daemon.log.wait("config.refused", after=said)
    assert daemon.stop() == 0


def test_a_bad_configuration_ends_with_78_and_every_fault(stage: Stage, upstream: Upstream, receiver: Receiver) -> None:
    """Nothing is started, and each fault is told with its line and what to write instead."""
    set_up(stage, upstream, receiver)
    stage.settings["providers"]["api"]["rate"] = 5
    stage.settings["endpoints"]["app"]["retrys"] = ["0s"]
    stage.settings["watches"] = [{"id": "x", "state": "failed"}]
    daemon = stage.start()
    assert daemon.ended() == 78
    told = "\n".join(daemon.log.all())
    lines = stage.config.read_text().splitlines()
    for part in ("rate:", "retrys:", "state: failed"):
        number = next(index for index, line in enumerate(lines, start=1) if part in line)
        assert f"config.yaml:{number}:" in told
    assert 'mean "retry"' in told
    assert not stage.store.exists()


def test_a_second_daemon_on_the_same_store_ends_with_78(stage: Stage, upstream: Upstream, receiver: Receiver) -> None:
    """The store belongs to one daemon; the second one says so and leaves the first alone."""
    ids = set_up(stage, upstream, receiver)
    stage.start().ready()
    second = stage.start()
    assert second.ended() == 78
    said = "\n".join(second.log.all())
    assert str(stage.store) in said
    assert "Traceback" not in said
    stage.put_watches("some", ids)
    receiver.wait("app", delivered=3)

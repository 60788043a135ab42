"""What the daemon tells a service manager through $NOTIFY_SOCKET, on a real datagram socket."""

import signal
import uuid

import pytest

from tests.support.process_rig import Notices, Receiver, Stage, Upstream, some_ids


@pytest.mark.parametrize("where", ["path", "abstract"])
def test_a_life_is_told(stage: Stage, upstream: Upstream, receiver: Receiver, where: str) -> None:
    """READY, STATUS, WATCHDOG, RELOADING and READY again, STOPPING: each arrives, in this order of a life."""
    upstream.begin("api", dict.fromkeys(ids := some_ids(2), "completed"))
    receiver.begin("app")
    stage.provider("api", upstream)
    stage.endpoint("app", receiver)
    notices = Notices(f"@notifier-{uuid.uuid4().hex}" if where == "abstract" else str(stage.directory / "notices"))
    try:
        daemon = stage.start(whole=True, notices=notices, WATCHDOG_USEC="400000").ready()
        notices.heard.wait("WATCHDOG=1")
        seen = len(notices.heard)
        notices.heard.wait("WATCHDOG=1", after=seen)
        stage.put_watches("some", ids)
        receiver.wait("app", delivered=2)
        notices.heard.wait("STATUS=")
        seen = len(notices.heard)
        daemon.signal(signal.SIGHUP)
        assert "MONOTONIC_USEC=" in notices.heard.wait("RELOADING=1", after=seen)
        notices.heard.wait("READY=1", after=seen)
        daemon.signal(signal.SIGTERM)
        notices.heard.wait("STOPPING=1", after=seen)
        assert daemon.ended() == 0
    finally:
        stage.daemons[0].close()
        notices.close()


def test_a_watchdog_for_another_process_is_not_fed(stage: Stage, upstream: Upstream, receiver: Receiver) -> None:
    """With $WATCHDOG_PID of somebody else no WATCHDOG is sent."""
    stage.provider("api", upstream)
    stage.endpoint("app", receiver)
    daemon = stage.start(WATCHDOG_USEC="100000", WATCHDOG_PID="1").ready()
    daemon.stop()
    assert not [notice for notice in daemon.notices.heard.all() if "WATCHDOG=1" in notice]

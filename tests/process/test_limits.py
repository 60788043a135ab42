"""What the daemon makes of the limits that it is started with."""

import resource
from pathlib import Path

from tests.support.process_rig import Receiver, Stage, Upstream, some_ids


def test_a_low_limit_of_open_files_is_raised(stage: Stage, upstream: Upstream, receiver: Receiver) -> None:
    """A shell's usual limit is below what may be in flight; up to the hard limit it may be raised, and is."""
    stage.provider("api", upstream)
    stage.endpoint("app", receiver)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        daemon = stage.start(whole=True).ready()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    limits = Path(f"/proc/{daemon.pid}/limits").read_text().splitlines()
    (files,) = (line.split() for line in limits if line.startswith("Max open files"))
    assert int(files[3]) == (65_536 if hard == resource.RLIM_INFINITY else min(65_536, hard))
    assert daemon.stop() == 0


def test_more_callbacks_at_a_time_than_descriptors(stage: Stage, upstream: Upstream, receiver: Receiver) -> None:
    """A limit below what the endpoint may have at a time: a trouble with its cure, no step used, all delivered."""
    ids = some_ids(80)
    upstream.begin("api", dict.fromkeys(ids, "completed"))
    receiver.begin("app", script=["hold"] * 80)
    stage.provider("api", upstream)
    stage.endpoint("app", receiver, retry=["0s"], concurrency=80)
    daemon = stage.start(whole=True).ready()
    resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (100, 100))
    stage.put_watches("all", ids)
    daemon.log.wait("resources.exhausted", "LimitNOFILE=")
    receiver.release("app")
    assert len(receiver.wait("app", distinct=80)) == 80
    daemon.log.wait("resources.recovered")
    assert daemon.stop() == 0

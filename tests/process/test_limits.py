"""What the daemon makes of the limits that it is started with."""

import resource
from pathlib import Path

from stage import Receiver, Stage, Upstream

pytest_plugins = ("station_fixtures",)


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

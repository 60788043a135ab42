"""Hostile providers, endpoints and files, all at once: a healthy endpoint gets its callbacks, and memory is bounded."""

import os
import time
from pathlib import Path

from tests.support.hostile import FAULTS, hostile
from tests.support.process_rig import DEADLINE, SECRET, Daemon, Receiver, Stage, Upstream, some_ids

WAVES = 3
WAVE = 15
#: MiB that the daemon may ever take here. It begins with 60; a file of at most 16 MiB takes 16 bytes for each of its
#: own while it is refused, less in practice, and a reply is bounded by the IDs asked. About 150 were measured; a reply
#: of 32 MiB alone took 1.2 GB while nothing but its bytes was bounded.
MOST = 256


def test_a_healthy_endpoint_is_served_among_all_that_is_hostile(
    stage: Stage, upstream: Upstream, receiver: Receiver
) -> None:
    """Every fault is met, each wave of callbacks arrives once, bad files are refused, and the peak stays bounded."""
    upstream.begin("api", {})
    receiver.begin("app")
    stage.provider("api", upstream)
    stage.endpoint("app", receiver)
    ids: list[str] = []
    with hostile() as enemy:
        for fault in FAULTS:
            stage.provider(f"p-{fault}", upstream, base_url=f"{enemy.url}/{fault}", request_timeout="1s")
            stage.endpoint(f"e-{fault}", receiver, url=f"{enemy.url}/{fault}/hook", timeout="1s", concurrency=4)
        stage.settings["endpoints"]["nowhere"] = {"url": "http://nowhere.invalid/", "secret": SECRET}
        daemon = stage.start().ready()
        for fault in FAULTS:
            stage.put_watches(f"bad-{fault}", some_ids(3), provider=f"p-{fault}", notify="app")
        for wave in range(WAVES):
            fresh = some_ids(WAVE)
            ids += fresh
            upstream.move("api", "completed", fresh)
            put_bad_files(stage, wave)
            stage.put_watches(f"wave-{wave}", fresh, provider="api", notify=["app", "nowhere", *endpoints()])
            receiver.wait("app", delivered=len(ids))
        enemy.wait(*FAULTS)
        ledger = receiver.ledger("app")
        refused = wait_for_refused(stage, WAVES * (len(BAD) + 1))
        peak = peak_mib(daemon)
        assert daemon.stop() == 0
    assert sorted(entry["generation"] for entry in ledger) == sorted(ids)
    assert all(entry["verified"] for entry in ledger)
    assert refused == WAVES * (len(BAD) + 1)
    assert peak < MOST, f"{peak} MiB"


def endpoints() -> list[str]:
    return [f"e-{fault}" for fault in FAULTS]


BAD = {
    "laughs.yaml": "a: &a [x]\nb: &b [*a,*a,*a]\n",
    "tags.yaml": "".join(f"%TAG !a{number}! b\n" for number in range(500_000)),
    "digits.yaml": "id: " + "0123" * 3_000_000 + "x",
    "deep.json": "[" * 1_000_000,
    "many.json": "[" + "{}," * 4_000_000 + "0]",
    "nul.txt": "\0" * 1_000_000,
}


def put_bad_files(stage: Stage, wave: int) -> None:
    """Those that are refused, one of 1 GiB among them that costs nothing to make."""
    for name, content in BAD.items():
        stage.put(f"{wave}-{name}", content)
    huge = stage.drop / f"{wave}-huge.tmp"
    huge.touch()
    os.truncate(huge, 2**30)
    huge.rename(huge.with_suffix(".yaml"))


def wait_for_refused(stage: Stage, count: int) -> int:
    """How many were refused, once there are `count`: large ones are read one after the other, behind all else."""
    last = time.monotonic() + DEADLINE
    while (refused := len(list((stage.drop / "rejected").glob("*.error")))) < count and time.monotonic() < last:
        time.sleep(0.02)  # between two looks
    return refused


def peak_mib(daemon: Daemon) -> int:
    """The most memory that it ever took."""
    lines = Path(f"/proc/{daemon.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) // 1024

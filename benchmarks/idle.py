"""What notifier costs while nothing happens, and how soon it takes a file in.

Four measures, each on a fresh store and at default settings: memory with 10,000 open watches; CPU over 20 s with 1,000
open watches that do not change; the time from the rename of a drop file to its registration and to its first look; the
time for 10,000 small files.

    python benchmarks/idle.py [--directory /var/tmp] [--only memory|cpu|drop|files]
"""

import argparse
import json
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from _stations import PATIENCE, Daemon, Station, running

RESIDENT, OPEN, FILES, SINGLES = 10_000, 1_000, 10_000, 30
SECONDS = 20.0


def some_ids(count: int) -> list[str]:
    return [str(uuid.uuid4()) for _ in range(count)]


def memory(daemon: Daemon, upstream: Station) -> None:
    """After every generation was looked at twice."""
    started, _ = daemon.resident()
    daemon.put("all", some_ids(RESIDENT))
    upstream.ask("seen", RESIDENT)
    upstream.ask("requests", RESIDENT // 100 * 2)
    now, most = daemon.resident()
    print(
        f"memory: {started:.0f} MB at the start, {now:.0f} MB with {RESIDENT} open watches, "
        f"{most:.0f} MB at most (wanted: 120)"
    )


def cpu(daemon: Daemon, upstream: Station) -> None:
    daemon.put("all", some_ids(OPEN))
    upstream.ask("seen", OPEN)
    upstream.ask("requests", OPEN // 100 * 2)
    asked, used, began = upstream.ask("requests"), daemon.cpu(), time.monotonic()
    time.sleep(SECONDS)
    used, took = daemon.cpu() - used, time.monotonic() - began
    asked = upstream.ask("requests") - asked
    print(
        f"cpu: {used / took:.2%} of a core over {took:.0f} s with {OPEN} open watches, "
        f"{asked} requests made (wanted: 3 %)"
    )


def drop(daemon: Daemon, upstream: Station) -> None:
    """One file after another, each once the one before was looked at."""
    renamed: dict[str, tuple[float, float]] = {}
    for number, id_ in enumerate(some_ids(SINGLES), start=1):
        renamed[id_] = time.time(), time.monotonic()  # noqa: TID251  compared with the times in the log
        daemon.put(id_, [id_])
        upstream.ask("seen", number)
    looks = upstream.ask("first looks")
    registered = {line["generation"]: at(line) for line in registrations(daemon)}
    for name, times in (
        ("registered", [registered[id_] - wall for id_, (wall, _) in renamed.items()]),
        ("first look", [looks[id_] - ticks for id_, (_, ticks) in renamed.items()]),
    ):
        in_ms = sorted(each * 1000 for each in times)
        print(
            f"drop: from rename to {name}: {statistics.median(in_ms):.0f} ms in the middle, "
            f"{in_ms[-1]:.0f} ms at most of {len(in_ms)}"
        )


def files(daemon: Daemon, _upstream: Station) -> None:
    ready = daemon.drop.parent / "ready"
    ready.mkdir()
    for id_ in some_ids(FILES):
        (ready / f"{id_}.json").write_text(json.dumps({"id": id_}))
    began = time.time()  # noqa: TID251  compared with the times in the log
    for file in ready.iterdir():
        file.rename(daemon.drop / file.name)
    renamed = time.time() - began  # noqa: TID251  as above
    last = time.monotonic() + PATIENCE
    while sum(line.get("created", 0) for line in registrations(daemon)) < FILES:
        if time.monotonic() > last:
            raise TimeoutError(f"not all files were registered in {PATIENCE:.0f} s")
        time.sleep(1)  # reading the log takes CPU too
    took = max(map(at, registrations(daemon))) - began
    print(
        f"files: {FILES} registered {took:.2f} s after the first was renamed in; "
        f"renaming took {renamed:.2f} s of that (wanted: 2 s)"
    )


def registrations(daemon: Daemon) -> list[dict[str, Any]]:
    return [line for line in daemon.lines() if line["event"] == "watches.registered"]


def at(line: dict[str, Any]) -> float:
    return datetime.fromisoformat(str(line["at"])).timestamp()


MEASURES: dict[str, Callable[[Daemon, Station], None]] = {"memory": memory, "cpu": cpu, "drop": drop, "files": files}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--only", action="append", default=[], choices=[*MEASURES], help="this measure; may stand more than once"
    )
    parser.add_argument("--directory", default=None, help="where the stores are made; a real disk")
    asked = parser.parse_args()
    for name in asked.only or MEASURES:
        with (
            tempfile.TemporaryDirectory(dir=asked.directory, ignore_cleanup_errors=True) as made,
            Station("upstream") as upstream,
            running(Path(made) / name, upstream=upstream.url, receiver="http://127.0.0.1:9") as daemon,
        ):
            MEASURES[name](daemon, upstream)


if __name__ == "__main__":
    main()

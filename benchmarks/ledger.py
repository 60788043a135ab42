"""The ledger of kills: what was accepted, what was owed, what arrived, while the daemon is killed again and again.

Hundreds of daemons, one after the other on one store, each killed with SIGKILL under load: at every named point of
the path (`tests/support/crash_points.py` lists them), by the receiver in the middle of a callback, and at random
moments. After each kill a judge that shares no code with the product compares the files that were acknowledged, the
rows of the store and the receivers' own logs. It ends with a run that nobody kills, and prints a table.

    python benchmarks/ledger.py [--times 7] [--random 40] [--seed 1] [--directory /var/tmp]

It exits with 1 where anything was lost, or sent after it was recorded as delivered, or broke another rule.
"""

import argparse
import contextlib
import io
import random
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.support import ledger_check
from tests.support.crash_points import POINTS, SCHEMA
from tests.support.kills import AT_RANDOM, Ledger, ways
from tests.support.process_rig import Receiver, Upstream, staged


def run(directory: Path, *, times: int, at_random: int, seed: int) -> tuple[Ledger, ledger_check.Seen]:
    """All runs; what the daemons said is not shown."""
    chance = random.Random(seed)
    shown = sys.stdout
    with (
        contextlib.redirect_stdout(io.StringIO()),
        Upstream() as upstream,
        Receiver() as receiver,
        staged(directory) as stage,
        Ledger(stage, upstream, receiver, seed=seed) as ledger,
    ):
        drawn = [*SCHEMA, *ways(chance, times=times, at_random=at_random)]
        for number, point in enumerate(drawn, start=1):
            if point == AT_RANDOM:
                ledger.kill_at_random()
            else:
                ledger.kill_at(point)
            if number % 25 == 0:
                print(f"{number} of {len(drawn)} runs", file=shown, flush=True)
        return ledger, ledger.finish()


def show(ledger: Ledger, seen: ledger_check.Seen) -> None:
    """The table, as it stands in docs/reliability.md."""
    kills, tally = ledger.tally.kills, ledger.tally
    lines = [
        ("runs", kills.total() + 1),
        ("kills", kills.total()),
        *((f"&nbsp;&nbsp;{point}", kills[point]) for point in (*POINTS, AT_RANDOM)),
        ("watches dropped", len(ledger.dropped)),
        ("acknowledged", len(seen.accepted)),
        ("messages owed", len(seen.deliveries)),
        ("messages delivered", len(seen.delivered)),
        ("callbacks sent", len(seen.entries)),
        ("lost", ledger_check.lost(seen, ledger.dropped)),
        ("taken again by a receiver, with the same id and the same bytes", seen.repeated),
        ("scheduled attempts after a recorded success", len(tally.after_success)),
        ("other rules broken", len(tally.faults)),
    ]
    print("\n| | |\n|---|---|")
    for name, count in lines:
        print(f"| {name} | {count:,} |")
    for fault in tally.faults[:20]:
        print(f"BROKEN: {fault}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--times", type=int, default=7, help="kills at each named point")
    parser.add_argument("--random", type=int, default=40, help="kills at random moments")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--directory", default=None, help="where the store is made; a real disk")
    asked = parser.parse_args()
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(dir=asked.directory, ignore_cleanup_errors=True) as made:
        ledger, seen = run(Path(made), times=asked.times, at_random=asked.random, seed=asked.seed)
    show(ledger, seen)
    print(f"\n{time.monotonic() - begun:.0f} s")
    tally = ledger.tally
    if tally.faults or tally.after_success or ledger_check.lost(seen, ledger.dropped):
        raise SystemExit(1)


if __name__ == "__main__":
    main()

"""The promise, while people ask for this and that: what was answered is on the disk, and nothing else is sent again."""

import random

import pytest

from tests.support import ledger_check
from tests.support.crash_points import OPERATIONS
from tests.support.kills import AT_RANDOM
from tests.support.operation_kills import OperationsLedger
from tests.support.process_rig import Receiver, Stage, Upstream

SEED = 5
AT_RANDOM_TIMES = 4
#: Runs that are made besides, if none of them had a 410.
MORE = 6


@pytest.mark.timeout(180)
def test_killed_while_people_ask(stage: Stage, upstream: Upstream, receiver: Receiver) -> None:
    """What was promised is made again, a disabled endpoint is sent nothing, nothing is lost, ids and bytes stay."""
    rng = random.Random(SEED)
    points = [*OPERATIONS, *[AT_RANDOM] * AT_RANDOM_TIMES]
    rng.shuffle(points)
    with OperationsLedger(stage, upstream, receiver, seed=SEED) as ledger:
        for point in points:
            ledger.kill(point)
            assert not ledger.faults, ledger.faults
        for _ in range(MORE):  # an endpoint that people disabled for most of the time said nothing
            if not any(entry["answer"] == "410" for entry in ledger.seen.entries):
                ledger.kill(AT_RANDOM)
        seen = ledger.finish()
        assert not ledger.faults, ledger.faults
        assert ledger_check.lost(seen, ledger.dropped) == 0
        assert seen.repeated, "nothing was sent again, which proves nothing"
        assert ledger.promised, "nothing was promised to go out again, which proves nothing"
        assert any(entry["answer"] == "410" for entry in seen.entries), "no endpoint said that it is gone"

"""The promise, by the ledger: killed at every named point and at random moments, it loses nothing and repeats honestly.

The long version, with hundreds of kills and a table, is `benchmarks/ledger.py`.
"""

import random

import pytest

from tests.support import ledger_check
from tests.support.crash_points import POINTS, SCHEMA
from tests.support.kills import AT_RANDOM, Ledger, ways
from tests.support.process_rig import Receiver, Stage, Upstream

SEED = 8
AT_RANDOM_TIMES = 3


@pytest.mark.timeout(180)
def test_killed_at_every_point_of_the_path(stage: Stage, upstream: Upstream, receiver: Receiver) -> None:
    """What was acknowledged arrives, a repeat has the same id and bytes, what is recorded as delivered is not sent."""
    with Ledger(stage, upstream, receiver, seed=SEED) as ledger:
        for point in (*SCHEMA, *ways(random.Random(SEED), times=1, at_random=AT_RANDOM_TIMES)):
            if point == AT_RANDOM:
                ledger.kill_at_random()
            else:
                ledger.kill_at(point)
            assert not ledger.tally.faults, ledger.tally.faults
            assert not ledger.tally.after_success
        seen = ledger.finish()
        assert not ledger.tally.faults, ledger.tally.faults
        assert not ledger.tally.after_success
        assert set(ledger.tally.kills) == {*POINTS, AT_RANDOM}
        assert ledger_check.lost(seen, ledger.dropped) == 0
        assert seen.repeated, "kills between POST and record that repeated nothing prove nothing"

"""Kills a daemon under load, again and again on one store, and has the judge look after each kill.

Each run drops a fresh wave of watches for two endpoints, of which one fails one callback in five, and ends with a
kill: at a named point (`crash_points`), by the receiver, or at a moment drawn by chance. A third of each wave is
finished only in the next run, so that there are always looks, transitions, claims and attempts under way.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Self

from tests.support import ledger_check
from tests.support.crash_points import BY_RECEIVER, POINTS, SCHEMA, STOP
from tests.support.process_rig import DEADLINE, HERE, Receiver, Stage, Upstream, refuse_secrets, some_ids

AT_RANDOM: Final = "at a random moment"
#: Points that want attempts left open by the run before.
_AFTER_OPEN_ATTEMPTS: Final = tuple(point for point in POINTS if "freed leases" in point)
_OPENER: Final = "11 POST: signed, not yet connected"
_STARTED: Final = '"daemon.started"'
_API: Final = "api"
_FAILING, _STEADY = "app", "audit"
#: Watches in a wave; each is two messages.
WAVE: Final = 24


class Doomed:
    """Runs daemons as forks of one process that has loaded the product."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._log = stage.directory / "doomed.log"
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "crash_points.py")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def start(self, point: str = "", passage: int = 1) -> int:
        """The daemon's pid."""
        order = {
            "config": str(self._stage.write()),
            "log": str(self._log),
            "point": "" if point in BY_RECEIVER else point,
            "passage": passage,
        }
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return int(self._said()["pid"])

    def ended(self) -> int:
        """The daemon's exit code, negative for a signal, once it ended."""
        return int(self._said()["status"])

    def said(self) -> str:
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def _said(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"the process that runs daemons ended: {self.said()[-3000:]}"
        found: dict[str, Any] = json.loads(line)
        return found

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.kill()  # a daemon of its dies with it
        self._process.wait()
        self._process.stdout.close()
        refuse_secrets(self.said())


@dataclass(slots=True)
class Tally:
    """What the runs came to."""

    kills: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    after_success: list[str] = field(default_factory=list)


class Ledger:
    """The stage of all runs: one store, one drop directory, two receivers with a durable log each."""

    def __init__(self, stage: Stage, upstream: Upstream, receiver: Receiver, *, seed: int) -> None:
        self._stage, self._upstream, self._receiver = stage, upstream, receiver
        self._chance = random.Random(seed)
        self._doomed = Doomed(stage)
        self._logs = {name: stage.directory / f"{name}.log" for name in (_FAILING, _STEADY)}
        self._unfinished: list[str] = []
        self._waves = 0
        self.dropped: list[ledger_check.Watch] = []
        self.tally = Tally()
        upstream.begin(_API, {})
        receiver.begin(_FAILING, one_in=5, seed=seed, log=str(self._logs[_FAILING]))
        receiver.begin(_STEADY, log=str(self._logs[_STEADY]))
        stage.provider(_API, upstream, poll_every="100ms")
        for name in self._logs:
            stage.endpoint(name, receiver, timeout="1s", concurrency=16)
        self.seen = self._look()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._doomed.close()

    # ---- runs ----
    def kill_at(self, point: str) -> None:
        """One run that ends at the point, which is passed for a number of times drawn by chance."""
        if point in _AFTER_OPEN_ATTEMPTS and not self.seen.leased:
            self.kill_at(_OPENER)
        self._drop_wave()
        passage = self._chance.randint(1, POINTS[point])
        arrived, said = len(self.seen.entries), len(self._doomed.said())
        pid = self._doomed.start(point, passage)
        if point in BY_RECEIVER:
            self._receiver.kill(_FAILING, pid, when=BY_RECEIVER[point], number=passage)
        if point in STOP:
            self._wait_for(lambda: _STARTED in self._doomed.said()[said:])
            self._wait_for_entries(arrived + self._chance.randint(1, WAVE))
            os.kill(pid, signal.SIGTERM)
        self._killed(point, self._ended(pid, point))

    def kill_at_random(self) -> None:
        """One run of the very program, killed from outside after a while drawn by chance."""
        daemon = self._stage.start(whole=True)
        if self._chance.random() < 0.8:  # otherwise while it starts
            daemon.ready()
        self._drop_wave()
        time.sleep(self._chance.uniform(0, 0.6))  # not for luck: the moment itself is what is drawn
        daemon.signal(signal.SIGKILL)
        code = daemon.ended()
        daemon.close()
        self._stage.daemons.remove(daemon)
        self._killed(AT_RANDOM, code)

    def finish(self) -> ledger_check.Seen:
        """A run that nobody kills, until everything has arrived; the last look."""
        self._upstream.move(_API, "completed", self._unfinished)
        daemon = self._stage.start().ready()
        for name in self._logs:
            self._receiver.wait_while_it_grows(name, delivered=len(self.dropped) // len(self._logs))
        self._stage.wait_while_it_owes()
        assert daemon.stop() == 0
        self._judge()
        self.tally.faults += ledger_check.at_the_end(self.seen, self.dropped)
        return self.seen

    # ---- their parts ----
    def _drop_wave(self) -> None:
        """One large file and three small ones; what the last wave left unfinished is finished."""
        ids, self._waves = some_ids(WAVE), self._waves + 1
        late = ids[::3]
        states = dict.fromkeys(ids, "completed") | dict.fromkeys(late, "dreaming")
        self._upstream.tell(_API, states | dict.fromkeys(self._unfinished, "completed"))
        self._unfinished = late
        self.dropped += [(id_, name) for id_ in ids for name in self._logs]
        for number, part in enumerate((ids[3:], *([id_] for id_ in ids[:3]))):
            self._stage.put_watches(f"wave-{self._waves}-{number}", part, notify=[*self._logs])

    def _wait_for_entries(self, count: int) -> None:
        self._wait_for(lambda: sum(log.read_bytes().count(b"\n") for log in self._logs.values()) >= count)

    def _wait_for(self, condition: Callable[[], bool]) -> None:
        last = time.monotonic() + DEADLINE
        while not condition():
            assert time.monotonic() < last, f"waited in vain: {self._doomed.said()[-3000:]}"
            time.sleep(0.01)  # between two looks

    def _ended(self, pid: int, point: str) -> int:
        """Its exit code; a daemon that is still alive after a long time has not passed the point."""
        watchdog = subprocess.Popen(["sh", "-c", f"sleep {DEADLINE:.0f} && kill -ABRT {pid}"])
        try:
            code = self._doomed.ended()
        finally:
            watchdog.kill()
            watchdog.wait()
        assert code != -signal.SIGABRT, f"never passed: {point}"
        return code

    def _killed(self, point: str, code: int) -> None:
        assert code == -signal.SIGKILL, f"{point}: ended with {code}: {self._doomed.said()[-3000:]}"
        self.tally.kills[point] += 1
        self._judge(point)

    def _judge(self, point: str = "the end") -> None:
        before, self.seen = self.seen, self._look()
        self.tally.faults += [f"{point}: {fault}" for fault in self.seen.faults]
        self.tally.after_success += ledger_check.sent_after_success(before, self.seen)

    def _look(self) -> ledger_check.Seen:
        self._receiver.settled()
        return ledger_check.look(self._stage.store, self._stage.drop, self._logs)


def ways(chance: random.Random, *, times: int, at_random: int) -> list[str]:
    """Every named point so many times, and random moments, shuffled; what can happen once only comes first."""
    again = [point for point in POINTS if point not in SCHEMA]
    drawn = again * times + [AT_RANDOM] * at_random
    chance.shuffle(drawn)
    return drawn

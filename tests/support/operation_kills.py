"""Kills a daemon while people ask it for things: messages again, endpoints disabled and enabled.

Each run drops a fresh batch of watches, and sends one request after the other to the socket, until the daemon dies: at
a named point (`crash_points.OPERATIONS`) or at a random moment. One endpoint fails one callback in five, and in some
runs answers 410 once. What people ask for depends on how long a run lasts, so which runs those are is drawn apart.
What was answered with 200 is noted, and must be on the disk after the kill.
"""

import json
import os
import random
import select
import signal
import socket
import threading
from contextlib import suppress
from typing import Final, Self

from tests.support import ledger_check
from tests.support.crash_points import OPERATIONS
from tests.support.kills import Doomed
from tests.support.process_rig import Receiver, Stage, Upstream, some_ids

_API: Final = "api"
_FAILING, _STEADY = "app", "audit"
BATCH: Final = 12
#: Share of runs in which one endpoint says that it is gone.
_GONE: Final = 0.4
#: Seconds after which a daemon that was to be killed by itself is killed from outside, and its point not passed.
_PATIENCE: Final = 20.0


class OperationsLedger:
    """One store, two endpoints with a durable log each, and somebody at the operations."""

    def __init__(self, stage: Stage, upstream: Upstream, receiver: Receiver, *, seed: int) -> None:
        self._stage, self._upstream, self._receiver = stage, upstream, receiver
        self._rng = random.Random(seed)
        self._gone = random.Random(seed)
        self._doomed = Doomed(stage)
        self._logs = {name: stage.directory / f"{name}.log" for name in (_FAILING, _STEADY)}
        self.dropped: list[ledger_check.Watch] = []
        self.faults: list[str] = []
        #: Messages of which a 200 said that they go out again.
        self.promised: set[str] = set()
        upstream.begin(_API, {})
        stage.provider(_API, upstream, poll_every="100ms")
        for name in self._logs:
            stage.endpoint(name, receiver, timeout="1s", concurrency=16)
            receiver.begin(name, log=str(self._logs[name]))
        self.seen = self._look()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._doomed.close()

    # ---- runs ----
    def kill(self, point: str) -> None:
        """One run that ends at the point, or at random."""
        self._receiver.begin(
            _FAILING,
            one_in=5,
            seed=self._rng.randrange(2**32),
            script=["410"] if self._gone.random() < _GONE else [],
            log=str(self._logs[_FAILING]),
        )
        self._drop_batch()
        named = point in OPERATIONS
        pid = self._doomed.start(point if named else "", self._rng.randint(1, OPERATIONS.get(point, 1)))
        outside = _Killer(pid, _PATIENCE if named else self._rng.uniform(0.3, 1.5))
        promised = self._ask_until(outside)
        code = self._doomed.ended()
        outside.call_off()
        assert code == -signal.SIGKILL, f"{point}: ended with {code}: {self._doomed.said()[-3000:]}"
        assert not (named and outside.struck), f"never passed: {point}"
        self._judge(point, promised)

    def finish(self) -> ledger_check.Seen:
        """A run that nobody kills: everything is put into use and recovered, and must arrive."""
        for name, log in self._logs.items():
            self._receiver.begin(name, log=str(log))
        daemon = self._stage.start().ready()
        for name in self._logs:
            assert self._post(f"endpoints/{name}/enable") == 200
            assert self._post("recover", endpoint=name, since="1d") in (200, 404)  # 404: nothing is left to recover
        self._stage.wait_while_it_owes()
        assert daemon.stop() == 0
        self._judge("the end", set())
        self.faults += ledger_check.at_the_end(self.seen, self.dropped)
        return self.seen

    # ---- their parts ----
    def _drop_batch(self) -> None:
        ids = some_ids(BATCH)
        self._upstream.tell(_API, dict.fromkeys(ids, "completed"))
        self.dropped += [(id_, name) for id_ in ids for name in self._logs]
        self._stage.put_watches(f"batch-{len(self.dropped)}", ids, notify=[*self._logs])

    def _post(self, route: str, **asked: str | list[str]) -> int:
        """What is answered; 0 where nobody does. No command of the product: one costs a second."""
        content = json.dumps(asked).encode()
        head = f"POST /v1/{route} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {len(content)}\r\n\r\n"
        with socket.socket(socket.AF_UNIX) as operations, suppress(OSError):
            operations.connect(str(self._stage.directory / "api.sock"))
            operations.sendall(head.encode() + content)
            with operations.makefile("rb") as answer:
                return int((answer.readline().split() or [b"", b"0"])[1])
        return 0

    def _ask_until(self, end: "_Killer") -> set[str]:
        promised: set[str] = set()
        while not end.over():
            promised |= self._ask_once()
        return promised

    def _ask_once(self) -> set[str]:
        """One of the things that people ask for; the message that was promised to go out again, where it was one."""
        name = self._rng.choice([*self._logs])
        way = self._rng.choice(["one", "one", "recover", "all", "disable", "enable", "enable"])
        known = [message for message, row in self.seen.deliveries.items() if row[0][1] == name]
        if way == "one" and known:
            message = self._rng.choice(known)
            if self._post("redeliver", message=message) == 200:
                return {message}
        elif way == "recover":
            self._post("recover", endpoint=name, since="1d")
        elif way == "all":
            self._post("redeliver", endpoint=name, since="1d", status=["delivered", "exhausted"])
        elif way in ("disable", "enable"):
            self._post(f"endpoints/{name}/{way}")
        return set()

    def _judge(self, point: str, promised: set[str]) -> None:
        before, self.seen = self.seen, self._look()
        self.faults += [f"{point}: {fault}" for fault in self.seen.faults]
        self.promised |= promised
        for message in promised:
            if not _on_the_disk(message, before, self.seen):
                self.faults.append(f"{point}: {message} was promised to go out again, and is not")

    def _look(self) -> ledger_check.Seen:
        self._receiver.settled()
        return ledger_check.look(self._stage.store, self._stage.drop, self._logs)


def _on_the_disk(message: str, before: ledger_check.Seen, after: ledger_check.Seen) -> bool:
    return after.deliveries[message][5] == "person" or _asked_for(message, after) > _asked_for(message, before)


def _asked_for(message: str, seen: ledger_check.Seen) -> int:
    return sum(by == "person" for _, _, by in seen.attempts.get(message, []))


class _Killer:
    """Kills a process from outside after a time, and knows whether it is gone."""

    def __init__(self, pid: int, after: float) -> None:
        self._end = os.pidfd_open(pid)
        self.struck = False
        self._timer = threading.Timer(after, self._strike)
        self._timer.start()

    def _strike(self) -> None:
        self.struck = not self.over()
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._end, signal.SIGKILL)

    def over(self) -> bool:
        return bool(select.select([self._end], [], [], 0)[0])

    def call_off(self) -> None:
        self._timer.cancel()
        self._timer.join()
        os.close(self._end)

"""The daemon, killed with SIGKILL at a named point of its path; the product knows nothing of it.

`crash_points.py` takes orders, one a line of JSON: {"config", "log", "point", "passage"}. It answers {"pid"} when the
daemon runs, as a fork of a process that has loaded it (a start then costs a tenth of a second), and {"status"} when
it ended. With a `point` the daemon kills itself when it passes it for the `passage`th time.

Points are named by the step of the path they are in: 2 register, 8 enqueue, 9 claim, 10 sign, 11 POST, 12 judge,
13 record; 0 is the start, 14 the stop, 15 upkeep and 16 what a person asked for.

How: before `notifier run` begins, what the composition root builds with is replaced by wrappers of the same ports: the
store, the sender and its wires, the wakeup and the chance it hands out; the driver of SQLite is given a connection
class that sees BEGIN and COMMIT, and the drop directory a rename that is watched. A point that is not passed any
more, because the product changed, leaves the daemon alive, and whoever gave the order says so.
"""

import ctypes
import importlib
import json
import os
import signal
import sqlite3
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

#: What the receiver does to the daemon, in place of a point inside of it -> what it waits for.
BY_RECEIVER: Final = {
    "11 POST: request read, not yet noted by the receiver": "read",
    "11 POST: request noted, no answer sent": "noted",
    "11 POST: half of the answer sent": "half",
    "11 POST: the whole answer sent": "answered",
}
SCHEMA: Final = ("0 start: before COMMIT of the schema", "0 start: after COMMIT of the schema")
STOP: Final = ("14 stop: nothing more is taken", "14 stop: before the last write")
CHECKPOINTS: Final = (
    "15 upkeep: before a checkpoint",
    "15 upkeep: a checkpoint has written its first page",
    "15 upkeep: after a checkpoint",
)
#: Point -> how many passages there are at least under the ledger's load; the one that kills is drawn from them.
POINTS: Final[dict[str, int]] = {
    **dict.fromkeys(SCHEMA, 1),
    "0 start: before COMMIT of the freed leases": 1,
    "0 start: after COMMIT of the freed leases": 1,
    "2 register: in the middle of the transaction": 1,
    "2 register: before COMMIT": 1,
    "2 register: after COMMIT, nobody knows yet": 1,
    "2 drop file: before its move": 3,
    "2 drop file: after its move": 3,
    "8 enqueue: in the middle of the transaction": 1,
    "8 enqueue: before COMMIT": 1,
    "8 enqueue: after COMMIT, nobody knows yet": 1,
    "8 enqueue: known, the dispatcher not notified": 1,
    "9 claim: before COMMIT": 3,
    "9 claim: after COMMIT, nobody knows yet": 3,
    "10 sign: claimed, not yet signed": 20,
    "11 POST: signed, not yet connected": 20,
    **dict.fromkeys(BY_RECEIVER, 20),
    "11 POST: the answer's head read, not its body": 15,
    "12 judge: the answer read, not yet judged": 20,
    "12 judge: judged, the next attempt not yet set": 20,
    "13 record: before it is handed in": 5,
    "13 record: in the middle of the transaction": 3,
    "13 record: before COMMIT": 3,
    "13 record: after COMMIT, nobody knows yet": 3,
    **dict.fromkeys(STOP, 1),
    **dict.fromkeys(CHECKPOINTS, 1),
}
#: The same where a person asks again and again for this and that.
OPERATIONS: Final[dict[str, int]] = {
    "16 redeliver: in the middle of the transaction": 3,
    "16 redeliver: before COMMIT": 3,
    "16 redeliver: after COMMIT, not answered": 3,
    "16 disable: before COMMIT": 1,
    "16 disable: after COMMIT, not answered": 1,
    "16 enable: before COMMIT": 1,
    "16 enable: after COMMIT, not answered": 1,
    "16 park: in the middle of the transaction": 2,
}
#: Seconds between rounds of upkeep where it is upkeep that is watched.
_UPKEEP_EVERY: Final = 0.2


@dataclass(slots=True)
class _Doom:
    point: str = ""
    left: int = 0

    def passed(self, point: str) -> None:
        if point == self.point:
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


_doom = _Doom()
#: Turns a store call's answer into the steps that its transaction makes.
_steps: ContextVar[Callable[[Any], set[str]]] = ContextVar("_steps")


# ---- the database driver ------------------------------------------------------------------------------------------
_MIDDLES: Final = {
    "INSERT INTO watches": "2 register: in the middle of the transaction",
    "INSERT INTO bodies": "8 enqueue: in the middle of the transaction",
    "INSERT INTO attempts": "13 record: in the middle of the transaction",
    "trigger = 'person'": "16 redeliver: in the middle of the transaction",
    "due_at = NULL, resumes = 0": "16 park: in the middle of the transaction",
}
#: Step -> what stands before and after its COMMIT.
_COMMITS: Final = {
    "register": ("2 register: before COMMIT", "2 register: after COMMIT, nobody knows yet"),
    "enqueue": ("8 enqueue: before COMMIT", "8 enqueue: after COMMIT, nobody knows yet"),
    "claim": ("9 claim: before COMMIT", "9 claim: after COMMIT, nobody knows yet"),
    "record": ("13 record: before COMMIT", "13 record: after COMMIT, nobody knows yet"),
    "redeliver": ("16 redeliver: before COMMIT", "16 redeliver: after COMMIT, not answered"),
    "disable": ("16 disable: before COMMIT", "16 disable: after COMMIT, not answered"),
    "enable": ("16 enable: before COMMIT", "16 enable: after COMMIT, not answered"),
    "free": ("0 start: before COMMIT of the freed leases", "0 start: after COMMIT of the freed leases"),
}


class _Connection(sqlite3.Connection):
    """Sees every statement; calls of the store note in `steps` what the transaction under way is for."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.steps: set[str] = set()

    def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
        if sql == "BEGIN IMMEDIATE":
            self.steps = set()
        elif sql == "COMMIT":
            return self._commit(sql)
        elif sql.startswith("PRAGMA wal_checkpoint"):
            return self._checkpoint(sql)
        for part, point in _MIDDLES.items():
            if part in sql:
                _doom.passed(point)
        return super().execute(sql, *values)

    def _commit(self, sql: str) -> sqlite3.Cursor:
        for step in self.steps:
            _doom.passed(_COMMITS[step][0])
        done = super().execute(sql)
        for step in self.steps:
            _doom.passed(_COMMITS[step][1])
        return done

    def _checkpoint(self, sql: str) -> sqlite3.Cursor:
        before, middle, after = CHECKPOINTS
        _doom.passed(before)
        if _doom.point == middle:
            threading.Thread(target=_await_first_page, args=(self._file(), middle), daemon=True).start()
        done = super().execute(sql)
        _doom.passed(after)
        return done

    def _file(self) -> str:
        return str(super().execute("PRAGMA database_list").fetchone()[2])

    def executescript(self, script: str) -> sqlite3.Cursor:
        def said(statement: str) -> None:
            if statement.strip().startswith("COMMIT"):
                _doom.passed(SCHEMA[0])

        self.set_trace_callback(said)
        done = super().executescript(script)
        self.set_trace_callback(None)
        _doom.passed(SCHEMA[1])
        return done


def _await_first_page(file: str, point: str) -> None:
    """Beside a checkpoint: until it has written to the main file, which nothing else writes to."""
    main = Path(file)
    before = main.stat().st_mtime_ns
    while main.stat().st_mtime_ns == before:
        pass
    _doom.passed(point)


# ---- the ports ----------------------------------------------------------------------------------------------------
class _Store:
    """The store, saying which steps a call's transaction makes."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self._stopping = False
        write = store.writer.run

        async def run(work: Callable[[Any], Any]) -> Any:
            steps = _steps.get(_no_steps)

            def noted(conn: Any) -> Any:
                answer = work(conn)
                conn.steps |= steps(answer)
                return answer

            return await write(noted)

        _replace(store.writer, "run", run)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def add_watches(self, *args: Any, **more: Any) -> Any:
        return await _told(_registers, self._store.add_watches(*args, **more))

    async def record_transitions(self, *args: Any, **more: Any) -> Any:
        return await _told(_owes, self._store.record_transitions(*args, **more))

    async def exchange(self, owner: Any, results: Any, slots: Any, **more: Any) -> Any:
        if results:
            _doom.passed("13 record: before it is handed in")
        if slots.total == 0 and not self._stopping:
            self._stopping = True
            _doom.passed(STOP[0])

        def steps(answer: Any) -> set[str]:
            return ({"claim"} if answer.claims else set()) | ({"record"} if len(results) > len(answer.lost) else set())

        return await _told(steps, self._store.exchange(owner, results, slots, **more))

    async def end_lapsed(self, *args: Any, **more: Any) -> Any:
        return await _told(_frees, self._store.end_lapsed(*args, **more))

    async def release(self, *args: Any, **more: Any) -> Any:
        _doom.passed(STOP[1])
        return await _told(_frees, self._store.release(*args, **more))

    async def redeliver_some(self, *args: Any, **more: Any) -> Any:
        return await _told(_redelivers, self._store.redeliver_some(*args, **more))

    async def disable_endpoint(self, *args: Any, **more: Any) -> Any:
        return await _told(lambda _: {"disable"}, self._store.disable_endpoint(*args, **more))

    async def enable_endpoint(self, *args: Any, **more: Any) -> Any:
        return await _told(lambda _: {"enable"}, self._store.enable_endpoint(*args, **more))


async def _told(steps: Callable[[Any], set[str]], call: Awaitable[Any]) -> Any:
    token = _steps.set(steps)
    try:
        return await call
    finally:
        _steps.reset(token)


def _no_steps(_answer: Any) -> set[str]:
    return set()


def _registers(answers: Any) -> set[str]:
    return {"register"} if answers else set()


def _owes(recorded: Any) -> set[str]:
    return {"enqueue"} if any(each.enqueued for each in recorded) else set()


def _redelivers(asked: Any) -> set[str]:
    return {"redeliver"} if asked.taken else set()


def _frees(freed: Any) -> set[str]:
    return {"free"} if freed else set()


@dataclass(slots=True)
class _Sender:
    sender: Any

    async def post(self, *args: Any, **more: Any) -> Any:
        _doom.passed("10 sign: claimed, not yet signed")
        answer = await self.sender.post(*args, **more)
        _doom.passed("12 judge: the answer read, not yet judged")
        return answer


@dataclass(slots=True)
class _Wire:
    wire: Any

    async def handle_async_request(self, request: Any) -> Any:
        _doom.passed("11 POST: signed, not yet connected")
        response = await self.wire.handle_async_request(request)
        _doom.passed("11 POST: the answer's head read, not its body")
        return response


@dataclass(slots=True)
class _Bell:
    wakeup: Any

    def notify(self) -> None:
        _doom.passed("8 enqueue: known, the dispatcher not notified")
        self.wakeup.notify()


# ---- the composition root -----------------------------------------------------------------------------------------
def _replace(owner: Any, name: str, made: Any) -> None:
    assert hasattr(owner, name), f"{owner} has no {name} any more"
    setattr(owner, name, made)


def _arm(point: str, passage: int) -> None:
    """Put the wrappers in their places."""
    _doom.point, _doom.left = point, passage
    app = importlib.import_module("notifier.daemon.app")
    spool = importlib.import_module("notifier.intake.drop.spool")
    _replace(sqlite3, "connect", partial(sqlite3.connect, factory=_Connection))
    _replace(spool, "_rename", _watched_rename(spool._rename))
    _replace(app, "open_store", _watched_store(app.open_store))
    _replace(app, "Sender", _watched_sender(app.Sender))
    _replace(app, "Dispatcher", _watched_dispatcher(app.Dispatcher))
    _replace(app, "Dependencies", _watched_surroundings(app.Dependencies))
    if point in CHECKPOINTS:
        _replace(app, "Timer", _quick_upkeep(app.Timer))


def _watched_rename(real: Any) -> Any:
    def rename(*args: Any) -> None:
        _doom.passed("2 drop file: before its move")
        real(*args)
        _doom.passed("2 drop file: after its move")

    return rename


def _watched_store(real: Any) -> Any:
    @asynccontextmanager
    async def open_store(*args: Any, **more: Any) -> AsyncIterator[_Store]:
        async with real(*args, **more) as store:
            yield _Store(store)

    return open_store


def _watched_sender(real: Any) -> Any:
    return lambda **wires: _Sender(real(**{name: _Wire(wire) for name, wire in wires.items()}))


def _watched_dispatcher(real: Any) -> Any:
    def make(*args: Any, random: Callable[[], float], **more: Any) -> Any:
        def drawn() -> float:
            _doom.passed("12 judge: judged, the next attempt not yet set")
            return random()

        return real(*args, random=drawn, **more)

    return make


def _watched_surroundings(real: Any) -> Any:
    return lambda *, deliveries, **more: real(deliveries=_Bell(deliveries), **more)


def _quick_upkeep(real: Any) -> Any:
    class Timer(real):  # type: ignore[misc]  # the product's, as it is
        def every(self, seconds: float, beat: Any, *, name: str) -> None:
            super().every(_UPKEEP_EVERY if name == "upkeep" else seconds, beat, name=name)

    return Timer


# ---- orders -------------------------------------------------------------------------------------------------------
@dataclass(slots=True, kw_only=True)
class _Order:
    config: str
    log: str
    point: str = ""
    passage: int = 1
    environ: dict[str, str] = field(default_factory=dict)


def _become_the_daemon(order: _Order) -> None:
    """In the fork: from here on it is `notifier run`."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: it never outlives who started it
    log = os.open(order.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for fd, place in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(fd, place)
    os.environ |= order.environ
    sys.argv = ["notifier", "run", "--config", order.config]
    if order.point:
        _arm(order.point, order.passage)
    from notifier.cli.main import main  # noqa: PLC0415  with what it builds replaced

    main()


def _carry_out(order: _Order, out: Any) -> None:
    pid = os.fork()
    if pid == 0:
        _become_the_daemon(order)
        sys.exit(0)
    print(json.dumps({"pid": pid}), file=out, flush=True)
    _, status = os.waitpid(pid, 0)
    print(json.dumps({"status": os.waitstatus_to_exitcode(status)}), file=out, flush=True)


def _orders() -> Iterator[_Order]:
    for line in sys.stdin:
        yield _Order(**json.loads(line))


if __name__ == "__main__":
    for name in ("notifier.daemon.app", "notifier.cli.run", "notifier.cli.commands", "uvloop"):
        importlib.import_module(name)
    for order in _orders():
        _carry_out(order, sys.stdout)

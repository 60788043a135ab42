"""Makes processes of the product as forks of one that has loaded it: what a start costs is its own work, no loading.

`fork_server.py` takes orders from the socket that is its input: {"words", "environ"}, with three open files: what
becomes the process's output, what becomes its errors, and where it is told of. There it says {"pid"} once the process
runs, and {"status"} once it ended.

All else that a process inherits is this one's: its limits, its mask, its directory. A test of what a process makes of
those, or of the loading, starts the program itself.
"""

import ctypes
import gc
import importlib
import json
import os
import selectors
import signal
import socket
import sys
from contextlib import suppress
from typing import Final

#: Bytes of an order at most; the environment is most of it.
LONGEST: Final = 256 * 1024
#: What a daemon and the commands import while they run.
_LOADED: Final = (
    "anyio._backends._asyncio",
    "notifier.daemon.app",
    "notifier.cli.daemon_client",
    "notifier.cli.check",
    "notifier.cli.commands",
    "notifier.cli.reports",
    "notifier.cli.run",
    "uvloop",
)


class _Forge:
    def __init__(self, orders: socket.socket) -> None:
        self._orders = orders
        self._events = selectors.DefaultSelector()
        self._events.register(orders, selectors.EVENT_READ)

    def run(self) -> None:
        """Until whoever gives the orders is gone."""
        while True:
            for event, _ in self._events.select():
                if event.fileobj is not self._orders:
                    self._bury(event)
                elif not self._take():
                    return

    def _take(self) -> bool:
        """Carry out the next order; False where there is none any more."""
        order, files, _, _ = socket.recv_fds(self._orders, LONGEST, 3)
        if not order:
            return False
        *outputs, told = files
        pid = os.fork()
        if pid == 0:
            self._let_go()
            os.close(told)
            _become(**json.loads(order), outputs=outputs)
        for file in outputs:
            os.close(file)
        _tell(told, {"pid": pid})
        self._events.register(os.pidfd_open(pid), selectors.EVENT_READ, (pid, told))
        return True

    def _bury(self, event: selectors.SelectorKey) -> None:
        pid, told = event.data
        self._events.unregister(event.fd)
        os.close(event.fd)
        _, status = os.waitpid(pid, 0)
        _tell(told, {"status": os.waitstatus_to_exitcode(status)})
        os.close(told)

    def _let_go(self) -> None:
        """In the fork: nothing of this process stays open."""
        for event in [*self._events.get_map().values()]:
            if event.data is not None:
                os.close(event.fd)
                os.close(event.data[1])
        self._events.close()
        self._orders.close()


def _tell(file: int, what: dict[str, int]) -> None:
    with suppress(BrokenPipeError):  # nobody waits for it any more
        os.write(file, json.dumps(what).encode() + b"\n")


def _become(words: list[str], environ: dict[str, str], outputs: list[int]) -> None:
    """In the fork: from here on it is the console script, and this ends as that does."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: it never outlives who started it
    for file, place in zip([os.open(os.devnull, os.O_RDONLY), *outputs], (0, 1, 2), strict=True):
        if file != place:
            os.dup2(file, place)
            os.close(file)
    os.environ.clear()
    os.environ.update(environ)
    sys.argv = ["notifier", *words]
    gc.enable()
    from notifier.cli.main import main  # noqa: PLC0415  nothing of it where nothing is ordered

    main()
    sys.exit(0)


if __name__ == "__main__":
    for name in _LOADED:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()  # what was loaded stays shared
    with socket.socket(fileno=os.dup(0)) as given:
        _Forge(given).run()

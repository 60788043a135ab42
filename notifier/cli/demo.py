"""`notifier demo`: the whole path on this machine, in under half a minute, with nothing set up.

An emulated API, the daemon and a receiver run here and talk real HTTP over loopback; the store and the drop directory
are temporary. The daemon reads the kind of configuration that a user writes, and the receiver verifies every signature.
"""

import json
import logging
import os
import signal
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import anyio
import structlog
from rich.console import Console
from rich.live import Live
from rich.table import Column, Table

from notifier.config import load
from notifier.daemon.app import Daemon
from notifier.domain.model import State
from notifier.emulator.receiver import Receiver, ReceiverSettings, new_secret, serve_receiver
from notifier.emulator.server import serve_emulator
from notifier.emulator.settings import EmulatorSettings
from notifier.emulator.upstream import Emulator
from notifier.runtime.clock import SystemClock

COUNT: Final = 12
#: Seconds until the first generation ends, and between two.
_FIRST, _STEP = 2.0, 0.5
#: The one that fails.
_FAILS: Final = 4
#: Seconds after which what is missing is missing.
_LIMIT: Final = 25.0
_CONFIG: Final = """\
store: sqlite:notifier.db
providers:
  luma:
    kind: aimlapi-luma
    base_url: {emulator}
    api_key: ${{DEMO_KEY}}
    poll_every: 1s
endpoints:
  app:
    url: {receiver}/hooks/generations
    secret: ${{DEMO_SECRET}}
drop:
  directory: drop
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parts:
    """What the demo runs beside the daemon."""

    emulator: Emulator
    receiver: Receiver
    #: IDs of its generations, in the order of their ends.
    ids: Sequence[str]

    def lags(self) -> list[float]:
        """Milliseconds from the end of each generation, at the provider, to its callback."""
        clock = SystemClock()
        offset = clock.now().timestamp() - clock.monotonic()
        ends = {each.id: each.life.reaches(State.COMPLETED) + offset for each in self.emulator.generations}
        return [1000 * (call.received_at.timestamp() - ends[call.generation_id]) for call in self.receiver.callbacks]


def run_demo() -> int:
    """Show it; 0 if every callback arrived verified, 1 if one is missing, 128 and its number for a signal."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    return anyio.run(_run_until_signal, Console())


async def _run_until_signal(console: Console) -> int:
    """Until the end or the first signal; nothing is left behind. A signal's exit code is the shell's for it."""
    code = 0
    with (
        anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals,
        tempfile.TemporaryDirectory(prefix="notifier-demo-") as directory,
    ):
        async with anyio.create_task_group() as playing:

            async def leave() -> None:
                nonlocal code
                async for received in signals:
                    code = 128 + received
                    playing.cancel_scope.cancel()

            playing.start_soon(leave)
            code = await _play(Path(directory), console)
            playing.cancel_scope.cancel()
    return code


async def _play(directory: Path, console: Console) -> int:
    secret = new_secret()
    environ = {**os.environ, "DEMO_KEY": "demo-key-of-the-emulator", "DEMO_SECRET": secret}
    async with (
        serve_emulator(EmulatorSettings(api_key=environ["DEMO_KEY"])) as emulator,
        serve_receiver(ReceiverSettings(secrets=(secret,))) as receiver,
    ):
        config = directory / "config.yaml"
        config.write_text(_CONFIG.format(emulator=emulator.url, receiver=receiver.url))
        (directory / "drop").mkdir()
        daemon = Daemon(load(str(config), environ=environ))
        async with anyio.create_task_group() as running:
            await running.start(daemon.run)
            parts = _Parts(emulator=emulator, receiver=receiver, ids=_submit(emulator))
            console.print(f"{COUNT} video generations are under way. Their IDs go to notifier as drop files.")
            _drop(directory / "drop", parts.ids)
            with anyio.move_on_after(_LIMIT):
                await _show(parts, console)
            daemon.stop()
    return _sum_up(parts, console)


def _submit(emulator: Emulator) -> list[str]:
    """Generations that end one after the other; the fifth fails."""
    outcomes = [State.FAILED if number == _FAILS else State.COMPLETED for number in range(COUNT)]
    return [
        emulator.create(complete_at=_FIRST + _STEP * number, outcome=outcome)[0]
        for number, outcome in enumerate(outcomes)
    ]


def _drop(directory: Path, ids: Sequence[str]) -> None:
    """All three kinds of drop file: JSON, YAML, and one ID a line. Each is written under another name, then renamed."""
    files = {
        f"{id_}.json": json.dumps({"id": id_, "metadata": {"order": number}}) for number, id_ in enumerate(ids[:8])
    }
    files["two.yaml"] = "".join(f'- id: "{id_}"\n' for id_ in ids[8:10])
    files["rest.txt"] = "".join(f"{id_}\n" for id_ in ids[10:])
    for name, text in files.items():
        (directory / f"{name}.tmp").write_text(text)
        (directory / f"{name}.tmp").rename(directory / name)


async def _show(parts: _Parts, console: Console) -> None:
    """A live table on a terminal; a line for each change elsewhere."""
    if not console.is_terminal:
        await _print_changes(parts, console)
        return
    with Live(console=console, refresh_per_second=8, get_renderable=lambda: _table(parts)):
        await parts.receiver.wait_for(COUNT)


async def _print_changes(parts: _Parts, console: Console) -> None:
    shown, last = 0, ""
    while shown < COUNT:
        states = ", ".join(f"{count} {state}" for state, count in parts.emulator.states().items())
        if states != last:
            console.print(f"  at the provider: {states}", highlight=False)
            last = states
        for callback in parts.receiver.callbacks[shown:]:
            console.print(f"  {callback.generation_id}  {callback.type:22}  verified", highlight=False)
            shown += 1
        await anyio.sleep(0.1)


def _table(parts: _Parts) -> Table:
    # this takes 79 of 80 columns; on fewer the rest folds, because an ID must stay whole to be copied
    table = Table(Column("generation", min_width=36, no_wrap=True), "state", "callback", box=None, pad_edge=False)
    arrived = {callback.generation_id: callback for callback in parts.receiver.callbacks}
    now = parts.emulator.clock.monotonic()
    for generation in parts.emulator.generations:
        callback = arrived.get(generation.id)
        state = generation.life.state(now)
        colour = {State.COMPLETED: "green", State.FAILED: "red", State.RUNNING: "cyan"}.get(state, "dim")
        shown = f"{callback.type}, verified" if callback else "[dim]waiting[/dim]"
        table.add_row(generation.id, f"[{colour}]{state}[/{colour}]", shown)
    return table


def _sum_up(parts: _Parts, console: Console) -> int:
    verified = len({call.generation_id for call in parts.receiver.callbacks} & set(parts.ids))
    stats = parts.emulator.stats
    console.print(f"[bold]{verified} of {COUNT} callbacks verified[/bold]", highlight=False)
    if lags := parts.lags():
        middle, most = statistics.median(lags), max(lags)
        console.print(
            f"lag from the end of a generation to its callback: median {middle:.0f} ms, at most {most:.0f} ms",
            highlight=False,
        )
    console.print(
        f"{stats.requests.total()} requests to the provider made {stats.ids_asked} polls of a generation",
        highlight=False,
    )
    return 0 if verified == COUNT else 1

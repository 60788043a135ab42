"""`list`, `show`, `endpoints` and `backup`: what the store knows.

For a person and for grep: plain lines, one fact each, times in UTC. What came from outside passes `printable`.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final

import anyio
import typer

from notifier.cli.options import to_print
from notifier.cli.reading import Reports, read_store
from notifier.config import ConfigFile
from notifier.domain.endpoint_health import EndpointState
from notifier.domain.ids import GenerationId, ProviderName
from notifier.domain.model import Trigger, Verdict
from notifier.domain.times import iso
from notifier.store.records import (
    AttemptSummary,
    DeliverySummary,
    EndpointSummary,
    GenerationSummary,
    History,
    Trouble,
    WatchSummary,
)
from notifier.store.sqlite import open_reader
from notifier.text.command_line import command, enable_command, recover_command
from notifier.text.masking import without_query
from notifier.text.printable import printable

_ID_WIDTH: Final = 36


def list_generations(config: str, *, everything: bool, limit: int, most: int) -> None:
    """Print the newest; `most` is the highest limit there is."""

    async def read(store: Reports) -> tuple[Sequence[GenerationSummary], Mapping[ProviderName, Trouble]]:
        return await store.generations(open_only=not everything, limit=limit), await store.provider_troubles()

    lines, troubles = read_store(config, read)
    if not lines:
        typer.echo("Nothing is watched now." if not everything else "Nothing was ever registered.", err=True)
        return
    typer.echo(f"{'GENERATION':{_ID_WIDTH}}  {'PROVIDER':12}  {'STATE':10}  {'REGISTERED':24}  WATCHES, CALLBACKS")
    for line in lines:
        counted = [*line.watches.items(), *line.deliveries.items()]
        counts = ", ".join(f"{count} {status}" for status, count in counted if count)
        if line.trouble and not (line.state and line.state.final):
            counts += f"; {_why(line.trouble)}"
        state, id_ = line.state or "not seen", printable(line.id, 256)
        typer.echo(f"{id_:{_ID_WIDTH}}  {line.provider:12}  {state:10}  {iso(line.registered_at):24}  {counts}")
    for provider in sorted({line.provider for line in lines} & troubles.keys()):
        typer.echo(f"{provider}: {troubles[provider].kind}: {_why(troubles[provider])}")
    if len(lines) == limit:
        more = "--limit shows more" if limit < most else "no more can be listed"
        typer.echo(f"The newest {limit} are shown; {more}.", err=True)


def show_history(config: str, generation: str) -> int:
    """Print every history of this ID; 1 if there is none."""
    histories = read_store(config, lambda store: store.histories(GenerationId(generation)))
    if not histories:
        others = command("list", "--all", config=to_print(config))
        typer.echo(
            f"No generation {printable(generation, 256)} was ever registered; `{others}` shows which were.", err=True
        )
        return 1
    for history in histories:
        for line in _history(history):
            typer.echo(line)
    return 0


def _history(history: History) -> Iterator[str]:
    yield f"generation  {printable(history.id, 256)}"
    yield f"provider    {history.provider}"
    if history.provider_trouble:
        yield f"            {history.provider_trouble.kind}: {_why(history.provider_trouble)}"
    failing = None if history.state and history.state.final else history.trouble
    unseen = f"not seen: {_why(failing)}" if failing else "not seen yet"
    word = f" (the provider says {printable(history.provider_state, 100)})" if history.provider_state else ""
    yield f"state       {history.state or unseen}{word}"
    if failing and history.state:
        yield f"            not answered now: {_why(failing)}"
    yield f"registered  {iso(history.registered_at)}"
    for state, seen_at in history.states:
        yield f"            {iso(seen_at)}  seen {state}"
    if history.not_before:
        yield f"            {iso(history.not_before)}  the poll before, when it was not there yet"
    if history.result_url:
        yield f"result      {printable(history.result_url, 4096)}"
    if history.failure:
        yield f"failure     {printable(history.failure, 1000)}"
    for watch in history.watches:
        yield ""
        yield from _watch(watch)


def _why(trouble: Trouble) -> str:
    """Why there is no answer."""
    reason = printable(trouble.reason, 400)
    end = "" if reason.endswith((".", "!", "?", "…")) else "."
    times = "once" if trouble.times == 1 else f"{trouble.times} times"
    return f"{reason}{end} Asked {times} since {iso(trouble.since)}, last at {iso(trouble.last)}."


def _watch(watch: WatchSummary) -> Iterator[str]:
    reopened = f", reopened {'once' if watch.round == 1 else f'{watch.round} times'}" if watch.round else ""
    yield f"watch       {watch.id}: {watch.target} -> {printable(without_query(watch.endpoint), 2048)}"
    yield f"  status    {watch.status}{reopened}" + _at(", since ", watch.ended_at)
    yield f"  deadline  {iso(watch.deadline)}"
    if watch.metadata != b"{}":
        yield f"  metadata  {printable(watch.metadata.decode(), 4096)}"
    for delivery in watch.deliveries:
        yield from _delivery(delivery)


def _delivery(delivery: DeliverySummary) -> Iterator[str]:
    yield f"  callback  {delivery.message_id}"
    yield f"            {delivery.type}, created {iso(delivery.created_at)}"
    yield (
        f"            {delivery.status}"
        + _at(", next attempt ", delivery.due_at)
        + (f": {delivery.reason}" if delivery.reason else "")
    )
    for attempt in delivery.attempts:
        yield _attempt(attempt)


def _attempt(attempt: AttemptSummary) -> str:
    took = f" after {attempt.took.total_seconds() * 1000:.0f} ms" if attempt.took is not None else ""
    outcome = "open now" if attempt.verdict is None else f"{attempt.verdict}{took}"
    status = f" ({attempt.status_code})" if attempt.status_code else ""
    words = [attempt.detail.removeprefix(f"{attempt.verdict}: ")]
    if attempt.head and attempt.verdict is not Verdict.DELIVERED:
        words.append(f"it answered: {attempt.head.decode(errors='replace')}")
    note = "; ".join(printable(word, 300) for word in words if word)
    asked = ", asked for by a person" if attempt.trigger is Trigger.PERSON else ""
    return f"            attempt {attempt.number}  {iso(attempt.started_at)}  {outcome}{status}{asked}" + (
        f": {note}" if note else ""
    )


def _at(words: str, moment: datetime | None) -> str:
    return f"{words}{iso(moment)}" if moment else ""


def list_endpoints(config: str) -> None:
    """Print every endpoint and origin of which anything is known."""
    lines = read_store(config, lambda store: store.endpoint_summaries())
    if not lines:
        typer.echo("Nothing was sent yet, and nothing is pending.", err=True)
        return
    typer.echo(f"{'ENDPOINT':{_ID_WIDTH}}  {'STATE':8}  {'FAILURES':>8}  {'PENDING':>8}  {'PARKED':>8}")
    for line in lines:
        for text in _endpoint(line, to_print(config)):
            typer.echo(text)


def _endpoint(line: EndpointSummary, config: str) -> Iterator[str]:
    health = line.health
    destination = printable(health.destination, 300)
    counts = f"{health.failures:8}  {line.pending:8}  {line.parked:8}"
    yield f"{destination:{_ID_WIDTH}}  {health.state:8}  {counts}"
    if health.disabled_at:
        yield f"  disabled since {iso(health.disabled_at)}: {printable(health.reason, 300)}"
    if health.first_failure and health.last_failure:
        yield f"  failing since {iso(health.first_failure)}, last at {iso(health.last_failure)}"
    if health.state is EndpointState.FAILING:
        yield f"  why it is failing: {printable(health.reason, 300)}"
    if health.last_success:
        yield f"  last success {iso(health.last_success)}"
    if health.state is EndpointState.DISABLED:
        yield f"  to enable it: {enable_command(health.destination, config=config)}"
    if line.oldest:
        what = "is parked or was given up" if line.given_up else "is parked"
        yield f"  to send what {what}: {recover_command(health.destination, line.oldest, config=config)}"


def back_up(config: str, file: str) -> None:
    async def write() -> None:
        # before an upgrade the new program may be the one that makes it
        async with open_reader(ConfigFile(config, environ=os.environ).store_path(), older=True) as store:
            await store.backup(file)

    anyio.run(write)
    restore = "stop notifier, put it in the store's place, remove the -wal and -shm files beside that, start notifier"
    typer.echo(f"The store is copied to {file}. To restore: {restore}.", err=True)

"""`endpoints`: how each endpoint stands, read beside the running daemon. For a person and for grep."""

from collections.abc import Iterator
from typing import Final

import typer

from notifier.cli.options import to_print
from notifier.cli.reading import read_store
from notifier.domain.endpoint_health import EndpointState
from notifier.domain.times import iso
from notifier.store.records import EndpointSummary
from notifier.text.command_line import enable_command, recover_command
from notifier.text.printable import printable

_WIDTH: Final = 36


def list_endpoints(config: str) -> None:
    """Print every endpoint and origin of which anything is known."""
    lines = read_store(config, lambda store: store.endpoint_summaries())
    if not lines:
        typer.echo("Nothing was sent yet, and nothing is owed.", err=True)
        return
    typer.echo(f"{'ENDPOINT':{_WIDTH}}  {'STATE':8}  {'FAILURES':>8}  {'PENDING':>8}  {'PARKED':>8}")
    for line in lines:
        for text in _endpoint(line, to_print(config)):
            typer.echo(text)


def _endpoint(line: EndpointSummary, config: str) -> Iterator[str]:
    health = line.health
    destination = printable(health.destination, 300)
    counts = f"{health.failures:8}  {line.pending:8}  {line.parked:8}"
    yield f"{destination:{_WIDTH}}  {health.state:8}  {counts}"
    if health.disabled_at:
        yield f"  disabled since {iso(health.disabled_at)}: {printable(health.reason, 300)}"
    if health.first_failure and health.last_failure:
        yield f"  failing since {iso(health.first_failure)}, last at {iso(health.last_failure)}"
    if health.state is EndpointState.FAILING:
        yield f"  why it is failing: {printable(health.reason, 300)}"
    if health.last_success:
        yield f"  last success {iso(health.last_success)}"
    if health.state is EndpointState.DISABLED:
        yield f"  to use it again: {enable_command(health.destination, config=config)}"
    if line.oldest:
        what = "is parked or was given up" if line.given_up else "is parked"
        yield f"  to send what {what}: {recover_command(health.destination, line.oldest, config=config)}"

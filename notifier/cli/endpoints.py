"""`endpoints`: how each endpoint stands, read beside the running daemon. For a person and for grep."""

from collections.abc import Iterator
from typing import Final

import typer

from notifier.cli.options import to_print
from notifier.cli.reading import read_store
from notifier.domain.endpoint_health import EndpointState
from notifier.domain.times import iso
from notifier.store.ports import EndpointSummary
from notifier.text.command_line import enable_command, recover_command
from notifier.text.printable import printable

_WIDTH: Final = 36


def list_endpoints(config: str) -> None:
    """Print every endpoint and origin of which anything is known."""
    lines = read_store(config, lambda store: store.standings())
    if not lines:
        typer.echo("Nothing was sent yet, and nothing is owed.", err=True)
        return
    typer.echo(f"{'ENDPOINT':{_WIDTH}}  {'STATE':8}  {'FAILURES':>8}  {'PENDING':>8}  {'PARKED':>8}")
    for line in lines:
        for text in _endpoint(line, to_print(config)):
            typer.echo(text)


def _endpoint(line: EndpointSummary, config: str) -> Iterator[str]:
    standing = line.standing
    destination = printable(standing.destination, 300)
    counts = f"{standing.failures:8}  {line.pending:8}  {line.parked:8}"
    yield f"{destination:{_WIDTH}}  {standing.state:8}  {counts}"
    if standing.disabled_at:
        yield f"  disabled since {iso(standing.disabled_at)}: {printable(standing.reason, 300)}"
    if standing.first_failure and standing.last_failure:
        yield f"  failing since {iso(standing.first_failure)}, last at {iso(standing.last_failure)}"
    if standing.state is EndpointState.FAILING:
        yield f"  why it is failing: {printable(standing.reason, 300)}"
    if standing.last_success:
        yield f"  last success {iso(standing.last_success)}"
    if standing.state is EndpointState.DISABLED:
        yield f"  to use it again: {enable_command(standing.destination, config=config)}"
    if line.oldest:
        what = "is parked or was given up" if line.given_up else "is parked"
        yield f"  to send what {what}: {recover_command(standing.destination, line.oldest, config=config)}"

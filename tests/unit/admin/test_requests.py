"""A request is declared once: the commands, the API and its page in the docs have the same keys."""

import inspect
import re
from pathlib import Path

import pytest

from notifier.admin.requests import Cancellation, Disabling, HistoryOf, Listing, Nothing, Recovery, Redelivery, keys_of
from notifier.cli import daemon_commands

DOCS = (Path(__file__).parents[3] / "docs" / "commands.md").read_text()
ROUTES = {
    "/v1/generations": Listing,
    "/v1/histories": HistoryOf,
    "/v1/troubles": Nothing,
    "/v1/endpoints": Nothing,
    "/v1/redeliver": Redelivery,
    "/v1/recover": Recovery,
    "/v1/cancel": Cancellation,
    "/v1/endpoints/NAME/enable": Nothing,
    "/v1/endpoints/NAME/disable": Disabling,
    "/v1/endpoints/NAME/test": Nothing,
}


@pytest.mark.parametrize(("route", "request_type"), ROUTES.items(), ids=[*ROUTES])
def test_the_docs_name_every_key(route: str, request_type: type) -> None:
    """No more and no fewer."""
    (row,) = re.findall(rf"^\| `{route}` \|([^|]*)\|", DOCS, re.MULTILINE)
    assert set(re.findall(r"`([a-z_]+)`", row)) == set(keys_of(request_type))


@pytest.mark.parametrize(
    ("command", "request_type"),
    [("redeliver", Redelivery), ("recover", Recovery), ("cancel", Cancellation), ("disable", Disabling)],
)
def test_a_command_has_every_key(command: str, request_type: type) -> None:
    """Beside it only what says which daemon is meant, and which endpoint."""
    ((_, run, _),) = (each for each in daemon_commands.COMMANDS if each[0] == command)
    assert set(inspect.signature(run).parameters) - {"config", "socket", "name"} == set(keys_of(request_type))

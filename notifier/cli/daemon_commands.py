"""The commands that the running daemon carries out: `redeliver`, `recover`, `cancel`, `enable`, `disable`, `test`.

Each is one request to its socket, and one or two plain lines about the result. The daemon decides what the words mean,
and whether they are right.
"""

import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Final

import typer

from notifier.admin.requests import Cancellation, Disabling, Recovery, Redelivery
from notifier.cli.options import DEFAULT_CONFIG, Config, takes, to_print
from notifier.text.printable import printable


def ask(config: str, socket: str | None, route: Sequence[str], params: Mapping[str, Any]) -> Mapping[str, Any]:
    from notifier.cli import daemon_client

    return daemon_client.ask(config, socket, route, params)


Socket = Annotated[
    str | None,
    typer.Option("--socket", metavar="PATH", help="The daemon's socket. By default the configuration leads to it."),
]
Name = Annotated[str, typer.Argument(metavar="NAME", help="An endpoint, or the origin of callback URLs.")]


@takes(Redelivery)
def redeliver(config: Config = DEFAULT_CONFIG, socket: Socket = None, **params: Any) -> None:
    """Send messages again: one, or all that the options select.

    Each goes out at once with the same webhook-id, and has its whole schedule again. What is being sent is left alone.
    """
    _print_redelivered(ask(config, socket, ["redeliver"], params))


@takes(Recovery)
def recover(config: Config = DEFAULT_CONFIG, socket: Socket = None, **params: Any) -> None:
    """Send what an endpoint did not get since a time.

    That is what waits for its next attempt, was given up, or was parked while the endpoint was disabled. It is sent at
    the endpoint's own pace.
    """
    _print_redelivered(ask(config, socket, ["recover"], params))


@takes(Cancellation)
def cancel(config: Config = DEFAULT_CONFIG, socket: Socket = None, **params: Any) -> None:
    """Take back a watch, or all open ones of a generation. No message is sent."""
    answer = ask(config, socket, ["cancel"], params)
    typer.echo(f"{_number(answer['cancelled'], 'watch is', 'watches are')} cancelled; no message is sent.")
    if answer["ended"]:
        ends = ", ".join(f"{count} {status}" for status, count in answer["ended"].items())
        typer.echo(f"Others had ended before: {ends}.")


def enable(name: Name, config: Config = DEFAULT_CONFIG, socket: Socket = None) -> None:
    """Enable an endpoint. New callbacks are sent again.

    Parked ones wait for `notifier recover`.
    """
    answer = ask(config, socket, ["endpoints", name, "enable"], {})
    destination, was, oldest = answer["endpoint"], answer["was"], answer["oldest"]
    typer.echo(
        f"Endpoint {destination} is enabled."
        if was == "disabled"
        else f"Endpoint {destination} was not disabled: it is {was}."
    )
    if oldest:
        parts = [f"{_number(answer['parked'], 'message is', 'messages are')} parked"] if answer["parked"] else []
        if given_up := answer.get("given_up", 0):
            parts.append(f"{_number(given_up, 'message was', 'messages were')} given up, answered by 410 too")
        recovery = ["notifier", "recover", destination, "--since", oldest]
        if socket is not None:  # the same daemon is meant
            recovery += ["--socket", socket]
        elif given := to_print(config):
            recovery += ["--config", given]
        typer.echo(f"{' and '.join(parts)}; this sends them: {shlex.join(recovery)}")


@takes(Disabling)
def disable(name: Name, config: Config = DEFAULT_CONFIG, socket: Socket = None, **params: Any) -> None:
    """Disable an endpoint. Its callbacks are parked until you ask for them."""
    answer = ask(config, socket, ["endpoints", name, "disable"], params)
    already = " already" if answer["was"] == "disabled" else ""
    typer.echo(f"Endpoint {answer['endpoint']} is disabled{already}: {printable(answer['reason'], 300)}")
    typer.echo(f"{_number(answer['parked'], 'message is', 'messages are')} parked.")


def send_test(name: Name, config: Config = DEFAULT_CONFIG, socket: Socket = None) -> None:
    """Send one test message to an endpoint and say what it answers.

    It is signed like any other, sent once and stored nowhere.
    """
    answer = ask(config, socket, ["endpoints", name, "test"], {})
    status = f" ({answer['status']})" if answer["status"] else ""
    said = answer["detail"].removeprefix(f"{answer['verdict']}: ")
    detail = f": {printable(said, 300)}" if said else ""
    typer.echo(f"{answer['message']}: {answer['verdict']}{status} after {answer['took_ms']} ms{detail}")
    if answer["head"]:
        typer.echo(f"it answered: {printable(answer['head'], 300)}")
    if not answer["delivered"]:
        raise typer.Exit(1)


#: Each by its word, with an example of what follows it; in the order of `notifier --help`.
COMMANDS: Final[Sequence[tuple[str, Callable[..., None], str]]] = [
    ("redeliver", redeliver, "--endpoint studio --status exhausted --since 2d"),
    ("recover", recover, "studio --since 2d"),
    ("cancel", cancel, "--generation YOUR-GENERATION-ID"),
    ("enable", enable, "studio"),
    ("disable", disable, "studio --reason 'moves to another host'"),
    ("test", send_test, "studio"),
]


def _print_redelivered(answer: Mapping[str, Any]) -> None:
    if answer["taken"]:
        typer.echo(f"{_number(answer['taken'], 'message is', 'messages are')} being sent again.")
    for why, count in answer["refused"].items():
        typer.echo(f"{_number(count, 'message is', 'messages are')} left alone: {printable(why, 300)}")
    if not answer["taken"]:
        raise typer.Exit(1)


def _number(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"

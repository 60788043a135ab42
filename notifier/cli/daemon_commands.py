"""The commands that the running daemon carries out: `redeliver`, `recover`, `cancel`, `enable`, `disable`, `test`.

Each is one request to its socket, and one or two plain lines of what came of it. What the words mean, and whether they
are right, is the daemon's to say.
"""

import shlex
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final
from urllib.parse import quote

import typer

from notifier.admin.requests import Cancellation, Disabling, Recovery, Redelivery
from notifier.cli.options import DEFAULT_CONFIG, Config, takes, to_print

Socket = Annotated[
    str | None,
    typer.Option("--socket", metavar="PATH", help="The daemon's socket. By default the configuration tells."),
]
Name = Annotated[str, typer.Argument(metavar="NAME", help="An endpoint, or the origin of callback URLs.")]


@takes(Redelivery)
def redeliver(config: Config = DEFAULT_CONFIG, socket: Socket = None, **asked: Any) -> None:
    """Send messages again: one, or all that the options select.

    Each goes out at once with the same webhook-id, and has its whole schedule again. What is being sent is left alone.
    """
    _print_redelivered(_ask(config, socket, "redeliver", asked))


@takes(Recovery)
def recover(config: Config = DEFAULT_CONFIG, socket: Socket = None, **asked: Any) -> None:
    """Send what an endpoint did not get since a time.

    That is what waits for its next attempt, was given up, or was parked while the endpoint was disabled. It is sent at
    the endpoint's own pace.
    """
    _print_redelivered(_ask(config, socket, "recover", asked))


@takes(Cancellation)
def cancel(config: Config = DEFAULT_CONFIG, socket: Socket = None, **asked: Any) -> None:
    """Take back a watch, or all open ones of a generation. No message is sent."""
    answer = _ask(config, socket, "cancel", asked)
    typer.echo(f"{_number(answer['cancelled'], 'watch is', 'watches are')} cancelled; nobody is sent a message.")
    if answer["ended"]:
        ends = ", ".join(f"{count} {status}" for status, count in answer["ended"].items())
        typer.echo(f"Others had ended before: {ends}.")


def enable(
    name: Name,
    config: Config = DEFAULT_CONFIG,
    socket: Socket = None,
) -> None:
    """Put an endpoint into use again. What comes from now on flows.

    What was kept back stays, until `notifier recover` is told since when.
    """
    answer = _ask(config, socket, f"endpoints/{_quoted(name)}/enable", {})
    destination, was, oldest = answer["endpoint"], answer["was"], answer["oldest"]
    typer.echo(
        f"Endpoint {destination} is in use."
        if was == "disabled"
        else f"Endpoint {destination} was not disabled: it is {was}."
    )
    if oldest:
        parts = [f"{_number(answer['parked'], 'message is', 'messages are')} kept back"] if answer["parked"] else []
        if given_up := answer.get("given_up", 0):
            parts.append(f"{_number(given_up, 'message was', 'messages were')} given up, answered by 410 too")
        again = f"{shlex.join(['notifier', 'recover', destination, '--since', oldest])}{_same_daemon(config, socket)}"
        typer.echo(f"{' and '.join(parts)}; this sends them: {again}")


@takes(Disabling)
def disable(name: Name, config: Config = DEFAULT_CONFIG, socket: Socket = None, **asked: Any) -> None:
    """Take an endpoint out of use. What it is owed is kept back."""
    answer = _ask(config, socket, f"endpoints/{_quoted(name)}/disable", asked)
    already = " already" if answer["was"] == "disabled" else ""
    typer.echo(f"Endpoint {answer['endpoint']} is disabled{already}: {_shown(answer['reason'])}")
    typer.echo(f"{_number(answer['parked'], 'message is', 'messages are')} kept back.")


def try_out(
    name: Annotated[str, typer.Argument(metavar="NAME", help="An endpoint of the configuration.")],
    config: Config = DEFAULT_CONFIG,
    socket: Socket = None,
) -> None:
    """Send one test message to an endpoint and say what it answers.

    It is signed like any other, sent once and stored nowhere.
    """
    answer = _ask(config, socket, f"endpoints/{_quoted(name)}/test", {})
    status = f" ({answer['status']})" if answer["status"] else ""
    said = answer["detail"].removeprefix(f"{answer['verdict']}: ")
    detail = f": {_shown(said)}" if said else ""
    typer.echo(f"{answer['message']}: {answer['verdict']}{status} after {answer['took_ms']} ms{detail}")
    if answer["head"]:
        typer.echo(f"it answered: {_shown(answer['head'])}")
    if not answer["delivered"]:
        raise typer.Exit(1)


#: In the order of `notifier --help`.
COMMANDS: Final[Mapping[str, Callable[..., None]]] = {
    "redeliver": redeliver,
    "recover": recover,
    "cancel": cancel,
    "enable": enable,
    "disable": disable,
    "test": try_out,
}

#: What may stand behind each of them.
EXAMPLES: Final[Mapping[str, str]] = {
    "redeliver": "--endpoint studio --status exhausted --since 2d",
    "recover": "studio --since 2d",
    "cancel": "--generation YOUR-GENERATION-ID",
    "enable": "studio",
    "disable": "studio --reason 'moves to another host'",
    "test": "studio",
}


def _ask(config: str, socket: str | None, route: str, asked: Mapping[str, Any]) -> Mapping[str, Any]:
    from notifier.cli.daemon_client import ask

    return ask(config, socket, route, {key: value for key, value in asked.items() if value not in (None, [], "")})


def _quoted(name: str) -> str:
    """One segment of a path, whatever is in it."""
    return quote(name, safe="")


def _same_daemon(config: str, socket: str | None) -> str:
    """What a printed command needs to reach the daemon that was asked, with a blank before it."""
    if socket is not None:
        return f" --socket {shlex.quote(socket)}"
    return f" --config {shlex.quote(given)}" if (given := to_print(config)) else ""


def _print_redelivered(answer: Mapping[str, Any]) -> None:
    if answer["taken"]:
        typer.echo(f"{_number(answer['taken'], 'message is', 'messages are')} being sent again.")
    for why, count in answer["refused"].items():
        typer.echo(f"{_number(count, 'message is', 'messages are')} left alone: {_shown(why)}")
    if not answer["taken"]:
        raise typer.Exit(1)


def _number(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"


def _shown(text: str) -> str:
    from notifier.text.printable import printable

    return printable(text, 300)

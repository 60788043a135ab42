"""`notifier listen`: a receiver on this machine that verifies callbacks and prints one line for each.

For a person: when, what, which generation, how late, how often, verified or why not. With --json the same as one object
a line, and nothing else on standard output. All text from outside is made printable first: a callback must not move the
cursor of the terminal.
"""

from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from notifier.cli.options import LISTEN_PORT
from notifier.domain.times import iso
from notifier.text.printable import printable

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.text import Text

    from notifier.emulator.receiver import Received, Receiver

#: Characters of one field that are shown.
_SHOWN: Final = 100

_Host = Annotated[str, typer.Option(metavar="HOST", help="Address to listen on.")]
_Port = Annotated[int, typer.Option(min=0, max=65_535, metavar="PORT", help="Port to listen on; 0 takes a free one.")]
_Secret = Annotated[
    list[str],
    typer.Option(
        envvar="NOTIFIER_SECRET",
        show_envvar=True,
        metavar="whsec_…",
        help="Verify with this secret (or whpk_…); may be given more than once. Without one, a new one is made.",
    ),
]
_Fail = Annotated[
    float, typer.Option(min=0, max=1, metavar="SHARE", help="Share of callbacks answered 500, to see them come again.")
]
_Delay = Annotated[float, typer.Option(min=0, metavar="SECONDS", help="Delay each answer by this, seconds.")]
_Status = Annotated[
    int, typer.Option(min=200, max=599, metavar="STATUS", help="Answer verified callbacks with this status.")
]
_Seed = Annotated[int, typer.Option(metavar="NUMBER", help="Same seed: the same ones fail.")]
_Json = Annotated[bool, typer.Option("--json", help="One JSON object a line.")]


def listen(
    *,
    host: _Host = "127.0.0.1",
    port: _Port = LISTEN_PORT,
    secret: _Secret = [],  # noqa: B006  typer's form of "may be repeated"; never changed
    fail: _Fail = 0.0,
    delay: _Delay = 0.0,
    status: _Status = 204,
    seed: _Seed = 1,
    json: _Json = False,
) -> None:
    """Receive callbacks on this machine and verify each. Prints one line for each; Ctrl-C ends it."""
    from notifier.emulator.receiver import ReceiverSettings, serve_receiver
    from notifier.emulator.serving import run_until_stopped

    try:
        settings = ReceiverSettings(secrets=tuple(secret), fail=fail, delay=delay, status=status, seed=seed, keep=False)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    run_until_stopped(
        serve_receiver(settings, host=host, port=port, on_post=_printer(json=json)),
        lambda receiver: typer.echo(_banner(receiver), err=json),
    )


def _banner(receiver: "Receiver") -> str:
    title = f"Listening at {receiver.url}"
    if receiver.settings.secrets:
        return f"{title}. An endpoint's url: in the configuration is this, with any path."
    lines = ["endpoints:", "  here:", f"    url: {receiver.url}/", f"    secret: {receiver.secrets[0]}"]
    return "\n".join([f"{title} with a new secret. For the configuration:", *lines])


def _printer(*, json: bool) -> "Callable[[Received], None]":
    if json:
        import orjson

        return lambda received: typer.echo(orjson.dumps(as_json(received)).decode())

    from rich.console import Console

    console = Console(highlight=False)
    # never wrapped: one callback is one line, in a file too
    return lambda received: console.print(as_line(received), soft_wrap=True)


def as_json(received: "Received") -> dict[str, Any]:
    """One callback as --json writes it. JSON escapes what must not reach a terminal, all but some of Unicode."""
    return {
        "received_at": iso(received.received_at),
        "type": _clean(received.type),
        "generation_id": _clean(received.generation_id),
        "webhook_id": _clean(received.message_id),
        "path": _clean(received.path),
        "lag_s": None if received.lag is None else round(received.lag, 3),
        "seen": received.seen,
        "verified": received.verified,
        "reason": None if received.refused is None else _clean(received.refused),
        "status": received.status,
    }


def as_line(received: "Received") -> "Text":
    """One callback as a person reads it."""
    from rich.text import Text

    time = iso(received.received_at)[11:23]
    if received.refused is not None:
        reason = f"NOT verified: {_clean(received.refused)}"
        return Text.assemble(
            (time, "dim"), "  ", (reason, "bold red"), "  ", _clean(received.path), _answered(received)
        )
    colour = "green" if received.type == "generation.completed" else "yellow"
    lag = "" if received.lag is None else f"  lag {received.lag:.3f} s"
    again = f"  again ({_ordinal(received.seen)} time)" if received.seen > 1 else ""
    return Text.assemble(
        (time, "dim"),
        "  ",
        (f"{_clean(received.type):22}", colour),
        f"  {_clean(received.generation_id)}{lag}  ",
        ("verified", "green"),
        (again, "bold yellow"),
        _answered(received),
    )


def _answered(received: "Received") -> tuple[str, str]:
    fine = 200 <= received.status < 300  # noqa: PLR2004  the class of success
    return f"  answered {received.status}", "dim" if fine else "red"


def _ordinal(number: int) -> str:
    teens = number % 100 in (11, 12, 13)
    return f"{number}{'th' if teens else {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th')}"


def _clean(text: str) -> str:
    return printable(text, _SHOWN)

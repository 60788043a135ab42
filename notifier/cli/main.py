"""`notifier`: the commands, and what their errors look like to a person and to a service manager.

Exit codes: 0 done; 1 something asked for is not so; 2 wrong words on the command line; 75 (EX_TEMPFAIL) try again
later; 78 (EX_CONFIG) the operator must change something first. Each command imports what it needs when it runs.
"""

import sys
from typing import Annotated, Final

import typer

from notifier import __version__
from notifier.cli.emulate import emulate
from notifier.cli.listen import listen
from notifier.errors import ConfigError, Fault, NotifierError, StoreRefused, StoreUnavailable

EX_FAILED: Final = 1
EX_TEMPFAIL: Final = 75
EX_CONFIG: Final = 78

app = typer.Typer(
    help="Webhooks for APIs that only let you poll: give it generation IDs, get one signed callback for each.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # it prints local variables, and some of them are secrets
    rich_markup_mode=None,
)
secret_app = typer.Typer(help="Make and derive signing secrets.", no_args_is_help=True)

Config = Annotated[
    str,
    typer.Option(
        "--config",
        envvar="NOTIFIER_CONFIG",
        metavar="FILE",
        help="The configuration.",
    ),
]
_DEFAULT_CONFIG: Final = "/etc/notifier/config.yaml"


@app.callback(invoke_without_command=True)
def _root(
    *, version: Annotated[bool, typer.Option("--version", help="Print the version and stop.", is_eager=True)] = False
) -> None:
    if version:
        typer.echo(f"notifier {__version__}")
        raise typer.Exit


@app.command()
def run(
    config: Config = _DEFAULT_CONFIG,
    log_level: Annotated[str, typer.Option(metavar="LEVEL", help="debug, info, warning or error.")] = "info",
) -> None:
    """Run the daemon. SIGHUP rereads the configuration, SIGTERM stops it, a second SIGTERM at once."""
    from notifier.cli.run import run_daemon

    run_daemon(config, log_level)


@app.command()
def check(
    config: Config = _DEFAULT_CONFIG,
    *,
    deep: Annotated[bool, typer.Option("--deep", help="Check every page of the store; slow.")] = False,
    online: Annotated[bool, typer.Option("--online", help="Ask each provider two harmless questions.")] = False,
) -> None:
    """Say what is wrong with the configuration and the store, changing nothing."""
    from notifier.cli.check import check_all

    raise typer.Exit(check_all(config, deep=deep, online=online))


@app.command()
def demo() -> None:
    """Show the whole path on this machine: an emulated API, the daemon and a receiver. Needs no key."""
    from notifier.cli.demo import run_demo

    raise typer.Exit(run_demo())


app.command()(emulate)
app.command()(listen)


@app.command("list")
def list_(
    config: Config = _DEFAULT_CONFIG,
    *,
    all_: Annotated[bool, typer.Option("--all", help="Finished ones too.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="Lines at most.")] = 100,
) -> None:
    """List the generations that are watched, the newest first."""
    from notifier.cli.inspect import list_generations

    list_generations(config, everything=all_, limit=limit)


# An ID may begin with a dash: what is not an option of ours is taken as it stands, with or without `--` before it.
@app.command(context_settings={"ignore_unknown_options": True})
def show(
    generation: Annotated[str, typer.Argument(metavar="ID", help="The generation's ID.")],
    config: Config = _DEFAULT_CONFIG,
) -> None:
    """Tell the whole story of one generation: why did its callback not arrive?"""
    from notifier.cli.inspect import show_story

    raise typer.Exit(show_story(config, generation))


@app.command()
def backup(
    file: Annotated[str, typer.Argument(metavar="FILE", help="Where to; must not exist yet.")],
    config: Config = _DEFAULT_CONFIG,
) -> None:
    """Write a consistent copy of the store, beside a running daemon too."""
    from notifier.cli.inspect import back_up

    back_up(config, file)


@secret_app.command("new")
def secret_new(
    *,
    asymmetric: Annotated[
        bool, typer.Option("--asymmetric", help="An ed25519 pair (v1a) in place of a shared key.")
    ] = False,
) -> None:
    """Make a new signing secret."""
    from notifier.cli.secret import print_new

    print_new(asymmetric=asymmetric)


@secret_app.command("for")
def secret_for(
    url: Annotated[str, typer.Argument(metavar="URL", help="A callback_url.")], config: Config = _DEFAULT_CONFIG
) -> None:
    """Print the key with which callbacks to a callback_url are signed."""
    from notifier.cli.secret import print_for

    print_for(url, config)


app.add_typer(secret_app, name="secret")


def main() -> None:
    """Run the command line; errors of ours become a message and an exit code, never a traceback."""
    try:
        app()
    except (NotifierError, BaseExceptionGroup) as error:
        cause = _cause(error)
        if not isinstance(cause, NotifierError):
            raise
        _fail(*_told(cause))


def _cause(error: BaseException) -> BaseException:
    """What a task group wrapped, where it is one thing."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def _told(error: NotifierError) -> tuple[str, int]:
    match error:
        case ConfigError():
            return _listed("The configuration cannot be used", error.faults), EX_CONFIG
        case StoreRefused():
            return str(error), EX_CONFIG
        case StoreUnavailable():
            return str(error), EX_TEMPFAIL
        case _:
            return str(error), EX_FAILED


def _listed(title: str, faults: tuple[Fault, ...]) -> str:
    count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
    return "\n".join([f"{title} ({count}):", *(f"  {fault}" for fault in faults)])


def _fail(message: str, code: int) -> None:
    sys.stderr.write(message + "\n")
    raise SystemExit(code)


if __name__ == "__main__":
    main()

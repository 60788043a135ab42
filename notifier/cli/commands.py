"""`notifier`: every command with its options. Each imports what it needs when it runs.

The first sentence of a command is its line in `notifier --help`, which has room for 65 characters on 80 columns.
"""

from typing import Annotated, Any

import typer

from notifier import __version__
from notifier.admin.requests import LIST_MOST, HistoryOf, Listing
from notifier.cli import daemon_commands
from notifier.cli.emulate import emulate
from notifier.cli.listen import listen
from notifier.cli.options import DEFAULT_CONFIG, Config, takes
from notifier.cli.schema import print_schema
from notifier.cli.verify import verify_callback
from notifier.cli.words import Command, Commands

app = typer.Typer(
    cls=Commands,
    help="Webhooks for APIs that only let you poll: give it generation IDs, get one signed callback for each.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # it prints local variables, and some of them are secrets
    rich_markup_mode=None,
)
secret_app = typer.Typer(cls=Commands, help="Make and derive signing secrets.", no_args_is_help=True)


@app.callback(invoke_without_command=True)
def _root(
    *, version: Annotated[bool, typer.Option("--version", help="Print the version and stop.", is_eager=True)] = False
) -> None:
    if version:
        typer.echo(f"notifier {__version__}")
        raise typer.Exit


@app.command(cls=Command)
def run(
    config: Config = DEFAULT_CONFIG,
    log_level: Annotated[str, typer.Option(metavar="LEVEL", help="debug, info, warning or error.")] = "info",
) -> None:
    """Run the daemon. SIGHUP rereads the configuration, SIGTERM stops it, a second SIGTERM at once."""
    from notifier.cli.run import run_daemon

    run_daemon(config, log_level)


@app.command(cls=Command)
def check(
    config: Config = DEFAULT_CONFIG,
    *,
    deep: Annotated[bool, typer.Option("--deep", help="Check every page of the store; slow.")] = False,
    online: Annotated[bool, typer.Option("--online", help="Ask each provider two harmless questions.")] = False,
) -> None:
    """Check the configuration and the store, changing nothing.

    Says what would keep the daemon from starting, or make it miss watches.
    """
    from notifier.cli.check import check_all

    raise typer.Exit(check_all(config, deep=deep, online=online))


@app.command(cls=Command)
def demo() -> None:
    """Show the whole path on this machine; needs no key.

    An emulated API, the daemon and a receiver run here for half a minute.
    """
    from notifier.cli.demo import run_demo

    raise typer.Exit(run_demo())


app.command(cls=Command)(emulate)
app.command(cls=Command)(listen)
app.command("verify", cls=Command)(verify_callback)
app.command("schema", cls=Command)(print_schema)


@app.command("list", cls=Command)
@takes(Listing)
def list_(config: Config = DEFAULT_CONFIG, **params: Any) -> None:
    """List the generations that are watched, the newest first."""
    from notifier.cli.reports import list_generations

    list_generations(config, everything=params["all"], limit=params["limit"], most=LIST_MOST)


@app.command(cls=Command)
def endpoints(config: Config = DEFAULT_CONFIG) -> None:
    """List the state of each endpoint: working, failing or disabled.

    With it: since when, what is pending for it, and what is parked.
    """
    from notifier.cli.reports import list_endpoints

    list_endpoints(config)


# An ID may begin with a dash: what is not an option of ours is taken literally, with or without `--` before it.
@app.command(
    cls=Command,
    context_settings={"ignore_unknown_options": True},
    epilog="For example: notifier show YOUR-GENERATION-ID",
)
@takes(HistoryOf)
def show(config: Config = DEFAULT_CONFIG, **params: Any) -> None:
    """Show the whole history of one generation. Why did its callback not arrive?"""
    from notifier.cli.reports import show_history

    raise typer.Exit(show_history(config, params["id"]))


@app.command(cls=Command, epilog="For example: notifier backup /var/backups/notifier.db")
def backup(
    file: Annotated[str, typer.Argument(metavar="FILE", help="Where to; must not exist yet.")],
    config: Config = DEFAULT_CONFIG,
) -> None:
    """Write a consistent copy of the store. The daemon may be running."""
    from notifier.cli.reports import back_up

    back_up(config, file)


@secret_app.command("new", cls=Command)
def secret_new(
    *,
    asymmetric: Annotated[
        bool, typer.Option("--asymmetric", help="An ed25519 pair (v1a) in place of a shared key.")
    ] = False,
) -> None:
    """Make a new signing secret."""
    from notifier.cli.secret import print_new

    print_new(asymmetric=asymmetric)


@secret_app.command("for", cls=Command, epilog="For example: notifier secret for https://app.example.com/hooks")
def secret_for(
    url: Annotated[str, typer.Argument(metavar="URL", help="A callback_url.")], config: Config = DEFAULT_CONFIG
) -> None:
    """Print the key with which callbacks to a callback_url are signed."""
    from notifier.cli.secret import print_for

    print_for(url, config)


for word, command, example in daemon_commands.COMMANDS:
    app.command(word, cls=Command, epilog=f"For example: notifier {word} {example}")(command)
app.add_typer(secret_app, name="secret")

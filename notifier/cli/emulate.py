"""`notifier emulate`: the emulated Luma API as a process, every setting of it as an option.

The options are declared with the fields of `EmulatorSettings` and `FaultSettings`: no option can be accepted and not
act. The server is imported when it runs: the daemon shares this command line.
"""

import json
from collections.abc import Iterable
from dataclasses import fields
from typing import TYPE_CHECKING, Annotated, Any

import typer

from notifier.cli.options import LISTEN_PORT, takes
from notifier.emulator.settings import EmulatorSettings, FaultSettings

if TYPE_CHECKING:
    from notifier.emulator.upstream import Emulator

_Host = Annotated[
    str, typer.Option(metavar="HOST", help="Address to listen on. Beyond this machine only if you mean it.")
]
_Port = Annotated[int, typer.Option(min=0, max=65_535, metavar="PORT", help="Port to listen on; 0 takes a free one.")]
_Create = Annotated[
    int, typer.Option(min=0, max=1_000_000, metavar="COUNT", help="Make this many generations first; prints their IDs.")
]


@takes(EmulatorSettings, FaultSettings)
def emulate(*, host: _Host = "127.0.0.1", port: _Port = 8788, create: _Create = 0, **given: Any) -> None:
    """Run a local copy of the Luma API to try notifier against. It needs no key; Ctrl-C ends it."""
    try:
        faults = FaultSettings(**{each.name: given.pop(each.name) for each in fields(FaultSettings)})
        settings = EmulatorSettings(**given, faults=faults)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error

    from notifier.emulator.server import serve_emulator
    from notifier.emulator.serving import run_until_stopped

    def announce(emulator: "Emulator") -> None:
        typer.echo(_configuration(emulator.url, settings.api_key, emulator.create(create) if create else ()))

    run_until_stopped(serve_emulator(settings, host=host, port=port), announce)


def _configuration(url: str, key: str, ids: Iterable[str]) -> str:
    """A whole `config.yaml`, to be saved as it is."""
    from notifier.emulator.receiver import new_secret

    secret = new_secret()
    watches = [f"  - id: {id_}" for id_ in ids]
    return "\n".join(
        [
            f"# Emulated Luma API at {url}. This is a whole config.yaml for it. Its callbacks are received by:",
            f"#   notifier listen --secret {secret}",
            "store: sqlite:notifier.db",
            "providers:",
            "  luma:",
            "    kind: aimlapi-luma",
            f"    base_url: {url}",
            f"    api_key: {json.dumps((key or 'any').replace('$', '$$'))}",
            "endpoints:",
            "  studio:",
            f"    url: http://127.0.0.1:{LISTEN_PORT}/hooks",
            f"    secret: {secret}",
            *(
                ["watches:", *watches]
                if watches
                else ["# Nothing is there to watch: --create 3 makes three generations."]
            ),
        ]
    )

"""`notifier emulate`: the emulated Luma API as a process, every setting of it as an option.

The options are the fields of `EmulatorSettings` and `FaultSettings` by name, and take their defaults from there: no
option can be accepted and not act. The server is imported when it runs: the daemon shares this command line.
"""

import importlib.util
import json
from collections.abc import Iterable
from dataclasses import fields
from typing import Annotated, Any

import typer

from notifier.cli.options import LISTEN_PORT
from notifier.emulator.settings import (
    EmulatorSettings,
    FaultSettings,
    LongPoll,
    Order,
    RecordForm,
    RetryAfter,
    Shape,
    Unknown,
    WaitName,
)

_PORT = 8788
_D = EmulatorSettings()
_F = _D.faults

_Host = Annotated[
    str, typer.Option(metavar="HOST", help="Address to listen on. Beyond this machine only where you mean it.")
]
_Port = Annotated[int, typer.Option(min=0, max=65_535, metavar="PORT", help="Port to listen on; 0 takes a free one.")]
_Create = Annotated[
    int, typer.Option(min=0, max=1_000_000, metavar="COUNT", help="Make so many generations at the start; prints IDs.")
]
_ApiKey = Annotated[str, typer.Option(metavar="KEY", help="The key callers must send; an empty one takes any key.")]
_Seed = Annotated[int, typer.Option(metavar="NUMBER", help="Same seed: same IDs, durations, outcomes and faults.")]
_Speed = Annotated[float, typer.Option(metavar="FACTOR", help="10 makes every generation ten times shorter.")]
_Median = Annotated[float, typer.Option(metavar="SECONDS", help="Middle of the durations, seconds.")]
_Spread = Annotated[float, typer.Option(metavar="SIGMA", help="How far they spread: sigma of the log-normal.")]
_Shortest = Annotated[float, typer.Option(metavar="SECONDS", help="No generation is shorter, seconds.")]
_Longest = Annotated[float, typer.Option(metavar="SECONDS", help="No generation is longer, seconds.")]
_Failures = Annotated[float, typer.Option(metavar="SHARE", help="Share of generations that fail, 0 to 1.")]
_ReadableAfter = Annotated[float, typer.Option(metavar="SECONDS", help="A new ID is unknown for so long, seconds.")]
_LongPollLimit = Annotated[
    float, typer.Option(metavar="SECONDS", help="A request that waits is held no longer, seconds.")
]
_Shape = Annotated[Shape, typer.Option(help="What a multi reply looks like.")]
_Record = Annotated[RecordForm, typer.Option(help="Field names of a record in a multi reply.")]
_SingleRecord = Annotated[RecordForm, typer.Option(help="Field names of a record in a single reply.")]
_Order = Annotated[Order, typer.Option(help="Order of the records in a multi reply.")]
_LongPoll = Annotated[LongPoll, typer.Option(help="When a multi request that waits returns.")]
_Unknown = Annotated[Unknown, typer.Option(help="What becomes of an unknown ID in a multi request.")]
_WaitName = Annotated[WaitName, typer.Option(help="Name of the wait parameter that a multi request is understood by.")]
_MaxIds = Annotated[int, typer.Option(metavar="COUNT", help="IDs in one multi request at most; 0 is no limit.")]
_MaxIdsStatus = Annotated[int, typer.Option(metavar="STATUS", help="What more IDs are refused with: 400, 413 or 414.")]
_MaxUrl = Annotated[int, typer.Option(metavar="BYTES", help="A longer request target is refused with 414, bytes.")]
_ServerError = Annotated[float, typer.Option(metavar="SHARE", help="Share of requests answered 500, 0 to 1.")]
_BadGateway = Annotated[float, typer.Option(metavar="SHARE", help="Share answered 502 with an HTML page.")]
_Truncated = Annotated[float, typer.Option(metavar="SHARE", help="Share answered with half of the JSON.")]
_Slow = Annotated[float, typer.Option(metavar="SHARE", help="Share answered late.")]
_SlowBy = Annotated[float, typer.Option(metavar="SECONDS", help="How late, seconds.")]
_Dropped = Annotated[float, typer.Option(metavar="SHARE", help="Share whose connection is dropped.")]
_Rate = Annotated[float, typer.Option(metavar="NUMBER", help="Requests per second before 429; 0 is no limit.")]
_RetryAfter = Annotated[RetryAfter, typer.Option(help="How a 429 says when to come again.")]
_Refuse = Annotated[
    int, typer.Option(metavar="STATUS", help="Answer everything with this status, as 401 or 403; 0 is off.")
]
_Batch = Annotated[bool, typer.Option("--batch/--no-batch", help="Whether the multi route is there.")]


def emulate(
    *,
    host: _Host = "127.0.0.1",
    port: _Port = _PORT,
    create: _Create = 0,
    api_key: _ApiKey = _D.api_key,
    seed: _Seed = _D.seed,
    speed: _Speed = _D.speed,
    median: _Median = _D.median,
    spread: _Spread = _D.spread,
    shortest: _Shortest = _D.shortest,
    longest: _Longest = _D.longest,
    failures: _Failures = _D.failures,
    readable_after: _ReadableAfter = _D.readable_after,
    long_poll_limit: _LongPollLimit = _D.long_poll_limit,
    shape: _Shape = _D.shape,
    record: _Record = _D.record,
    single_record: _SingleRecord = _D.single_record,
    order: _Order = _D.order,
    long_poll: _LongPoll = _D.long_poll,
    unknown: _Unknown = _D.unknown,
    wait_name: _WaitName = _D.wait_name,
    max_ids: _MaxIds = _D.max_ids,
    max_ids_status: _MaxIdsStatus = _D.max_ids_status,
    max_url: _MaxUrl = _D.max_url,
    server_error: _ServerError = _F.server_error,
    bad_gateway: _BadGateway = _F.bad_gateway,
    truncated: _Truncated = _F.truncated,
    slow: _Slow = _F.slow,
    slow_by: _SlowBy = _F.slow_by,
    dropped: _Dropped = _F.dropped,
    rate: _Rate = _F.rate,
    retry_after: _RetryAfter = _F.retry_after,
    refuse: _Refuse = _F.refuse,
    batch: _Batch = _F.batch,
) -> None:
    """Run a local copy of the Luma API to try notifier against. It needs no key; Ctrl-C ends it."""
    settings = _settings(locals())

    import anyio

    uvloop = importlib.util.find_spec("uvloop") is not None
    anyio.run(_serve, settings, host, port, create, backend_options={"use_uvloop": uvloop})


def _settings(given: dict[str, Any]) -> EmulatorSettings:
    """The settings from the options, which are called like the fields."""
    try:
        faults = FaultSettings(**{field.name: given[field.name] for field in fields(FaultSettings)})
        rest = {field.name: given[field.name] for field in fields(EmulatorSettings) if field.name != "faults"}
        return EmulatorSettings(**rest, faults=faults)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


async def _serve(settings: EmulatorSettings, host: str, port: int, create: int) -> None:
    from notifier.emulator.server import serve_emulator
    from notifier.emulator.serving import stop_signals

    with stop_signals() as stopped:
        async with serve_emulator(settings, host=host, port=port) as emulator:
            ids = emulator.create(create) if create else ()
            typer.echo(_configuration(emulator.url, settings.api_key, ids))
            await stopped()


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

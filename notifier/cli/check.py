"""`notifier check`: what would stop the daemon, or make it deaf, said before it starts. Changes nothing anywhere."""

import os
import uuid
from collections.abc import Sequence

import anyio
import typer

from notifier.clock import SystemClock
from notifier.config import SecretSource, load, sources_of_secrets
from notifier.errors import BatchRejected, ProviderError, StoreError
from notifier.ids import GenerationId
from notifier.providers.base import Ask
from notifier.providers.client import ProviderClient
from notifier.providers.registry import codec
from notifier.settings import ProviderSettings, Settings
from notifier.store.sqlite import open_reader
from notifier.transport import AiohttpTransport


def check_all(config: str, *, deep: bool, online: bool) -> int:
    """Print what was found; 0 where all is well. A bad configuration raises `ConfigError`."""
    settings = load(config, environ=os.environ)
    _summary(settings, sources_of_secrets(config))
    well = anyio.run(_check_store, settings.store, deep)
    if online:
        well = anyio.run(_check_providers, settings) and well
    return 0 if well else 1


def _summary(settings: Settings, secrets: Sequence[SecretSource]) -> None:
    numbers = {"provider": settings.providers, "endpoint": settings.endpoints, "watch": settings.watches}
    parts = ", ".join(f"{word}: {len(found)}" for word, found in numbers.items())
    typer.echo(f"configuration  {settings.source}: good ({parts})")
    for secret in secrets:
        typer.echo(f"  {secret.path}: {secret.origin}; {secret.renewal}")


async def _check_store(path: str, deep: bool) -> bool:  # noqa: FBT001  anyio.run passes positions only
    if not await anyio.Path(path).exists():
        typer.echo(f"store          {path}: not there yet; the first start makes it")
        return True
    try:
        async with open_reader(path) as store:
            problems = await store.problems(deep=deep)
            counts = await store.counts()
    except StoreError as error:
        typer.echo(f"store          {error}")
        return False
    for problem in problems:
        typer.echo(f"store          {path}: {problem}")
    if not problems:
        typer.echo(f"store          {path}: good ({counts.open_generations} generations watched)")
    return not problems


async def _check_providers(settings: Settings) -> bool:
    """One single and one multi request each, about IDs that nobody has."""
    async with AiohttpTransport() as wire, ProviderClient(wire, clock=SystemClock()) as client:
        answers = [await _ask_both(client, provider) for provider in settings.providers.values()]
    return all(answers)


async def _ask_both(client: ProviderClient, settings: ProviderSettings) -> bool:
    speech = codec(settings.kind)
    ids = [GenerationId(str(uuid.uuid4())) for _ in range(2)]
    well = await _ask(client, settings, "single route", speech.single(ids[0], settings))
    if settings.batch and speech.multi:
        well = await _ask(client, settings, "multi route", speech.sweep(ids, settings)) and well
    return well


async def _ask(client: ProviderClient, settings: ProviderSettings, route: str, ask: Ask) -> bool:
    try:
        reply = await client.ask(ask, settings)
        codec(settings.kind).decode(ask, reply)
    except BatchRejected as error:
        typer.echo(f"provider       {settings.name}: {route}: {error}{_hint(error)}")
        return error.status != _NOT_FOUND
    except ProviderError as error:
        typer.echo(f"provider       {settings.name}: {route}: {error}")
        return False
    typer.echo(f"provider       {settings.name}: {route}: answers ({reply.status})")
    return True


_NOT_FOUND = 404


def _hint(error: BatchRejected) -> str:
    if error.status == _NOT_FOUND:
        return " If its IDs are good, the multi route is gone: set `batch: off` for this provider."
    return " It may refuse a batch for one unknown ID: such batches are split, which is slower."

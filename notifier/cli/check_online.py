"""`notifier check --online`: one single and one batch poll of each provider, about IDs that nobody has."""

import uuid
from collections.abc import Iterable
from typing import Final

import typer

from notifier.domain.errors import BatchRejected, ProviderError
from notifier.domain.ids import GenerationId
from notifier.domain.settings import ProviderSettings
from notifier.net.secrets_sent import mask_of_provider
from notifier.net.transport import AiohttpTransport
from notifier.providers.base import PollRequest
from notifier.providers.catalogue import KINDS
from notifier.providers.client import ProviderClient
from notifier.providers.masked import decode
from notifier.providers.reply import message_of
from notifier.runtime.clock import SystemClock

_NOT_FOUND: Final = 404
#: Whether the route does what it should, and the sentence that says so.
_Answer = tuple[bool, str]


async def check_providers(providers: Iterable[ProviderSettings]) -> bool:
    """Ask each and print the result; True if every route can be used."""
    async with AiohttpTransport() as wire, ProviderClient(wire, clock=SystemClock()) as client:
        return all([await _check(client, provider) for provider in providers])


async def _check(client: ProviderClient, settings: ProviderSettings) -> bool:
    """A sentence that holds for both routes, for example about a wrong key or a silent host, is printed once."""
    answers = await _ask_both(client, settings)
    told: dict[str, list[str]] = {}
    for route, (_, sentence) in answers.items():
        told.setdefault(sentence, []).append(route)
    for sentence, routes in told.items():
        where = f"{routes[0]} route" if len(routes) == 1 else f"{' and '.join(routes)} routes"
        typer.echo(f"provider       {settings.name}: {where}: {sentence}")
    return all(well for well, _ in answers.values())


async def _ask_both(client: ProviderClient, settings: ProviderSettings) -> dict[str, _Answer]:
    codec = KINDS[settings.kind]
    ids = [GenerationId(str(uuid.uuid4())) for _ in range(2)]
    answers = {"single": await _ask(client, settings, codec.poll(ids[0], settings))}
    if settings.batch and codec.capabilities.batch:
        there = answers["single"][0]
        answers["batch"] = await _ask(client, settings, codec.batch_poll(ids, settings), there=there)
    return answers


async def _ask(
    client: ProviderClient, settings: ProviderSettings, request: PollRequest, *, there: bool = True
) -> _Answer:
    """`there`: whether the API answered another question."""
    try:
        reply = await client.ask(request, settings)
        decode(KINDS[settings.kind], request, reply, settings)
    except BatchRejected as error:
        return error.status != _NOT_FOUND, f"{error}{_hint(error) if there else ''}"
    except ProviderError as error:
        return False, str(error).removeprefix(f"Provider {settings.name}: ")
    if reply.status != _NOT_FOUND:
        return True, f"answers ({reply.status})"
    said = mask_of_provider(settings).text(message_of(reply.body))
    return True, f"answers ({reply.status}, as it should: the ID is made up{'; it says: ' + said if said else ''})"


def _hint(error: BatchRejected) -> str:
    if error.status == _NOT_FOUND:
        return " If its IDs are good, the batch route is gone: set `batch: off` for this provider."
    return " It may refuse a batch for one unknown ID: such batches are split, which is slower."

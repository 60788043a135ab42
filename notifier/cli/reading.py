"""Reads what the store knows: from the daemon that keeps it, or from its file if none answers.

A user who may use the daemon's socket need not be able to read its files. The daemon answers what the file would say;
an answer that cannot be used, for example from an older daemon, counts as none.
"""

import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, TypeVar

import anyio
import httpx
from pydantic import TypeAdapter, ValidationError

from notifier.api import render
from notifier.cli.daemon_client import answers, client, paths_of
from notifier.config import ConfigFile
from notifier.domain.errors import ConfigError
from notifier.domain.ids import GenerationId, ProviderName
from notifier.store.ports import ReportStore
from notifier.store.records import EndpointSummary, GenerationSummary, History, Trouble
from notifier.store.sqlite import open_reader

T = TypeVar("T")
#: Seconds until a daemon that does not accept a connection, or does not answer, is left alone.
_CONNECT: Final = 2.0
_ANSWER: Final = 10.0


class _Unanswered(Exception):
    """No daemon that keeps this store gave an answer that can be used."""


class _Daemon:
    """What the daemon behind `client` says of its store."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def generations(self, *, open_only: bool, limit: int) -> Sequence[GenerationSummary]:
        return await self._get(render.GENERATIONS, "generations", all=int(not open_only), limit=limit)

    async def histories(self, generation: GenerationId) -> Sequence[History]:
        return await self._get(render.HISTORIES, "histories", id=generation)

    async def provider_troubles(self) -> Mapping[ProviderName, Trouble]:
        return await self._get(render.TROUBLES, "troubles")

    async def endpoint_summaries(self) -> Sequence[EndpointSummary]:
        return await self._get(render.ENDPOINTS, "endpoints")

    async def _get(self, answer: TypeAdapter[T], route: str, **params: Any) -> T:
        try:
            reply = await self._client.get(route, params=params)
            if reply.status_code != httpx.codes.OK:
                raise _Unanswered
            return answer.validate_json(reply.content)
        except (httpx.HTTPError, ValidationError) as error:
            raise _Unanswered from error


Reports = _Daemon | ReportStore


def read_store(config: str, question: Callable[[Reports], Awaitable[T]]) -> T:
    """Ask about the store that `config` names; its secrets are not read."""
    opened = ConfigFile(config, environ=os.environ)
    store = opened.store_path()

    async def ask() -> T:
        if (path := _answering(opened)) is not None:
            try:
                async with client(path, store, timeout=httpx.Timeout(_ANSWER, connect=_CONNECT)) as daemon:
                    return await question(_Daemon(daemon))
            except _Unanswered:
                pass
        async with open_reader(store) as reader:
            return await question(reader)

    return anyio.run(ask)


def _answering(config: ConfigFile) -> str | None:
    """The socket at which a daemon answers, of those that the store's daemon may have."""
    try:
        paths = paths_of(config)
    except ConfigError:  # `store:` is right, and that is all that a reader needs
        return None
    for path in paths:
        with suppress(PermissionError):
            if answers(path, within=_CONNECT):
                return path
    return None

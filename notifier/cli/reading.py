"""Reads what the store knows: from the daemon that keeps it, or from its file where none answers.

Whoever may use the daemon's socket need not be able to read its files. The daemon answers what the file would say; an
answer that cannot be used, as of an older daemon, counts as none.
"""

import os
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, Protocol, TypeVar

import anyio
import httpx
from pydantic import TypeAdapter, ValidationError

from notifier.api import render
from notifier.api.socket_path import STORE_HEADER, mark_of, socket_paths
from notifier.config import read_listen_path, read_store_path
from notifier.domain.errors import ConfigError
from notifier.domain.ids import GenerationId, ProviderName
from notifier.store.records import EndpointSummary, GenerationSummary, History, Trouble
from notifier.store.sqlite import open_reader

T = TypeVar("T")
#: Seconds until a daemon that does not answer is left alone.
_CONNECT: Final = 2.0
_ANSWER: Final = 10.0


class Reports(Protocol):
    """What commands read."""

    async def generations(self, *, open_only: bool, limit: int) -> Sequence[GenerationSummary]: ...
    async def histories(self, generation: GenerationId) -> Sequence[History]: ...
    async def provider_troubles(self) -> Mapping[ProviderName, Trouble]: ...
    async def endpoint_summaries(self) -> Sequence[EndpointSummary]: ...


class _Unanswered(Exception):
    """No daemon that keeps this store gave an answer that can be used."""


class _Daemon:
    """`Reports` of the daemon behind `client`."""

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

    async def _get(self, answer: TypeAdapter[T], route: str, **asked: Any) -> T:
        try:
            reply = await self._client.get(f"http://notifier/v1/{route}", params=asked)
            if reply.status_code != httpx.codes.OK:
                raise _Unanswered
            return answer.validate_json(reply.content)
        except (httpx.HTTPError, ValidationError) as error:
            raise _Unanswered from error


def read_store(config: str, question: Callable[[Reports], Awaitable[T]]) -> T:
    """Ask about the store that `config` names; its secrets are not read."""
    store = read_store_path(config, environ=os.environ)

    async def ask() -> T:
        if (place := _answering(config, store)) is not None:
            try:
                async with _client(place, store) as client:
                    return await question(_Daemon(client))
            except _Unanswered:
                pass
        async with open_reader(store) as reader:
            return await question(reader)

    return anyio.run(ask)


def _client(place: str, store: str) -> httpx.AsyncClient:
    transport = httpx.AsyncHTTPTransport(uds=place, verify=False, trust_env=False)
    headers = {STORE_HEADER: mark_of(os.path.realpath(store))}
    timeout = httpx.Timeout(_ANSWER, connect=_CONNECT)
    return httpx.AsyncClient(transport=transport, headers=headers, timeout=timeout, trust_env=False)


def _answering(config: str, store: str) -> str | None:
    """The socket at which somebody answers, of those that a daemon for this store may have."""
    try:
        listen = read_listen_path(config, environ=os.environ)
    except ConfigError:  # `store:` is right, and that is all that a reader needs
        return None
    for place in [listen] if listen else socket_paths(os.path.realpath(store), os.environ):
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as trial:
                trial.settimeout(_CONNECT)
                trial.connect(place)
        except OSError:
            continue
        return place
    return None

"""All provider loops: one for each provider of the configuration, started and ended as the configuration changes.

Generations of a provider that is not configured (any more) stay in the store and are watched again when its name
returns.
"""

from collections.abc import Callable, Mapping, Sequence

import anyio
from anyio.abc import TaskGroup, TaskStatus

from notifier.domain.ids import GenerationId, ProviderName
from notifier.domain.model import OpenGeneration, RereadResult
from notifier.domain.settings import ProviderSettings
from notifier.polling.provider_loop import Dependencies, ProviderLoop
from notifier.providers.base import Codec


class Poller:
    """Owns the provider loops. `codec` gives the codec of a kind."""

    def __init__(self, around: Dependencies, codec: Callable[[str], Codec]) -> None:
        self._around = around
        self._codec = codec
        self._loops: dict[str, ProviderLoop] = {}
        self._scopes: dict[str, anyio.CancelScope] = {}
        self._group: TaskGroup | None = None
        self._started = anyio.Event()

    async def run(
        self, providers: Mapping[str, ProviderSettings], *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED
    ) -> None:
        """Until `stop` or cancelled. Started once every open generation is queued."""
        async with anyio.create_task_group() as self._group:
            await self.apply(providers)
            self._started.set()
            task_status.started()
            await anyio.sleep_forever()

    async def apply(self, providers: Mapping[str, ProviderSettings]) -> None:
        """Make the provider loops those of `providers`; on return new ones have loaded what is open."""
        for name in self._loops.keys() - providers.keys():
            self._end(name)
        for name, settings in providers.items():
            known = self._loops.get(name)
            if known is not None and known.settings.kind == settings.kind:
                if known.settings != settings:
                    known.apply(settings)
                continue
            self._end(name)
            await self._begin(name, settings)

    async def _begin(self, name: str, settings: ProviderSettings) -> None:
        assert self._group is not None, "run comes first"
        loop = self._loops[name] = ProviderLoop(settings, self._codec(settings.kind), self._around)
        scope = self._scopes[name] = anyio.CancelScope()

        async def polling(*, task_status: TaskStatus[None]) -> None:
            with scope:
                await loop.run(task_status=task_status)

        try:
            await self._group.start(polling, name=f"provider loop {name}")
        except BaseException:
            self._end(name)
            raise

    def _end(self, name: str) -> None:
        if (loop := self._loops.pop(name, None)) is not None:
            loop.leave()
        if (scope := self._scopes.pop(name, None)) is not None:
            scope.cancel()

    def tick(self) -> None:
        for loop in self._loops.values():
            loop.tick()

    def add(self, watched: Sequence[OpenGeneration]) -> None:
        """These generations are watched from now on, by one watch more each."""
        for name, loop in self._loops.items():
            if some := [each for each in watched if each.provider == name]:
                loop.add(some)

    def remove(self, provider: ProviderName, id_: GenerationId) -> None:
        """Nobody watches this generation any more."""
        if (loop := self._loops.get(provider)) is not None:
            loop.remove(id_)

    async def reread(self, provider: ProviderName, id_: GenerationId) -> RereadResult | None:
        """Read `id_` again, watched or not; IDs that are wanted at the same time share a request.

        None if the provider does not show it, is in trouble or is not configured. May be cancelled at any time.
        """
        await self._started.wait()
        loop = self._loops.get(provider)
        return None if loop is None else await loop.reread(id_)

    @property
    def watched(self) -> Mapping[str, int]:
        """Open generations by provider."""
        return {name: loop.watched for name, loop in self._loops.items()}

    def stop(self) -> None:
        """No more polls, at once: a request under way is cancelled."""
        if self._group is not None:
            self._group.cancel_scope.cancel()

    async def save(self) -> None:
        """The last write: what was learned is there for the next run, if the store can write."""
        for loop in self._loops.values():
            await loop.save()

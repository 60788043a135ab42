"""Tells of endpoints that stand otherwise: the log, readiness, and the operator. Takes a person's word on them.

How an endpoint stands is decided in `health` and kept by the store, in the transaction of the attempts that show it;
the operator's message is made inside that same transaction. So nothing here is needed for a disabled endpoint to stay
untouched, after a restart either. Readiness knows configured endpoints alone: origins come from outside.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Final

import structlog

from notifier.delivery.policies import Endpoints
from notifier.domain.endpoint_health import DISABLE_AFTER, Change, EndpointHealth, EndpointState, named
from notifier.domain.ids import Destination
from notifier.domain.operator_notice import notice
from notifier.domain.times import iso
from notifier.runtime import log_events
from notifier.runtime.clock import Clock
from notifier.runtime.health import Health
from notifier.store.ports import EndpointStore
from notifier.store.records import Announce
from notifier.text.command_line import enable_command, recover_command

_log = structlog.get_logger()


class EndpointMonitor:
    """`begin` once; then it is told of changes, and makes those that a person asks for. `token` is random text.

    `config` is the path of the configuration, for the commands that it prints.
    """

    def __init__(
        self,
        store: EndpointStore,
        endpoints: Endpoints,
        *,
        clock: Clock,
        health: Health,
        token: Callable[[], str],
        config: str = "",
    ) -> None:
        self._store = store
        self._endpoints = endpoints
        self._clock = clock
        self._health = health
        self._token = token
        self._config = config
        #: By destination: origins, and names that are not configured (any more) too.
        self._disabled: dict[Destination, EndpointHealth] = {}

    @property
    def disabled(self) -> Mapping[Destination, str]:
        """Destinations that nothing goes to now, with why."""
        return {destination: health.reason for destination, health in self._disabled.items()}

    async def begin(self) -> None:
        """Learn what the last run left disabled."""
        for line in await self._store.endpoint_summaries():
            self._remember(line.health)

    def apply(self, endpoints: Endpoints) -> None:
        """Readiness speaks of these from now on."""
        gone = self._endpoints.named.keys() - endpoints.named.keys()
        self._endpoints = endpoints
        for name in gone:
            self._health.clear(_part(name))
        for health in self._disabled.values():
            self._show(health)

    def announcing(self, now: datetime) -> Announce:
        """What the operator is owed because of a change, for the store to keep with it."""
        operator = self._endpoints.operator
        return lambda change: notice(change, operator, now=now, token=self._token())

    def tell(self, changes: Iterable[Change]) -> None:
        """These are durable now."""
        for change in changes:
            self._remember(change.after)
            if change.event:
                _TELL[change.after.state](change, self._config)

    # ---- by a person ----
    async def disable(self, destination: Destination, reason: str) -> Change:
        """Nothing goes there any more, and what is owed is kept. `Change.before` is how it stood."""
        now = self._clock.now()
        change = await self._store.disable_endpoint(destination, now=now, reason=reason, announce=self.announcing(now))
        self.tell([change])
        return change

    async def enable(self, destination: Destination) -> Change:
        """What is owed from now on goes there; what is parked stays. `Change.before` is how it stood."""
        now = self._clock.now()
        change = await self._store.enable_endpoint(destination, now=now, announce=self.announcing(now))
        self.tell([change])
        return change

    # ---- readiness ----
    def _remember(self, health: EndpointHealth) -> None:
        if health.state is EndpointState.DISABLED:
            self._disabled[health.destination] = health
            self._show(health)
        elif self._disabled.pop(health.destination, None) is not None and named(health.destination):
            self._health.clear(_part(health.destination))

    def _show(self, health: EndpointHealth) -> None:
        if health.destination in self._endpoints.named and health.disabled_at is not None:
            sentence = f"disabled since {iso(health.disabled_at)}: {health.reason}"
            again = enable_command(health.destination, config=self._config)
            self._health.trouble(_part(health.destination), f"{sentence}; `{again}` ends that")


def _part(name: str) -> str:
    return f"endpoint {name}"


# ---- the log ------------------------------------------------------------------------------------------------------
def _tell_failing(change: Change, _: str) -> None:
    note = f"after {DISABLE_AFTER.days} days without a success it is disabled; what it is owed is kept then"
    _log.warning(log_events.ENDPOINT_FAILING, note=note, **_facts(change))


def _tell_disabled(change: Change, config: str) -> None:
    again = enable_command(change.after.destination, config=config)
    note = f"nothing is sent there, and what it is owed is kept; `{again}` ends that"
    _log.error(log_events.ENDPOINT_DISABLED, note=note, **_facts(change))


def _tell_recovered(change: Change, config: str) -> None:
    note = ""
    if change.oldest is not None:
        command = recover_command(change.after.destination, change.oldest, config=config)
        note = f"what was kept back or given up is sent when it is asked for: {command}"
    _log.info(log_events.ENDPOINT_RECOVERED, note=note, **_facts(change))


_TELL: Final = {
    EndpointState.WORKING: _tell_recovered,
    EndpointState.FAILING: _tell_failing,
    EndpointState.DISABLED: _tell_disabled,
}


def _facts(change: Change) -> dict[str, object]:
    told = change.explaining
    return {
        "endpoint": change.after.destination,
        "was": change.before.state.value,
        "reason": told.reason,
        "failing_since": told.first_failure and iso(told.first_failure),
        "failures": told.failures,
        "parked": change.parked,
    }

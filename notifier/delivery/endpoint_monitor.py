"""Reports changes of endpoint health: in the log, in readiness, and to the operator. Disables and enables for a person.

Endpoint health is decided in `domain.endpoint_health` and kept by the store, in the transaction of the attempts that
change it; the operator's message is made in that same transaction. So a disabled endpoint stays disabled without this
module, after a restart too. Readiness shows configured endpoints only: origins come from outside.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from datetime import datetime

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


@dataclass(slots=True, eq=False)
class EndpointMonitor:
    """Call `begin` once, then `tell` for each change. `token` gives random text.

    `config` is the path of the configuration, for the commands that it prints.
    """

    store: EndpointStore
    endpoints: Endpoints
    _: KW_ONLY
    clock: Clock
    health: Health
    token: Callable[[], str]
    config: str = ""
    #: Also origins, and names that are not configured (any more).
    _disabled: dict[Destination, EndpointHealth] = field(default_factory=dict)

    @property
    def disabled(self) -> Mapping[Destination, str]:
        """Disabled destinations, and why."""
        return {destination: health.reason for destination, health in self._disabled.items()}

    async def begin(self) -> None:
        """Read what is disabled already."""
        for line in await self.store.endpoint_summaries():
            self._remember(line.health)

    def apply(self, endpoints: Endpoints) -> None:
        """Readiness is about these from now on."""
        gone = self.endpoints.named.keys() - endpoints.named.keys()
        self.endpoints = endpoints
        for name in gone:
            self.health.clear(_part(name))
        for health in self._disabled.values():
            self._show(health)

    def announcing(self, now: datetime) -> Announce:
        """Makes the operator's message for a change; the store calls it in the transaction of the change."""
        operator = self.endpoints.operator
        return lambda change: notice(change, operator, now=now, token=self.token())

    def tell(self, changes: Iterable[Change]) -> None:
        """Report changes that are durable now."""
        for change in changes:
            self._remember(change.after)
            if change.event:
                _log_change(change, self.config)

    # ---- by a person ----
    async def disable(self, destination: Destination, reason: str) -> Change:
        """Send nothing there from now on; its messages are parked. `Change.before` is the health before."""
        now = self.clock.now()
        change = await self.store.disable_endpoint(destination, now=now, reason=reason, announce=self.announcing(now))
        self.tell([change])
        return change

    async def enable(self, destination: Destination) -> Change:
        """Send new messages there again; what is parked stays parked. `Change.before` is the health before."""
        now = self.clock.now()
        change = await self.store.enable_endpoint(destination, now=now, announce=self.announcing(now))
        self.tell([change])
        return change

    # ---- readiness ----
    def _remember(self, health: EndpointHealth) -> None:
        if health.state is EndpointState.DISABLED:
            self._disabled[health.destination] = health
            self._show(health)
        elif self._disabled.pop(health.destination, None) is not None and named(health.destination):
            self.health.clear(_part(health.destination))

    def _show(self, health: EndpointHealth) -> None:
        if health.destination in self.endpoints.named and health.disabled_at is not None:
            sentence = f"disabled since {iso(health.disabled_at)}: {health.reason}"
            again = enable_command(health.destination, config=self.config)
            self.health.trouble(_part(health.destination), f"{sentence}; `{again}` ends that")


def _part(name: str) -> str:
    return f"endpoint {name}"


def _log_change(change: Change, config: str) -> None:
    log, event, note = _log.info, log_events.ENDPOINT_RECOVERED, ""
    if change.after.state is EndpointState.FAILING:
        log, event = _log.warning, log_events.ENDPOINT_FAILING
        note = f"after {DISABLE_AFTER.days} days without a success it is disabled; its messages are then kept"
    elif change.after.state is EndpointState.DISABLED:
        log, event = _log.error, log_events.ENDPOINT_DISABLED
        again = enable_command(change.after.destination, config=config)
        note = f"nothing is sent there, and its messages are kept; `{again}` ends that"
    elif change.oldest is not None:
        command = recover_command(change.after.destination, change.oldest, config=config)
        note = f"what was parked or given up is sent again by: {command}"
    log(event, note=note, was=change.before.state.value, **change.facts())

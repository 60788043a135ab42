"""What a person may ask for while the daemon runs: redeliver, cancel, enable, disable, test.

Rules: what is answered is durable; a refused request changed nothing, and the sentence says why. A large selection is
worked through in small transactions, and the dispatcher is notified after each, so delivery continues. A redelivered
message is only made due: it goes out at its endpoint's own pace.

It does not decide which status may change: the store asks `lifecycle` inside its transaction.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from typing import Any, Final, TypeVar

import anyio
import structlog

from notifier.admin.answers import instead_of_url, nothing_fits, nothing_open, refuse_unknown_names, unknown_name
from notifier.delivery.dispatcher import MessageSender
from notifier.delivery.endpoint_monitor import EndpointMonitor
from notifier.delivery.policies import Endpoints
from notifier.domain.endpoint_health import Change
from notifier.domain.errors import Conflict, InvalidRequest, NotFound, StoreUnavailable
from notifier.domain.ids import Destination, GenerationId, MessageId, ProviderName
from notifier.domain.model import Verdict
from notifier.domain.operator_notice import trial_message
from notifier.domain.verdict import explain, judge
from notifier.net.urls import normalise_url, origin
from notifier.runtime import log_events
from notifier.runtime.clock import Clock
from notifier.runtime.health import Health
from notifier.runtime.wakeup import Wakeup
from notifier.store.ports import OperationStore
from notifier.store.records import Cancelled, Selection, WatchChoice
from notifier.text.masking import without_query
from notifier.text.printable import printable

_log = structlog.get_logger()
T = TypeVar("T", bound=str)

#: Messages made due in one transaction, which takes a few milliseconds: others write between two of them.
STEP: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class RedeliveryResult:
    """The result of a redelivery."""

    #: Messages that are due now.
    taken: int
    #: Why others stay as they are -> how many.
    refused: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tested:
    """The result of one test message."""

    message_id: MessageId
    verdict: Verdict
    status_code: int | None
    took: timedelta
    detail: str
    #: The first 2 KiB of the answer's body.
    head: bytes


class Operations:
    """`remove_open` is called for each generation that is not watched any more."""

    def __init__(
        self,
        store: OperationStore,
        sender: MessageSender,
        endpoints: Callable[[], Endpoints],
        monitor: EndpointMonitor,
        *,
        providers: Callable[[], Iterable[str]] = tuple,
        clock: Clock,
        random_bytes: Callable[[], bytes],
        remove_open: Callable[[ProviderName, GenerationId], None],
        deliveries: Wakeup,
        health: Health,
    ) -> None:
        self._store = store
        self._sender = sender
        self._endpoints = endpoints
        self._monitor = monitor
        #: Names of the configuration.
        self._providers = providers
        self._clock = clock
        #: Random bytes, for the ID of a test message.
        self._random_bytes = random_bytes
        self._remove_open = remove_open
        self._deliveries = deliveries
        self._health = health

    @contextmanager
    def _report_store_failure(self) -> Iterator[None]:
        """If the store cannot write, note that as a trouble of the daemon."""
        try:
            yield
        except StoreUnavailable as error:
            self._health.store_failed(error)
            raise

    # ---- redeliver ----
    async def redeliver(self, selection: Selection) -> RedeliveryResult:
        """Send everything selected again; a message may be named by the beginning of its ID.

        NotFound if a message, a generation or an endpoint leads to nothing; Conflict if one message may not be sent
        now. StoreUnavailable says how many were taken before.
        """
        with self._report_store_failure():
            if selection.message is not None:
                found = await self._store.messages_like(selection.message)
                selection = replace(selection, message=_only(found, selection.message, "message"))
            result = await self._redeliver_all(selection)
        if selection.message is not None and result.refused:
            raise Conflict(f"Message {selection.message} is not sent again: {next(iter(result.refused))}.")
        if not result.taken and not result.refused:
            raise await self._nothing_fits(selection)
        _log.info(log_events.DELIVERIES_REDELIVERED, count=result.taken, refused=result.refused, **_named(selection))
        return result

    async def _redeliver_all(self, selection: Selection) -> RedeliveryResult:
        taken, refused, mark = 0, Counter[str](), None
        while True:
            try:
                step = await self._store.redeliver_some(selection, mark=mark, most=STEP, now=self._clock.now())
            except StoreUnavailable as error:
                if not taken:
                    raise
                raise StoreUnavailable(
                    f"{error}; {taken} messages were taken before that, ask again for the rest"
                ) from error
            if step.taken:
                self._deliveries.notify()
            taken += step.taken
            refused.update(step.refused)
            if (mark := step.mark) is None:
                return RedeliveryResult(taken=taken, refused=dict(refused))

    async def _nothing_fits(self, selection: Selection) -> NotFound:
        """Say why a selection is empty: a name is misspelt, or the time or the status is another one."""
        with self._report_store_failure():
            kept = await self._store.kept(selection)
            instead = "" if kept.counts else await self._instead(selection)
        if not kept.counts:
            self._refuse_unknown_names(selection)
        return nothing_fits(selection, kept, instead)

    async def _instead(self, selection: Selection) -> str:
        """What to write in place of a callback URL."""
        url = selection.endpoint or ""
        if "://" not in url:
            return ""
        destination = Destination(origin(url))
        beside = await self._store.kept(replace(selection, endpoint=None, destination=destination))
        named = {name: policy.url for name, policy in self._endpoints().named.items()}
        return instead_of_url(url, named=named, destination=destination, kept=beside)

    def _refuse_unknown_names(self, meant: Selection | WatchChoice) -> None:
        refuse_unknown_names(meant, providers=list(self._providers()), endpoints=list(self._endpoints().named))

    # ---- cancel ----
    async def cancel(self, choice: WatchChoice) -> Cancelled:
        """End open watches without a message; a watch may be named by the beginning of its ID.

        NotFound if there is none; Conflict if all of them have ended.
        """
        with self._report_store_failure():
            if choice.watch is not None:
                found = await self._store.watches_like(choice.watch)
                choice = replace(choice, watch=_only(found, choice.watch, "watch"))
            with anyio.CancelScope(shield=True):  # the poller hears of what is committed, even if the asker is gone
                answer = await self._store.cancel_watches(choice, now=self._clock.now())
        for provider, generation in answer.left:
            self._remove_open(provider, generation)
        if not answer.cancelled:
            if not answer.ended:
                self._refuse_unknown_names(choice)
            raise nothing_open(choice, answer)
        _log.info(log_events.WATCHES_CANCELLED, count=answer.cancelled, **_named(choice))
        return answer

    # ---- enable and disable ----
    async def enable(self, name: str) -> Change:
        """Enable an endpoint, or an origin of callback URLs: new callbacks are sent again, parked ones stay parked.

        NotFound if the configuration has no such endpoint.
        """
        destination = self._destination(name)
        with self._report_store_failure():
            change = await self._monitor.enable(destination)
        self._deliveries.notify()
        return change

    async def disable(self, name: str, reason: str) -> Change:
        """Disable an endpoint, or an origin: its callbacks are parked until a person asks for them."""
        destination = self._destination(name)
        with self._report_store_failure():
            change = await self._monitor.disable(destination, reason or "a person disabled it")
        self._deliveries.notify()  # a message to the operator is pending now
        return change

    def _destination(self, name: str) -> Destination:
        if "://" in name:
            try:
                return Destination(origin(normalise_url(name)))
            except ValueError as error:
                raise InvalidRequest(f"{printable(name, 100)}: {error}") from error
        known = self._endpoints().named
        if name not in known:
            raise unknown_name("Endpoint", name, known)
        return known[name].destination

    # ---- test ----
    async def test(self, name: str) -> Tested:
        """Send one signed message to the endpoint of this name, now and once. It is stored nowhere.

        NotFound if the configuration has no such endpoint.
        """
        policy = self._endpoints().named.get(name)
        if policy is None:
            raise unknown_name("Endpoint", name, self._endpoints().named)
        now, began = self._clock.now(), self._clock.monotonic()
        message = trial_message(policy, self._random_bytes(), now=now)
        answer = await self._sender.post(message, policy, now=now)
        verdict = judge(answer)
        tested = Tested(
            message_id=message.id,
            verdict=verdict,
            status_code=answer.status_code,
            took=timedelta(seconds=self._clock.monotonic() - began),
            detail=explain(answer, verdict),
            head=answer.head,
        )
        _log.info(log_events.ENDPOINT_TESTED, endpoint=name, verdict=verdict.value, status=answer.status_code)
        return tested


def _only(found: Sequence[T], beginning: str, noun: str) -> T:
    """The one that is meant by the beginning of its ID."""
    if not found:
        raise NotFound(
            f"There is no {noun} {printable(beginning, 100)}; `notifier show ID` lists those of a generation."
        )
    if len(found) > 1:
        raise InvalidRequest(f"More than one {noun} begins with {printable(beginning, 100)}: write more of the ID.")
    return found[0]


def _named(meant: Selection | WatchChoice) -> dict[str, Any]:
    """What was asked for, for the log."""
    return {
        name: sorted(value) if isinstance(value, frozenset) else without_query(str(value))
        for name, value in asdict(meant).items()
        if value
    }

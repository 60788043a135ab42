"""Names that lead where they must not, on real sockets: what was checked is what is connected to, whoever answers DNS.

Two servers listen on one port: the good one at 127.0.0.2, which the operator allows, and the victim at 127.0.0.1.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from notifier.domain.model import DeliveryStatus, Verdict
from notifier.domain.settings import CallbackSettings, Secret
from notifier.net.address_policy import parse_allow, refusal
from notifier.net.urls import Address
from notifier.store.records import DeliverySummary
from notifier.store.sqlite.store import SqliteStore
from tests.support.dispatcher_rig import aiohttp_wire, worker
from tests.support.fakes import SECRET, START, deliveries, enqueue, quiet
from tests.support.wire import Peer, Server, listening

GOOD, VICTIM = "127.0.0.2", "127.0.0.1"
NAME = "rebind.example.com"


class Resolver(AbstractResolver):
    """Somebody else's DNS: a list of addresses for each question, the last one for ever."""

    def __init__(self, *answers: Sequence[str], after: Callable[[list[ResolveResult]], object] | None = None) -> None:
        self._answers = list(answers)
        self._after = after
        self.asked = 0

    async def resolve(self, host: str, port: int = 0, family: int = socket.AF_INET) -> list[ResolveResult]:
        self.asked += 1
        addresses = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        found = [
            ResolveResult(hostname=host, host=address, port=port, family=family or socket.AF_INET, proto=0, flags=0)
            for address in addresses
        ]
        if self._after is not None:
            self._after(found)
        return found

    async def close(self) -> None:
        pass


@dataclass(slots=True, kw_only=True)
class Stage:
    good: Server
    victim: Server
    line: DeliverySummary


async def one_each(peer: Peer) -> None:
    """One request a connection, so that every attempt opens one."""
    await peer.request()
    await peer.send(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")


@asynccontextmanager
async def servers() -> AsyncIterator[tuple[Server, Server]]:
    async with listening(one_each, host=VICTIM) as victim, listening(one_each, host=GOOD, port=victim.port) as good:
        yield good, victim


async def sent(
    store: SqliteStore, resolver: AbstractResolver, *, allow: str = GOOD, checked: Callable[[], object] = lambda: None
) -> Stage:
    """One attempt at a callback_url with a name in it, over the guarded wire, and what came of it.

    `checked` is called each time the guard has looked at an address.
    """
    allowed = parse_allow([allow])
    callbacks = CallbackSettings(secret=Secret(SECRET), allow=(allow,))

    def guard(address: Address) -> str | None:
        answer = refusal(address, guarded=True, allow=allowed)
        checked()
        return answer

    async with (
        servers() as (good, victim),
        aiohttp_wire(guard=guard, resolver=resolver) as wire,
    ):
        await enqueue(store, "g-1", at=START, endpoint=good.url(host=NAME))
        async with worker(store, wire, callbacks=callbacks) as stage:
            await stage.posting.until(1)
            await quiet(store)
        (line,) = await deliveries(store)
        return Stage(good=good, victim=victim, line=line)


def refused(stage: Stage, address: str) -> bool:
    """Whether nothing was connected to because of `address`, and the message is still owed."""
    (attempt,) = stage.line.attempts
    return (
        attempt.verdict is Verdict.ADDRESS_REFUSED
        and address in attempt.detail
        and stage.line.status is DeliveryStatus.PENDING
        and (stage.good.connections, stage.victim.connections) == (0, 0)
    )


async def test_a_name_that_changes_its_answer_after_the_check_is_not_asked_again(store: SqliteStore) -> None:
    """The next answer would be the victim; there is no next question for this attempt."""
    resolver = Resolver([GOOD], [VICTIM])
    stage = await sent(store, resolver)
    assert stage.line.status is DeliveryStatus.DELIVERED
    assert (stage.good.connections, stage.victim.connections, resolver.asked) == (1, 0, 1)


async def test_an_answer_that_changes_between_check_and_connect_is_refused_at_the_socket(store: SqliteStore) -> None:
    """Even the very list that was checked is checked again, address by address, where the socket opens."""
    answers: list[list[ResolveResult]] = []

    def change() -> None:
        answers[-1][0]["host"] = VICTIM

    assert refused(await sent(store, Resolver([GOOD], after=answers.append), checked=change), VICTIM)


async def test_an_answer_that_changes_one_turn_of_the_loop_later_never_reaches_the_victim(store: SqliteStore) -> None:
    """Whether the change comes before the socket opens differs between Python versions; the victim is safe in both."""

    def change_later(found: list[ResolveResult]) -> None:
        asyncio.get_running_loop().call_soon(lambda: found[0].__setitem__("host", VICTIM))

    stage = await sent(store, Resolver([GOOD], after=change_later))
    assert stage.victim.connections == 0
    assert stage.line.status is DeliveryStatus.DELIVERED or refused(stage, VICTIM)


@pytest.mark.parametrize("answer", [[GOOD, VICTIM], [VICTIM, GOOD], [GOOD, GOOD, VICTIM], [VICTIM]])
async def test_a_name_with_one_refused_address_is_refused_whole(store: SqliteStore, answer: list[str]) -> None:
    """Wherever it stands among the others, none of them is connected to."""
    assert refused(await sent(store, Resolver(answer)), VICTIM)


async def test_metadata_among_the_addresses_of_a_name_is_refused_whatever_is_allowed(store: SqliteStore) -> None:
    """The operator's leave for every address there is does not reach it."""
    stage = await sent(store, Resolver([GOOD, "169.254.169.254"]), allow="0.0.0.0/0")
    assert refused(stage, "169.254.169.254")


async def test_a_name_whose_addresses_are_all_allowed_is_tried_to_the_last(store: SqliteStore) -> None:
    """The guard takes nothing away: where nobody answers at the first address, the next one gets the message."""
    stage = await sent(store, Resolver(["127.0.0.3", GOOD]), allow="127.0.0.2/31")
    assert stage.line.status is DeliveryStatus.DELIVERED
    assert (stage.good.connections, stage.victim.connections) == (1, 0)

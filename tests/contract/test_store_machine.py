"""Any calls in any order, by several workers, with restarts between them: the store does what the model says.

Hypothesis draws the calls and shortens what fails. A longer run, of an hour or so, is asked for with NOTIFIER_LONG=1.
"""

import os
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import timedelta
from functools import partial
from typing import Any

import hypothesis
import hypothesis.strategies as st
import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from notifier.domain.endpoint_health import EndpointHealth
from notifier.domain.errors import InvalidWatch
from notifier.domain.ids import Destination, EndpointIdentity, GenerationId, MessageId, ProviderName, WatchId, WorkerId
from notifier.domain.model import (
    AttemptResult,
    Claim,
    DeliveryStatus,
    EndpointDirectory,
    Interruption,
    Kind,
    OpenGeneration,
    State,
    Verdict,
)
from notifier.store.records import DeliverySummary, History, Recorded, Selection, Slots, WatchChoice, WatchSummary
from tests.support.store_builders import (
    DIRECTORY,
    HOUR,
    LUMA,
    NOBODY,
    NOW,
    SECOND,
    Opening,
    again_at,
    ending,
    id_of,
    outcome,
    request,
    seen,
)
from tests.support.store_model import Model, Refused, Registered, reachable

LONG = bool(os.environ.get("NOTIFIER_LONG"))
STEADY = hypothesis.settings(
    max_examples=3_000 if LONG else 45,
    stateful_step_count=80 if LONG else 50,
    deadline=None,
    database=None,
    suppress_health_check=list(hypothesis.HealthCheck),
)

URL = "https://app.example.com/hook"
#: A directory that wants little, makes studio wait, and knows neither slow nor callbacks.
SOME = EndpointDirectory(
    events={"studio": None, "audit": frozenset({"generation.failed", "watch.expired"})},
    callbacks=False,
    first_wait={"studio": HOUR},
)
OWNERS = [WorkerId("worker-1"), WorkerId("worker-2"), WorkerId("worker-3")]
PROVIDERS = [LUMA, ProviderName("other")]
GENERATIONS = ["g-1", "g-2", "g-3"]
DESTINATIONS = [Destination("studio"), Destination("audit"), Destination("https://app.example.com")]
EVERY = 5

# ---- what is drawn ------------------------------------------------------------------------------------------------
directories = st.sampled_from([DIRECTORY, DIRECTORY, DIRECTORY, SOME, NOBODY])
requests = st.builds(
    request,
    st.sampled_from(GENERATIONS),
    endpoint=st.sampled_from(["studio", "audit", "slow", URL]),
    target=st.sampled_from([State.RUNNING, State.COMPLETED]),
    provider=st.sampled_from(["luma", "luma", "luma", "other"]),
    timeout=st.sampled_from([HOUR, HOUR, 2 * HOUR]),
    metadata=st.sampled_from([b"{}", b"{}", b'{"order":17}']),
)
sights = st.builds(
    seen,
    st.sampled_from([*GENERATIONS, "never-watched"]),
    st.sampled_from([None, State.QUEUED, State.RUNNING, State.COMPLETED, State.FAILED]),
    provider=st.sampled_from(["luma", "luma", "luma", "other"]),
)
steps = st.sampled_from([timedelta(0), SECOND, SECOND, 30 * SECOND, 31 * SECOND, HOUR, HOUR, 26 * HOUR, -SECOND])
slots = st.builds(
    Slots,
    total=st.integers(0, 6),
    free=st.dictionaries(st.sampled_from([Destination("studio"), Destination("audit")]), st.integers(0, 3)),
    each=st.integers(0, 3),
    lease=st.just({Destination("audit"): 5 * SECOND}),
    lease_each=st.just(30 * SECOND),
)
WIDE = Slots(total=20, free={}, each=20, lease={}, lease_each=30 * SECOND)
#: How a claim may end.
ends: st.SearchStrategy[Callable[[Claim], AttemptResult]] = st.sampled_from(
    [
        outcome,
        lambda claim: outcome(claim, Verdict.SERVER_ERROR),
        lambda claim: outcome(claim, Verdict.RESET, due_at=claim.started_at),
        lambda claim: outcome(claim, Verdict.SERVER_ERROR, status=DeliveryStatus.EXHAUSTED, due_at=None),
        lambda claim: outcome(claim, Verdict.TIMED_OUT, affects_health=False),
        lambda claim: outcome(claim, Verdict.GONE, status=DeliveryStatus.EXHAUSTED, due_at=None),
        lambda claim: outcome(claim, Verdict.INTERRUPTED, status=DeliveryStatus.PARKED, due_at=None),
        lambda claim: outcome(claim, Verdict.INTERRUPTED, failures=claim.failures, due_at=claim.started_at),
    ]
)


#: Mostly by one thing, so that something is meant.
selections = st.sampled_from(
    [
        Selection(),
        Selection(),
        *[Selection(statuses=frozenset([status])) for status in DeliveryStatus],
        *[Selection(destination=destination) for destination in DESTINATIONS],
        *[Selection(provider=provider) for provider in PROVIDERS],
        Selection(type="watch.expired"),
        Selection(since=NOW + SECOND),
        Selection(until=NOW + HOUR),
    ]
) | st.builds(
    Selection,
    generation=st.sampled_from([None, *map(GenerationId, GENERATIONS)]),
    endpoint=st.sampled_from([None, EndpointIdentity("studio"), EndpointIdentity(URL)]),
    statuses=st.sampled_from([frozenset(), frozenset([DeliveryStatus.DELIVERED, DeliveryStatus.EXHAUSTED])]),
    since=st.sampled_from([None, NOW + SECOND]),
)
choices = st.builds(
    WatchChoice,
    generation=st.sampled_from([GenerationId(id_) for id_ in [*GENERATIONS, "never-watched"]]),
    provider=st.sampled_from([None, *PROVIDERS]),
    endpoint=st.sampled_from([None, EndpointIdentity("audit"), EndpointIdentity(URL)]),
    destination=st.sampled_from([None, None, *DESTINATIONS]),
) | st.builds(WatchChoice, watch=requests.map(id_of).map(WatchId))
#: Watches that a configuration still has.
DECLARED = frozenset(WatchId(id_of(request(id_))) for id_ in GENERATIONS)


class StoreMachine(RuleBasedStateMachine):
    """One store and the model beside it."""

    def __init__(self, portal: BlockingPortal, opening: Opening) -> None:
        super().__init__()
        self.portal, self.opening = portal, opening
        self.model = Model()
        self.now = NOW
        self.ids = [*GENERATIONS]
        self.calls = 0
        self.epoch = 1
        #: Every claim ever made, with who made it.
        self.claims: list[tuple[WorkerId, Claim]] = []
        self.before: dict[str, Any] = {}
        self.opened = ExitStack()
        self.open()

    @initialize()
    def open(self) -> None:
        """Close the store, if it is open, and open it again: but that nobody has a lease, nothing in it changes."""
        self.opened.close()
        self.model.reopen()
        self.store = self.opened.enter_context(self.portal.wrap_async_context_manager(self.opening()))

    def teardown(self) -> None:
        try:
            self.it_knows_what_the_model_knows()
            assert self.ask(self.store.problems, deep=True) == []
        finally:
            self.opened.close()

    def ask(self, call: Callable[..., Any], *args: Any, **more: Any) -> Any:
        return self.portal.call(partial(call, *args, **more))

    # ---- rules ----
    @rule(by=steps)
    def time_passes(self, by: timedelta) -> None:
        self.now += by

    @rule()
    def restart(self) -> None:
        self.open()

    @rule(wanted=st.lists(requests, min_size=1, max_size=4), directory=directories, keep_first=st.booleans())
    def add_watches(self, wanted: list[Any], directory: EndpointDirectory, keep_first: bool) -> None:  # noqa: FBT001  drawn by name
        self.apply_directory(directory)
        told: dict[str, Any] = {"now": self.now, "keep_first": keep_first}
        try:
            expected = self.model.add_watches(wanted, **told)
        except Refused as refused:
            with pytest.raises(InvalidWatch) as caught:
                self.ask(self.store.add_watches, wanted, **told)
            assert [fault.path for fault in caught.value.faults] == [*refused.args]
            return
        answers = self.ask(self.store.add_watches, wanted, **told)
        found = [Registered(outcome=answer.outcome, enqueued=answer.enqueued, open=answer.open) for answer in answers]
        assert found == expected

    @rule(
        endpoints=st.lists(st.sampled_from(["studio", "audit", URL]), min_size=1, unique=True),
        by=steps,
        directory=directories,
    )
    def watch_and_complete(self, endpoints: list[str], by: timedelta, directory: EndpointDirectory) -> None:
        """What happens most, in one step and with a new generation, so that there is always something enqueued."""
        id_ = f"new-{len(self.ids)}"
        self.ids.append(id_)
        self.add_watches([request(id_, endpoint=name) for name in endpoints], directory, keep_first=True)
        self.now += by
        self.record_transitions([seen(id_)], directory)

    @rule(seen_=st.lists(sights, min_size=1, max_size=3), directory=directories)
    def record_transitions(self, seen_: list[Any], directory: EndpointDirectory) -> None:
        self.apply_directory(directory)
        recorded = self.ask(self.store.record_transitions, seen_, now=self.now)
        assert _told(recorded) == self.model.record_transitions(seen_, now=self.now)

    @rule(
        ids=st.lists(st.sampled_from([*GENERATIONS, "never-watched"]), min_size=1, max_size=2, unique=True),
        kind=st.sampled_from([Kind.EXPIRED, Kind.UNKNOWN]),
        directory=directories,
    )
    def end_watches(self, ids: list[str], kind: Kind, directory: EndpointDirectory) -> None:
        self.apply_directory(directory)
        endings = [ending(id_, kind, at=self.now) for id_ in ids]
        recorded = self.ask(self.store.end_watches, endings, now=self.now)
        assert _told(recorded) == self.model.end_watches(endings, now=self.now)

    @rule(directory=directories)
    def expire_unreachable(self, directory: EndpointDirectory) -> None:
        self.apply_directory(directory)
        ended = self.ask(self.store.expire_unreachable, now=self.now)
        assert ended == self.model.expire_unreachable(now=self.now)

    @rule(owner=st.sampled_from(OWNERS), slots=slots, data=st.data())
    def exchange(self, owner: WorkerId, slots: Slots, data: st.DataObject) -> None:
        """Results of claims old and new, our own and others', once and twice."""
        results = []
        if self.claims:
            chosen = data.draw(st.lists(st.tuples(st.integers(0, 5), ends), max_size=4), label="results")
            results = [end(self.claims[-1 - back % len(self.claims)][1]) for back, end in chosen]
        self._exchange(owner, results, slots)

    @rule(owner=st.sampled_from(OWNERS), slots=slots, turns=st.lists(st.tuples(ends, steps), min_size=1, max_size=4))
    def work(
        self, owner: WorkerId, slots: Slots, turns: list[tuple[Callable[[Claim], AttemptResult], timedelta]]
    ) -> None:
        """What a worker does, turn by turn: hand in what it has, and take more."""
        for end, by in turns:
            self.now += by
            known = self.model.deliveries
            mine = [
                claim
                for who, claim in self.claims
                if who == owner and (each := known.get(claim.message_id)) and each.held_by(claim, who)
            ]
            self._exchange(owner, [end(claim) for claim in mine], slots)

    def _exchange(self, owner: WorkerId, results: Sequence[AttemptResult], slots: Slots) -> None:
        exchange = self.ask(self.store.exchange, owner, results, slots, now=self.now)
        lost = self.model.hand_in(owner, results, now=self.now)
        assert Counter(exchange.lost) == Counter(lost)
        self.model.claim(owner, exchange.claims, slots, now=self.now)
        assert exchange.next_due == self.model.next_due(self.now)
        self.claims += [(owner, claim) for claim in exchange.claims]

    @rule(
        sparing=st.sampled_from([None, *OWNERS]),
        owner=st.sampled_from([None, *OWNERS]),
        again=st.sampled_from(["at once", "later", "never"]),
    )
    def end_leases(self, sparing: WorkerId | None, owner: WorkerId | None, again: str) -> None:
        """Those that lapsed, or all of one worker that stops."""
        decide = {
            "at once": again_at(self.now),
            "later": again_at(self.now + HOUR, failures=1),
            "never": again_at(self.now, status=DeliveryStatus.EXHAUSTED),
        }[again]
        freed: list[Interruption]
        if owner is None:
            freed = self.ask(self.store.end_lapsed, decide, now=self.now, sparing=sparing)
        else:
            freed = self.ask(self.store.release, owner, decide, now=self.now)
        ended = self.model.ended(now=self.now, sparing=sparing, owner=owner)
        assert sorted(freed, key=_name) == sorted((interruption for _, interruption in ended), key=_name)
        for delivery, interruption in ended:
            self.model.interrupt(delivery, decide(interruption), now=self.now)

    @rule(directory=directories)
    def apply_directory(self, directory: EndpointDirectory) -> None:
        """Another content begins another epoch."""
        self.epoch += directory != self.model.directory
        applied = self.ask(self.store.apply_directory, directory, now=self.now)
        assert (applied.parked, applied.resumed) == self.model.apply(directory, now=self.now)
        assert applied.epoch == self.epoch

    @rule(destination=st.sampled_from(DESTINATIONS))
    def disable_endpoint(self, destination: Destination) -> None:
        change = self.ask(self.store.disable_endpoint, destination, now=self.now, reason="a person said so")
        assert (change.before, change.after) == self.model.disable(destination, "a person said so", now=self.now)

    @rule(destination=st.sampled_from(DESTINATIONS))
    def enable_endpoint(self, destination: Destination) -> None:
        change = self.ask(self.store.enable_endpoint, destination, now=self.now)
        assert (change.before, change.after) == self.model.enable(destination)

    @rule(selection=selections, most=st.integers(1, 3), directory=directories)
    def redeliver(self, selection: Selection, most: int, directory: EndpointDirectory) -> None:
        """In steps, as a person asks for it."""
        self.apply_directory(directory)
        mark, taken, refused = None, 0, 0
        while True:
            step = self.ask(self.store.redeliver_some, selection, mark=mark, most=most, now=self.now)
            taken += step.taken
            refused += sum(step.refused.values())
            if (mark := step.mark) is None:
                break
        assert (taken, refused) == self.model.redeliver(selection, now=self.now)

    @rule(
        selection=selections,
        owner=st.sampled_from(OWNERS),
        turns=st.lists(st.tuples(ends, steps), min_size=2, max_size=3),
    )
    def redeliver_and_work(
        self, selection: Selection, owner: WorkerId, turns: list[tuple[Callable[[Claim], AttemptResult], timedelta]]
    ) -> None:
        """What a person waits for, in one step."""
        self.redeliver(selection, 3, DIRECTORY)
        self.work(owner, WIDE, turns)

    @rule(back=st.integers(0, 5), directory=directories)
    def redeliver_one(self, back: int, directory: EndpointDirectory) -> None:
        if self.claims:
            message = self.claims[-1 - back % len(self.claims)][1].message_id
            self.redeliver(Selection(message=message), 1, directory)

    @rule(choice=choices)
    def cancel_watches(self, choice: WatchChoice) -> None:
        told = self.ask(self.store.cancel_watches, choice, now=self.now)
        assert (told.cancelled, told.ended, set(told.left)) == self.model.cancel(choice, now=self.now)

    @rule(age=st.sampled_from([SECOND, HOUR, 26 * HOUR]), declared=st.sampled_from([None, frozenset(), DECLARED]))
    def prune(self, age: timedelta, declared: frozenset[WatchId] | None) -> None:
        """What is pending, parked or watched is never among it: the model would keep it."""
        self.it_knows_what_the_model_knows()
        pruned = self.ask(self.store.prune, before=self.now - age, declared=declared, most=100_000)
        gone = self.model.prune(before=self.now - age, declared=declared)
        assert (pruned.deliveries, pruned.watches, pruned.generations) == gone
        # What was forgotten may begin anew under the same name. No worker comes with an attempt as old as that.
        self.before = {}
        self.claims = [each for each in self.claims if each[1].message_id in self.model.deliveries]

    @rule()
    def checkpoint(self) -> None:
        self.ask(self.store.checkpoint)

    # ---- what holds after every call ----
    @invariant()
    def now_and_then_everything_is_compared(self) -> None:
        """What calls answer is compared each time; all that is recorded, which takes longer, at every few of them."""
        self.calls += 1
        if self.calls % EVERY == 0:
            self.it_knows_what_the_model_knows()
            self.the_poller_is_told_of_every_open_generation()

    def it_knows_what_the_model_knows(self) -> None:
        """Nothing is lost, nothing invented: every generation, watch, message and attempt is as the model has it."""
        told = self.portal.call(self._histories)
        assert {(history.provider, history.id): history.state for history in told} == self.model.generations
        found = [(history, watch) for history in told for watch in history.watches]
        assert {_key(*each): _watch(each[1]) for each in found} == {
            key: (watch.status, watch.round, watch.registered_at, watch.deadline, watch.request.metadata)
            for key, watch in self.model.watches.items()
        }
        lines = [(_key(history, watch), line) for history, watch in found for line in watch.deliveries]
        assert {line.message_id: (key, *_delivery(line)) for key, line in lines} == {
            message: (each.watch, each.type, each.status, each.due_at, each.attempts)
            for message, each in self.model.deliveries.items()
        }
        assert len(lines) == len(self.model.deliveries), "one message for each identity and round"
        health = {line.health.destination: line.health for line in self.ask(self.store.endpoint_summaries)}
        assert {
            destination: each for destination, each in health.items() if each != EndpointHealth(destination=destination)
        } == self.model.endpoint_health
        watches = {str(watch.id): watch.status for _, watch in found}
        self._moved_legally(watches | {str(line.message_id): line.status for _, line in lines})

    async def _histories(self) -> list[History]:
        return [history for id_ in self.ids for history in await self.store.histories(GenerationId(id_))]

    def _moved_legally(self, after: dict[str, Any]) -> None:
        """By the tables in `lifecycle` and no other way."""
        for name, status in self.before.items():
            assert after[name] in reachable(status), f"{name}: {status} became {after[name]}"
        self.before = after

    def the_poller_is_told_of_every_open_generation(self) -> None:
        for provider in PROVIDERS:
            found = self.portal.call(self._open_generations, provider)
            expected = [self.model.open_of(key) for key in self.model.generations if key[0] == provider]
            assert sorted(found, key=_id) == sorted((each for each in expected if each), key=_id)

    async def _open_generations(self, provider: ProviderName) -> list[Any]:
        return [each async for chunk in self.store.open_generations(provider) for each in chunk]


# ---- what is compared ---------------------------------------------------------------------------------------------
def _told(recorded: Sequence[Recorded]) -> list[Any]:
    return [(each.enqueued, each.open) for each in recorded]


def _name(interruption: Interruption) -> MessageId:
    return interruption.message_id


def _id(generation: OpenGeneration) -> str:
    return generation.id


def _key(history: History, watch: WatchSummary) -> tuple[Any, ...]:
    return history.provider, history.id, watch.target, watch.endpoint


def _watch(line: WatchSummary) -> tuple[Any, ...]:
    return line.status, line.round, line.registered_at, line.deadline, line.metadata


def _delivery(line: DeliverySummary) -> tuple[Any, ...]:
    attempts = [(attempt.number, attempt.started_at, attempt.verdict) for attempt in line.attempts]
    return line.type, line.status, line.due_at, attempts


@pytest.mark.timeout(0 if LONG else 420)  # a failure is shortened for up to five minutes
def test_any_calls_in_any_order(fresh: Callable[[], Opening]) -> None:
    """Answers, rows, claims and statuses are those of the model, whatever is called, and a restart changes nothing."""
    with start_blocking_portal() as portal:

        class Machine(StoreMachine):
            def __init__(self) -> None:
                super().__init__(portal, fresh())

        run_state_machine_as_test(Machine, settings=STEADY)

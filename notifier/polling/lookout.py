"""One provider's loop: takes what is due, asks, learns, and writes down what changed. Steps 3 to 8 of the path.

A lookout has its own agenda, budget and troubles, so one provider's never slow another. No transaction is open while a
request is under way, and an unchanged observation writes nothing. While the store cannot write nothing is asked, and
what was seen waits in its task until it is written.

With the metronome stopped nothing is looked at: a tick gives leave to look until a little after the next one is due.
"""

from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeVar

import anyio
import structlog
from anyio.abc import TaskGroup, TaskStatus

from notifier import telemetry
from notifier.bell import Bell
from notifier.clock import Clock
from notifier.errors import BatchRejected, ProviderError, StoreUnavailable
from notifier.health import Health, Pulse
from notifier.ids import GenerationId
from notifier.model import Book, Kind, Observation, OpenGeneration, Transition
from notifier.polling.agenda import Agenda
from notifier.polling.cadence import next_look
from notifier.polling.conduct import Conduct
from notifier.polling.plan import Look, plan
from notifier.polling.split import Lesson, Split
from notifier.polling.watched import LookTimes, Watched, miss, overdue, see, unknown
from notifier.providers.base import Ask, Codec, Reply
from notifier.settings import ProviderSettings
from notifier.store.base import Ending, PollStore, Recorded

_log = structlog.get_logger()
T = TypeVar("T")

#: Seconds a tick's leave lasts; ticks come every 0.25 s.
LEAVE: Final = 1.0
LONGEST_WAIT: Final = 5.0
#: When a new ID falls due: before all that is overdue, however much that is.
FIRST: Final = 0.0
#: IDs that the multi route refuses and the single route holds, until the multi route counts as unusable.
PROOF: Final = 2
#: Words of states that are warned of, at most.
MOST_WORDS: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What every lookout works with."""

    store: PollStore
    ask: Callable[[Ask, ProviderSettings], Awaitable[Reply]]
    clock: Clock
    chance: Callable[[], float]
    book: Callable[[], Book]
    #: Rung when a delivery was made.
    deliveries: Bell
    health: Health
    pulse: Pulse


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sent:
    """A request under way."""

    ask: Ask
    split: Split | None
    #: Monotonic.
    at: float
    asked_at: datetime


class Lookout:
    """Looks after the open generations of one provider."""

    def __init__(self, settings: ProviderSettings, codec: Codec, around: Surroundings) -> None:
        self._around = around
        self._bell = Bell()
        self._watched: dict[GenerationId, Watched] = {}
        self._splits: deque[Split] = deque()
        #: ID -> what the multi route said when it refused that one ID.
        self._refused_alone: dict[GenerationId, str] = {}
        #: Those of them that the single route holds.
        self._held_alone: set[GenerationId] = set()
        self._leave_until = float("-inf")
        self._warned_of: set[str] = set()
        self._codec = codec
        self._settings = settings
        self._conduct = Conduct(
            settings, multi=codec.multi, clock=around.clock, chance=around.chance, health=around.health
        )
        self._agenda: Agenda[GenerationId] = Agenda(self._width())

    # ---- for the poller ----
    @property
    def watched(self) -> int:
        return len(self._watched)

    @property
    def settings(self) -> ProviderSettings:
        return self._settings

    def tick(self) -> None:
        self._leave_until = self._around.clock.monotonic() + LEAVE
        self._bell.ring()

    def welcome(self, open_: OpenGeneration) -> None:
        """A watch was registered: look at once, whatever the cadence says."""
        now = self._around.clock.monotonic()
        if (entry := self._watched.get(open_.id)) is not None:
            entry.join(open_)
            return
        self._watch(open_, FIRST)
        self._conduct.welcome(now)
        self._bell.ring()

    def farewell(self, id_: GenerationId) -> None:
        """Nobody waits for it any more; a look under way finds nothing to do."""
        if self._watched.pop(id_, None) is not None:
            self._agenda.drop(id_)
            self._refused_alone.pop(id_, None)

    def _watch(self, open_: OpenGeneration, at: float) -> None:
        self._watched[open_.id] = Watched(open_)
        self._agenda.add(open_.id, at, self._around.clock.monotonic())

    def leave(self) -> None:
        """Its provider is not configured any more."""
        self._conduct.leave()

    def apply(self, settings: ProviderSettings) -> None:
        """Use these from the next request on; a trouble of the old ones is forgotten."""
        self._settings = settings
        self._conduct.settle(settings)
        now, before = self._around.clock.monotonic(), self._agenda
        self._agenda = Agenda(self._width())
        for id_ in self._watched:
            if id_ in before:  # the others are asked about now, or stand in a split: they come back by themselves
                self._agenda.add(id_, now, now)
        self._bell.ring()

    def _width(self) -> float:
        """Buckets of a second, or finer where looks come more often than every five."""
        return min(1.0, self._settings.sweep_every.total_seconds() / 5)

    # ---- the loop ----
    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled. Started once the store's open generations are on the agenda."""
        async for chunk in self._around.store.open_generations(self._settings.name):
            now = self._around.clock.monotonic()
            for open_ in chunk:
                if open_.id not in self._watched:
                    self._watch(open_, now)
        async with anyio.create_task_group() as looks:
            task_status.started()
            while True:
                self._around.pulse.beat()
                self._send_due(looks)
                await self._bell.wait(self._pause())

    def _pause(self) -> float:
        """Seconds until something can be done that no bell announces."""
        now = self._around.clock.monotonic()
        earliest = self._agenda.earliest()
        if now >= self._leave_until or not self._around.health.store_up or earliest is None:
            return LONGEST_WAIT
        soonest = max(earliest - now, self._conduct.wait(now))
        # Due, budget there, and still not sent: all places are taken, and whoever frees one rings.
        return min(LONGEST_WAIT, soonest) if soonest > 0 else LONGEST_WAIT

    def _send_due(self, looks: TaskGroup) -> None:
        """Steps 3 and 4: as many requests as the budget allows now."""
        now = self._around.clock.monotonic()
        if now >= self._leave_until or not self._around.health.store_up:
            return
        self._send_splits(looks, now)
        conduct = self._conduct
        room, multi = conduct.room(now), conduct.multi(now)
        if room <= 0:
            return
        taken = self._agenda.take(now, room * (conduct.batch if multi else 1))
        planned = plan(
            # Without batches there is nothing that a bad ID must be kept out of.
            [Look(id=id_, alone=multi and self._watched[id_].alone) for id_ in taken],
            fit=lambda ids: self._codec.fit(ids, self._settings),
            batch_limit=conduct.batch,
            multi=multi,
            room=room,
            single_room=conduct.room_aside(now),
        )
        for look in planned.rest:
            self._agenda.add(look.id, now, now)
        for ask in planned.asks:
            self._conduct.begin(now, aside=ask.looks[0].alone)
            self._send(looks, now, ask.ids, multi=ask.multi, part_of=None)

    def _send_splits(self, looks: TaskGroup, now: float) -> None:
        """Parts of refused batches, within their share of the rate."""
        for split in list(self._splits):
            while self._conduct.room(now) > 0 and self._conduct.room_aside(now) and (ids := split.next()):
                self._conduct.begin(now, aside=True)
                self._send(looks, now, ids, multi=len(ids) > 1, part_of=split)

    def _send(
        self, looks: TaskGroup, now: float, ids: tuple[GenerationId, ...], *, multi: bool, part_of: Split | None
    ) -> None:
        ask = self._codec.sweep(ids, self._settings) if multi else self._codec.single(ids[0], self._settings)
        looks.start_soon(self._exchange, _Sent(ask=ask, split=part_of, at=now, asked_at=self._around.clock.now()))

    # ---- one request ----
    async def _exchange(self, sent: _Sent) -> None:
        """Steps 5 to 8. Every ID asked is back on the agenda, in a split, or not watched any more, when this ends."""
        try:
            reply = await self._around.ask(sent.ask, self._settings)
            observations = self._codec.decode(sent.ask, reply)
        except BatchRejected as error:
            self._refused_batch(sent, error)
        except ProviderError as error:
            self._conduct.failed(error, sent_at=sent.at)
            self._put_back(sent)
        else:
            await self._learn(sent, observations)
        finally:
            self._conduct.end()
            self._bell.ring()

    async def _learn(self, sent: _Sent, observations: Sequence[Observation]) -> None:
        asked, held = len(observations), [seen.id for seen in observations if not seen.absent]
        if sent.split is None and self._conduct.knows_none(asked=asked, held=len(held)):
            what = f"none of the {asked} IDs asked, such as {sent.ask.ids[0]}, is in the reply"
            self._conduct.knew_none(what, sent_at=sent.at, asked=asked, watched=len(self._watched))
            self._put_back(sent)
            return
        self._conduct.answered(sent_at=sent.at, asked=asked, held=len(held), multi=sent.ask.multi)
        self._weigh_multi(sent.ask, held)
        await self._take_in(sent, observations)
        if sent.split is not None:
            sent.split.answered(sent.ask.ids, held)
            self._finish_split(sent.split)

    async def _take_in(self, sent: _Sent, observations: Sequence[Observation]) -> None:
        """Steps 7 and 8: what was seen, what to write, when to look again."""
        now = self._around.clock.monotonic()
        times = LookTimes(asked_at=sent.asked_at, answered_at=self._around.clock.now())
        entries = {seen.id: entry for seen in observations if (entry := self._watched.get(seen.id)) is not None}
        joined = {id_: entry.joined for id_, entry in entries.items()}
        transitions: list[Transition] = []
        for seen in observations:
            if (entry := entries.get(seen.id)) is None:
                continue
            self._warn_unmapped(seen)
            if seen.absent:
                miss(entry, now, single=not sent.ask.multi)
                if sent.split is not None and not sent.ask.multi and not entry.alone:
                    entry.isolate()  # now, not when the split is done: it would rejoin a batch meanwhile
            elif transition := see(entry, seen, times, self._settings):
                transitions.append(transition)
        await self._record(transitions, joined)
        await self._end(entries, joined, times)
        for id_, entry in entries.items():
            if self._watched.get(id_) is entry:
                alone = entry.alone or not sent.ask.multi
                at = next_look(self._settings, now=sent.at, misses=entry.misses.count, alone=alone)
                self._agenda.add(id_, at, now)

    async def _record(self, transitions: list[Transition], joined: dict[GenerationId, int]) -> None:
        if not transitions:
            return
        around = self._around
        recorded = await self._insist(
            lambda: around.store.record_transitions(transitions, now=around.clock.now(), book=around.book())
        )
        for transition, outcome in zip(transitions, recorded, strict=True):
            seen = transition.observation
            _log.debug(  # the attempt that follows has its own line
                telemetry.GENERATION_ADVANCED,
                provider=transition.provider,
                generation=seen.id,
                state=seen.state,
                provider_state=seen.provider_state,
                owed=outcome.owed,
                not_before=transition.not_before and transition.not_before.isoformat(),
            )
            if (entry := self._watched.get(seen.id)) is not None:
                entry.state = seen.state
                entry.not_before = transition.observed_at
        self._follow([transition.observation.id for transition in transitions], recorded, joined)

    async def _end(
        self, entries: dict[GenerationId, Watched], joined: dict[GenerationId, int], times: LookTimes
    ) -> None:
        """Watches whose deadline has passed, and IDs that the provider does not know."""
        endings = [
            Ending(provider=self._settings.name, generation=id_, kind=kind, observed_at=times.asked_at)
            for id_, entry in entries.items()
            if self._watched.get(id_) is entry and (kind := self._ended(entry, times)) is not None
        ]
        if not endings:
            return
        around = self._around
        recorded = await self._insist(
            lambda: around.store.end_watches(endings, now=around.clock.now(), book=around.book())
        )
        for ending, outcome in zip(endings, recorded, strict=True):
            _log.info(
                telemetry.WATCHES_ENDED,
                provider=ending.provider,
                generation=ending.generation,
                kind=ending.kind,
                owed=outcome.owed,
            )
        self._follow([ending.generation for ending in endings], recorded, joined)

    def _ended(self, entry: Watched, times: LookTimes) -> Kind | None:
        if unknown(entry, times, self._conduct.answered_at):
            return Kind.UNKNOWN
        return Kind.EXPIRED if overdue(entry, times) else None

    def _follow(
        self, ids: Sequence[GenerationId], recorded: Sequence[Recorded], joined: dict[GenerationId, int]
    ) -> None:
        """Let go of what nobody waits for any more, unless a watch joined while the look was under way."""
        if any(outcome.owed for outcome in recorded):
            self._around.deliveries.ring()
        for id_, outcome in zip(ids, recorded, strict=True):
            entry = self._watched.get(id_)
            if entry is None:
                continue
            if outcome.open is not None:
                known = outcome.open.deadline
                entry.deadline = known if entry.joined == joined[id_] else min(known, entry.deadline)
            elif entry.joined == joined[id_] or (entry.state is not None and entry.state.final):
                self.farewell(id_)

    async def _insist(self, write: Callable[[], Awaitable[T]]) -> T:
        """Until it is written: what was seen is not seen again for free."""
        while True:
            try:
                return await write()
            except StoreUnavailable as error:
                self._around.health.store_failed(error)
                await self._around.health.wait_for_store(LONGEST_WAIT)

    # ---- what went wrong ----
    def _put_back(self, sent: _Sent) -> None:
        """These were not answered: due at once, when the provider is asked again."""
        if sent.split is not None and sent.split in self._splits:
            sent.split.unasked(sent.ask.ids)
        else:
            self._put_back_ids(sent.ask.ids)

    def _put_back_ids(self, ids: Sequence[GenerationId]) -> None:
        now = self._around.clock.monotonic()
        for id_ in ids:
            if id_ in self._watched:
                self._agenda.add(id_, now, now)

    def _refused_batch(self, sent: _Sent, error: BatchRejected) -> None:
        ids = sent.ask.ids
        self._conduct.refused(error, sent_at=sent.at, size=len(ids))
        if len(ids) == 1:
            if (entry := self._watched.get(ids[0])) is not None and not entry.alone:
                entry.isolate()  # the single route decides
            self._refused_alone[ids[0]] = str(error)
            self._put_back(sent)
        elif sent.split is not None and sent.split in self._splits:
            sent.split.refused(ids)
        elif error.too_large or sent.split is not None:
            self._put_back(sent)
        else:
            self._splits.append(Split(ids, str(error)))

    def _weigh_multi(self, ask: Ask, held: Sequence[GenerationId]) -> None:
        """A multi route that refuses one ID by itself, which the single route then holds, and another, is unusable.

        One that answers is usable; an ID that the single route does not hold either may be new, and speaks for neither.
        """
        if ask.multi:
            self._refused_alone.clear()
            self._held_alone.clear()
        elif ask.ids[0] in self._refused_alone:
            self._doubt_multi(ask.ids[0], held=bool(held))

    def _doubt_multi(self, id_: GenerationId, *, held: bool) -> None:
        said = self._refused_alone.pop(id_)
        if not held:
            return
        self._held_alone.add(id_)
        if len(self._held_alone) >= PROOF:
            self._conduct.do_without_multi(said)
            self._held_alone.clear()
            self._acquit(self._watched)

    def _acquit(self, ids: Iterable[GenerationId]) -> None:
        for id_ in ids:
            if (entry := self._watched.get(id_)) is not None:
                entry.acquit()

    def _finish_split(self, split: Split) -> None:
        """Learn from it once it has taught something; what it has not asked about goes back on the agenda."""
        if not split.done or split not in self._splits:
            return
        lesson = self._conduct.learn(split, watched=len(self._watched))
        if lesson is Lesson.MULTI_UNUSABLE:
            blamed, over = list(self._watched), list(self._splits)  # the others would only teach the same
        else:
            blamed, over = ([] if lesson is Lesson.BAD_IDS else list(split.ids)), [split]
        for each in over:
            self._splits.remove(each)
            self._put_back_ids(each.abandon())
        self._acquit(blamed)

    def _warn_unmapped(self, seen: Observation) -> None:
        """Once for each word: it is taken as running until the codec learns it."""
        word = seen.provider_state or ""
        if seen.unmapped and word not in self._warned_of and len(self._warned_of) < MOST_WORDS:
            self._warned_of.add(word)
            _log.warning(telemetry.STATE_UNMAPPED, provider=self._settings.name, word=word, taken_as="running")

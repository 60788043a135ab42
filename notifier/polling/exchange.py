"""One request after the other of one provider, from the question to what follows from its answer. Steps 5 to 8.

What comes back is handed on: what was seen to the recorder, rejections and failures to `rejections`, whatever speaks of
the provider to its state.
"""

from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup

from notifier.domain.errors import BatchRejected, ProviderBusy, ProviderError, ReplyTooLarge
from notifier.domain.ids import GenerationId
from notifier.domain.model import Observation
from notifier.domain.settings import ProviderSettings
from notifier.polling.batching.bisect import Bisection
from notifier.polling.long_poll.in_flight import LongPoll, LongPolls
from notifier.polling.long_poll.support import QUICK
from notifier.polling.provider_state import ProviderState
from notifier.polling.recorder import PollContext, Recorder
from notifier.polling.rejections import Rejections
from notifier.polling.rereads import Rereads
from notifier.polling.scheduling.open_generation import PollTimes, TrackedGeneration
from notifier.polling.scheduling.open_generations import OpenGenerations
from notifier.polling.under_way import Sent, UnderWay
from notifier.providers.base import BeforeRepeat, Codec, PollRequest, Reply
from notifier.providers.masked import decode
from notifier.runtime.clock import Clock
from notifier.runtime.wakeup import Wakeup

#: A body of so many bytes is read in a thread, one at a time: many that come together would stop the loop for the sum
#: of their times. For how long orjson stops it while it parses one of them, `providers.reply_text` bounds.
LONG: Final = 32 * 1024


@dataclass(slots=True, kw_only=True, eq=False)
class Exchanges:
    """Of one provider."""

    settings: ProviderSettings
    codec: Codec
    generations: OpenGenerations
    provider: ProviderState
    rejections: Rejections
    under_way: UnderWay
    recorder: Recorder
    long_polls: LongPolls
    rereads: Rereads
    ask: Callable[[PollRequest, ProviderSettings, BeforeRepeat], Awaitable[Reply]]
    readers: anyio.CapacityLimiter
    clock: Clock
    #: Notified when a request is over.
    wakeup: Wakeup
    #: Where requests run; set before the first one.
    tasks: TaskGroup | None = None
    #: Of requests that lost their connection, and wait to be made once more.
    _repeats: deque[anyio.Event] = field(default_factory=deque)

    def fit(self, ids: Sequence[GenerationId]) -> int:
        """How many of these, from the first, fit in one batch poll."""
        return self.codec.fit(ids, self.settings)

    # ---- beginning ----
    def poll(
        self,
        ids: tuple[GenerationId, ...],
        now: float,
        *,
        batch: bool,
        irregular: bool = False,
        part_of: Bisection | None = None,
        piggybacked: Iterable[GenerationId] = (),
        late: bool = False,
    ) -> None:
        """Ask about these, by the route for several if `batch`. `piggybacked` are those that somebody reads again."""
        self.provider.budget.begin(now, irregular=irregular, batch=len(ids) > 1)
        codec, settings = self.codec, self.settings
        self._start(
            Sent(
                request=codec.batch_poll(ids, settings) if batch else codec.poll(ids[0], settings),
                at=now,
                asked_at=self.clock.now(),
                part_of=part_of,
                piggybacked=frozenset([id_ for id_ in piggybacked if self.generations.get(id_) is None]),
                irregular=irregular,
                late=late,
            )
        )

    def long_poll(self, long_poll: LongPoll) -> None:
        ids, now = [entry.id for entry in long_poll.entries], long_poll.since
        request = self.codec.long_poll(ids, long_poll.target, self.settings)
        self.provider.budget.begin(now, long_poll=True)
        self._start(Sent(request=request, at=now, asked_at=self.clock.now(), long_poll=long_poll))

    def _start(self, sent: Sent) -> None:
        assert self.tasks is not None, "the loop runs"
        self.tasks.start_soon(self._make, sent)

    def repeat(self, now: float) -> None:
        """Let requests that lost their connection be made once more, as far as the budget allows it now."""
        while self._repeats and self.provider.budget.repeat(now):
            self._repeats.popleft().set()

    def forget(self, gone: Iterable[TrackedGeneration]) -> None:
        """Nobody watches these any more, and they are not tracked any more."""
        for entry in gone:
            self.long_polls.cancel(entry)
            self.rejections.forget(entry.id)

    # ---- one request ----
    async def _make(self, sent: Sent) -> None:
        """Steps 5 to 8. When this ends every ID asked is queued, in a bisection, or not watched any more."""
        self.under_way.begin(sent)
        try:
            if sent.long_poll is None:
                await self._poll(sent)
            else:
                await self._long_poll(sent, sent.long_poll)
        finally:
            took = self.clock.monotonic() - sent.at
            self.under_way.end(sent)
            self.provider.budget.end(
                took=took, irregular=sent.irregular, long_poll=sent.long_poll is not None, batch=sent.several
            )
            self.wakeup.notify()

    async def _observe(self, sent: Sent) -> Sequence[Observation]:
        reply = await self.ask(sent.request, self.settings, self._before_repeat)
        read = partial(decode, self.codec, sent.request, reply, self.settings)
        if len(reply.body) < LONG:
            return read()
        return await anyio.to_thread.run_sync(read, limiter=self.readers)

    async def _before_repeat(self) -> None:
        granted = anyio.Event()
        self._repeats.append(granted)
        self.wakeup.notify()
        try:
            await granted.wait()
        finally:
            if granted in self._repeats:
                self._repeats.remove(granted)

    def _answered(self, sent: Sent, held: Sequence[GenerationId], *, asked: int, batch: bool) -> None:
        """A reply to `asked` IDs held these: what that says of the provider."""
        if held and self.provider.absent:
            self.generations.readmit()
        outage_since = self.provider.answered(sent_at=sent.at, asked=asked, held=len(held), batch=batch)
        self.rejections.outage_over(outage_since)
        self.provider.trusted.extend(held)

    def _missed_singly(self, id_: GenerationId, sent: Sent) -> None:
        generations = self.generations
        self.provider.missed_singly(id_, sent_at=sent.at, watched=len(generations), untried=generations.queues.untried)

    def _requeue(self, ids: Iterable[GenerationId]) -> None:
        self.generations.requeue(ids, self.clock.monotonic())

    def _context(self, sent: Sent, *, kept: bool = False) -> PollContext:
        clock = self.clock
        times = PollTimes(asked_at=sent.asked_at, answered_at=clock.now(), sent=sent.at, got=clock.monotonic())
        return PollContext(times=times, batch=sent.request.batch, part=sent.part_of is not None, kept=kept)

    # ---- polls ----
    async def _poll(self, sent: Sent) -> None:
        observations: Sequence[Observation] | None = None
        try:
            with sent.scope:
                observations = await self._observe(sent)
        except BatchRejected as error:
            self._tried(sent, answered=True)
            if not (sent.piggybacked or sent.late):
                self.rejections.refused(sent.ids, sent.part_of, error, sent_at=sent.at)
                return
            self.rejections.batch_refused(error, sent_at=sent.at, size=len(sent.ids))
            if sent.piggybacked:  # they may be to blame
                self._repeat_without_piggybacked(sent)
        except ProviderError as error:
            self._tried(sent, answered=False)
            await self._failed(sent, error)
        else:
            if observations is not None:
                self._tried(sent, answered=True, found=any(not seen.absent for seen in observations))
                await self._learn(sent, observations)
            elif sent.piggybacked:
                self._repeat_without_piggybacked(sent)
            elif not sent.late:
                self.rejections.unanswered(sent.ids, sent.part_of)

    def _tried(self, sent: Sent, *, answered: bool, found: bool = False) -> None:
        self.under_way.tried(sent, self.clock.monotonic(), answered=answered, found=found)

    async def _failed(self, sent: Sent, error: ProviderError) -> None:
        """It was not answered: whose failure that is, `rejections` finds out."""
        if sent.piggybacked and not error.any_id and sent.several:
            self._repeat_without_piggybacked(sent)
            return
        self.rereads.failed(sent.ids)
        if sent.late:
            self.rejections.failed_late(sent.ids, error, sent_at=sent.at)
            return
        self.rejections.failed(sent.request, sent.part_of, error, sent_at=sent.at)
        if not sent.several and self.rejections.may_expire(sent.ids[0]):
            self.forget(await self.recorder.expire_failing(sent.ids[0], sent.asked_at))

    def _repeat_without_piggybacked(self, sent: Sent) -> None:
        self.rereads.refused(sent.piggybacked, self.clock.monotonic())
        self._requeue(sent.ids)

    async def _learn(self, sent: Sent, observations: Sequence[Observation]) -> None:
        self.rereads.answered(observations, self.clock.now())
        asked, held = len(observations), [seen.id for seen in observations if not seen.absent]
        # A piggybacked ID that is gone is an old one: that says nothing of the provider.
        ours = asked - sum(seen.absent and seen.id in sent.piggybacked for seen in observations)
        if sent.part_of is None and self.provider.knows_none(asked=ours, held=len(held)):
            what = f"none of the {ours} IDs asked, such as {sent.ids[0]}, is in the reply"
            self.generations.exclude_all(sent.ids)
            self.provider.knew_none(what, sent_at=sent.at, untried=self.generations.queues.untried)
            self._requeue(sent.ids)
            return
        self.rejections.seen(sent.request, held)
        self._answered(sent, held, asked=asked, batch=sent.request.batch)
        self.rejections.weigh_batch_route(sent.request, held)
        self.forget(await self.recorder.take_in(self._context(sent), observations))
        if ours == 1 and not held:
            self._missed_singly(sent.ids[0], sent)
        if sent.part_of is not None and sent.late:
            self.rejections.answered_late(sent.ids, sent.part_of)
        elif sent.part_of is not None:
            self.rejections.answered(sent.part_of, sent.ids, held)

    # ---- long-polls ----
    async def _long_poll(self, sent: Sent, long_poll: LongPoll) -> None:
        """It may be cancelled, and it may fail in ways that say nothing of the provider."""
        observations: Sequence[Observation] = ()
        failure: ProviderError | None = None
        with long_poll.scope:
            try:
                observations = await self._observe(sent)
            except ProviderError as error:
                failure = error
        took = self.clock.monotonic() - sent.at
        kept = failure is None and bool(observations) and took >= QUICK
        self.long_polls.ended(long_poll, sent.at + took, kept=kept)
        if failure is not None and self._long_poll_failed(sent, long_poll, failure, took):
            return
        held = [seen for seen in observations if not seen.absent]
        absent = {seen.id for seen in observations if seen.absent}
        if observations:
            reached = sum(seen.state is not None and seen.state.rank >= long_poll.target.rank for seen in held)
            unseen = [entry for entry in long_poll.entries if entry.id in absent and entry.state is None]
            if not self.long_polls.unfound(unseen):
                self.provider.long_poll.answered(took=took, reached=reached, asked=len(observations))
        if held:
            self._answered(sent, [seen.id for seen in held], asked=len(observations), batch=False)
            context = self._context(sent, kept=kept and not long_poll.trial)
            self.forget(await self.recorder.take_in(context, held))
            self._requeue(absent)
            return
        if len(observations) == 1:  # whether it is unknown, a poll that is answered at once will tell
            self._missed_singly(observations[0].id, sent)
        if not long_poll.trial:  # those of a trial are queued
            self._requeue(sent.ids)

    def _long_poll_failed(self, sent: Sent, long_poll: LongPoll, error: ProviderError, took: float) -> bool:
        """True if its IDs are queued, or in a bisection, again."""
        if isinstance(error, BatchRejected) or (long_poll.trial and not (error.any_id or error.asks_to_wait)):
            self.provider.long_poll.answered(took=0.0, reached=0, asked=len(sent.ids))
            return False
        if (
            isinstance(error, ProviderBusy)
            and not isinstance(error, ReplyTooLarge)
            and self.provider.long_poll.broke(error, took=took, asked=len(sent.ids))
        ):
            return False
        if long_poll.trial:
            self.provider.failed(error, sent_at=sent.at)
        else:
            self.rejections.failed(sent.request, None, error, sent_at=sent.at)
        return True

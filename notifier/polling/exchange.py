"""One request after the other of one provider, from the question to what follows from its answer. Steps 5 to 8.

What comes back is handed on: what was seen to the recorder, rejections and failures to `rejections`, whatever speaks of
the provider to `conduct`.
"""

from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Final

import anyio
import anyio.to_thread

from notifier.domain.errors import BatchRejected, ProviderBusy, ProviderError, ReplyTooLarge
from notifier.domain.ids import GenerationId
from notifier.domain.model import Observation
from notifier.domain.settings import ProviderSettings
from notifier.polling.batching.bisect import Bisection
from notifier.polling.batching.route_trial import RouteTrial
from notifier.polling.long_poll.in_flight import LongPoll, LongPolls
from notifier.polling.long_poll.support import QUICK
from notifier.polling.provider_state import ProviderState
from notifier.polling.recorder import Look, Recorder
from notifier.polling.rejections import Rejections
from notifier.polling.rereads import Rereads
from notifier.polling.scheduling.open_generation import PollTimes
from notifier.polling.scheduling.open_generations import OpenGenerations
from notifier.providers.base import BeforeRepeat, Codec, PollRequest, Reply
from notifier.providers.masked import decode
from notifier.runtime.clock import Clock
from notifier.runtime.wakeup import Wakeup

#: A body of so many bytes is read in a thread, one at a time: many that come together would stop the loop for the sum
#: of them. What one stops it for all the same, while orjson parses, is bounded by `providers.reply_text`.
LONG: Final = 32 * 1024


@dataclass(slots=True, kw_only=True, eq=False)
class Sent:
    """A request under way."""

    request: PollRequest
    #: Monotonic.
    at: float
    asked_at: datetime
    #: What it is part of, if anything.
    split: Bisection | None = None
    long_poll: LongPoll | None = None
    #: Those of its IDs that nobody watches, asked for because somebody wants to see them once more.
    piggybacked: frozenset[GenerationId] = frozenset()
    #: True once it was not answered for long, and its halves are asked for too.
    late: bool = False
    #: It is paid from the share of what stands aside.
    irregular: bool = False
    #: To give it up.
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)

    @property
    def divisible(self) -> bool:
        return self.long_poll is None and len(self.request.ids) > 1 and not (self.late or self.piggybacked)


class Exchanges:
    """Of one provider. `call` makes IDs due at once; `wakeup` is rung when a request is over."""

    def __init__(
        self,
        settings: ProviderSettings,
        codec: Codec,
        *,
        generations: OpenGenerations,
        provider: ProviderState,
        rejections: Rejections,
        recorder: Recorder,
        long_polls: LongPolls,
        rereads: Rereads,
        ask: Callable[[PollRequest, ProviderSettings, BeforeRepeat], Awaitable[Reply]],
        readers: anyio.CapacityLimiter,
        clock: Clock,
        call: Callable[[Iterable[GenerationId]], None],
        wakeup: Wakeup,
    ) -> None:
        self.settings = settings
        self._codec = codec
        self._generations = generations
        self._provider = provider
        self._rejections = rejections
        self._recorder = recorder
        self._long_polls = long_polls
        self._rereads = rereads
        self._ask_provider = ask
        self._readers = readers
        self._clock = clock
        self._call = call
        self._wakeup = wakeup
        self._under_way: list[Sent] = []
        self._trial = RouteTrial()
        #: Of requests that lost their connection, and wait to be made once more.
        self._repeats: deque[anyio.Event] = deque()

    def asked_alone(self) -> set[GenerationId]:
        """IDs that are asked about by themselves now."""
        return {
            sent.request.ids[0] for sent in self._under_way if sent.long_poll is None and len(sent.request.ids) == 1
        }

    def divide_late(self, now: float) -> None:
        """A sweep that hangs may do so for one ID: the others do not wait until it is given up."""
        hangs = self._provider.hangs_after
        self._provider.hanging = sum(sent.long_poll is None and now - sent.at >= hangs for sent in self._under_way)
        if not self._provider.well():
            return
        for sent in self._under_way:
            after = self._provider.late_after if sent.split is None else self._provider.part_late_after
            if sent.divisible and now - sent.at >= after:
                part = sent.split is not None
                split = self._rejections.late(sent.request.ids, sent.split, sent_at=sent.at)
                sent.late, sent.split = split is not None, split or sent.split
                if sent.late and part:  # others are answered, so one of its IDs is why: its place is for its halves
                    sent.scope.cancel()

    # ---- whether the multi route hangs ----
    def doubts_route(self, now: float) -> bool:
        """Whether something is to be asked for now, to find out."""
        provider = self._provider
        if not (provider.well() and provider.multi(now)):
            return False
        hangs = provider.late_after + provider.part_late_after  # its halves would be answered by then
        for sent in self._under_way:
            if sent.long_poll is None and len(sent.request.ids) > 1 and now - sent.at >= hangs:
                self._trial.late(sent.request.ids, now, sent_at=sent.at)
        if self._trial.proved(now, provider.late_after):
            self._trial.answered(now)
            self._rejections.route_hangs()
            self._give_up_batches()
        return self._trial.pending

    def next_of_trial(self, now: float) -> tuple[GenerationId, ...] | None:
        generations = self._generations
        return self._trial.next(now, fit=lambda id_: (entry := generations.get(id_)) is not None and not entry.failing)

    def _give_up_batches(self) -> None:
        """They are not answered, and keep places; their IDs are asked for one by one."""
        for sent in self._under_way:
            if sent.request.batch:
                (sent.scope if sent.long_poll is None else sent.long_poll.scope).cancel()

    def _tried(self, sent: Sent, *, answered: bool, held: bool) -> None:
        """What a request that is over tells of the multi route."""
        now = self._clock.monotonic()
        if not sent.request.batch:
            self._trial.single_answered(sent.request.ids[0], found=held)
        elif answered or now - sent.at < self._provider.late_after:
            self._trial.answered(now)
            self._provider.multi_spoke()
        elif len(sent.request.ids) > 1:
            self._trial.late(sent.request.ids, now, sent_at=sent.at)

    # ---- one request ----
    async def make(self, sent: Sent) -> None:
        """Steps 5 to 8. Every ID asked is back on the agenda, in a split, or not watched any more, when this ends."""
        self._under_way.append(sent)
        try:
            if sent.long_poll is None:
                await self._ask(sent)
            else:
                await self._ask_and_wait(sent, sent.long_poll)
        finally:
            took = self._clock.monotonic() - sent.at
            self._under_way.remove(sent)
            self._provider.hanging = 0  # reckoned anew before anything is asked
            self._provider.end(
                took=took,
                irregular=sent.irregular,
                long_poll=sent.long_poll is not None,
                batch=len(sent.request.ids) > 1,
            )
            self._wakeup.notify()

    async def _ask(self, sent: Sent) -> None:
        observations: Sequence[Observation] | None = None
        try:
            with sent.scope:
                observations = await self._observe(sent)
        except BatchRejected as error:
            self._tried(sent, answered=True, held=False)
            if sent.piggybacked:
                self._rejected_with_piggybacked(sent, error)
            elif sent.late:
                self._provider.refused(error, sent_at=sent.at, size=len(sent.request.ids))
            else:
                self._rejections.refused(sent.request.ids, sent.split, error, sent_at=sent.at)
        except ProviderError as error:
            self._tried(sent, answered=False, held=False)
            await self._failed(sent, error)
        else:
            if observations is None:
                self._given_up(sent)
                return
            self._tried(sent, answered=True, held=any(not seen.absent for seen in observations))
            await self._learn(sent, observations)

    def _given_up(self, sent: Sent) -> None:
        if sent.piggybacked:
            self._without_piggybacked(sent)
        elif not sent.late:
            self._rejections.unanswered(sent.request.ids, sent.split)

    async def _failed(self, sent: Sent, error: ProviderError) -> None:
        """It was not answered: whose failure that is, `rejections` finds out."""
        if sent.piggybacked and not error.any_id and len(sent.request.ids) > 1:
            self._without_piggybacked(sent)
            return
        self._rereads.failed(sent.request.ids)
        if sent.late:
            self._rejections.failed_late(sent.request.ids, error, sent_at=sent.at)
            return
        self._rejections.failed(sent.request, sent.split, error, sent_at=sent.at)
        if len(sent.request.ids) == 1 and self._rejections.may_expire(sent.request.ids[0]):
            await self._recorder.expire_failing(sent.request.ids[0], sent.asked_at)

    async def _observe(self, sent: Sent) -> Sequence[Observation]:
        reply = await self._ask_provider(sent.request, self.settings, self._before_repeat)
        read = partial(decode, self._codec, sent.request, reply, self.settings)
        if len(reply.body) < LONG:
            return read()
        return await anyio.to_thread.run_sync(read, limiter=self._readers)

    async def _before_repeat(self) -> None:
        granted = anyio.Event()
        self._repeats.append(granted)
        self._wakeup.notify()
        try:
            await granted.wait()
        finally:
            if granted in self._repeats:
                self._repeats.remove(granted)

    def repeat(self, now: float) -> None:
        """Let requests that lost their connection be made once more, as far as the budget allows it now."""
        while self._repeats and self._provider.repeat(now):
            self._repeats.popleft().set()

    async def _ask_and_wait(self, sent: Sent, long_poll: LongPoll) -> None:
        """A request that waits. It may be let go, and it may fail in ways that say nothing of the provider."""
        observations: Sequence[Observation] = ()
        failure: ProviderError | None = None
        with long_poll.scope:
            try:
                observations = await self._observe(sent)
            except ProviderError as error:
                failure = error
        took = self._clock.monotonic() - sent.at
        kept = failure is None and bool(observations) and took >= QUICK
        self._long_polls.ended(long_poll, sent.at + took, kept=kept)
        if failure is not None and self._hold_failed(sent, failure, took):
            return
        if not observations:
            self._put_back(long_poll)
            return
        held = [seen for seen in observations if not seen.absent]
        reached = sum(seen.state is not None and seen.state.rank >= long_poll.target.rank for seen in held)
        absent = {seen.id for seen in observations if seen.absent}
        if not self._long_polls.unfound(
            entry for entry in long_poll.entries if entry.id in absent and entry.state is None
        ):
            self._provider.held(took=took, reached=reached, asked=len(observations))
        if not held:  # whether they are unknown, a look without a wish will tell
            if len(observations) == 1:
                self._missed_alone(observations[0].id, sent)
            self._put_back(long_poll)
            return
        self._provider.answered(sent_at=sent.at, asked=len(observations), held=len(held), multi=False)
        self._provider.trusted.extend(seen.id for seen in held)
        await self._recorder.take_in(self._seen_by(sent, kept=kept and not long_poll.trial), held)
        self._call(seen.id for seen in observations if seen.absent)

    def _hold_failed(self, sent: Sent, error: ProviderError, took: float) -> bool:
        """True where its IDs are on the agenda, or in a split, again."""
        asked = len(sent.request.ids)
        trial = sent.long_poll is not None and sent.long_poll.trial
        if isinstance(error, BatchRejected) or (trial and not (error.any_id or error.asks_to_wait)):
            self._provider.held(took=0.0, reached=0, asked=asked)
        elif isinstance(error, ReplyTooLarge) or not (
            isinstance(error, ProviderBusy) and self._provider.long_poll_broke(error, took=took, asked=asked)
        ):
            if trial:
                self._provider.failed(error, sent_at=sent.at)
            else:
                self._rejections.failed(sent.request, None, error, sent_at=sent.at)
            return True
        return False

    async def _learn(self, sent: Sent, observations: Sequence[Observation]) -> None:
        self._rereads.answered(observations, self._clock.now())
        asked, held = len(observations), [seen.id for seen in observations if not seen.absent]
        # A guest that is gone is an old one: that says nothing of the provider.
        ours = asked - sum(seen.absent and seen.id in sent.piggybacked for seen in observations)
        if sent.split is None and self._provider.knows_none(asked=ours, held=len(held)):
            what = f"none of the {ours} IDs asked, such as {sent.request.ids[0]}, is in the reply"
            self._generations.exclude_all(sent.request.ids)
            self._provider.knew_none(what, sent_at=sent.at, untried=self._generations.untried)
            self._call(sent.request.ids)
            return
        self._rejections.seen(sent.request, held)
        self._provider.answered(sent_at=sent.at, asked=asked, held=len(held), multi=sent.request.batch)
        self._provider.trusted.extend(held)
        self._rejections.weigh_multi(sent.request, held)
        await self._recorder.take_in(self._seen_by(sent), observations)
        if ours == 1 and not held:
            self._missed_alone(sent.request.ids[0], sent)
        if sent.split is not None and sent.late:
            self._rejections.answered_late(sent.request.ids, sent.split)
        elif sent.split is not None:
            self._rejections.answered(sent.split, sent.request.ids, held)

    def _missed_alone(self, id_: GenerationId, sent: Sent) -> None:
        generations = self._generations
        self._provider.missed_alone(id_, sent_at=sent.at, watched=len(generations), untried=generations.untried)

    def _rejected_with_piggybacked(self, sent: Sent, error: BatchRejected) -> None:
        """They may be to blame: the others are asked for again without them."""
        self._provider.refused(error, sent_at=sent.at, size=len(sent.request.ids))
        self._without_piggybacked(sent)

    def _without_piggybacked(self, sent: Sent) -> None:
        self._rereads.refused(sent.piggybacked, self._clock.monotonic())
        self._call(sent.request.ids)

    def _seen_by(self, sent: Sent, *, kept: bool = False) -> Look:
        clock = self._clock
        times = PollTimes(asked_at=sent.asked_at, answered_at=clock.now(), sent=sent.at, got=clock.monotonic())
        return Look(times=times, multi=sent.request.batch, part=sent.split is not None, kept=kept)

    def _put_back(self, long_poll: LongPoll) -> None:
        """Its IDs are due at once; those of a trial are on the agenda."""
        if not long_poll.trial:
            self._call(entry.id for entry in long_poll.entries)

"""Batches that were refused or failed, on their way down to the bad ID, and what follows for that ID. Of one provider.

What such a batch teaches is `split`'s to say, whose failure it is `blame`'s, what follows for the provider `conduct`'s;
here they are brought together with the IDs concerned. An ID for which requests fail while the provider answers about
others is asked alone, less and less often, and takes no other ID with it.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import chain
from typing import Final

import structlog

from notifier.domain.errors import BatchRejected, ProviderError, ReplyTooLarge
from notifier.domain.ids import GenerationId
from notifier.polling.batching.bisect import Bisection, Diagnosis
from notifier.polling.batching.blame import Setback, from_the_middle
from notifier.polling.provider_state import ProviderState
from notifier.polling.scheduling.open_generation import TrackedGeneration
from notifier.polling.scheduling.open_generations import OpenGenerations
from notifier.providers.base import PollRequest
from notifier.runtime import log_events
from notifier.runtime.clock import Clock
from notifier.store.records import Trouble

_log = structlog.get_logger()

#: IDs that the multi route refuses and the single route holds, until the multi route counts as unusable.
PROOF: Final = 2
FAILING: Final = "failing"
_BEFORE: Final = float("-inf")
#: Failures in a row of one ID after which it is remembered that it spoiled a batch.
_SURE: Final = 2


class Rejections:
    """Of one provider."""

    def __init__(self, generations: OpenGenerations, provider: ProviderState, *, clock: Clock) -> None:
        self._generations = generations
        self._provider = provider
        self._clock = clock
        #: ID -> the failures in a row of requests about it alone.
        self.setbacks: dict[GenerationId, Setback] = {}
        self._splits: deque[Bisection] = deque()
        #: ID -> what the multi route said when it refused that one ID.
        self._refused_alone: dict[GenerationId, str] = {}
        #: Those of them that the single route holds.
        self._held_alone: set[GenerationId] = set()
        #: IDs that failed alone and that the multi route holds, since the single route last held any.
        self._held_by_multi: set[GenerationId] = set()

    def parts(self, *, batches: Callable[[], bool]) -> Iterator[tuple[Bisection, tuple[GenerationId, ...]]]:
        """What to ask for next, part by part; of several IDs only while that may be asked.

        Take no more than can be asked: each is under way from then on.
        """
        for split in list(self._splits):
            while (not split.next_is_batch or batches()) and (ids := split.next()):
                yield split, ids

    def unanswered(self, ids: tuple[GenerationId, ...], split: Bisection | None) -> None:
        """These were not answered: they come again when the provider is asked again."""
        if split is not None and split in self._splits:
            split.not_asked(ids)
        else:
            self._requeue(ids)

    def forget(self, id_: GenerationId) -> None:
        """Nobody watches it any more."""
        self._refused_alone.pop(id_, None)
        self.setbacks.pop(id_, None)

    def refused(
        self, ids: tuple[GenerationId, ...], split: Bisection | None, error: BatchRejected, *, sent_at: float
    ) -> None:
        """A request for these, perhaps a part of `split`, was refused because of what is in it."""
        self.batch_refused(error, sent_at=sent_at, size=len(ids))
        if len(ids) == 1:
            if (entry := self._generations.get(ids[0])) is not None and not entry.poll_singly:
                entry.isolate()  # the single route decides
            self._refused_alone[ids[0]] = str(error)
            self.unanswered(ids, split)
        elif split is not None and split in self._splits:
            split.refused(ids)
        elif error.too_large or split is not None:
            self.unanswered(ids, split)
        else:
            self._splits.append(Bisection(ids, str(error)))

    # ---- requests that failed ----
    def failed(self, request: PollRequest, split: Bisection | None, error: ProviderError, *, sent_at: float) -> None:
        """A request, perhaps a part of `split`, was not answered: the provider's trouble, or that of one of its IDs."""
        ids, provider = request.ids, self._provider
        if error.any_id:
            provider.failed(error, sent_at=sent_at)
            self.unanswered(ids, split)
            return
        large = isinstance(error, ReplyTooLarge)
        if large:
            self.outage_over(provider.replied(sent_at=sent_at))
        probe = provider.probing(sent_at) and not large
        began = split.sent_at if split is not None and split.failed else sent_at
        if not large and (probe or not self._is_bad(ids, began)):
            # Who asks us to wait is waited for, until others are answered and this goes on.
            waits = error.asks_to_wait and provider.evidence.answered_at < began
            provider.doubt(ids, error, sent_at=sent_at, watched=len(self._generations) - self._bad, at_once=waits)
        if probe:  # nothing is concluded of any ID while the provider answers nothing
            self._note(ids, error, sent_at)
            self.unanswered(ids, split)
        elif len(ids) == 1:
            self._set_back(ids[0], split, error, began)
            if request.batch and not large:
                self._refused_alone[ids[0]] = str(error)
        elif split is None:
            self._splits.append(Bisection(ids, str(error), failed=True, too_large=large, sent_at=sent_at))
        elif split in self._splits:
            split.refused(ids)
        else:
            self._requeue(ids)

    # ---- requests that are not answered for long ----
    def late(self, ids: tuple[GenerationId, ...], split: Bisection | None, *, sent_at: float) -> Bisection | None:
        """These are asked for in halves beside the request that waits. What that is part of; None where it may not be.

        In an outage nothing is answered: then no half is divided further before it has failed.
        """
        if split is None:
            split = Bisection(ids, "No answer yet.", failed=True, sent_at=sent_at)
            self._splits.append(split)
        elif split in self._splits and self._provider.evidence.answered_at > split.sent_at:
            split.refused(ids)
        else:
            return None
        return split

    def failed_late(self, ids: Sequence[GenerationId], error: ProviderError, *, sent_at: float) -> None:
        """It failed in the end; its IDs were asked for meanwhile."""
        if error.any_id:
            self._provider.failed(error, sent_at=sent_at)
        else:
            watched = len(self._generations) - self._bad
            self._provider.doubt(ids, error, sent_at=sent_at, watched=watched)

    def answered_late(self, ids: tuple[GenerationId, ...], split: Bisection) -> None:
        """It was answered in the end: nothing more is asked for because of it."""
        if split.ids == ids and split in self._splits:
            self._splits.remove(split)
            split.abandon()

    def _set_back(self, id_: GenerationId, split: Bisection | None, error: ProviderError, began: float) -> None:
        """It failed alone: it is asked alone, later each time. The first request that failed with it began it."""
        if (entry := self._generations.get(id_)) is not None:
            now, reason = self._clock.now(), error.said
            before = self.setbacks.get(id_)
            begun = before or Setback(since=now, last=now, sent_at=began, reason=reason)
            setback = self.setbacks[id_] = begun.again(reason, last=now)
            if setback.count == _SURE and not entry.poll_singly:
                entry.isolate()
            entry.poll_singly = entry.failing = True
            wait = max(setback.wait, error.wait)
            self._generations.postpone(entry, wait, now=self._clock.monotonic(), wall=now.timestamp())
            self._tell(id_, setback, before)
        if split is not None and split in self._splits:
            split.single_failed()
            self._conclude(split)

    def _note(self, ids: Sequence[GenerationId], error: ProviderError, sent_at: float) -> None:
        """It failed alone while nobody was answered; if it does so again when others are, it was the ID all along."""
        if len(ids) == 1 and ids[0] not in self.setbacks and self._generations.get(ids[0]) is not None:
            now = self._clock.now()
            self.setbacks[ids[0]] = Setback(since=now, last=now, sent_at=sent_at, reason=error.said)

    def _tell(self, id_: GenerationId, setback: Setback, before: Setback | None) -> None:
        """One line for the first failure, for what it never said before, and then ever more rarely."""
        if before is not None and before.reason == setback.reason and setback.count & (setback.count - 1):
            return
        _log.warning(
            log_events.POLL_FAILED,
            provider=self._provider.name,
            generation=id_,
            error=setback.reason,
            times=setback.count,
            again_in_s=setback.wait,
        )

    @property
    def _bad(self) -> int:
        """How many IDs are known to be bad."""
        at = self._provider.evidence.answered_at
        return sum(setback.proved(at) for setback in self.setbacks.values())

    def _is_bad(self, ids: Sequence[GenerationId], began: float) -> bool:
        """Whether it is one ID, and others were answered since requests with it began to fail."""
        if len(ids) > 1:
            return False
        setback = self.setbacks.get(ids[0])
        return self._provider.evidence.answered_at >= (began if setback is None else setback.sent_at)

    def may_expire(self, id_: GenerationId) -> bool:
        """Whether its deadline ends its watches although the provider does not answer about it, and only about it."""
        setback = self.setbacks.get(id_)
        answered_at, now = self._provider.evidence.answered_at, self._clock.monotonic()
        return self._provider.well() and setback is not None and setback.may_expire(answered_at, now)

    def troubles(self) -> Iterator[tuple[GenerationId, Trouble]]:
        """IDs that are known to be bad, and what is said about each."""
        at = self._provider.evidence.answered_at
        for id_, setback in self.setbacks.items():
            if setback.count and setback.proved(at):
                yield (
                    id_,
                    Trouble(
                        kind=FAILING,
                        reason=setback.reason,
                        since=setback.since,
                        last=setback.last,
                        times=setback.count,
                    ),
                )

    def remember(self, id_: GenerationId, trouble: Trouble) -> None:
        """The last run found this one to be bad."""
        if (entry := self._generations.get(id_)) is not None:
            self.setbacks[id_] = Setback(
                count=trouble.times, since=trouble.since, last=trouble.last, sent_at=_BEFORE, reason=trouble.reason
            )
            entry.poll_singly = entry.failing = True

    def seen(self, request: PollRequest, held: Sequence[GenerationId]) -> None:
        """A reply told of these, be it that they are not there."""
        if not request.batch and held:
            self._held_by_multi.clear()
        if not self.setbacks:
            return
        for id_ in request.ids:
            if self.setbacks.pop(id_, None) is not None and (entry := self._generations.get(id_)) is not None:
                entry.failing = False
                if request.batch and id_ in held:
                    self._doubt_single(id_)

    # ---- the single route ----
    def by_multi(self, ids: Sequence[GenerationId]) -> bool:
        """Whether this one ID is asked by the multi route: it failed by the other. Later by both in turn."""
        setback = self.setbacks.get(ids[0])
        return setback is not None and setback.count % 2 == 1

    def _doubt_single(self, id_: GenerationId) -> None:
        """IDs that failed alone, and are held by the multi route, while none is by the single route: that is broken."""
        self._held_by_multi.add(id_)
        if len(self._held_by_multi) < PROOF:
            return
        self._held_by_multi.clear()
        self._provider.long_poll.forgo_single()
        suspected, self.setbacks = self.setbacks, {}
        entries = [entry for entry in map(self._generations.get, suspected) if entry is not None]
        for entry in entries:
            entry.failing = False
        self._clear_isolation(entries)
        self._requeue(suspected)

    def to_probe(self, asked: Collection[GenerationId]) -> TrackedGeneration | None:
        """Whom to ask about where the provider may be in trouble; not one that is `asked` already.

        One that was answered lately, even if a request waits for it. Else one that did not fail yet, and of those
        rather one that was in no batch which failed. Else the one that failed longest ago.
        """
        failed = dict.fromkeys(id_ for id_ in self._provider.evidence.ids() if id_ not in asked)
        trusted = [
            self._generations.get(id_) for id_ in self._provider.trusted if id_ not in failed and id_ not in asked
        ]
        if (entry := next(filter(None, trusted), None)) is not None:
            return entry
        suspected = {id_ for split in self._splits if split.failed for id_ in split.ids}
        fresh = [entry for entry in self._generations if not (entry.failing or entry.long_polled or entry.id in asked)]
        fresh = from_the_middle([entry for entry in fresh if entry.id not in failed])
        known = (self._generations.get(id_) for id_ in failed)
        likely = chain((entry for entry in fresh if entry.id not in suspected), fresh, known)
        return next((entry for entry in likely if entry is not None and not entry.long_polled), None)

    def batch_refused(self, error: BatchRejected, *, sent_at: float, size: int) -> None:
        """A request about so many IDs was refused because of what is in it: what that says of the provider."""
        self.outage_over(self._provider.refused(error, sent_at=sent_at, size=size))

    def outage_over(self, since: float | None) -> None:
        """The provider was in trouble since then: what failed meanwhile says little of IDs, and is asked again."""
        if since is None:
            return
        for split in [each for each in self._splits if each.failed]:
            self._splits.remove(split)
            self._requeue(split.abandon())
        self._requeue([id_ for id_, setback in self.setbacks.items() if setback.sent_at >= since])

    # ---- the multi route ----
    def weigh_multi(self, request: PollRequest, held: Sequence[GenerationId]) -> None:
        """A multi route that refuses one ID by itself, which the single route then holds, and another, is unusable.

        One that answers is usable; an ID that the single route does not hold either may be new, and speaks for neither.
        """
        if request.batch:
            self._refused_alone.clear()
            self._held_alone.clear()
        elif request.ids[0] in self._refused_alone:
            self._doubt_multi(request.ids[0], held=bool(held))

    def _doubt_multi(self, id_: GenerationId, *, held: bool) -> None:
        said = self._refused_alone.pop(id_)
        if not held:
            return
        self._held_alone.add(id_)
        if len(self._held_alone) >= PROOF:
            self._provider.batch_route.do_without(said)
            self._held_alone.clear()
            self._clear_isolation(self._generations)

    def route_hangs(self) -> None:
        """Batches are not answered, and their IDs are, alone."""
        self._provider.batch_route.do_without("Requests about several IDs are not answered.")
        self._end(self._splits, self._generations)

    def _requeue(self, ids: Iterable[GenerationId]) -> None:
        self._generations.requeue(ids, self._clock.monotonic())

    def _end(self, splits: Iterable[Bisection], cleared: Iterable[TrackedGeneration]) -> None:
        """Nothing more is asked for because of these."""
        for each in list(splits):
            self._splits.remove(each)
            self._requeue(each.abandon())
        self._clear_isolation(cleared)

    def _clear_isolation(self, entries: Iterable[TrackedGeneration]) -> None:
        for entry in entries:
            entry.clear_isolation()

    def answered(self, split: Bisection, ids: tuple[GenerationId, ...], held: Sequence[GenerationId]) -> None:
        """Learn from it once it has taught something; what it has not asked about goes back on the agenda."""
        split.answered(ids, held)
        self._conclude(split)

    def _conclude(self, split: Bisection) -> None:
        if not split.done or split not in self._splits:
            return
        lesson = self._provider.learn(split, untried=self._generations.queues.untried)
        if lesson is Diagnosis.MULTI_UNUSABLE:
            self._end(self._splits, self._generations)  # the others would only teach the same
        else:
            named = [] if lesson is Diagnosis.BAD_IDS else map(self._generations.get, split.ids)
            self._end([split], [entry for entry in named if entry is not None])

"""Batches that were refused or failed, on their way down to the bad ID, and what follows for that ID. Of one provider.

`bisect` decides what such a batch teaches, `blame` whose failure it is, the provider's state what follows for the
provider; here they are brought together with the IDs concerned. An ID for which requests fail while the provider
answers about others is polled singly, less and less often, and takes no other ID with it.
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

#: So many IDs that one route refuses or fails for, and the other one holds, make a route count as broken.
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
        #: ID -> the failures in a row of single polls of it.
        self.setbacks: dict[GenerationId, Setback] = {}
        self._bisections: deque[Bisection] = deque()
        #: ID -> what the batch route said when it refused that one ID.
        self._refused_alone: dict[GenerationId, str] = {}
        #: Those of them that the single route then held.
        self._held_alone: set[GenerationId] = set()
        #: IDs whose single polls failed and that the batch route held, since the single route last held any.
        self._held_by_batch_route: set[GenerationId] = set()

    def parts(self, *, batches: Callable[[], bool]) -> Iterator[tuple[Bisection, tuple[GenerationId, ...]]]:
        """What to ask for next, part by part; parts of several IDs only while `batches`.

        Take no more than can be asked for: each counts as under way from then on.
        """
        for bisection in list(self._bisections):
            while (not bisection.next_is_batch or batches()) and (ids := bisection.next()):
                yield bisection, ids

    def unanswered(self, ids: tuple[GenerationId, ...], part_of: Bisection | None) -> None:
        """These were not answered: they come again when the provider is asked again."""
        if part_of is not None and part_of in self._bisections:
            part_of.not_asked(ids)
        else:
            self._requeue(ids)

    def forget(self, id_: GenerationId) -> None:
        """Nobody watches it any more."""
        self._refused_alone.pop(id_, None)
        self.setbacks.pop(id_, None)

    def refused(
        self, ids: tuple[GenerationId, ...], part_of: Bisection | None, error: BatchRejected, *, sent_at: float
    ) -> None:
        """A request for these, perhaps `part_of` a batch, was refused because of what is in it."""
        self.batch_refused(error, sent_at=sent_at, size=len(ids))
        if len(ids) == 1:
            if (entry := self._generations.get(ids[0])) is not None and not entry.poll_singly:
                entry.isolate()  # the single route decides
            self._refused_alone[ids[0]] = str(error)
            self.unanswered(ids, part_of)
        elif part_of is not None and part_of in self._bisections:
            part_of.refused(ids)
        elif error.too_large or part_of is not None:
            self.unanswered(ids, part_of)
        else:
            self._bisections.append(Bisection(ids, str(error)))

    # ---- requests that failed ----
    def failed(self, request: PollRequest, part_of: Bisection | None, error: ProviderError, *, sent_at: float) -> None:
        """A request, perhaps `part_of` a batch, was not answered: because of the provider, or of one of its IDs."""
        ids, provider = request.ids, self._provider
        if error.any_id:
            provider.failed(error, sent_at=sent_at)
            self.unanswered(ids, part_of)
            return
        large = isinstance(error, ReplyTooLarge)
        if large:
            self.outage_over(provider.replied(sent_at=sent_at))
        probe = provider.probing(sent_at) and not large
        began = part_of.sent_at if part_of is not None and part_of.failed else sent_at
        if not large and (probe or not self._is_bad(ids, began)):
            # A provider that asks us to wait is not asked, until others are answered and this goes on.
            waits = error.asks_to_wait and provider.evidence.answered_at < began
            provider.doubt(ids, error, sent_at=sent_at, watched=self._not_bad, at_once=waits)
        if probe:  # nothing is concluded about any ID while the provider answers nothing
            self._remember_failure(ids, error, sent_at)
            self.unanswered(ids, part_of)
        elif len(ids) == 1:
            self._set_back(ids[0], part_of, error, began)
            if request.batch and not large:
                self._refused_alone[ids[0]] = str(error)
        elif part_of is None:
            self._bisections.append(Bisection(ids, str(error), failed=True, too_large=large, sent_at=sent_at))
        elif part_of in self._bisections:
            part_of.refused(ids)
        else:
            self._requeue(ids)

    # ---- requests that are not answered for long ----
    def late(self, ids: tuple[GenerationId, ...], part_of: Bisection | None, *, sent_at: float) -> Bisection | None:
        """Ask for these in halves beside the request that waits: the bisection, or None if there is to be none.

        In an outage nothing is answered: then no half is divided further before it has failed.
        """
        if part_of is None:
            part_of = Bisection(ids, "No answer yet.", failed=True, sent_at=sent_at)
            self._bisections.append(part_of)
        elif part_of in self._bisections and self._provider.evidence.answered_at > part_of.sent_at:
            part_of.refused(ids)
        else:
            return None
        return part_of

    def failed_late(self, ids: Sequence[GenerationId], error: ProviderError, *, sent_at: float) -> None:
        """It failed in the end; its IDs were asked for meanwhile."""
        if error.any_id:
            self._provider.failed(error, sent_at=sent_at)
        else:
            self._provider.doubt(ids, error, sent_at=sent_at, watched=self._not_bad)

    def answered_late(self, ids: tuple[GenerationId, ...], part_of: Bisection) -> None:
        """It was answered in the end: nothing more is asked for because of it."""
        if part_of.ids == ids and part_of in self._bisections:
            self._bisections.remove(part_of)
            part_of.abandon()

    def _set_back(self, id_: GenerationId, part_of: Bisection | None, error: ProviderError, began: float) -> None:
        """It failed alone: it is polled singly, later each time. `began`: when the first failed request was sent."""
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
            # One line for the first failure, for what it never said before, and then after 2, 4, 8 … failures.
            if before is None or before.reason != reason or not setback.count & (setback.count - 1):
                _log.warning(
                    log_events.POLL_FAILED,
                    provider=self._provider.name,
                    generation=id_,
                    error=reason,
                    times=setback.count,
                    again_in_s=setback.wait,
                )
        if part_of is not None and part_of in self._bisections:
            part_of.single_failed()
            self._conclude(part_of)

    def _remember_failure(self, ids: Sequence[GenerationId], error: ProviderError, sent_at: float) -> None:
        """It failed alone while nobody was answered; if it does so again when others are, it was the ID all along."""
        if len(ids) == 1 and ids[0] not in self.setbacks and self._generations.get(ids[0]) is not None:
            now = self._clock.now()
            self.setbacks[ids[0]] = Setback(since=now, last=now, sent_at=sent_at, reason=error.said)

    @property
    def _not_bad(self) -> int:
        """How many IDs are not known to be bad."""
        at = self._provider.evidence.answered_at
        return len(self._generations) - sum(setback.proved(at) for setback in self.setbacks.values())

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
        for id_, each in self.setbacks.items():
            if each.count and each.proved(at):
                trouble = Trouble(kind=FAILING, reason=each.reason, since=each.since, last=each.last, times=each.count)
                yield id_, trouble

    def remember(self, id_: GenerationId, trouble: Trouble) -> None:
        """The last run found this one to be bad."""
        if (entry := self._generations.get(id_)) is not None:
            self.setbacks[id_] = Setback(
                count=trouble.times, since=trouble.since, last=trouble.last, sent_at=_BEFORE, reason=trouble.reason
            )
            entry.poll_singly = entry.failing = True

    def seen(self, request: PollRequest, held: Sequence[GenerationId]) -> None:
        """A reply says of the IDs of this request that they are there (`held`), or not."""
        if not request.batch and held:
            self._held_by_batch_route.clear()
        if not self.setbacks:
            return
        for id_ in request.ids:
            if self.setbacks.pop(id_, None) is not None and (entry := self._generations.get(id_)) is not None:
                entry.failing = False
                if request.batch and id_ in held:
                    self._doubt_single(id_)

    # ---- the single route ----
    def by_batch_route(self, ids: Sequence[GenerationId]) -> bool:
        """Whether this one ID is asked for by the batch route: it failed by the other. Later by both in turn."""
        setback = self.setbacks.get(ids[0])
        return setback is not None and setback.count % 2 == 1

    def _doubt_single(self, id_: GenerationId) -> None:
        """IDs failed alone that the batch route holds, and the single route held none since: that route is broken."""
        self._held_by_batch_route.add(id_)
        if len(self._held_by_batch_route) < PROOF:
            return
        self._held_by_batch_route.clear()
        self._provider.long_poll.forgo_single()
        suspected, self.setbacks = self.setbacks, {}
        for entry in self._generations.tracked(suspected):
            entry.failing = False
            entry.clear_isolation()
        self._requeue(suspected)

    def to_probe(self, asked: Collection[GenerationId]) -> TrackedGeneration | None:
        """The one to ask about if the provider may be in trouble; not one that is `asked` already.

        One that was answered lately, even if a long-poll waits for it. Else one that did not fail yet, and of those
        rather one that was in no batch which failed. Else the one that failed longest ago.
        """
        generations = self._generations
        failed = dict.fromkeys(id_ for id_ in self._provider.evidence.ids() if id_ not in asked)
        trusted = [id_ for id_ in self._provider.trusted if id_ not in failed and id_ not in asked]
        if (entry := next(generations.tracked(trusted), None)) is not None:
            return entry
        suspected = {id_ for each in self._bisections if each.failed for id_ in each.ids}
        free = (each for each in generations if not (each.failing or each.long_polled or each.id in asked))
        fresh = from_the_middle([each for each in free if each.id not in failed])
        likely = chain((each for each in fresh if each.id not in suspected), fresh, generations.tracked(failed))
        return next((each for each in likely if not each.long_polled), None)

    def batch_refused(self, error: BatchRejected, *, sent_at: float, size: int) -> None:
        """A request about so many IDs was refused because of what is in it: what that says of the provider."""
        self.outage_over(self._provider.refused(error, sent_at=sent_at, size=size))

    def outage_over(self, since: float | None) -> None:
        """The provider was in trouble since then: what failed meanwhile says little of IDs, and is asked for again."""
        if since is None:
            return
        self._end([each for each in self._bisections if each.failed])
        self._requeue([id_ for id_, setback in self.setbacks.items() if setback.sent_at >= since])

    # ---- the batch route ----
    def weigh_batch_route(self, request: PollRequest, held: Sequence[GenerationId]) -> None:
        """The batch route is unusable once it refused two single IDs each of which the single route then held.

        If it answers it is usable. An ID that the single route does not hold either may be new, and is no sign.
        """
        if request.batch:
            self._refused_alone.clear()
            self._held_alone.clear()
        elif request.ids[0] in self._refused_alone:
            said = self._refused_alone.pop(request.ids[0])
            self._held_alone.update(held)
            if len(self._held_alone) >= PROOF:
                self._provider.batch_route.do_without(said)
                self._held_alone.clear()
                self._end((), cleared=self._generations)

    def route_hangs(self) -> None:
        """Batch polls are not answered, and single polls of their IDs are."""
        self._provider.batch_route.do_without("Requests about several IDs are not answered.")
        self._end(self._bisections, cleared=self._generations)

    def _requeue(self, ids: Iterable[GenerationId]) -> None:
        self._generations.requeue(ids, self._clock.monotonic())

    def _end(self, bisections: Iterable[Bisection], *, cleared: Iterable[TrackedGeneration] = ()) -> None:
        """Ask for nothing more because of these; `cleared` were isolated for no fault of theirs."""
        for each in list(bisections):
            self._bisections.remove(each)
            self._requeue(each.abandon())
        for entry in cleared:
            entry.clear_isolation()

    def answered(self, bisection: Bisection, ids: tuple[GenerationId, ...], held: Sequence[GenerationId]) -> None:
        """Learn from it once it has taught something; what was not asked for is due at once."""
        bisection.answered(ids, held)
        self._conclude(bisection)

    def _conclude(self, bisection: Bisection) -> None:
        if not bisection.done or bisection not in self._bisections:
            return
        diagnosis = self._provider.learn(bisection, untried=self._generations.queues.untried)
        if diagnosis is Diagnosis.BATCH_ROUTE_UNUSABLE:
            self._end(self._bisections, cleared=self._generations)  # the others would only teach the same
        elif diagnosis is Diagnosis.BAD_IDS:
            self._end([bisection])
        else:
            self._end([bisection], cleared=self._generations.tracked(bisection.ids))

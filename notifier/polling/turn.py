"""What one provider is asked for in one turn of its loop: which IDs, by which route, in which order. Steps 3 and 4.

Irregular polls are those for parts of batches that failed, for IDs that are missed or must be polled singly, and for
re-reads. They get a fifth of the rate, and more only while the budget is not used up and nothing else is due: good IDs
in a batch that failed would wait for no gain otherwise.
"""

from dataclasses import dataclass

from notifier.domain.ids import EndpointIdentity, GenerationId
from notifier.domain.message import parked_because
from notifier.domain.model import EndpointDirectory
from notifier.polling.batching.batch_plan import plan
from notifier.polling.exchange import Exchanges
from notifier.polling.long_poll.in_flight import LongPolls
from notifier.polling.provider_state import ProviderState
from notifier.polling.rejections import Rejections
from notifier.polling.rereads import Rereads
from notifier.polling.scheduling.open_generations import OpenGenerations
from notifier.polling.under_way import UnderWay


@dataclass(slots=True, kw_only=True, eq=False)
class Turn:
    """Of one provider. Times are monotonic seconds, but `wall`: Unix seconds."""

    generations: OpenGenerations
    provider: ProviderState
    rejections: Rejections
    under_way: UnderWay
    exchanges: Exchanges
    long_polls: LongPolls
    rereads: Rereads
    _directory: EndpointDirectory | None = None

    def take(self, directory: EndpointDirectory, now: float, wall: float) -> None:
        """Begin as many requests as the budget allows now."""
        provider, budget, long_polls = self.provider, self.provider.budget, self.long_polls
        self._apply_endpoint_health(directory, now)
        self.generations.set_budget(provider.capacity(now), now, idle=budget.idle(now), apart=budget.interval)
        self.under_way.bisect_late(now)
        if (probes := provider.probes) and probes % 2:
            self._probe(now)
        self._try_route(now)
        self._poll_parts(now)
        long_polls.yield_slot(now)
        self._poll_rereads(now)
        long_polls_first = long_polls.come_first(now)
        if not long_polls_first:
            self._poll_due(now)
        for each in long_polls.start_worthwhile(now, wall):
            self.exchanges.long_poll(each)
        if long_polls_first:
            self._poll_due(now)
        if probes:
            self._probe(now)

    def _apply_endpoint_health(self, directory: EndpointDirectory, now: float) -> None:
        """A generation of which nobody can be told is polled rarely."""
        if directory != self._directory:
            self._directory = directory
            self.generations.apply_endpoint_health(
                lambda destination: parked_because(EndpointIdentity(destination), destination, directory) is not None,
                now=now,
            )

    def _probe(self, now: float) -> None:
        """Whether a provider that may be in trouble answers about one ID, polled singly.

        Every second time; in between something that is due is asked for, because the single route may be what is wrong.
        """
        if self.provider.room(now) > 0 and (entry := self.rejections.to_probe(self.under_way.polled_singly())):
            self.generations.queues.drop(entry)
            self.exchanges.poll((entry.id,), now, batch=False)

    def _try_route(self, now: float) -> None:
        """Whether batches hang because of the batch route; their IDs are asked for elsewhere too."""
        if not self.under_way.doubts_route(now):
            return
        if self.provider.room(now) <= 0:
            self.long_polls.free_slot(now)
        elif ids := self.under_way.next_of_trial(now):
            self.exchanges.poll(ids, now, batch=len(ids) > 1, late=True)

    # ---- what is due ----
    def _poll_due(self, now: float) -> None:
        provider, exchanges, queues = self.provider, self.exchanges, self.generations.queues
        multi, batch = provider.batch_route.usable(now), provider.batch_route.limit
        self._poll_irregular(now, multi=multi)
        room = provider.room_for_batches(now) if multi and batch > 1 else provider.room(now)
        if room <= 0 or not (taken := queues.take(now, room * (batch if multi else 1))):
            return
        planned = plan(
            taken,
            fit=exchanges.fit,
            batch_limit=batch,
            multi=multi,
            room=room,
            single_room=provider.budget.room_for_irregular(now),
        )
        for entry in planned.rest:
            self.generations.poll_now(entry, now)
        for each in planned.requests:
            if each.multi and each is planned.requests[-1]:
                self._poll_filled(each.ids, now)
            else:
                exchanges.poll(each.ids, now, batch=each.multi, irregular=multi and each.poll_singly)

    def _poll_filled(self, ids: tuple[GenerationId, ...], now: float) -> None:
        """The free places of a batch poll are for re-reads, and then for what falls due soonest: it costs no more."""
        batch, fit = self.provider.batch_route.limit, self.exchanges.fit
        piggybacked = self.rereads.piggyback(ids, batch - len(ids), now, fit=fit)
        ids += piggybacked
        if (free := batch - len(ids)) > 0:
            more = self.generations.fill_batch(
                now, free, fit=lambda some: max(0, fit((*ids, *[entry.id for entry in some])) - len(ids))
            )
            ids = tuple(dict.fromkeys((*ids, *[entry.id for entry in more])))  # one may be in it as a re-read
        self.exchanges.poll(ids, now, batch=True, piggybacked=piggybacked)

    # ---- irregular polls ----
    def _room(self, now: float) -> int:
        """Irregular polls that may be made now: within their share, or one while the budget is not used up."""
        budget = self.provider.budget
        spare = 1 if budget.idle(now) and not self.generations.queues.is_due(now) else 0
        return min(self.provider.room(now), max(budget.room_for_irregular(now), spare), budget.places_for_irregular)

    def _poll_irregular(self, now: float, *, multi: bool) -> None:
        """What is missed or polled singly.

        A provider in trouble is asked about one that it answered about before, if there is any.
        """
        queues = self.generations.queues
        if self.provider.troubled and queues.earliest() is not None:
            return
        batch = self.provider.batch_route.limit if multi else 1
        for taken in queues.take_irregular(now, self._room(now), batch):
            planned = plan(taken, fit=self.exchanges.fit, batch_limit=batch, multi=multi, room=1, single_room=1)
            for entry in planned.rest:
                self.generations.poll_now(entry, now)
            for each in planned.requests:
                by_batch_route = each.multi or (multi and self.rejections.by_batch_route(each.ids))
                self.exchanges.poll(each.ids, now, batch=by_batch_route, irregular=True)

    def _poll_parts(self, now: float) -> None:
        """Parts of batches that were refused or failed."""
        parts = self.rejections.parts(batches=lambda: self.provider.room_for_batches(now) > 0)
        while self._room(now) and (part := next(parts, None)):
            bisection, ids = part
            self.exchanges.poll(ids, now, batch=len(ids) > 1, irregular=True, part_of=bisection)

    def _poll_rereads(self, now: float) -> None:
        """Requests of their own for re-reads that found no place in a batch poll."""
        rereads, provider = self.rereads, self.provider
        if not provider.well():
            rereads.give_up()
        multi = provider.batch_route.usable(now)
        while rereads.due(now, poll_at=self.generations.queues.earliest() if multi else None):
            if provider.room(now) <= 0:
                if self.long_polls.free_slot(now):
                    rereads.hurry()
                return
            if not (provider.budget.room_for_irregular(now) or provider.budget.idle(now)):
                return
            ids = rereads.next(provider.batch_route.limit if multi else 1, self.exchanges.fit)
            self.exchanges.poll(ids, now, batch=len(ids) > 1, irregular=True, piggybacked=ids)

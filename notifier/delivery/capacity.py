"""How many attempts may begin now, and where. Decides and does no I/O: the dispatcher reports what begins and ends.

It combines the limits, each of which has a module of its own: `slot_sharing` shares the slots between destinations,
`rates` limits attempts a second, `retry.pause` says how long an endpoint that asked for fewer requests is left alone,
and `resource_backoff` what to do if this machine has too few resources. Times are monotonic seconds.
"""

from collections import Counter
from datetime import timedelta
from typing import Final

from notifier.delivery.policies import Endpoints
from notifier.delivery.rates import Rates
from notifier.domain import slot_sharing
from notifier.domain.ids import Destination
from notifier.domain.model import Claim, Verdict
from notifier.runtime.resource_backoff import ResourceBackoff
from notifier.store.records import Freshness, Slots

#: Time by which a lease is longer than the timeout of its attempt, so that no second worker sends at the same time.
LEASE_MARGIN: Final = timedelta(seconds=15)
#: The longest time that an attempt waits for its result to be read again.
REFRESH_WAIT: Final = timedelta(seconds=10)
#: Paused destinations that are remembered at a time.
_MOST_PAUSED: Final = 1024
#: Seconds added to the moment at which a destination turns slow, so that it is slow when looked at.
_MARGIN: Final = 0.01


class Capacity:
    """The limits of one dispatcher; `in_flight` is how many attempts there may be at a time."""

    def __init__(self, endpoints: Endpoints, now: float, *, in_flight: int = slot_sharing.IN_FLIGHT) -> None:
        self._most = in_flight
        #: Attempts in flight; a destination without any has no entry.
        self.in_flight: Counter[Destination] = Counter()
        #: Destinations that asked for fewer requests -> until when no other attempt begins there.
        self._paused: dict[Destination, float] = {}
        self._latency = slot_sharing.LatencyTracker()
        self._rates = Rates()
        self.backoff = ResourceBackoff()
        #: Since when destinations with due messages yield; None if none yields.
        self._yielding_since: float | None = None
        self.apply(endpoints, now)

    def apply(self, endpoints: Endpoints, now: float) -> None:
        """Apply this configuration from now on."""
        self._endpoints = endpoints
        self._named = {policy.destination: policy for policy in endpoints.named.values()}
        self._rates.apply(self._named, now)

    def deprioritised(self, destination: Destination) -> bool:
        """Whether its messages yield to those of others."""
        return self._latency.deprioritised(destination)

    def yielded(self, now: float, *, some: bool) -> None:
        """Note whether `some` destinations yielded in the last exchange, so that not all that was due was claimed."""
        if not some or self._yielding_since is None:
            self._yielding_since = now if some else None

    # ---- what begins and ends ----
    def begin(self, claim: Claim, now: float) -> None:
        self.in_flight[claim.destination] += 1
        attempt = (claim.message_id, claim.number)
        self._latency.begin(claim.destination, attempt, now, origin=claim.destination not in self._named)
        self._rates.begin(claim.destination, now)

    def end(self, claim: Claim, verdict: Verdict, now: float) -> None:
        """End an attempt for which this machine had too few resources: it says nothing about its destination."""
        attempt = (claim.message_id, claim.number)
        if verdict is Verdict.OUT_OF_RESOURCES:
            self._latency.discard(claim.destination, attempt)
        else:
            self._latency.end(claim.destination, attempt, now, delivered=verdict is Verdict.DELIVERED)
        self.in_flight[claim.destination] -= 1
        if not self.in_flight[claim.destination]:
            del self.in_flight[claim.destination]

    def pause(self, destination: Destination, seconds: float, now: float) -> None:
        """Begin no other attempt there for this many seconds."""
        if not seconds:
            return
        self._paused[destination] = max(self._paused.get(destination, 0.0), now + seconds)
        if len(self._paused) > _MOST_PAUSED:  # whoever may name callback URLs may name thousands of origins
            del self._paused[next(iter(self._paused))]

    # ---- what may begin ----
    def waits(self, now: float) -> list[float]:
        """Seconds until more attempts may begin than now, even if none ends."""
        waits = [until - now for until in self._paused.values() if until > now] + self._rates.waits(now)
        if (turns_slow := self._latency.wait(now)) is not None:  # a destination that turns slow leaves its pool
            waits.append(turns_slow + _MARGIN)
        if (wait := self.backoff.wait(now)) > 0:
            waits.append(wait)
        if (yielding := self._yield_wait(now)) is not None:
            waits.append(yielding)
        return waits

    def slots(self, now: float, *, room_to_refresh: int | None) -> Slots:
        """What may begin now. Configured and paused destinations are listed; any other is a callback URL's.

        `room_to_refresh` is how many results may be read again; None: every body is sent as it is stored.
        """
        in_flight = self.in_flight.total()
        total = self._most - in_flight
        if (allowed := self.backoff.room(now=now, in_flight=in_flight)) is not None:
            total = min(total, allowed)
        self._paused = {destination: until for destination, until in self._paused.items() if until > now}
        each = self._endpoints.plain(Destination(""))
        recent = self._latency.recent(now)
        held = dict.fromkeys(slot_sharing.POOLS, 0)
        for destination, count in self.in_flight.items():
            held[self._pool(destination)] += count
        freshness = None
        if room_to_refresh is not None:
            after = {destination: policy.refresh_after for destination, policy in self._named.items()}
            freshness = Freshness(room=room_to_refresh, wait=REFRESH_WAIT, after=after, each=each.refresh_after)
        return Slots(
            total=total,
            free=dict.fromkeys(self._paused, 0)
            | {destination: self._room(destination, now) for destination in self._named},
            each=each.concurrency,
            lease={destination: policy.timeout + LEASE_MARGIN for destination, policy in self._named.items()},
            lease_each=each.timeout + LEASE_MARGIN,
            held=dict(self.in_flight),
            pool_of=self._pool,
            pools=slot_sharing.free_in_pools(held, self._most),
            first_slots=slot_sharing.first_slots_in_pools(held, self._most, recent=recent),
            yields=self.deprioritised if self._yield_wait(now) != 0.0 else lambda _: False,
            yields_always=self._yielding_since is not None and not all(map(self.deprioritised, self.in_flight)),
            freshness=freshness,
        )

    def _yield_wait(self, now: float) -> float | None:
        """Seconds for which destinations with due messages still yield; None if none does."""
        since = self._yielding_since
        return None if since is None else max(0.0, since + slot_sharing.YIELD - now)

    def _pool(self, destination: Destination) -> str:
        return self._latency.pool(
            destination, slot_sharing.NAMED if destination in self._named else slot_sharing.ORIGINS
        )

    def _room(self, destination: Destination, now: float) -> int:
        """Free slots of an endpoint of the configuration."""
        if destination in self._paused:
            return 0
        room = self._named[destination].concurrency - self.in_flight[destination]
        allowed = self._rates.room(destination, now)
        return max(0, room if allowed is None else min(room, allowed))

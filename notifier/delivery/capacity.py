"""How many attempts may begin now, and where. Decides and does no I/O: the dispatcher tells it what begins and ends.

Each limit has a module of its own: slots by `shares`, attempts a second by `rates`, an endpoint's wish for less by
`schedule.rest`, and this machine's own shortage by `backoff`. Here they meet. Times are monotonic seconds.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Final

from notifier.delivery.policies import Endpoints
from notifier.delivery.rates import Rates
from notifier.domain import slot_sharing
from notifier.domain.ids import Destination
from notifier.domain.model import Claim, Verdict
from notifier.domain.settings import EndpointSettings
from notifier.runtime.resource_backoff import ResourceBackoff
from notifier.store.records import Freshness, Slots

#: A lease outlives the attempt it is for by this, so that no second worker sends beside the first.
LEASE_MARGIN: Final = timedelta(seconds=15)
#: An attempt waits no longer for its result to be read again.
REFRESH_WAIT: Final = timedelta(seconds=10)
#: Destinations at rest that are remembered at a time.
_RESTING: Final = 1024
#: Seconds past the moment at which a destination turns slow.
_GRAIN: Final = 0.01


class _PoolOf(Mapping[Destination, str]):
    """Follows what becomes of destinations: thousands may be slow, and each look at the store asks about a few."""

    def __init__(self, named: Mapping[Destination, EndpointSettings], paces: slot_sharing.Paces) -> None:
        self._named = named
        self._paces = paces

    def __getitem__(self, destination: Destination) -> str:
        return self._paces.pool(destination, slot_sharing.NAMED if destination in self._named else slot_sharing.ORIGINS)

    def get(self, destination: Destination, _: object = None) -> str:
        return self[destination]

    def __iter__(self) -> Iterator[Destination]:
        return iter(self._named)

    def __len__(self) -> int:
        return len(self._named)


class Capacity:
    """Of one dispatcher; `in_flight` is how many attempts there may be at a time."""

    def __init__(self, endpoints: Endpoints, now: float, *, in_flight: int = slot_sharing.IN_FLIGHT) -> None:
        self._most = in_flight
        #: Attempts in flight; an empty destination has no entry.
        self.in_flight: Counter[Destination] = Counter()
        #: Destinations that want less -> until when nothing more begins there.
        self._rests: dict[Destination, float] = {}
        self._paces = slot_sharing.Paces()
        self._rates = Rates()
        self.backoff = ResourceBackoff()
        #: Since when destinations yield that have something due; None if none does.
        self._yielding_since: float | None = None
        self.apply(endpoints, now)

    def apply(self, endpoints: Endpoints, now: float) -> None:
        """Go by these from now on."""
        self._endpoints = endpoints
        self._named = {policy.destination: policy for policy in endpoints.named.values()}
        self._rates.apply(self._named, now)

    def deprioritised(self, destination: Destination) -> bool:
        """Whether its messages yield to those of others."""
        return self._paces.deprioritised(destination)

    def yielded(self, now: float, *, some: bool) -> None:
        """The last claims left `some` deliveries out because their destinations yielded."""
        if not some or self._yielding_since is None:
            self._yielding_since = now if some else None

    # ---- what begins and ends ----
    def begin(self, claim: Claim, now: float) -> None:
        self.in_flight[claim.destination] += 1
        attempt = (claim.message_id, claim.number)
        self._paces.begin(claim.destination, attempt, now, origin=claim.destination not in self._named)
        self._rates.begin(claim.destination, now)

    def end(self, claim: Claim, verdict: Verdict, now: float) -> None:
        """An attempt for which this machine had too little says nothing of its destination."""
        attempt = (claim.message_id, claim.number)
        if verdict is Verdict.OUT_OF_RESOURCES:
            self._paces.drop(claim.destination, attempt)
        else:
            self._paces.end(claim.destination, attempt, now, delivered=verdict is Verdict.DELIVERED)
        self.in_flight[claim.destination] -= 1
        if not self.in_flight[claim.destination]:
            del self.in_flight[claim.destination]

    def rest(self, destination: Destination, seconds: float, now: float) -> None:
        """Nothing more begins there for so long."""
        if not seconds:
            return
        self._rests[destination] = max(self._rests.get(destination, 0.0), now + seconds)
        if len(self._rests) > _RESTING:  # whoever may name callback URLs may name thousands of origins
            del self._rests[next(iter(self._rests))]

    # ---- what may begin ----
    def waits(self, now: float) -> list[float]:
        """Seconds after which more may begin than now, as far as time decides it."""
        patience = self._paces.wait(now)
        return [
            *(
                [] if patience is None else [patience + _GRAIN]
            ),  # a destination that turns slow leaves its pool to the others
            *(until - now for until in self._rests.values() if until > now),
            *self._rates.waits(now),
            *([wait] if (wait := self.backoff.wait(now)) > 0 else []),
            *([] if (yielding := self._yield_wait(now)) is None else [yielding]),
        ]

    def slots(self, now: float, *, room_to_refresh: int | None) -> Slots:
        """What may begin now. Destinations named or at rest are listed; any other has a callback URL's share.

        `room_to_refresh` is how many results may be read again meanwhile; None: everything is sent as it is stored.
        """
        self._rests = {destination: until for destination, until in self._rests.items() if until > now}
        each = self._endpoints.plain(Destination(""))
        young = self._paces.young(now)
        pool_of = _PoolOf(self._named, self._paces)
        held = self._held(pool_of)
        return Slots(
            total=self._total(now),
            free=dict.fromkeys(self._rests, 0)
            | {destination: self._room(destination, now) for destination in self._named},
            each=each.concurrency,
            lease={destination: policy.timeout + LEASE_MARGIN for destination, policy in self._named.items()},
            lease_each=each.timeout + LEASE_MARGIN,
            held=dict(self.in_flight),
            pool_of=pool_of,
            pools=slot_sharing.left_in_pools(held, self._most),
            first_slots=slot_sharing.first_slots_in_pools(held, self._most, young=young),
            yields=self.deprioritised if self._yield_wait(now) != 0.0 else _nobody,
            yields_always=self._yielding_since is not None and not all(map(self.deprioritised, self.in_flight)),
            freshness=None if room_to_refresh is None else self._freshness(room_to_refresh, each),
        )

    def _yield_wait(self, now: float) -> float | None:
        """Seconds for which destinations yield at most; None if none does that has something due."""
        since = self._yielding_since
        return None if since is None else max(0.0, since + slot_sharing.YIELD - now)

    def _total(self, now: float) -> int:
        in_flight = self.in_flight.total()
        free = self._most - in_flight
        allowed = self.backoff.room(now=now, in_flight=in_flight)
        return free if allowed is None else min(free, allowed)

    def _freshness(self, room: int, each: EndpointSettings) -> Freshness:
        return Freshness(
            room=room,
            wait=REFRESH_WAIT,
            after={destination: policy.refresh_after for destination, policy in self._named.items()},
            each=each.refresh_after,
        )

    def _held(self, pool_of: Mapping[Destination, str]) -> Mapping[str, int]:
        """Slots in use, by pool."""
        held = dict.fromkeys(slot_sharing.POOLS, 0)
        for destination, count in self.in_flight.items():
            held[pool_of[destination]] += count
        return held

    def _room(self, destination: Destination, now: float) -> int:
        """Of an endpoint of the configuration."""
        if destination in self._rests:
            return 0
        room = self._named[destination].concurrency - self.in_flight[destination]
        allowed = self._rates.room(destination, now)
        return max(0, room if allowed is None else min(room, allowed))


def _nobody(_: Destination) -> bool:
    return False

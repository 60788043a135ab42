"""How many attempts a second each endpoint may get, as its `rate` says. Pure: monotonic seconds come as arguments.

A destination's bucket stays for as long as its limit may matter: no second, wherever it begins, has more attempts than
its rate allows. So a reload changes the pace of the bucket that there is, because a new one would be full and allow a
second burst. This holds too where the rate is taken out for a while (what is made meanwhile counts), where the endpoint
is taken out and comes back, and where it gets another name: the bucket goes with the `url`.
"""

from collections.abc import Mapping

from notifier.domain.ids import Destination
from notifier.domain.settings import EndpointSettings
from notifier.runtime.rate_limiter import TokenBucket


class Rates:
    """Of the destinations of one configuration after the other; only endpoints of the configuration have a rate."""

    def __init__(self) -> None:
        self._buckets: dict[Destination, TokenBucket] = {}
        #: The limits that hold now.
        self._limits: dict[Destination, float] = {}
        #: Also of destinations that are gone, while their buckets are kept.
        self._urls: dict[Destination, str] = {}

    def apply(self, policies: Mapping[Destination, EndpointSettings], now: float) -> None:
        """Go by these from now on."""
        named = {destination: policy.url for destination, policy in policies.items()}
        self._move(named)
        self._limits = {destination: policy.rate for destination, policy in policies.items() if policy.rate is not None}
        self._buckets = {
            destination: bucket
            for destination, bucket in self._buckets.items()
            if destination in named or not bucket.unused(now)
        }
        self._urls = {
            destination: url for destination, url in self._urls.items() if destination in self._buckets
        } | named
        for destination, rate in self._limits.items():
            if destination in self._buckets:
                self._buckets[destination].pace(rate)
            else:
                self._buckets[destination] = TokenBucket(rate)

    def _move(self, named: Mapping[Destination, str]) -> None:
        """What a URL was sent under one name counts under the next."""
        left = {url: destination for destination, url in self._urls.items() if named.get(destination) != url}
        moved = {
            destination: self._buckets[left.pop(url)]
            for destination, url in named.items()
            if self._urls.get(destination) != url and left.get(url) in self._buckets
        }
        self._buckets |= moved

    def room(self, destination: Destination, now: float) -> int | None:
        """Attempts that may begin now; None is no limit."""
        return self._buckets[destination].available(now) if destination in self._limits else None

    def begin(self, destination: Destination, now: float) -> None:
        """An attempt begins."""
        if bucket := self._buckets.get(destination):
            bucket.spend(now)

    def waits(self, now: float) -> list[float]:
        """Seconds until each destination that has no room now has some."""
        return [wait for destination in self._limits if (wait := self._buckets[destination].wait(now)) > 0]

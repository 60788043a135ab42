"""How many attempts a second each endpoint gets, by its `rate`. Pure: monotonic seconds are arguments.

A destination's token bucket is kept while its limit may matter: no interval of one second has more attempts than its
rate allows. So a reload changes the rate of the same bucket; a new bucket would start full and allow a second burst.
This also holds if the rate is removed for a while (attempts made meanwhile count), if the endpoint is removed and comes
back, and if it gets another name: the bucket goes with the `url`.
"""

from collections.abc import Mapping

from notifier.domain.ids import Destination
from notifier.domain.settings import EndpointSettings
from notifier.runtime.rate_limiter import TokenBucket


class Rates:
    """Only configured endpoints have a rate."""

    def __init__(self) -> None:
        self._buckets: dict[Destination, TokenBucket] = {}
        #: The limits that apply now.
        self._limits: dict[Destination, float] = {}
        #: Also for destinations that are gone, while their buckets are kept.
        self._urls: dict[Destination, str] = {}

    def apply(self, policies: Mapping[Destination, EndpointSettings], now: float) -> None:
        """Apply these from now on."""
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
        """Move the bucket of a URL that has another name now."""
        left = {url: destination for destination, url in self._urls.items() if named.get(destination) != url}
        moved = {
            destination: self._buckets[left.pop(url)]
            for destination, url in named.items()
            if self._urls.get(destination) != url and left.get(url) in self._buckets
        }
        self._buckets |= moved

    def room(self, destination: Destination, now: float) -> int | None:
        """Attempts that may begin now; None if there is no limit."""
        return self._buckets[destination].available(now) if destination in self._limits else None

    def begin(self, destination: Destination, now: float) -> None:
        """Count an attempt that begins."""
        if bucket := self._buckets.get(destination):
            bucket.spend(now)

    def waits(self, now: float) -> list[float]:
        """For each destination that may begin none now: seconds until it may."""
        return [wait for destination in self._limits if (wait := self._buckets[destination].wait(now)) > 0]

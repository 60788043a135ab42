"""How many attempts a second each endpoint may get, as its `rate` says. Pure: monotonic seconds come as arguments.

A lane's bucket stays for as long as its limit may matter: no second, wherever it begins, has more attempts than its
rate allows. So a reload changes the pace of the bucket that there is, because a new one would be full and allow a
second burst. This holds too where the rate is taken out for a while (what is made meanwhile counts), where the endpoint
is taken out and comes back, and where it gets another name: the bucket goes with the `url`.
"""

from collections.abc import Mapping

from notifier.domain.ids import Lane
from notifier.domain.settings import EndpointSettings
from notifier.runtime.rate_limiter import TokenBucket


class Rates:
    """Of the lanes of one configuration after the other; only endpoints of the configuration have a rate."""

    def __init__(self) -> None:
        self._buckets: dict[Lane, TokenBucket] = {}
        #: The limits that hold now.
        self._limits: dict[Lane, float] = {}
        #: Also of lanes that are gone, while their buckets are kept.
        self._urls: dict[Lane, str] = {}

    def apply(self, policies: Mapping[Lane, EndpointSettings], now: float) -> None:
        """Go by these from now on."""
        named = {lane: policy.url for lane, policy in policies.items()}
        self._move(named)
        self._limits = {lane: policy.rate for lane, policy in policies.items() if policy.rate is not None}
        self._buckets = {
            lane: bucket for lane, bucket in self._buckets.items() if lane in named or not bucket.unused(now)
        }
        self._urls = {lane: url for lane, url in self._urls.items() if lane in self._buckets} | named
        for lane, rate in self._limits.items():
            if lane in self._buckets:
                self._buckets[lane].pace(rate)
            else:
                self._buckets[lane] = TokenBucket(rate)

    def _move(self, named: Mapping[Lane, str]) -> None:
        """What a URL was sent under one name counts under the next."""
        left = {url: lane for lane, url in self._urls.items() if named.get(lane) != url}
        moved = {
            lane: self._buckets[left.pop(url)]
            for lane, url in named.items()
            if self._urls.get(lane) != url and left.get(url) in self._buckets
        }
        self._buckets |= moved

    def room(self, lane: Lane, now: float) -> int | None:
        """Attempts that may begin now; None is no limit."""
        return self._buckets[lane].available(now) if lane in self._limits else None

    def begin(self, lane: Lane, now: float) -> None:
        """An attempt begins."""
        if bucket := self._buckets.get(lane):
            bucket.spend(now)

    def waits(self, now: float) -> list[float]:
        """Seconds until each lane that has no room now has some."""
        return [wait for lane in self._limits if (wait := self._buckets[lane].wait(now)) > 0]

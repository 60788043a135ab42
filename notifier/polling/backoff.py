"""What is wrong with one provider (`ProviderHealth`), or with one ID (`Misses`). Pure.

`ProviderHealth` is a circuit breaker with exponential backoff: a provider in trouble is asked one request at a time, at
growing intervals, until one succeeds; others go on as usual.
A request that was sent before the trouble began says nothing new: its failure does not count and its success does not
end the trouble. Otherwise nine requests that fail together would count as nine failures in a row. If nothing new was
said, the very same `ProviderHealth` is returned, so that the caller has nothing to log.
Times are monotonic seconds, `jitter` is in [0, 1] and only adds.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from math import inf
from typing import Final, Self

#: A provider that answered about any ID within this many seconds knows its IDs; one reply without is then no sign.
#: Long enough that thousands of dead IDs, asked in turn, do not make a provider look dead between two good ones.
ANSWERED_LATELY: Final = 600.0
#: Longest `Retry-After` that is honoured.
RETRY_AFTER_LIMIT: Final = 600.0
UNKNOWN_AFTER: Final = 600.0
UNKNOWN_MISSES: Final = 3
#: Of the time between two misses in a row this much counts as time in which the ID was asked for: polls of it are up to
#: two minutes apart. What is longer is an outage, a pause or a sleeping machine.
_ASKED_AT_MOST: Final = 150.0


class Trouble(StrEnum):
    """Why a provider is not asked as usual."""

    OK = "ok"
    #: It cannot answer now; it will be able to later.
    BUSY = "busy"
    #: It will not answer us until the operator changes something.
    REFUSED = "refused"
    #: It answers, and about none of our IDs: the wrong account, or the wrong API.
    ABSENT = "knows none of the IDs"


#: First pause and longest pause of each trouble, in seconds; it doubles between them.
_PAUSES: Final = {
    Trouble.BUSY: (1.0, 60.0),
    Trouble.REFUSED: (30.0, 300.0),
    Trouble.ABSENT: (5.0, 300.0),
}
#: First pause if failures of some IDs speak against the provider, and there are others to ask about: the next request
#: may be answered.
DOUBTED_PAUSE: Final = 1.0
#: So many such pauses are equally short: the first IDs that are asked about may be bad ones too.
SHORT_PROBES: Final = 3
#: Longest wait for a new ID while a provider may have failed for the others, seconds.
_EARLY_LIMIT: Final = 60.0
#: Doublings after which every pause is at its longest; keeps the power small.
_DOUBLINGS: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderHealth:
    """Whether one provider is well, and until when it is not asked if it is not."""

    trouble: Trouble = Trouble.OK
    #: Failures in a row, all of this trouble.
    failures: int = 0
    #: When the last of them counted.
    failed_at: float = 0.0
    #: An answer to a request that was sent at or after this time is the end of it.
    since: float = 0.0
    #: True if several failures, each of which one ID may explain, speak against it together.
    doubted: bool = False
    #: True under ABSENT while there are IDs that were not asked about yet: the next ones may be known.
    untried: bool = False
    #: How often it was asked early because of a registration.
    early: int = 0
    #: Not asked before this time.
    until: float = 0.0
    #: One line for the operator; empty while all is well.
    reason: str = ""

    @property
    def ok(self) -> bool:
        return self.trouble is Trouble.OK

    @property
    def paused(self) -> bool:
        """Whether the operator is needed: shown by readiness."""
        return self.trouble in (Trouble.REFUSED, Trouble.ABSENT)

    @property
    def asked_as_usual(self) -> bool:
        """Whether it is asked as if nothing was wrong.

        Each ID is asked about once at the usual rate, before a provider that knows none of them is given a pause: good
        IDs that were registered after thousands of dead ones must not wait longer than after thousands of good ones.
        """
        return self.ok or self.untried

    def room(self, now: float, *, free: int, in_flight: int) -> int:
        """Requests that may be made now of `free` ones; in trouble one probe, once it is time and none is under way."""
        if self.asked_as_usual:
            return free
        return min(1, free) if now >= self.until and in_flight == 0 else 0

    def failed(
        self,
        trouble: Trouble,
        now: float,
        *,
        asked_at: float,
        reason: str,
        jitter: float = 0.0,
        retry_after: float | None = None,
        since: float | None = None,
        doubted: bool = False,
    ) -> Self:
        """After `ProviderBusy` or `ProviderRefused`. `retry_after` only makes the pause longer, by 10 minutes at most.

        `since` is when the first request was sent of those that speak against the provider together; `doubted`: there
        are others to ask about, so pauses begin short.
        """
        asked_to_wait = -inf if retry_after is None else now + min(retry_after, RETRY_AFTER_LIMIT)
        if not self.ok and asked_at <= self.failed_at:
            return self if asked_to_wait <= self.until else replace(self, until=asked_to_wait)
        failures = self.failures + 1 if self.trouble is trouble else 1
        first, longest = _PAUSES[trouble]
        first, short = (DOUBTED_PAUSE, SHORT_PROBES) if doubted else (first, 1)
        pause = min(longest, first * 2.0 ** min(max(0, failures - short), _DOUBLINGS)) * (1 + 0.5 * jitter)
        return replace(
            self,
            trouble=trouble,
            failures=failures,
            failed_at=now,
            since=now if since is None else since,
            doubted=since is not None,
            untried=False,
            until=max(now + pause, asked_to_wait),
            reason=reason,
        )

    def absent(self, now: float, *, asked_at: float, reason: str, untried: bool = False) -> Self:
        """After a reply for which `knows_none` is true, or a batch that was refused down to every single ID.

        While other IDs are `untried` there is no pause, and the one that follows does not grow.
        """
        new = inf if self.untried else asked_at  # each reply is about other IDs
        struck = self.failed(Trouble.ABSENT, now, asked_at=new, reason=reason)
        if not untried or struck is self:
            return struck
        return replace(struck, failures=0, until=now, untried=True)

    def registered(self, now: float) -> Self:
        """After a new registration: a provider that knew none of the IDs may know this one, and is asked at once.

        So is one that may have failed for the IDs there were: a second after the last failure at first, and later each
        time, because in an outage registrations go on.
        """
        if self.trouble is Trouble.ABSENT:
            return replace(self, until=min(self.until, now))
        early = max(now, self.failed_at + min(_EARLY_LIMIT, 2.0 ** min(self.early, _DOUBLINGS)))
        return replace(self, until=early, early=self.early + 1) if self.doubted and early < self.until else self

    def answered(self, *, asked_at: float) -> Self:
        """After a request that succeeded."""
        return type(self)() if asked_at >= self.since else self


def knows_none(*, asked: int, held: int, now: float, answered_at: float | None) -> bool:
    """Whether a reply to `asked` IDs that held `held` of them speaks against the provider and not against the IDs.

    `answered_at` is when a reply last held any ID of this provider; None if none ever did.
    """
    return asked > 1 and held == 0 and (answered_at is None or now - answered_at >= ANSWERED_LATELY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Misses:
    """The polls in a row that did not find one ID."""

    count: int = 0
    #: When the first and the last of them were answered.
    first_at: float | None = None
    last_at: float | None = None
    #: Seconds in which it was asked for and not found.
    asked_for: float = 0.0
    #: True once a request for this ID alone, after the first of them, did not find it either.
    confirmed: bool = False

    def missed(self, now: float, *, single: bool) -> Self:
        """One more poll did not find it; `single`: it asked for this ID alone."""
        since = now if self.last_at is None else self.last_at
        return replace(
            self,
            count=self.count + 1,
            first_at=now if self.first_at is None else self.first_at,
            last_at=max(since, now),
            asked_for=self.asked_for + min(max(0.0, now - since), _ASKED_AT_MOST),
            confirmed=self.confirmed or (single and self.count > 0),
        )

    @property
    def to_confirm(self) -> bool:
        """Whether the next poll should ask for this ID alone."""
        return self.count >= UNKNOWN_MISSES - 1 and not self.confirmed


def is_unknown(misses: Misses, *, other_answered_at: float | None) -> bool:
    """Whether the provider does not know this ID (any more).

    All of these must hold: ten minutes in which it was asked for and not found, because a new ID may not be readable
    yet, and one that was seen may be missing for a moment; three misses in a row, one of them a request for this ID
    alone; and since the first of them a reply held another ID of this provider (`other_answered_at`), so that it is not
    the provider that knows nothing. An ID that was seen before is no exception: it was deleted, or has run out.
    """
    return (
        misses.asked_for >= UNKNOWN_AFTER
        and misses.count >= UNKNOWN_MISSES
        and misses.confirmed
        and misses.first_at is not None
        and other_answered_at is not None
        and other_answered_at >= misses.first_at
    )

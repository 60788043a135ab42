"""What is known of a provider's holds: requests that it keeps until a state is reached. Pure.

Documented is a hold for one ID. Whether a multi request returns when any of its IDs is there, only when all are, or
ignores the wish, nobody says: `auto` finds out, and never trusts one observation. A provider that turns out not to hold
(it answers at once, or its gateway cuts long requests off) is not asked to for ten minutes: otherwise every answer
would be followed by the next hold at once, and the budget would go there.

A trial of a multi hold asks for IDs that are looked at beside it as usual, so that what it costs is one request.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, Self

#: Seconds; an answer before was not held.
QUICK: Final = 2.0
#: Seconds before the provider's patience ends, in which an answer may be due to that.
_END: Final = 2.0
#: Observations that agree before anything is believed.
PROOF: Final = 3
#: Seconds until what did not work is tried again.
AGAIN: Final = 600.0
#: Seconds between two trials of multi holds.
TRIAL_EVERY: Final = 20.0


class Mode(StrEnum):
    """`long_poll:` of a provider."""

    AUTO = "auto"
    SINGLE = "single"
    ANY = "any"
    OFF = "off"


class LongPollOutcome(StrEnum):
    """What one multi hold showed."""

    #: It was kept, and returned when some were there and others not.
    ANY = "any"
    #: Some were there for long, and it was kept all the same.
    ALL = "all"
    #: It was answered at once.
    IGNORED = "ignored"
    NOTHING = "nothing"


def showed(*, took: float, patience: float, reached: int, asked: int) -> LongPollOutcome:
    """What a hold that `took` so many seconds shows, with so many of the IDs asked at the target when it ended."""
    if took < QUICK:
        return LongPollOutcome.IGNORED if reached == 0 else LongPollOutcome.NOTHING
    if reached == 0 or asked == 1:
        return LongPollOutcome.NOTHING
    if took >= patience - _END:
        return LongPollOutcome.ALL if reached < asked else LongPollOutcome.NOTHING
    return LongPollOutcome.ANY if reached < asked else LongPollOutcome.NOTHING


@dataclass(frozen=True, slots=True, kw_only=True)
class LongPollSupport:
    """Of one provider. Times are monotonic seconds."""

    mode: Mode
    #: Seconds that the provider keeps a request; None where it never does.
    patience: float | None
    #: LongPolls for one ID in a row that were not held.
    fell_short: int = 0
    single_again_at: float = float("-inf")
    #: When one was last cut off.
    broke_at: float = float("-inf")
    #: Multi holds in a row that returned for any of their IDs.
    proofs: int = 0
    #: Those in a row that did not.
    doubts: int = 0
    multi_again_at: float = float("-inf")

    def single(self, now: float) -> bool:
        """Whether one ID can be held."""
        return self.patience is not None and self.mode is not Mode.OFF and now >= self.single_again_at

    def any(self, now: float) -> bool:
        """Whether many IDs can be held in one request that returns for the first of them."""
        if self.patience is None or now < self.multi_again_at:
            return False
        return self.mode is Mode.ANY or (self.mode is Mode.AUTO and self.proofs >= PROOF)

    def trial(self, now: float) -> bool:
        """Whether to try a multi hold."""
        return self.mode is Mode.AUTO and self.single(now) and self.proofs < PROOF and now >= self.multi_again_at

    def tried(self, now: float) -> Self:
        """A trial begins."""
        return replace(self, multi_again_at=now + TRIAL_EVERY)

    def kept(self, *, took: float, reached: bool) -> Self:
        """A hold for one ID was answered."""
        if took >= QUICK:
            return replace(self, fell_short=0)
        return self if reached else replace(self, fell_short=self.fell_short + 1)

    def broke(self, *, asked: int, since: float, now: float) -> Self:
        """A hold that began `since` was cut off after a while. Those that break together are one sign."""
        if since < self.broke_at:
            return self
        noted = replace(self, broke_at=now)
        if asked > 1:
            return noted.learned(LongPollOutcome.IGNORED, now)
        return replace(noted, fell_short=self.fell_short + 1).judged(now)

    def without(self, now: float) -> Self:
        """The route on which one ID is held fails: none is held for a time."""
        return replace(self, fell_short=0, single_again_at=now + AGAIN)

    def judged(self, now: float) -> Self:
        """After `kept` or `broke`: once they are too many, none is held for a time."""
        if self.fell_short < PROOF:
            return self
        return self.without(now)

    def learned(self, held: LongPollOutcome, now: float) -> Self:
        """A multi hold was answered, or cut off (`IGNORED`)."""
        if held is LongPollOutcome.NOTHING:
            return self
        if held is LongPollOutcome.ANY:
            return replace(
                self, proofs=min(PROOF, self.proofs + 1), doubts=0, multi_again_at=min(now, self.multi_again_at)
            )
        doubts = self.doubts + 1
        trusted = self.mode is Mode.ANY or self.proofs >= PROOF
        if doubts >= PROOF or not trusted:  # what is trusted takes more to be doubted
            again = now + (AGAIN if doubts >= PROOF else TRIAL_EVERY)
            return replace(self, proofs=0, doubts=doubts % PROOF, multi_again_at=again)
        return replace(self, doubts=doubts)

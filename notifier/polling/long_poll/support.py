"""What is known of a provider's long-polls: requests that it keeps until a state is reached. Pure.

Documented is a long-poll of one ID. Nobody says whether one of several IDs returns when any of them is there, or only
when all are, or ignores that it should wait: `auto` finds out, and never trusts one observation. A provider that turns
out not to keep them (it answers at once, or its gateway cuts long requests off) gets none for ten minutes: otherwise
every answer would be followed by the next long-poll at once, and the budget would be spent on them.

A trial of a long-poll of several IDs asks for IDs that are polled beside it as usual, so that it costs one request.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, Self

#: Seconds; a long-poll that is answered before was not kept.
QUICK: Final = 2.0
#: Seconds before the provider's patience ends; an answer in them may be due to that.
_END: Final = 2.0
#: Observations that must agree before anything is believed.
PROOF: Final = 3
#: Seconds until what did not work is tried again.
AGAIN: Final = 600.0
#: Seconds between two trials of long-polls of several IDs.
TRIAL_EVERY: Final = 20.0


class Mode(StrEnum):
    """`long_poll:` of a provider."""

    AUTO = "auto"
    SINGLE = "single"
    ANY = "any"
    OFF = "off"


class LongPollOutcome(StrEnum):
    """What one long-poll of several IDs showed."""

    #: It was kept, and returned when some were there and others were not.
    ANY = "any"
    #: Some were there for long, and it was kept nevertheless.
    ALL = "all"
    #: It was answered at once.
    IGNORED = "ignored"
    NOTHING = "nothing"


def showed(*, took: float, patience: float, reached: int, asked: int) -> LongPollOutcome:
    """What a long-poll of `asked` IDs shows that `took` so many seconds; `reached`: at their target when it ended."""
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
    #: Seconds that the provider keeps a request; None if it never does.
    patience: float | None
    #: Long-polls of one ID in a row that were not kept.
    not_kept: int = 0
    single_again_at: float = float("-inf")
    #: When one was last cut off.
    broke_at: float = float("-inf")
    #: Long-polls of several IDs in a row that returned for any of them.
    proofs: int = 0
    #: Those in a row that did not.
    doubts: int = 0
    multi_again_at: float = float("-inf")

    def single(self, now: float) -> bool:
        """Whether one ID can be long-polled."""
        return self.patience is not None and self.mode is not Mode.OFF and now >= self.single_again_at

    def any(self, now: float) -> bool:
        """Whether several IDs can be long-polled in one request that returns for the first of them."""
        if self.patience is None or now < self.multi_again_at:
            return False
        return self.mode is Mode.ANY or (self.mode is Mode.AUTO and self.proofs >= PROOF)

    def trial(self, now: float) -> bool:
        """Whether to try a long-poll of several IDs."""
        return self.mode is Mode.AUTO and self.single(now) and self.proofs < PROOF and now >= self.multi_again_at

    def tried(self, now: float) -> Self:
        """A trial begins."""
        return replace(self, multi_again_at=now + TRIAL_EVERY)

    def kept(self, *, took: float, reached: bool) -> Self:
        """A long-poll of one ID was answered."""
        if took >= QUICK:
            return replace(self, not_kept=0)
        return self if reached else replace(self, not_kept=self.not_kept + 1)

    def broke(self, *, asked: int, since: float, now: float) -> Self:
        """A long-poll that began `since` was cut off after a while. Those that break together are one sign."""
        if since < self.broke_at:
            return self
        noted = replace(self, broke_at=now)
        if asked > 1:
            return noted.learned(LongPollOutcome.IGNORED, now)
        return replace(noted, not_kept=self.not_kept + 1).judged(now)

    def without(self, now: float) -> Self:
        """The single route fails: no ID is long-polled by it for a time."""
        return replace(self, not_kept=0, single_again_at=now + AGAIN)

    def judged(self, now: float) -> Self:
        """After `kept` or `broke`: if too many were not kept, no ID is long-polled for a time."""
        if self.not_kept < PROOF:
            return self
        return self.without(now)

    def learned(self, outcome: LongPollOutcome, now: float) -> Self:
        """A long-poll of several IDs was answered, or cut off (`IGNORED`)."""
        if outcome is LongPollOutcome.NOTHING:
            return self
        if outcome is LongPollOutcome.ANY:
            return replace(
                self, proofs=min(PROOF, self.proofs + 1), doubts=0, multi_again_at=min(now, self.multi_again_at)
            )
        doubts = self.doubts + 1
        trusted = self.mode is Mode.ANY or self.proofs >= PROOF
        if doubts >= PROOF or not trusted:  # what is trusted takes more to be doubted
            again = now + (AGAIN if doubts >= PROOF else TRIAL_EVERY)
            return replace(self, proofs=0, doubts=doubts % PROOF, multi_again_at=again)
        return replace(self, doubts=doubts)

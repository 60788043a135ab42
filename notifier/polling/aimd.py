"""How much of a provider's budget is used: less after it said that it is too much, and slowly all of it again. Pure.

Additive increase, multiplicative decrease, as TCP has it: several daemons that share a key settle at a fair share, and
none of them finds the limit by running into it again and again at full speed.
"""

from typing import Final

#: Of the budget; it is never cut below.
LEAST: Final = 1 / 16
_CUT: Final = 0.5
#: Of the budget, for each second's worth of good answers.
_GAIN: Final = 0.05


class AdaptiveLimit:
    """`rate` is the budget in requests per second, `in_flight` in requests at a time."""

    def __init__(self, rate: float, in_flight: int) -> None:
        self._rate = rate
        self._in_flight = in_flight
        #: Of the budget.
        self.share = 1.0

    @property
    def rate(self) -> float:
        return self._rate * self.share

    @property
    def in_flight(self) -> int:
        return max(1, round(self._in_flight * self.share))

    def cut(self) -> None:
        """It was too much: 429, or no answer in time."""
        self.share = max(LEAST, self.share * _CUT)

    def answered(self) -> None:
        """A request was answered as it should be."""
        if self.share < 1.0:
            self.share = min(1.0, self.share + _GAIN / max(1.0, self.rate))

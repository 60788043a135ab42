"""Which curve a generation goes by: one for each model and target of a provider. Pure.

The model is known once a record tells it. Until then, and for records that do not tell, a generation goes by the curve
of its target that has learned the most. A model that is new starts from that one too.

Beside them stands what share of generations is at the target already when we are told of it: that, and nothing else,
is what a look right at the start can find.
"""

from math import exp
from typing import Any, Final

import orjson

from notifier.domain.model import State
from notifier.polling.learning.hazard import MEMORY, HazardCurve

#: Models told apart for one provider; what comes beyond goes by the unnamed one.
_MOST: Final = 200
#: Characters of a model's name that count.
_NAME: Final = 100
#: Before anything is known: as good as this many of this many were there already.
_PRIOR: Final = (1.0, 5.0)
_EVEN: Final = 0.5


class Met:
    """What first looks found."""

    def __init__(self, looks: float = 0.0, done: float = 0.0) -> None:
        self._looks, self._done = looks, done

    @property
    def share(self) -> float:
        """Of generations that are there already when we are told of them."""
        done, looks = _PRIOR
        return (self._done + done) / (self._looks + looks)

    def first(self, *, done: bool, chance: float) -> bool:
        """Take in a first look; `chance` is that of getting there since we were told of it. True: more likely since.

        Where it is there, it may have been so before, or have got there since: it is shared out.
        """
        before = self.share
        share = before / (before + (1 - before) * chance) if done else 0.0
        fade = 1 - 1 / MEMORY
        self._looks, self._done = self._looks * fade + 1, self._done * fade + share
        return done and share < _EVEN

    def dump(self) -> list[float]:
        return [round(self._looks, 3), round(self._done, 3)]

    @classmethod
    def load(cls, dumped: Any) -> "Met":
        try:
            looks, done = map(float, dumped)
        except (TypeError, ValueError, OverflowError):
            return cls()
        return cls(looks, done) if 0 <= done <= looks < 2 * MEMORY else cls()


class CurvesByModel:
    """All curves of one provider."""

    def __init__(self) -> None:
        self._curves: dict[tuple[str, State], HazardCurve] = {}
        self._met: dict[State, Met] = {}
        self._usual: dict[State, HazardCurve] = {}

    def already_done(self, target: State) -> Met:
        met = self._met.get(target)
        return self._met.setdefault(target, Met()) if met is None else met

    def most_learned(self, target: State) -> HazardCurve:
        """For a generation of which no record was seen."""
        best = self._usual.get(target)
        return self.of(None, target) if best is None else best

    def of(self, model: str | None, target: State) -> HazardCurve:
        """For a generation of this model; None where its record does not tell."""
        name = (model or "")[:_NAME]
        if (curve := self._curves.get((name, target))) is not None:
            return curve
        if len(self._curves) >= _MOST:
            name = ""
            if (curve := self._curves.get((name, target))) is not None:
                return curve
        best = self._usual.get(target)
        curve = self._curves.setdefault((name, target), HazardCurve() if best is None else best.seeded_copy())
        self._usual.setdefault(target, curve)
        return curve

    def model_of(self, curve: HazardCurve) -> str | None:
        """The model whose curve this is; None for the unnamed one."""
        return next((name or None for (name, _), each in self._curves.items() if each is curve), None)

    def update_most_learned(self, target: State, curve: HazardCurve) -> None:
        """`curve` has learned something: it may be the one that has learned the most."""
        if curve.learned > self._usual[target].learned:
            self._usual[target] = curve

    # ---- kept over a restart ----
    def dump(self) -> dict[str, bytes]:
        """Name -> JSON, for each that has learned something."""
        dumped = {
            f"{target.value}/{model}": curve.dump() for (model, target), curve in self._curves.items() if curve.learned
        }
        met = {target.value: met.dump() for target, met in self._met.items()}
        return {name: orjson.dumps(each) for name, each in (dumped | {"met": met}).items()}

    def load(self, dumped: dict[str, bytes]) -> None:
        """The inverse of `dump`; what makes no sense is passed over."""
        for name, text in dumped.items():
            each = _read(text)
            target, mark, model = name.partition("/")
            if name == "met":
                self._met = {State(word): Met.load(value) for word, value in _pairs(each) if word in set(State)}
            elif mark and target in set(State) and len(self._curves) < _MOST:
                curve = self._curves[model, State(target)] = HazardCurve.load(each)
                self.update_most_learned(State(target), self._usual.setdefault(State(target), curve))
                self.update_most_learned(State(target), curve)


def _read(text: bytes) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None


def _pairs(value: Any) -> list[tuple[str, Any]]:
    return list(value.items()) if isinstance(value, dict) else []


def since_told(curve: HazardCurve, since: float, until: float) -> float:
    """The chance that a generation which was not there at one age is there at the other; none where that is earlier."""
    return 1 - exp(min(0.0, curve.cumulative(max(0.0, since)) - curve.cumulative(max(0.0, until))))

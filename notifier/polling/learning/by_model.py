"""Which hazard curve a generation goes by: one for each model and target of a provider. Pure.

The model is known once a record shows it. Until then, and if records do not show it, a generation goes by the curve of
its target that has learned the most. The curve of a new model starts as a copy of that one.

Beside the curves is the already-done share: how many of 100 generations have reached the target before they are
registered. A poll right at the start can find these, and nothing else. With n first polls, of which d found the target
reached before the registration (both decayed as in `hazard`), the share is the mean of a Beta(1, 4) prior and these:

    q = (d + 1) / (n + 5)

If a first poll finds the target reached, that was before the registration, or since with probability p (`hazard`,
formula 2). By Bayes' rule d grows by

    q / (q + (1 - q) p)

Example: before anything is known q = 1/5. A first poll finds its generation done, and p = 0.25: d grows by
0.2 / (0.2 + 0.8 · 0.25) = 0.5, and q = (0.5 + 1) / (1 + 5) = 0.25.
"""

from collections import defaultdict
from typing import Any, Final

import orjson

from notifier.domain.model import State
from notifier.polling.learning.hazard import MEMORY, HazardCurve

#: Models that have a curve of their own, of one provider; all others go by the unnamed curve.
_MOST: Final = 200
#: Characters of a model's name that count.
_NAME: Final = 100
#: Of the prior: first polls that found it done, and all of them.
_PRIOR_DONE: Final = 1.0
_PRIOR_POLLS: Final = 5.0
_EVEN: Final = 0.5
#: The stored name of the already-done shares; no curve's name lacks the "/".
_SHARES: Final = "met"


class AlreadyDone:
    """What first polls found, of one target."""

    def __init__(self, polls: float = 0.0, done: float = 0.0) -> None:
        self._polls, self._done = polls, done

    @property
    def share(self) -> float:
        """q: of generations that had reached the target when they were registered."""
        return (self._done + _PRIOR_DONE) / (self._polls + _PRIOR_POLLS)

    def first(self, *, done: bool, probability: float) -> bool:
        """Take in a first poll. True if its generation more likely reached the target since the registration.

        `probability` is p, to have reached it since.
        """
        prior = self.share
        before = prior / (prior + (1 - prior) * probability) if done else 0.0
        decay = 1 - 1 / MEMORY
        self._polls, self._done = self._polls * decay + 1, self._done * decay + before
        return done and before < _EVEN

    def dump(self) -> list[float]:
        return [round(self._polls, 3), round(self._done, 3)]

    @classmethod
    def load(cls, dumped: Any) -> "AlreadyDone":
        try:
            polls, done = map(float, dumped)
        except (TypeError, ValueError, OverflowError):
            return cls()
        return cls(polls, done) if 0 <= done <= polls < 2 * MEMORY else cls()


class CurvesByModel:
    """All hazard curves of one provider."""

    def __init__(self) -> None:
        self._curves: dict[tuple[str, State], HazardCurve] = {}
        self.already_done: defaultdict[State, AlreadyDone] = defaultdict(AlreadyDone)
        self._most_learned: dict[State, HazardCurve] = {}

    def most_learned(self, target: State) -> HazardCurve:
        """For a generation of which no record was seen."""
        best = self._most_learned.get(target)
        return self.of(None, target) if best is None else best

    def of(self, model: str | None, target: State) -> HazardCurve:
        """For a generation of this model; None if its record does not show one."""
        name = (model or "")[:_NAME]
        if len(self._curves) >= _MOST and (name, target) not in self._curves:
            name = ""
        if (curve := self._curves.get((name, target))) is None:
            best = self._most_learned.get(target)
            curve = self._curves[name, target] = HazardCurve() if best is None else best.seeded_copy()
            self._most_learned.setdefault(target, curve)
        return curve

    def model_of(self, curve: HazardCurve) -> str | None:
        """The model whose curve this is; None for the unnamed one."""
        return next((name or None for (name, _), each in self._curves.items() if each is curve), None)

    def update_most_learned(self, target: State, curve: HazardCurve) -> None:
        """`curve` has learned something: it may have learned the most now."""
        if curve.learned > self._most_learned[target].learned:
            self._most_learned[target] = curve

    # ---- kept over a restart ----
    def dump(self) -> dict[str, bytes]:
        """Name -> JSON: each curve that has learned something, and the shares."""
        dumped: dict[str, Any] = {
            f"{target.value}/{model}": curve.dump() for (model, target), curve in self._curves.items() if curve.learned
        }
        dumped[_SHARES] = {target.value: share.dump() for target, share in self.already_done.items()}
        return {name: orjson.dumps(each) for name, each in dumped.items()}

    def load(self, dumped: dict[str, bytes]) -> None:
        """The inverse of `dump`; whatever makes no sense is skipped."""
        for name, text in dumped.items():
            try:
                each = orjson.loads(text)
            except orjson.JSONDecodeError:
                each = None
            target, mark, model = name.partition("/")
            if name == _SHARES:
                shares = each if isinstance(each, dict) else {}
                known = set(shares).intersection(State)
                self.already_done.update({State(word): AlreadyDone.load(shares[word]) for word in known})
            elif mark and target in set(State) and len(self._curves) < _MOST:
                curve = self._curves[model, State(target)] = HazardCurve.load(each)
                self._most_learned.setdefault(State(target), curve)
                self.update_most_learned(State(target), curve)

"""Small builders of what is watched, so that a test names only what matters to it."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from random import Random

from notifier.domain.ids import Destination, GenerationId, ProviderName
from notifier.domain.model import Observation, OpenGeneration, State
from notifier.domain.settings import ProviderSettings, Secret
from notifier.polling.learning.hazard import HazardCurve
from notifier.polling.scheduling.open_generation import PollTimes, TrackedGeneration

#: Second 0 of the monotonic clock.
NOW = datetime(2026, 11, 22, 5, 14, tzinfo=UTC)
LUMA = ProviderSettings(name=ProviderName("luma"), kind="aimlapi-luma", base_url="http://x", api_key=Secret("k"))
STUDIO = (Destination("studio"),)
AUDIT = (Destination("audit"),)


def opened(
    id_: str = "g-1",
    *,
    target: State = State.COMPLETED,
    destinations: tuple[Destination, ...] = STUDIO,
    deadline: float = 86_400.0,
    state: State | None = None,
    registered: float = 0.0,
) -> OpenGeneration:
    """`deadline` and `registered` in monotonic seconds."""
    return OpenGeneration(
        provider=LUMA.name,
        id=GenerationId(id_),
        state=state,
        registered_at=NOW + timedelta(seconds=registered),
        deadline=NOW + timedelta(seconds=deadline),
        target=target,
        destinations=destinations,
    )


def entry(id_: str = "g-1", *, curve: HazardCurve | None = None, age_origin: float = 0.0) -> TrackedGeneration:
    return TrackedGeneration.of(opened(id_), curve or HazardCurve(), age_origin=age_origin, registered=age_origin)


def wall(now: float) -> float:
    """Unix seconds of a monotonic second."""
    return NOW.timestamp() + now


def times(sent: float, got: float | None = None) -> PollTimes:
    got = sent if got is None else got
    return PollTimes(
        asked_at=NOW + timedelta(seconds=sent), answered_at=NOW + timedelta(seconds=got), sent=sent, got=got
    )


def sight(
    id_: str = "g-1",
    state: State | None = State.RUNNING,
    *,
    model: str | None = "ray-2",
    created_at: datetime | None = None,
) -> Observation:
    return Observation(id=GenerationId(id_), state=state, model=model, created_at=created_at)


def lognormals(rng: Random, count: int, *, median: float = 100.0, spread: float = 0.5) -> list[float]:
    """Durations in seconds."""
    return [rng.lognormvariate(0.0, spread) * median for _ in range(count)]


def teach(curve: HazardCurve, durations: Iterable[float], *, every: float = 5.0) -> int:
    """Poll generations that take so long every so many seconds; how often the curve took it for a change."""
    changes = 0
    for took in durations:
        without = every * (took // every)
        if without:
            curve.expose(0.0, without)
        changes += curve.reached(without, without + every)
    return changes

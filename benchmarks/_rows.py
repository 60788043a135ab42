"""What the benchmarks of the store fill it with: generations by their numbers, watched, completed, delivered."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from notifier.domain.ids import Destination, EndpointIdentity, GenerationId, ProviderName
from notifier.domain.model import (
    AttemptResult,
    Claim,
    DeliveryStatus,
    Observation,
    State,
    Transition,
    Verdict,
    WatchRequest,
)

NOW: Final = datetime(2026, 11, 22, tzinfo=UTC)
LUMA: Final = ProviderName("luma")


def watched(number: int, *, endpoint: str = "studio", destination: str = "studio") -> WatchRequest:
    return WatchRequest(
        provider=LUMA,
        generation=GenerationId(f"755f9bbb-d99b-4880-992b-{number:012}"),
        target=State.COMPLETED,
        endpoint=EndpointIdentity(endpoint),
        destination=Destination(destination),
        timeout=timedelta(hours=24),
    )


def completed(number: int, *, url: int, frames: Sequence[int] = ()) -> Transition:
    """With a record of its own whose URL has so many characters more than its beginning."""
    record = {"id": str(number), "assets": {"video": "https://cdn.example.com/" + "x" * url}}
    more = {"frames": list(frames)} if frames else {}
    observation = Observation(id=watched(number).generation, state=State.COMPLETED, record=record | more)
    return Transition(provider=LUMA, observation=observation, observed_at=NOW, not_before=None)


def delivered(claim: Claim) -> AttemptResult:
    return AttemptResult(
        message_id=claim.message_id,
        number=claim.number,
        started_at=NOW,
        took=timedelta(milliseconds=4),
        verdict=Verdict.DELIVERED,
        status_code=200,
        head=b"ok",
        detail="",
        status=DeliveryStatus.DELIVERED,
        failures=claim.failures,
        due_at=None,
    )

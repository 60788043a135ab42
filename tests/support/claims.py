"""A claim of one message, for tests that send it and are about the wire."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from notifier.domain.ids import Destination, EndpointIdentity, GenerationId, MessageId, ProviderName, WatchId
from notifier.domain.model import Claim

NOW = datetime(2026, 11, 22, 5, 14, tzinfo=UTC)
_CLAIM = Claim(
    message_id=MessageId("msg_1"),
    endpoint=EndpointIdentity("studio"),
    destination=Destination("studio"),
    type="generation.completed",
    content_type="application/json",
    body=b'{"a":1}',
    number=1,
    failures=0,
    interruptions=0,
    started_at=NOW,
    leased_until=NOW,
    provider=ProviderName("luma"),
    generation=GenerationId("g-1"),
    watch_id=WatchId("wch_1"),
)


def claim(endpoint: str = "studio", **more: Any) -> Claim:
    """The first attempt of a message to this endpoint."""
    return replace(_CLAIM, endpoint=EndpointIdentity(endpoint), destination=Destination(endpoint), **more)

"""How long a `Retry-After` header asks to wait, from an endpoint or a provider. Pure."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

#: Seconds; a longer wait counts as this.
LONGEST_HINT: Final = 24 * 3600.0


def retry_after(value: str | None, now: datetime) -> float | None:
    """Seconds, 24 h at most, that a `Retry-After` header (seconds or an HTTP date) asks for; None if it is neither."""
    text = (value or "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text), LONGEST_HINT)
    try:
        moment = parsedate_to_datetime(text) if text.isascii() else None
    except (ValueError, TypeError, OverflowError):
        moment = None
    if moment is None:
        return None
    if moment.tzinfo is None:  # "-0000" is UTC, of an unknown place
        moment = moment.replace(tzinfo=UTC)
    return min(max((moment - now).total_seconds(), 0.0), LONGEST_HINT)

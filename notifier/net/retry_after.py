"""How long a `Retry-After` header asks to wait, whoever sent it. Pure."""

import math
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

#: Seconds; a longer wait counts as this.
LONGEST_HINT: Final = 24 * 3600.0


def retry_after(value: str | None, now: datetime) -> float | None:
    """Seconds, 24 h at most, that a `Retry-After` header (seconds or an HTTP date) asks for; None if it is neither."""
    text = (value or "").strip()
    if not text.isascii():
        return None
    seconds = float(text) if text.isdigit() else _until(text, now)
    if seconds is None or math.isnan(seconds):
        return None
    return min(max(seconds, 0.0), LONGEST_HINT)


def _until(text: str, now: datetime) -> float | None:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    if moment.tzinfo is None:  # "-0000" is UTC, of an unknown place
        moment = moment.replace(tzinfo=UTC)
    return (moment - now).total_seconds()

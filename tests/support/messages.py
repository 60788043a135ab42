"""One message, for tests that send it and are about the wire."""

from datetime import UTC, datetime
from typing import Final

from notifier.domain.ids import MessageId
from notifier.domain.model import Message

NOW: Final = datetime(2026, 11, 22, 5, 14, tzinfo=UTC)
MESSAGE: Final = Message(id=MessageId("msg_1"), content_type="application/json", body=b'{"a":1}')

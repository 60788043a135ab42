"""Decodes a reply without the secrets that the provider was sent: an API may quote the key that it refuses.

The body of a reply that succeeded is not masked whole, because it may be large and is data. So the texts for people
that are taken out of it are masked here, when escapes are undone. Records go into callbacks too: if one was written
with escapes, a secret in it can be seen only now.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from notifier.domain.errors import ProviderError
from notifier.domain.model import Observation
from notifier.domain.settings import ProviderSettings
from notifier.net.secrets_sent import mask_of_provider
from notifier.providers.base import Codec, PollRequest, Reply
from notifier.text.masking import Mask


def decode(codec: Codec, request: PollRequest, reply: Reply, settings: ProviderSettings) -> Sequence[Observation]:
    """As `codec` decodes it; the errors that it raises are masked too."""
    mask = mask_of_provider(settings)
    try:
        seen = codec.decode(request, reply, settings.state_words)
    except ProviderError as error:
        error.args, error.said = (mask.text(str(error)),), mask.text(error.said)
        raise
    escaped = any(escape in reply.body for escape in _ESCAPES)
    return [_masked(each, mask, escaped=escaped) for each in seen]


#: Signs that a secret may be in the reply in other bytes: escapes, and UTF-16. A key has no quotes and no line ends.
_ESCAPES: Final = (b"\\u", b"\\/", b"\0")


def _masked(seen: Observation, mask: Mask, *, escaped: bool) -> Observation:
    if escaped:
        old = seen.result
        result = replace(old, url=mask.data(old.url), urls=mask.data(old.urls), text=mask.data(old.text))
        seen = replace(seen, record=mask.data(seen.record), result=result)
    if seen.failure or seen.unmapped:
        failure, state = (text and mask.text(text) for text in (seen.failure, seen.provider_state))
        seen = replace(seen, failure=failure, provider_state=state)
    return seen

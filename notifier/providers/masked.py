"""What a reply says, without the secrets that the provider was sent: an API may repeat the key that it does not like.

A reply that succeeds is read as it came, because it may be large and is data. So what is taken out of it as text for
people, escapes undone, is masked here. Records go into callbacks: where one was written with escapes, a secret that it
holds can be seen only now.
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
    if any(escape in reply.body for escape in _ESCAPES):
        seen = [_without(each, mask) for each in seen]
    return [_masked(each, mask) if each.failure or each.unmapped else each for each in seen]


#: Signs that a reply may hold a secret in other bytes: escapes, and UTF-16. A key has no quotes and no line ends.
_ESCAPES: Final = (b"\\u", b"\\/", b"\0")


def _without(seen: Observation, mask: Mask) -> Observation:
    result = seen.result
    return replace(
        seen,
        record=mask.data(seen.record),
        result=replace(result, url=mask.data(result.url), urls=mask.data(result.urls), text=mask.data(result.text)),
    )


def _masked(seen: Observation, mask: Mask) -> Observation:
    return replace(
        seen,
        failure=seen.failure and mask.text(seen.failure),
        provider_state=seen.provider_state and mask.text(seen.provider_state),
    )

"""Names and identifiers. All of them are derived from facts, so a rebuilt store makes the same ones again."""

import hashlib
from typing import Final, NewType

#: Name of a provider in the configuration.
ProviderName = NewType("ProviderName", str)
#: The provider's ID of one generation, as the provider's codec normalised it.
GenerationId = NewType("GenerationId", str)
#: A configured endpoint's name, or the normalised full callback URL. A URL has "://" and a name cannot.
EndpointIdentity = NewType("EndpointIdentity", str)
#: What shares concurrency, rate and health: an endpoint's name, or a callback URL's origin.
Destination = NewType("Destination", str)
#: `wch_…`: one watch.
WatchId = NewType("WatchId", str)
#: `msg_…`: the `webhook-id`, one message to one endpoint, the same on every attempt.
MessageId = NewType("MessageId", str)
#: One run of a worker that takes leases.
WorkerId = NewType("WorkerId", str)


_ALPHABET: Final = "abcdefghijklmnopqrstuvwxyz234567"
#: Ten bits -> two letters: one ID is made for every message, and this is a third faster than `base64.b32encode`.
_PAIRS: Final = [one + other for one in _ALPHABET for other in _ALPHABET]
#: Where in 260 bits its 26 pairs begin.
_SHIFTS: Final = range(250, -1, -10)


def _digest(*facts: str, pairs: int = len(_SHIFTS)) -> str:
    """Base32 of SHA-256 over the facts, each preceded by its length, so that no two lists of facts look alike.

    The first `pairs` pairs of its characters.
    """
    joined = bytearray()
    for fact in facts:
        text = fact.encode()
        joined += len(text).to_bytes(8, "big")
        joined += text
    bits = int.from_bytes(hashlib.sha256(joined).digest(), "big") << 4
    return "".join([_PAIRS[bits >> shift & 1023] for shift in _SHIFTS[:pairs]])


def message_id(*, provider: str, generation: str, target: str, endpoint: str, kind: str, round_: int) -> MessageId:
    """The `webhook-id` of what is owed: `kind` is result, expired or unknown; `round_` counts reopenings.

    Format, URL, secrets, metadata and the state reached are not in it.
    """
    return MessageId("msg_" + _digest(provider, generation, target, endpoint, kind, str(round_)))


def trial_message_id(random_bytes: bytes) -> MessageId:
    """The ID of a message that is owed to nobody; `random_bytes` is random, so no two are the same."""
    return MessageId("msg_" + _digest("test", random_bytes.hex()))


def watch_id(*, provider: str, generation: str, target: str, endpoint: str) -> WatchId:
    """A watch's ID; (provider, generation, target, endpoint) is what a watch *is*."""
    return WatchId("wch_" + _digest(provider, generation, target, endpoint, pairs=16))

"""Names and identifiers. IDs are derived from facts, so that a rebuilt store makes the same ones again."""

import hashlib
from typing import Final, NewType

#: Name of a provider in the configuration.
ProviderName = NewType("ProviderName", str)
#: The provider's ID of one generation, as the provider's codec normalised it.
GenerationId = NewType("GenerationId", str)
#: A configured endpoint's name, or the normalised full callback URL. A URL has "://" and a name cannot.
EndpointIdentity = NewType("EndpointIdentity", str)
#: Has its own concurrency, rate and health: an endpoint's name, or a callback URL's origin.
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
#: Bit positions of the 26 pairs in 260 bits.
_SHIFTS: Final = range(250, -1, -10)


def _digest(*facts: str, pairs: int = len(_SHIFTS)) -> str:
    """The first `pairs` pairs of characters of a base32 SHA-256 over the facts.

    Each fact is preceded by its length, so that two different lists of facts never give the same bytes.
    """
    joined = bytearray()
    for fact in facts:
        text = fact.encode()
        joined += len(text).to_bytes(8, "big")
        joined += text
    bits = int.from_bytes(hashlib.sha256(joined).digest(), "big") << 4
    return "".join([_PAIRS[bits >> shift & 1023] for shift in _SHIFTS[:pairs]])


def message_id(*, provider: str, generation: str, target: str, endpoint: str, kind: str, round_: int) -> MessageId:
    """The `webhook-id` of a message about a generation: `round_` counts how often its watch was reopened.

    Format, URL, secrets, metadata and the state that was reached are not in it.
    """
    return MessageId("msg_" + _digest(provider, generation, target, endpoint, kind, str(round_)))


def trial_message_id(random_bytes: bytes) -> MessageId:
    """The ID of a test message; `random_bytes` make each another one."""
    return MessageId("msg_" + _digest("test", random_bytes.hex()))


def watch_id(*, provider: str, generation: str, target: str, endpoint: str) -> WatchId:
    """A watch's ID; (provider, generation, target, endpoint) is what a watch *is*."""
    return WatchId("wch_" + _digest(provider, generation, target, endpoint, pairs=16))

"""Random numbers without a generator: one in [0, 1) as a function of a seed and of what it is drawn for.

Nothing here has a state, so the n-th generation of a seed is the same however many requests came before it, and a test
that failed can be run again. It is no source of secrets.
"""

import hashlib
import uuid

_BYTES = 8
_SPAN = float(1 << (8 * _BYTES))


def draw(seed: int, *facts: str | int) -> float:
    """A number in [0, 1) that is always the same for the same seed and facts."""
    return int.from_bytes(_digest(seed, facts, _BYTES), "big") / _SPAN


def draw_uuid(seed: int, *facts: str | int) -> str:
    """A random-looking UUID (version 4 in form), always the same for the same seed and facts."""
    return str(uuid.UUID(bytes=_digest(seed, facts, 16), version=4))


def _digest(seed: int, facts: tuple[str | int, ...], size: int) -> bytes:
    return hashlib.blake2b(repr((seed, facts)).encode(), digest_size=size).digest()

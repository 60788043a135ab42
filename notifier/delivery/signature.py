"""Signing by Standard Webhooks 1.0.0: keys, and the three headers of one attempt. Pure.

What is signed is exactly the bytes that are sent.

`whsec_` keys sign v1 (HMAC-SHA256), `whsk_` keys sign v1a (ed25519); there is one signature for each key, in one
header. Keys are decoded once and kept, so that a v1 signature costs a few microseconds. `cryptography` is imported with
the first `whsk_` key: most installations have none, and it takes megabytes of memory.
"""

import base64
import hmac
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from notifier.domain.settings import Secret

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

#: Bytes of a `whsec_` key.
SHORTEST: Final = 24
LONGEST: Final = 64
_SEED: Final = 32
_CALLBACK: Final = b"notifier callback v1"

#: Signed content -> one signature with its version, e.g. `v1,…`.
Signer = Callable[[bytes], str]


def headers(message_id: str, timestamp: int, body: bytes, secrets: Sequence[Secret]) -> list[tuple[str, str]]:
    """The headers of one attempt: `timestamp` is its Unix second, `secrets` sign in the order given."""
    content = b"%b.%d.%b" % (message_id.encode(), timestamp, body)
    return [
        ("webhook-id", message_id),
        ("webhook-timestamp", str(timestamp)),
        ("webhook-signature", " ".join([_signer(secret)(content) for secret in secrets])),
    ]


def check_secret(text: str) -> None:
    """`ValueError` with a sentence for the operator if `text` cannot sign. The sentence never has the secret."""
    _parsed(text)


def new_secret(random_bytes: bytes) -> str:
    """`whsec_…` of these 24-64 random bytes."""
    text = "whsec_" + base64.b64encode(random_bytes).decode()
    check_secret(text)
    return text


def new_asymmetric_secret(seed: bytes) -> str:
    """A `whsk_` signing key of these 32 random bytes."""
    return "whsk_" + base64.b64encode(seed).decode()


def callback_secret(master: Secret, origin: str) -> Secret:
    """The `whsec_` key of one callback origin; it reveals nothing of the master or of another origin's key."""
    prefix, master_key = _parsed(master.reveal())
    if prefix != "whsec":
        raise ValueError('Keys are derived from a "whsec_" master only.')
    key = hmac.digest(master_key, _CALLBACK + origin.encode(), "sha256")
    return Secret("whsec_" + base64.b64encode(key).decode())


def public_key(whsk: str) -> str:
    """The `whpk_…` that receivers need, of a `whsk_…` key."""
    prefix, key = _parsed(whsk)
    if prefix != "whsk":
        raise ValueError('Only a "whsk_" key has a public key.')
    public = _private_key(key).public_key()
    return "whpk_" + base64.b64encode(public.public_bytes_raw()).decode()


def _parsed(text: str) -> tuple[str, bytes]:
    """The prefix and the key of a secret that can sign; `ValueError` as for `check_secret`."""
    prefix, mark, rest = text.partition("_")
    if not mark or prefix not in ("whsec", "whsk", "whpk"):
        raise ValueError('A secret begins with "whsec_" (or "whsk_" for ed25519): "notifier secret new" makes one.')
    if prefix == "whpk":
        raise ValueError('That is the public key, for receivers: the secret key begins with "whsk_".')
    try:
        key = base64.b64decode(rest, validate=True)
    except ValueError:
        raise ValueError(
            f'What follows "{prefix}_" is not base64 with its padding ("="): copy the secret whole.'
        ) from None
    if prefix == "whsk":
        _private_key(key)
    elif not SHORTEST <= len(key) <= LONGEST:
        raise ValueError(f'A "whsec_" key is {SHORTEST} to {LONGEST} bytes in base64; this one has {len(key)}.')
    return prefix, key


@lru_cache(maxsize=4096)
def _signer(secret: Secret) -> Signer:
    """The cache is bounded because callback URLs bring one key for each origin."""
    prefix, key = _parsed(secret.reveal())
    if prefix == "whsec":
        return lambda content: "v1," + base64.b64encode(hmac.digest(key, content, "sha256")).decode()
    sign = _private_key(key).sign
    return lambda content: "v1a," + base64.b64encode(sign(content)).decode()


def _private_key(key: bytes) -> "Ed25519PrivateKey":
    """From a seed, or a seed followed by its public key."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (  # noqa: PLC0415  see the header: memory
        Ed25519PrivateKey,
    )

    if len(key) not in (_SEED, 2 * _SEED):
        raise ValueError(
            f'A "whsk_" key is {_SEED} bytes in base64, or {2 * _SEED} with its public key; not {len(key)}.'
        )
    private = Ed25519PrivateKey.from_private_bytes(key[:_SEED])
    if key[_SEED:] not in (b"", private.public_key().public_bytes_raw()):
        raise ValueError('The two halves of this "whsk_" key do not belong together: copy it whole.')
    return private

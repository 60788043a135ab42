"""The receivers' side: is this callback really from the notifier that has our key? Standard Webhooks 1.0.0.

It is for apps that receive, so it imports nothing of the daemon: only the standard library, and `cryptography` if a
`whpk_` key is given (no other library verifies v1a, so this one does). Give it the raw body: JSON that was parsed and
dumped again is another body. A verified message may still be a repeat: remember `webhook-id`, and answer 2xx again.

    event = notifier.verify.verify(request.body, request.headers, "whsec_…")
"""

import base64
import hmac
import json
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

#: Seconds that a message's time may differ from ours, either way.
TOLERANCE: Final = 300.0
#: Signatures that are tried of one header; senders rotate a few keys, not more.
_MOST_SIGNATURES: Final = 32
#: Bytes of a body, at most, that is examined for what was changed in it.
_TRIED: Final = 256 * 1024
_UNFIT: Final = "No signature fits: another key signed this message, or its body was changed on the way."
_HEADERS: Final = ("webhook-id", "webhook-timestamp", "webhook-signature")


class InvalidSignature(Exception):
    """The message is not to be trusted; the text says why. Answer 400 or 401."""


def verify(
    body: bytes,
    headers: Mapping[str, str],
    secrets: str | Sequence[str],
    *,
    tolerance: float = TOLERANCE,
    now: float | None = None,
) -> dict[str, Any]:
    """The event in `body`, once a signature by any of `secrets` (`whsec_…`, `whpk_…`) holds.

    `headers` are looked up without case. `tolerance` is in seconds; `now` (Unix seconds) is ours unless given.
    Raises `InvalidSignature`, or `ValueError` if the caller must change something: one of `secrets` cannot be a key,
    `body` is not the raw bytes, or `headers` is no mapping of text to text. Blanks around a secret are not part of it.
    """
    if not isinstance(body, bytes | bytearray | memoryview):
        raise ValueError(_not_raw(body))  # noqa: TRY004  one class for all that the caller must change
    body = bytes(body)
    keys = _keys(secrets)
    if not tolerance >= 0:
        raise ValueError("The tolerance is in seconds: write 0 or more.")
    id_, timestamp, signatures = _required(headers)
    now = time.time() if now is None else now  # noqa: TID251  a receiver has no clock of the daemon's
    _check_time(timestamp, tolerance, now)
    prefix = f"{id_}.{timestamp}.".encode(errors="surrogatepass")
    offered = _offered(signatures, keys)
    if not _fits(prefix + body, offered, keys):
        raise InvalidSignature(_UNFIT + _how_it_changed(prefix, body, offered, keys))
    return _event(body)


def _required(headers: Mapping[str, str]) -> list[str]:
    """The three headers' values. They must be what the app reads, otherwise a repeat would pass as another message."""
    found: dict[str, str] = {}
    texts = _texts(headers)
    for name, value in texts:
        if name.lower() in _HEADERS and found.setdefault(name.lower(), value) != value:
            raise InvalidSignature(f"The header {name.lower()} is there twice, and the two differ.")
    for name in _HEADERS:
        if not found.get(name):
            raise InvalidSignature(f"The header {name} is missing.{_under_another_name(name, texts)}")
    if "." in found["webhook-id"]:
        raise InvalidSignature("The header webhook-id has a dot in it, which no message's ID has.")
    return [found[name] for name in _HEADERS]


def _texts(headers: object) -> list[tuple[str, str]]:
    """The headers that are text; `ValueError` if one of ours is there and is none."""
    if not isinstance(headers, Mapping) and not hasattr(headers, "items"):
        cure = "Hand over the headers of the request (request.headers), or a dict of the three headers webhook-…."
        raise ValueError(f"The headers are no mapping of names to values. {cure}")
    items = list(headers.items())
    for name, value in items:
        plain = name.decode("latin-1") if isinstance(name, bytes) else str(name)
        if plain.lower() in _HEADERS and not (isinstance(name, str) and isinstance(value, str | None)):
            cure = "decode its name and value, one text for each name"
            raise ValueError(f"The header {plain.lower()} is not text: {cure}.")
    return [(name, value or "") for name, value in items if isinstance(name, str) and isinstance(value, str | None)]


def _under_another_name(name: str, headers: Sequence[tuple[str, str]]) -> str:
    """A hint, if the header is there as Svix or as WSGI writes it."""
    names = {each.lower(): each for each, _ in headers}
    svix = name.replace("webhook-", "svix-")
    wsgi = name.replace("-", "_")
    if svix in names:
        cure = "If that is meant, hand over the three headers svix-… as webhook-…; what they hold is the same."
        return f" There is {svix}: the sender uses Svix's own names. {cure}"
    if found := names.get(wsgi) or names.get(f"http_{wsgi}"):
        return f" There is {found[:40]}, a name of WSGI: hand over the headers of the request, not its environment."
    return ""


def _check_time(timestamp: str, tolerance: float, now: float) -> None:
    if not re.fullmatch(r"[0-9]{1,15}", timestamp, re.ASCII):
        raise InvalidSignature("The header webhook-timestamp is not a whole number of seconds.")
    age = now - int(timestamp)
    if abs(now - int(timestamp) / 1_000) <= max(tolerance, TOLERANCE) < abs(age):
        raise InvalidSignature("The header webhook-timestamp is in milliseconds: it must be in seconds.")
    if not age <= tolerance:  # a time that is no number is too old
        raise InvalidSignature(f"The message was signed {age:.0f} s ago: it is too old, or a clock is wrong.")
    if age < -tolerance:
        raise InvalidSignature(f"The message was signed {-age:.0f} s in the future: a clock is wrong.")


def _offered(header: str, keys: Sequence[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
    """The signatures of a version that one of the keys can verify."""
    known = {version for version, _ in keys}
    offered = []
    for signature in header.split(" ", _MOST_SIGNATURES)[:_MOST_SIGNATURES]:
        version, _, encoded = signature.partition(",")
        with suppress(ValueError):
            if version in known:
                offered.append((version, base64.b64decode(encoded, validate=True)))
    if not offered:
        raise InvalidSignature(f"The header webhook-signature holds no {' or '.join(sorted(known))} signature.")
    return offered


def _fits(content: bytes, offered: Sequence[tuple[str, bytes]], keys: Sequence[tuple[str, bytes]]) -> bool:
    return any(
        _one_fits(content, [signature for of, signature in offered if of == version], version, key)
        for version, key in keys
    )


def _one_fits(content: bytes, signatures: Sequence[bytes], version: str, key: bytes) -> bool:
    if version == "v1":
        expected = hmac.digest(key, content, "sha256")
        return any(hmac.compare_digest(expected, signature) for signature in signatures)
    return any(_ed25519_holds(content, key, signature) for signature in signatures)


def _how_it_changed(
    prefix: bytes, body: bytes, offered: Sequence[tuple[str, bytes]], keys: Sequence[tuple[str, bytes]]
) -> str:
    """The most usual changes of a body, as a hint for setting a receiver up."""
    if not body:
        return " The body is empty: something has read it before. Take the body as it was sent."
    tried = _as_it_may_have_been(body) if len(body) <= _TRIED else ()
    return next((hint for sent, hint in tried if _fits(prefix + sent, offered, keys)), "")


def _as_it_may_have_been(body: bytes) -> Iterator[tuple[bytes, str]]:
    """What may have been sent if `body` was changed, and the sentence for it."""
    yield body.rstrip(b"\r\n"), " It fits without the line end behind the body: take the body as it was sent."
    unmarked = body.removeprefix(b"\xef\xbb\xbf")
    yield unmarked, " It fits without the byte order mark before it: take the body as it was sent."
    with suppress(ValueError, RecursionError):  # no JSON, or half a character in it
        minified = json.dumps(json.loads(body), separators=(",", ":"), ensure_ascii=False).encode()
        hint = " It fits the same JSON without its blanks: take the raw body, not one that was parsed and written anew."
        yield minified, hint
    for charset in ("latin-1", "cp1252"):
        with suppress(ValueError):
            sent = body.decode().encode(charset)
            yield sent, " It fits if the body was read in a wrong charset and written as UTF-8: take the raw body."


def _not_raw(body: object) -> str:
    if isinstance(body, str):
        raw = "the raw bytes of the request (request.get_data(), await request.body(), request.body)"
        return f"The body is text. Hand over {raw}: text that was decoded may not have the bytes that were signed."
    return f"The body is of type {type(body).__name__}. Hand over the raw bytes of the request, before JSON is parsed."


def _ed25519_holds(content: bytes, public: bytes, offered: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature as Unfit  # noqa: PLC0415  only who verifies v1a needs it
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415  likewise

    try:
        Ed25519PublicKey.from_public_bytes(public).verify(offered, content)
    except Unfit:
        return False
    return True


def _keys(secrets: object) -> list[tuple[str, bytes]]:
    """Of each secret the version that it verifies, and its bytes."""
    given = list(secrets) if isinstance(secrets, Iterable) and not isinstance(secrets, str | bytes) else [secrets]
    if not given:
        raise ValueError("Give at least one secret.")
    return [_key(secret) for secret in given]


def _key(secret: object) -> tuple[str, bytes]:
    """The version that a secret verifies, and its bytes."""
    if secret is None:
        raise ValueError("There is no secret: is the variable set that it is read from?")
    if not isinstance(secret, str):
        raise ValueError('A secret is text that begins with "whsec_" or "whpk_": decode it first.')  # noqa: TRY004  one class for all that the caller must change
    secret = secret.strip()
    if secret[:1] in ("'", '"') and secret[-1:] == secret[:1]:
        raise ValueError("The secret is in quotes: pass it without them.")
    prefix, _, rest = secret.partition("_")
    if prefix == "whsk":
        raise ValueError('That is the signing key: receivers verify with the public one, "whpk_…".')
    if prefix not in ("whsec", "whpk"):
        raise ValueError('A secret begins with "whsec_" or "whpk_".')
    try:
        key = base64.b64decode(rest, validate=True)
    except ValueError:
        raise ValueError(f'What follows "{prefix}_" is not base64: copy the secret whole.') from None
    if not key or (prefix == "whpk" and len(key) != 32):  # noqa: PLR2004  the length of an ed25519 public key
        raise ValueError(f'What follows "{prefix}_" has the wrong length: copy the secret whole.')
    return ("v1" if prefix == "whsec" else "v1a"), key


def _event(body: bytes) -> dict[str, Any]:
    try:
        event = json.loads(body)
    except (ValueError, RecursionError):
        raise InvalidSignature("The signature fits, but the body is not JSON.") from None
    if not isinstance(event, dict):
        raise InvalidSignature("The signature fits, but the body is not a JSON object.")
    return event

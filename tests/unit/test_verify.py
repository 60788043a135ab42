"""The receivers' verifier, against our signer, the standard's library and everything that can be wrong."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from notifier.delivery.signature import headers as sign
from notifier.delivery.signature import new_secret
from notifier.settings import Secret
from notifier.verify import InvalidSignature, verify

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
SIGNING = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="
PUBLIC = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="
AT = 1614265330
BODY = b'{"test": 2432232314}'


def signed(*secrets: str, body: bytes = BODY) -> dict[str, str]:
    return dict(sign("msg_p5jXN8AQM9LWM0D4loKWxJek", AT, body, [Secret(text) for text in secrets]))


@pytest.mark.parametrize(
    ("signing", "verifying"),
    [
        ([SECRET], SECRET),
        ([SIGNING], PUBLIC),
        ([OTHER, SECRET], SECRET),
        ([SECRET], [OTHER, SECRET]),
        ([SECRET, SIGNING], [OTHER, PUBLIC]),
    ],
)
def test_a_message_signed_by_one_of_our_keys_is_accepted(signing: list[str], verifying: str | list[str]) -> None:
    """Several signatures, several keys, both versions: one pair that fits is enough."""
    assert verify(BODY, signed(*signing), verifying, now=AT) == {"test": 2432232314}


def test_headers_are_found_in_any_case() -> None:
    """Frameworks differ."""
    shouted = {name.title(): value for name, value in signed(SECRET).items()}
    assert verify(BODY, shouted, SECRET, now=AT)


@given(st.binary(min_size=24, max_size=64), st.dictionaries(st.text(max_size=5), st.integers(), max_size=3))
def test_what_the_standards_library_would_send_is_accepted(key: bytes, event: dict[str, int]) -> None:
    """Interoperability the other way round."""
    secret, body = new_secret(key), json.dumps(event)
    signature = Webhook(secret).sign("msg_1", datetime.fromtimestamp(AT, UTC), body)
    received = {"webhook-id": "msg_1", "webhook-timestamp": str(AT), "webhook-signature": signature}
    assert verify(body.encode(), received, secret, now=AT) == event


@pytest.mark.parametrize(
    ("change", "body", "says"),
    [
        ({"webhook-id": ""}, BODY, "webhook-id is missing"),
        ({"webhook-timestamp": ""}, BODY, "webhook-timestamp is missing"),
        ({"webhook-signature": ""}, BODY, "webhook-signature is missing"),
        ({"webhook-timestamp": "soon"}, BODY, "whole number"),
        ({"webhook-timestamp": "1614265330.0"}, BODY, "whole number"),
        ({"webhook-timestamp": "-1"}, BODY, "whole number"),
        ({"webhook-timestamp": "9" * 30}, BODY, "whole number"),
        ({"webhook-timestamp": str(AT - 301)}, BODY, "too old"),
        ({"webhook-timestamp": str(AT + 301)}, BODY, "in the future"),
        ({"webhook-timestamp": str(AT + 1)}, BODY, "No signature fits"),
        ({"webhook-id": "msg_other"}, BODY, "No signature fits"),
        ({"webhook-id": "msg_\udcff"}, BODY, "No signature fits"),
        ({}, BODY + b" ", "No signature fits"),
        ({"webhook-signature": "v1,AAAA"}, BODY, "No signature fits"),
        ({"webhook-signature": "v2,AAAA"}, BODY, "holds no v1 signature"),
        ({"webhook-signature": "v1,!"}, BODY, "holds no v1 signature"),
        ({"webhook-signature": "v1a,AAAA"}, BODY, "holds no v1 signature"),
    ],
)
def test_each_reason_to_refuse_has_its_own_sentence(change: dict[str, str], body: bytes, says: str) -> None:
    """A developer reads it while setting up."""
    with pytest.raises(InvalidSignature, match=says):
        verify(body, signed(SECRET) | change, SECRET, now=AT)


def test_a_signature_by_another_key_is_refused() -> None:
    """Of either version."""
    with pytest.raises(InvalidSignature, match="another key"):
        verify(BODY, signed(OTHER), SECRET, now=AT)
    with pytest.raises(InvalidSignature, match="another key"):
        verify(BODY + b" ", signed(SIGNING), PUBLIC, now=AT)


@pytest.mark.parametrize("body", [b"", b"no", b"[1]", b"\xff", b"[" * 100_000])
def test_a_body_that_is_no_event_is_refused(body: bytes) -> None:
    """However well it is signed."""
    with pytest.raises(InvalidSignature, match=r"not JSON|not a JSON object"):
        verify(body, signed(SECRET, body=body), SECRET, now=AT)


def test_the_tolerance_is_the_callers() -> None:
    """Both edges belong to it."""
    for now in (AT - 10, AT + 10):
        assert verify(BODY, signed(SECRET), SECRET, tolerance=10, now=now)
    with pytest.raises(InvalidSignature, match="too old"):
        verify(BODY, signed(SECRET), SECRET)


@pytest.mark.parametrize("secret", [SIGNING, "secret", "whsec_", "whsec_!", "whpk_AAAA", []])
def test_a_key_that_cannot_verify_is_the_receivers_own_mistake(secret: str | list[str]) -> None:
    """ValueError, not an untrusted message."""
    with pytest.raises(ValueError, match=r"."):
        verify(BODY, signed(SECRET), secret, now=AT)

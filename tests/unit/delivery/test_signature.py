"""Signing by Standard Webhooks, judged by its vectors and by a receiver's library that is not ours."""

import base64
import subprocess
import sys
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from notifier.delivery.signature import (
    callback_secret,
    check_secret,
    headers,
    new_asymmetric_secret,
    new_secret,
    public_key,
)
from notifier.domain.settings import Secret

V1_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
V2_SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
V3_SECRET = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="
V3_PUBLIC = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="
ID, AT, BODY = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
V1_SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
V3_SIGNATURE = "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg=="


def signature(secrets: list[str], *, id_: str = ID, at: int = AT, body: bytes = BODY) -> str:
    return dict(headers(id_, at, body, [Secret(text) for text in secrets]))["webhook-signature"]


@pytest.mark.parametrize(
    ("secret", "id_", "at", "body", "expected"),
    [
        (V1_SECRET, ID, AT, BODY, V1_SIGNATURE),
        (
            V2_SECRET,
            "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
            1649367553,
            b'{"email":"test@example.com","username":"test_user"}',
            "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=",
        ),
        (V3_SECRET, ID, AT, BODY, V3_SIGNATURE),
        (V1_SECRET, ID, AT, b"", "v1,v48jdbgvh29KJz2Qc+ghw8G6vG3nAKnujWBg8oM/62A="),
        (V1_SECRET, ID, AT, '{"p":"café 😀"}'.encode(), "v1,tjc7UqLYoCTizHmMU3kDqkr6hRtYSPI9zvLT/PDSiWs="),
        (V2_SECRET, ID, AT, BODY, "v1,78nXHjpFP0tVJQW5D0SBwmVyyW87BV/rL6MgfM/Bw44="),
    ],
)
def test_the_published_vectors_hold(secret: str, id_: str, at: int, body: bytes, expected: str) -> None:
    """The standard's own examples, and those recomputed for empty and non-ASCII bodies."""
    assert signature([secret], id_=id_, at=at, body=body) == expected


def test_one_header_carries_a_signature_for_every_live_key() -> None:
    """While keys rotate, and across versions."""
    assert signature([V1_SECRET, V3_SECRET]) == f"{V1_SIGNATURE} {V3_SIGNATURE}"
    assert dict(headers(ID, AT, BODY, [Secret(V1_SECRET)])) == {
        "webhook-id": ID,
        "webhook-timestamp": str(AT),
        "webhook-signature": V1_SIGNATURE,
    }


@given(key=st.binary(min_size=24, max_size=64), text=st.text(max_size=200))
def test_a_receiver_with_the_standards_library_accepts_what_we_sign(key: bytes, text: str) -> None:
    """Interoperability, for any key and any body."""
    secret = new_secret(key)
    signed = Webhook(secret).sign("msg_1", datetime.fromtimestamp(AT, UTC), text)
    assert signature([secret], id_="msg_1", body=text.encode()) == signed


def test_a_seed_alone_signs_like_seed_and_public_key() -> None:
    """Both forms of a whsk_ key are in use."""
    seed = base64.b64decode(V3_SECRET.removeprefix("whsk_"))[:32]
    alone = "whsk_" + base64.b64encode(seed).decode()
    check_secret(alone)
    assert signature([alone]) == V3_SIGNATURE
    assert public_key(alone) == public_key(V3_SECRET) == V3_PUBLIC


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "begins with"),
        ("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "begins with"),
        ("sk_live_xyz", "begins with"),
        (V3_PUBLIC, "That is the public key"),
        ("whsec_", "24 to 64"),
        ("whsec_" + base64.b64encode(b"x" * 23).decode(), "this one has 23"),
        ("whsec_" + base64.b64encode(b"x" * 65).decode(), "this one has 65"),
        ("whsec_not base64!", "base64"),
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS", "base64"),
        ("whsk_" + base64.b64encode(b"x" * 31).decode(), "not 31"),
        ("whsk_" + base64.b64encode(b"x" * 64).decode(), "do not belong together"),
    ],
)
def test_a_secret_that_cannot_sign_is_refused_in_words_without_it(text: str, says: str) -> None:
    """The sentence helps the operator and never repeats the secret."""
    with pytest.raises(ValueError, match=r".") as refused:
        check_secret(text)
    assert says in str(refused.value)
    assert len(text) < 10 or text.rpartition("_")[2] not in str(refused.value)


def test_each_origin_has_its_own_key_derived_from_the_master() -> None:
    """whsec_ + base64(HMAC-SHA256(master, "notifier callback v1" + origin)), as computed by hand elsewhere."""
    master = Secret(V1_SECRET)
    one = callback_secret(master, "https://a.example")
    assert one.reveal() == "whsec_trP/+6+zbV+/6kzVndGWTXSTXCV3cvRvjso7Arb0+Ds="
    assert one != callback_secret(master, "https://b.example")
    check_secret(one.reveal())
    with pytest.raises(ValueError, match="master"):
        callback_secret(Secret(V3_SECRET), "https://a.example")


def test_a_public_key_needs_a_signing_key() -> None:
    """A symmetric key has none."""
    with pytest.raises(ValueError, match="whsk_"):
        public_key(V1_SECRET)


def test_signing_v1_does_not_load_cryptography() -> None:
    """It is megabytes that most installations never need."""
    script = (
        "import sys; from notifier.delivery.signature import headers; from notifier.domain.settings import Secret;"
        f"headers('m', 1, b'', [Secret({V1_SECRET!r})]); sys.exit('cryptography' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_a_new_ed25519_key_signs_and_has_a_public_half() -> None:
    """As `notifier secret new` makes it, of 32 bytes drawn by chance."""
    key = new_asymmetric_secret(bytes(range(32)))
    check_secret(key)
    assert signature([key]).startswith("v1a,")
    assert public_key(key).startswith("whpk_")

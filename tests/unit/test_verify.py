"""The receivers' verifier, against our signer, the standard's library and everything that can be wrong."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict
from standardwebhooks import Webhook

from notifier.delivery.signature import headers as sign
from notifier.delivery.signature import new_secret
from notifier.domain.settings import Secret
from notifier.verify import InvalidSignature, verify

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
SIGNING = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="
PUBLIC = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="
AT = 1614265330
BODY = b'{"test": 2432232314}'
V1 = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
V3 = "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg=="


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


@pytest.mark.parametrize(
    ("secret", "id_", "at", "body", "signature", "event"),
    [
        (SECRET, "msg_p5jXN8AQM9LWM0D4loKWxJek", AT, BODY, V1, {"test": 2432232314}),
        (
            OTHER,
            "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
            1649367553,
            b'{"email":"test@example.com","username":"test_user"}',
            "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=",
            {"email": "test@example.com", "username": "test_user"},
        ),
        (PUBLIC, "msg_p5jXN8AQM9LWM0D4loKWxJek", AT, BODY, V3, {"test": 2432232314}),
        (
            SECRET,
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            AT,
            '{"p":"café 😀"}'.encode(),
            "v1,tjc7UqLYoCTizHmMU3kDqkr6hRtYSPI9zvLT/PDSiWs=",
            {"p": "café 😀"},
        ),
        (
            OTHER,
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            AT,
            BODY,
            "v1,78nXHjpFP0tVJQW5D0SBwmVyyW87BV/rL6MgfM/Bw44=",
            {"test": 2432232314},
        ),
    ],
)
def test_the_published_vectors_verify(
    secret: str, id_: str, at: int, body: bytes, signature: str, event: dict[str, object]
) -> None:
    """Of both versions, as they are published; and not one of them with a byte more in its body."""
    received = {"webhook-id": id_, "webhook-timestamp": str(at), "webhook-signature": signature}
    assert verify(body, received, secret, now=at) == event
    with pytest.raises(InvalidSignature, match="No signature fits"):
        verify(body + b" ", received, secret, now=at)


def test_the_vector_of_an_empty_body_verifies_and_is_no_event() -> None:
    """Its signature is right, and the sentence says so; there is nothing in it to hand on."""
    received = signed(SECRET) | {"webhook-signature": "v1,v48jdbgvh29KJz2Qc+ghw8G6vG3nAKnujWBg8oM/62A="}
    with pytest.raises(InvalidSignature, match="The signature fits, but the body is not JSON"):
        verify(b"", received, SECRET, now=AT)


@pytest.mark.parametrize("secrets", [SECRET, PUBLIC, [OTHER, PUBLIC], [OTHER, SECRET], [PUBLIC, SECRET]])
@pytest.mark.parametrize(
    "header", [f"{V1} {V3}", f"{V3} {V1}", f"v1,AAAA v9,AAAA  {V3} v1a,AAAA {V1}", f"v1 {V1} , {V3}"]
)
def test_versions_and_keys_may_be_mixed_in_any_order(header: str, secrets: str | list[str]) -> None:
    """A header of a sender that rotates from one version to the other, and whatever else may be in it."""
    assert verify(BODY, signed(SECRET) | {"webhook-signature": header}, secrets, now=AT)


def test_a_signature_of_one_version_is_never_taken_for_the_other() -> None:
    """An HMAC under the label of ed25519, or the other way round, is no signature."""
    hmac_as_v1a = {"webhook-signature": V1.replace("v1,", "v1a,")}
    ed25519_as_v1 = {"webhook-signature": V3.replace("v1a,", "v1,")}
    for change in (hmac_as_v1a, ed25519_as_v1):
        with pytest.raises(InvalidSignature):
            verify(BODY, signed(SECRET) | change, [SECRET, PUBLIC], now=AT)


def test_signatures_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """How long it takes tells nothing of how much was right: only the standard library's comparison is asked."""
    compared = []
    monkeypatch.setattr("hmac.compare_digest", lambda one, other: compared.append((one, other)))
    with pytest.raises(InvalidSignature):
        verify(BODY, signed(SECRET), SECRET, now=AT)
    assert {(len(one), len(other)) for one, other in compared} == {(32, 32)}


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
        ({"webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330"}, BODY, "webhook-id has a dot in it"),
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


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\n\n"])
def test_a_line_end_behind_the_body_is_named(end: bytes) -> None:
    """A body that was saved with an editor, or printed with `echo`, has one more."""
    with pytest.raises(InvalidSignature, match="It fits without the line end behind the body"):
        verify(BODY + end, signed(SECRET), SECRET, now=AT)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda sent: b"\xef\xbb\xbf" + sent, "It fits without the byte order mark before it"),
        (lambda sent: sent.decode("latin-1").encode(), "It fits if the body was read in a wrong charset"),
        (lambda sent: sent.decode("cp1252").encode(), "It fits if the body was read in a wrong charset"),
        (lambda _: b"", "The body is empty: something has read it before"),
        (lambda sent: sent.replace(b"text", b"said"), r"changed on the way\.$"),
        (lambda sent: sent.decode().encode("utf-16"), "take the raw body"),
        (lambda sent: sent + b" " * 1_000_000, r"changed on the way\.$"),
    ],
)
def test_a_body_that_was_changed_in_a_usual_way_is_named(change: Callable[[bytes], bytes], says: str) -> None:
    """An editor, a framework that guesses the charset, one that has read the body before; and what is none of these."""
    sent = '{"text":"café €"}'.encode()
    with pytest.raises(InvalidSignature, match=says):
        verify(change(sent), signed(SECRET, body=sent), SECRET, now=AT)


@pytest.mark.parametrize("indent", [None, 2])
def test_a_body_that_was_parsed_and_written_anew_is_named(indent: int | None) -> None:
    """The usual mistake of a framework's `request.json`."""
    sent = '{"type":"generation.completed","data":{"text":"café 😀","n":[1,2.5,null]}}'.encode()
    anew = json.dumps(json.loads(sent), indent=indent).encode()
    with pytest.raises(InvalidSignature, match="take the raw body, not one that was parsed and written anew"):
        verify(anew, signed(SECRET, body=sent), SECRET, now=AT)
    with pytest.raises(InvalidSignature, match=r"changed on the way\.$"):
        verify(anew, signed(OTHER, body=sent), SECRET, now=AT)


@pytest.mark.parametrize(
    ("body", "says"), [(BODY.decode(), "The body is text"), ({"test": 1}, "of type dict"), (None, "of type NoneType")]
)
def test_a_body_that_is_not_the_raw_bytes_is_the_receivers_own_mistake(body: Any, says: str) -> None:
    """ValueError that says what to hand over, before anything is compared."""
    with pytest.raises(ValueError, match=f"{says}.*[Hh]and over the raw bytes of the request"):
        verify(body, signed(SECRET), SECRET, now=AT)


@pytest.mark.parametrize(
    ("shape", "says"),
    [
        (lambda _: None, "The headers are no mapping"),
        (lambda headers: [*headers.items()], "The headers are no mapping.*request.headers"),
        (lambda headers: {name.encode(): value.encode() for name, value in headers.items()}, "webhook-id is not text"),
        (lambda headers: {name: value.encode() for name, value in headers.items()}, "webhook-id is not text"),
        (lambda headers: {name: [value] for name, value in headers.items()}, "one text for each name"),
        (lambda headers: headers | {"Webhook-Timestamp": AT}, "webhook-timestamp is not text"),
    ],
)
def test_headers_that_are_no_text_are_the_receivers_own_mistake(
    shape: Callable[[dict[str, str]], Any], says: str
) -> None:
    """The pairs of ASGI, the lists of a gateway, a number: ValueError that says what to hand over."""
    with pytest.raises(ValueError, match=says):
        verify(BODY, shape(signed(SECRET)), SECRET, now=AT)


def test_other_headers_may_be_anything() -> None:
    """Only ours are read."""
    mixed: Any = signed(SECRET) | {"x-count": 3, b"x-raw": b"1", "x-none": None, 7: 7}
    assert verify(BODY, mixed, SECRET, now=AT)
    del mixed["webhook-id"]
    with pytest.raises(InvalidSignature, match="webhook-id is missing"):
        verify(BODY, mixed, SECRET, now=AT)


@pytest.mark.parametrize(
    ("secrets", "says"),
    [
        (None, "There is no secret: is the variable set"),
        ([SECRET, None], "There is no secret"),
        (SECRET.encode(), "A secret is text"),
        (f'"{SECRET}"', "in quotes"),
        (f"'{PUBLIC}'\n", "in quotes"),
        ("", 'A secret begins with "whsec_"'),
        (SECRET.removeprefix("whsec_"), 'A secret begins with "whsec_"'),
    ],
)
def test_a_secret_that_is_no_secret_is_named(secrets: Any, says: str) -> None:
    """As an environment hands it over: not set, in quotes, as bytes; and the sentence does not hold the secret."""
    with pytest.raises(ValueError, match=says) as caught:
        verify(BODY, signed(SECRET), secrets, now=AT)
    assert SECRET[6:] not in str(caught.value)


def test_many_bogus_signatures_cost_one_hash_for_each_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has no key must not make a receiver work."""
    received = signed(SECRET) | {"webhook-signature": " ".join(["v1,AAAA"] * 100)}
    hashed: list[bytes] = []

    def digest(_: bytes, content: bytes, algorithm: str) -> bytes:
        hashed.append(content)
        return hashlib.new(algorithm, content).digest()

    monkeypatch.setattr("hmac.digest", digest)
    with pytest.raises(InvalidSignature):
        verify(b"x" * 1_000_000, received, [SECRET, OTHER], now=AT)
    assert len(hashed) == 2


@pytest.mark.parametrize("kind", [bytearray, memoryview])
def test_raw_bytes_of_any_kind_are_taken(kind: Callable[[bytes], Any]) -> None:
    """Frameworks hand on their buffers."""
    assert verify(kind(BODY), signed(SECRET), SECRET, now=AT)


@pytest.mark.parametrize("secret", [SECRET + "\n", f" {SECRET}\r\n", [OTHER, SECRET + "\n"], PUBLIC + "\n"])
def test_a_line_end_behind_a_secret_is_not_part_of_it(secret: str | list[str]) -> None:
    """A secret that was read from a file has one."""
    assert verify(BODY, signed(SECRET, SIGNING), secret, now=AT)


@pytest.mark.parametrize(
    ("named", "says"),
    [
        (lambda name: name.replace("webhook-", "svix-"), "There is svix-id: the sender uses Svix's own names"),
        (lambda name: name.replace("webhook-", "Svix-"), "There is svix-id"),
        (lambda name: "HTTP_" + name.upper().replace("-", "_"), "There is HTTP_WEBHOOK_ID, a name of WSGI"),
        (lambda name: name.replace("-", "_"), "There is webhook_id, a name of WSGI"),
        (lambda name: "x-" + name, "The header webhook-id is missing.$"),
    ],
)
def test_a_header_under_another_name_is_pointed_out(named: Callable[[str], str], says: str) -> None:
    """It counts as missing: what is verified must be what the app reads."""
    renamed = {named(name): value for name, value in signed(SECRET).items()}
    with pytest.raises(InvalidSignature, match=says):
        verify(BODY, renamed, SECRET, now=AT)


@pytest.mark.parametrize("late", [0, 299, -299])
def test_a_time_in_milliseconds_is_called_that(late: int) -> None:
    """It would be thousands of years in the future."""
    with pytest.raises(InvalidSignature, match="in milliseconds"):
        verify(BODY, signed(SECRET) | {"webhook-timestamp": f"{AT}123"}, SECRET, now=AT + late)


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


def test_a_header_that_stands_twice_is_refused_where_the_two_differ() -> None:
    """What is verified must be what the app reads: of two IDs it would remember the other one, and take a repeat."""
    twice = CIMultiDict([("Webhook-Id", "msg_bogus"), *signed(SECRET).items()])
    with pytest.raises(InvalidSignature, match="webhook-id is there twice"):
        verify(BODY, twice, SECRET, now=AT)
    assert verify(BODY, CIMultiDict([*signed(SECRET).items(), *signed(SECRET).items()]), SECRET, now=AT)


def test_no_other_id_is_taken_for_the_one_that_was_signed() -> None:
    """Text that cannot be written as UTF-8 is not bent into text that can."""
    received = dict(sign("msg_?", AT, BODY, [Secret(SECRET)]))
    assert verify(BODY, received, SECRET, now=AT)
    with pytest.raises(InvalidSignature, match="No signature fits"):
        verify(BODY, received | {"webhook-id": "msg_\udcff"}, SECRET, now=AT)


@pytest.mark.parametrize("tolerance", [-1.0, float("nan")])
def test_a_tolerance_that_is_no_length_of_time_is_refused(tolerance: float) -> None:
    """By NaN nothing would ever be too old."""
    with pytest.raises(ValueError, match="tolerance"):
        verify(BODY, signed(SECRET), SECRET, tolerance=tolerance, now=AT)


def test_the_tolerance_is_the_callers() -> None:
    """Both edges belong to it."""
    for now in (AT - 10, AT + 10):
        assert verify(BODY, signed(SECRET), SECRET, tolerance=10, now=now)
    with pytest.raises(InvalidSignature, match="too old"):
        verify(BODY, signed(SECRET), SECRET)


def test_a_time_of_ours_that_is_no_number_makes_nothing_fresh() -> None:
    """Compared with NaN nothing is too old."""
    with pytest.raises(InvalidSignature, match="too old"):
        verify(BODY, signed(SECRET), SECRET, now=float("nan"))


@pytest.mark.parametrize("secret", [SIGNING, "secret", "whsec_", "whsec_!", "whsec_é", "whpk_AAAA", []])
def test_a_key_that_cannot_verify_is_the_receivers_own_mistake(secret: str | list[str]) -> None:
    """ValueError in words of ours, not an untrusted message."""
    with pytest.raises(ValueError, match=r"secret|signing key"):
        verify(BODY, signed(SECRET), secret, now=AT)


def run_alone(script: str) -> str:
    """What `script` prints in a process where nothing but the verifier and the standard library can be imported."""
    blocker = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "notifier" and name not in ("notifier", "notifier.verify"):
            raise ImportError("the verifier stands alone, and wants " + name)
        if name.partition(".")[0] not in sys.stdlib_module_names | {"notifier"}:
            raise ImportError("the verifier needs the standard library alone, and wants " + name)
sys.meta_path.insert(0, Blocker())
"""
    done = subprocess.run([sys.executable, "-c", blocker + script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_receiver_needs_nothing_of_the_daemon() -> None:
    """The module imports and verifies a v1 message where no other module of ours, and no package, can be had."""
    script = f"""
from notifier.verify import verify
print(verify({BODY!r}, {signed(SECRET)!r}, {SECRET!r}, now={AT}))
print(sorted(name for name in sys.modules if name.partition(".")[0] == "notifier"))
"""
    assert run_alone(script).splitlines() == ["{'test': 2432232314}", "['notifier', 'notifier.verify']"]

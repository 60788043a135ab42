"""Small texts from outside, and the receivers' verifier: a value within its bounds, or the one error that is named."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial

import orjson
from hypothesis import strategies as st

from notifier.delivery.signature import check_secret, headers
from notifier.domain.settings import Secret
from notifier.net.retry_after import LONGEST_HINT, retry_after
from notifier.text.quantity import parse_duration, parse_rate
from notifier.verify import InvalidSignature, verify
from tests.support.bounds import PATIENCE, bounded, fuzzed, mutated

pytestmark = PATIENCE

NOW = datetime(2026, 11, 22, 5, 14, tzinfo=UTC)
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
PUBLIC = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="
WORDS = [b"15s", b"1.5h", b"5/s", b"300/m", b"Sun, 22 Nov 2026 05:15:00 GMT", b"120", SECRET.encode(), PUBLIC.encode()]
PIECES = [b"0", b"9", b"e", b".", b"-", b"+", b"/", b"s", b"d", b" ", b"=", b"_", b"\n", "٣".encode(), b"whsk_", b"Nov"]
READERS: tuple[Callable[[str], timedelta | float], ...] = (parse_duration, parse_rate)
TEXTS = mutated(WORDS, PIECES).map(lambda content: content.decode(errors="surrogateescape"))


@fuzzed(TEXTS, examples=200)
def test_any_text_is_a_quantity_or_refused(text: str) -> None:
    """Durations and rates are within their bounds; a refusal is one line for a person."""
    for read in READERS:
        try:
            found = bounded(len(text), partial(read, text))
        except ValueError as error:
            assert str(error).isprintable()
            continue
        if isinstance(found, timedelta):
            assert timedelta(0) <= found <= timedelta(days=3_650)
        else:
            assert 0 < found < 1e10


@fuzzed(TEXTS, examples=200)
def test_any_hint_is_a_wait_or_none(text: str) -> None:
    """At most a day, never below nothing."""
    seconds = bounded(len(text), lambda: retry_after(text, NOW))
    assert seconds is None or 0 <= seconds <= LONGEST_HINT


@fuzzed(TEXTS, examples=200)
def test_any_text_is_a_secret_or_refused_unseen(text: str) -> None:
    """What passes the check can sign; what does not is not repeated in the sentence."""
    try:
        bounded(len(text), lambda: check_secret(text))
    except ValueError as error:
        assert len(text) < 16 or text not in str(error)
    else:
        assert headers("msg_a", 1, b"{}", [Secret(text)])


BODIES = mutated(
    [b'{"type":"generation.completed"}', b"[]", b"{}"], [b"{", b"}", b"[", b'"', b":", b",", b"\xff", b"NaN", b"9" * 50]
)
NAMES = ("webhook-id", "webhook-timestamp", "webhook-signature")
HEADERS = st.dictionaries(
    st.one_of(st.sampled_from(NAMES), st.sampled_from(NAMES).map(str.title), st.text(max_size=9)),
    st.one_of(
        st.text(max_size=40),
        st.sampled_from(["msg_a", "1764000000", "v1,AAAA", "v1a,AAAA", "v1, v1 ,v1,=", "v1,\udcff"]),
    ),
    max_size=5,
)
CLOCKS = st.one_of(st.just(1_764_000_000.0), st.floats())


@fuzzed(BODIES, HEADERS, st.sampled_from([SECRET, PUBLIC]), CLOCKS, examples=200)
def test_no_message_that_nobody_signed_is_believed(
    body: bytes, received: dict[str, str], secret: str, now: float
) -> None:
    """Whatever is in its headers."""
    try:
        event = bounded(len(body), lambda: verify(bytes(body), received, secret, now=now))
    except InvalidSignature as error:
        assert str(error)
    else:
        raise AssertionError(f"believed: {event}")


@fuzzed(BODIES, examples=200)
def test_a_signed_body_is_an_event_or_refused(body: bytes) -> None:
    """A key makes no JSON object of what is none."""
    signed = dict(headers("msg_a", 1_764_000_000, body, [Secret(SECRET)]))
    try:
        event = bounded(len(body), lambda: verify(bytes(body), signed, SECRET, now=1_764_000_000.0))
    except InvalidSignature as error:
        assert "JSON" in str(error)
    else:
        assert isinstance(event, dict)
        assert orjson.loads(bytes(body)) is not None or event

"""Drop files: whatever the bytes, they are watches or faults that a person can read, at a bounded cost."""

from datetime import timedelta

import orjson
from hypothesis import strategies as st

from notifier.domain.errors import MAX_FAULTS, InvalidWatch
from notifier.domain.model import State, WatchRequest
from notifier.intake.drop.acceptance import error_text
from notifier.intake.entry import MAX_WATCHES, Known, KnownProvider
from notifier.intake.metadata import MAX_BYTES
from notifier.intake.parse import parse_drop
from notifier.providers.catalogue import KINDS
from notifier.text.strict_json import read_json
from tests.support.bounds import PATIENCE, bounded, fuzzed, mutated

pytestmark = PATIENCE

KNOWN = Known(
    providers={
        name: KnownProvider(normalise_id=codec.normalise_id, words=codec.words, timeout=timedelta(hours=24))
        for name, codec in KINDS.items()
    },
    endpoints=["studio", "audit"],
    callbacks=True,
)
SEEDS = [
    b"",
    b'{"id": "a", "provider": "aimlapi-luma", "notify": "studio"}',
    b'[{"id": "a", "provider": "aimlapi-luma", "state": ["running", "completed"], "notify": ["studio", "audit"]}]',
    b'{"id":"a","provider":"aimlapi-video","callback_url":"https://a.example/h?x=1","metadata":{"a":[1,2.5,{"b":null}]}}',
    b"- {id: a, provider: aimlapi-luma, notify: studio, timeout: 2h}\n- id: b\n  provider: aimlapi-luma\n",
    b'id: "755f9bbb-d99b-4880-992b-f05244ddba61"\nprovider: aimlapi-luma\nnotify: [studio]\nmetadata: {a: yes}\n',
    b"# IDs\na\nb\n755F9BBB-D99B-4880-992B-F05244DDBA61\n",
]
TOKENS = [
    *(token.encode() for token in ("{", "}", "[", "]", '"', "'", ",", ":", ": ", "- ", "? ", "\n", "\r", "\t", " ")),
    *(
        token.encode()
        for token in ("&a ", "*a ", "!!int ", "!a!b ", "<<: ", "---\n", "...\n", "%TAG !a! b\n", "#", "|\n", ">")
    ),
    *(token.encode() for token in ("\\ud800", "\\u0000", "\\", "\ufeff", "\x85", "\u2028", "\u202e", "\x1b[31m", "\0")),
    *(
        token.encode()
        for token in ("id", "state", "metadata", "timeout", "callback_url", "notify", "failed", "2h", "1e5")
    ),
    *(token.encode() for token in ("0123", "NaN", "-.inf", "1e999", "9" * 50, "null", "~", "yes", "https://[::1]:80/")),
    b"\xff",
    b"\xff\xfe",
    b"\xc3",
    b"{},",
    b'{"a":',
    b"- - ",
]
NAMES = st.sampled_from(["a.json", "a.yaml", "A.YML", "a.txt", "a", "\x1b.json"])


def held_to_rules(request: WatchRequest) -> None:
    assert 1 <= len(request.generation) <= 256
    assert request.generation.isascii()
    assert request.generation.isprintable()
    assert request.target in (State.QUEUED, State.RUNNING, State.COMPLETED)
    assert timedelta(0) < request.timeout <= timedelta(days=3_650)
    assert len(request.metadata) <= MAX_BYTES
    assert isinstance(orjson.loads(request.metadata), dict)


@fuzzed(NAMES, mutated(SEEDS, TOKENS), examples=500)
def test_any_bytes_are_watches_or_faults(name: str, content: bytes) -> None:
    """Watches keep every rule, faults are lines that can be shown, and the same bytes mean the same twice."""
    try:
        requests = bounded(len(content), lambda: parse_drop(name, content, KNOWN))
    except InvalidWatch as error:
        assert 1 <= len(error.faults) <= MAX_FAULTS + 1
        assert all(fault.message.isprintable() and fault.path.isprintable() for fault in error.faults)
        assert all(fault.line is None or 1 <= fault.line <= len(content) + 1 for fault in error.faults)
        lines = error_text(name, error.faults).removesuffix("\n").split("\n")
        assert all(line.isprintable() for line in lines)
        return
    assert 1 <= len(requests) <= MAX_WATCHES
    for request in requests:
        held_to_rules(request)
    assert parse_drop(name, content, KNOWN) == requests


VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**60), 2**60),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=6), inner, max_size=4),
    ),
    max_leaves=25,
)


@fuzzed(VALUES, examples=300)
def test_what_is_written_as_json_is_read_as_it_was(value: object) -> None:
    """Nothing that a program wrote correctly is read as anything else."""
    content = orjson.dumps(value)
    assert bounded(len(content), lambda: read_json(content)).value == value

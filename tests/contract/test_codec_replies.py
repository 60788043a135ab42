"""What every codec must do with replies: recorded ones, one file for each kind, and any bytes whatever."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import orjson
import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from notifier.domain import errors
from notifier.domain.errors import BatchRejected, ProviderBusy, ProviderRefused
from notifier.domain.ids import GenerationId, ProviderName
from notifier.domain.model import Observation, State
from notifier.domain.settings import ProviderSettings, Secret
from notifier.providers.base import Codec, PollRequest, Reply
from notifier.providers.catalogue import KINDS

#: A busy machine is no failure.
STEADY = hypothesis.settings(deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])

REPLIES = Path(__file__).parent / "replies"
A = GenerationId("755f9bbb-d99b-4880-992b-f05244ddba61")
B = GenerationId("123e4567-e89b-12d3-a456-426614174000")
C = GenerationId("00000000-0000-4000-8000-00000000000c")


def settings_of(codec: Codec) -> ProviderSettings:
    return ProviderSettings(
        name=ProviderName("p"), kind=codec.kind, base_url=codec.base_url, api_key=Secret("key-key-key-key")
    )


def recorded() -> Iterator[Any]:
    for kind in KINDS:
        for case in yaml.safe_load((REPLIES / f"{kind}.yaml").read_text()):
            yield pytest.param(KINDS[kind], case, id=f"{kind}: {case['about']}")


def spelled(body: str, a: GenerationId) -> bytes:
    """The body with IDs in place of the letters."""
    for letter, id_ in (("UPPER_A", a.upper()), ("A", a), ("B", B), ("C", C)):
        body = body.replace(f'"{letter}"', f'"{id_}"')
    return body.encode()


def shown(seen: Observation) -> str:
    if seen.unmapped:
        assert seen.state is State.RUNNING
        return "unmapped"
    return "absent" if seen.state is None else seen.state


def request_for(codec: Codec, *, single: bool, a: GenerationId = A) -> PollRequest:
    settings = settings_of(codec)
    return codec.poll(a, settings) if single or not codec.capabilities.batch else codec.batch_poll([a, B], settings)


@pytest.mark.parametrize(("codec", "case"), list(recorded()))
def test_a_recorded_reply_is_read_as_written_down(codec: Codec, case: dict[str, Any]) -> None:
    """Each recorded reply gives what is written beside it, in the order asked."""
    a = codec.normalise_id(case.get("asked", A))
    request = request_for(codec, single=case.get("single", False), a=a)
    reply = Reply(status=case.get("status", 200), body=spelled(case["body"], a), retry_after=7.0)
    if "raises" not in case:
        seen = codec.decode(request, reply)
        assert [one.id for one in seen] == list(request.ids)
        assert {letter: shown(one) for letter, one in zip("AB", seen, strict=False)} == case["expect"]
        for letter, looks in case.get("looks", {}).items():
            assert seen["AB".index(letter)].confirmations == looks
        assert seen[0].result.url == case.get("url", seen[0].result.url)
        assert seen[0].failure == case.get("failure", seen[0].failure)
        return
    with pytest.raises(getattr(errors, case["raises"])) as caught:
        codec.decode(request, reply)
    assert case.get("says", "") in str(caught.value)
    if isinstance(caught.value, BatchRejected):
        assert (caught.value.status, caught.value.too_large) == (reply.status, case.get("too_large", False))
    if isinstance(caught.value, ProviderBusy):
        assert caught.value.retry_after == (None if reply.status < 300 else 7.0)


def decoded(codec: Codec, request: PollRequest, reply: Reply) -> list[Observation] | None:
    """What the codec sees, checked by every rule of a codec; None if it raised one of the three errors."""
    try:
        seen = codec.decode(request, reply)
    except (ProviderBusy, ProviderRefused, BatchRejected) as error:
        said = str(error)
    else:
        said = ""
    if said:
        assert said.isprintable()
        return None
    assert [one.id for one in seen] == list(request.ids)
    for one in seen:
        orjson.dumps(one.record)
        assert one.provider_state is None or one.provider_state.isprintable()
        assert one.failure is None or (one.failure.isprintable() and len(one.failure) <= 1_000)
        assert one.result.url == (one.result.urls[0] if one.result.urls else None)
        assert not one.absent or one == Observation(id=one.id, state=None)
    return seen


CODECS = st.sampled_from(sorted(KINDS)).map(KINDS.__getitem__)
LUMA = KINDS["aimlapi-luma"]
STATUSES = st.one_of(st.just(200), st.integers(100, 599))


@STEADY
@given(codec=CODECS, single=st.booleans(), status=STATUSES, body=st.binary(max_size=200))
@example(codec=LUMA, single=False, status=200, body=b"[" * 100_000)
@example(codec=LUMA, single=False, status=200, body=b'{"data":' * 1_000 + b"1" + b"}" * 1_000)
@example(codec=LUMA, single=False, status=200, body=b"\xff\xfe[]")
@example(codec=LUMA, single=False, status=200, body=b"\xef\xbb\xbf[]")
def test_any_bytes_are_observations_or_an_error(codec: Codec, *, single: bool, status: int, body: bytes) -> None:
    """Whatever arrives, with whatever status, is one of the answers that the contract names."""
    decoded(codec, request_for(codec, single=single), Reply(status=status, body=body))


IDS = st.sampled_from([A, B, C, A.upper()])
FIELDS = st.sampled_from(
    [
        A,
        B,
        "id",
        "generation_id",
        "state",
        "status",
        "assets",
        "video",
        "video_url",
        "error",
        "message",
        "failure_reason",
        "detail",
        "data",
        "generations",
        "items",
        "generation",
        "statusCode",
        "url",
        "msg",
        "image",
        "model",
        "audio_file",
        "output",
        "meta",
    ]
)
WORDS = st.sampled_from(
    ["completed", "dreaming", "generating", "queued", "failed", "error", "not_found", "x\x1b[31m", "https://x/y"]
)
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), IDS, WORDS, st.text(max_size=9)
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(FIELDS, inner, max_size=6)),
    max_leaves=25,
)


@STEADY
@given(codec=CODECS, single=st.booleans(), value=JSON)
def test_any_json_is_observations_or_an_error(codec: Codec, *, single: bool, value: Any) -> None:
    """The API's own words in any arrangement never break the rules of an observation."""
    body = orjson.dumps(value) if _fits(value) else b"[]"
    decoded(codec, request_for(codec, single=single), Reply(status=200, body=body))


def _fits(value: Any) -> bool:
    try:
        orjson.dumps(value)
    except orjson.JSONEncodeError:  # an integer above 64 bits
        return False
    return True


@STEADY
@given(CODECS, st.permutations([A, B, C]), st.lists(st.sampled_from(["queued", "completed"]), min_size=3, max_size=3))
def test_records_are_matched_by_id_and_never_by_position(
    codec: Codec, order: list[GenerationId], words: list[str]
) -> None:
    """In whatever order the reply holds them, each ID gets its own record."""
    if not codec.capabilities.batch:
        return
    said = dict(zip((A, B, C), words, strict=True))
    request = codec.batch_poll([C, A, B], settings_of(codec))
    body = orjson.dumps([{"id": id_, "state": said[id_]} for id_ in order])
    seen = decoded(codec, request, Reply(status=200, body=body))
    assert seen is not None
    assert [(one.id, one.provider_state) for one in seen] == [(id_, said[id_]) for id_ in (C, A, B)]


@pytest.mark.parametrize("codec", KINDS.values(), ids=KINDS.keys())
def test_a_record_too_deep_to_write_is_left_out(codec: Codec) -> None:
    """The state is still seen; only the record, which the store could not write, is not carried."""
    deep = '{"a":' * 500 + "0" + "}" * 500
    body = f'{{"id":"{A}","state":"completed","request":{deep}}}'
    seen = decoded(codec, request_for(codec, single=True), Reply(status=200, body=body.encode()))
    assert seen is not None
    assert (seen[0].state, seen[0].record) == ("completed", None)


@pytest.mark.parametrize("codec", KINDS.values(), ids=KINDS.keys())
def test_a_record_travels_untouched(codec: Codec) -> None:
    """What the provider wrote is in the observation as it was."""
    record = {"id": A, "state": "completed", "x": [1, {"y": None}], "Ω": "\u202e"}
    seen = decoded(codec, request_for(codec, single=True), Reply(status=200, body=orjson.dumps(record)))
    assert seen is not None
    assert seen[0].record == record


@pytest.mark.parametrize("codec", KINDS.values(), ids=KINDS.keys())
@pytest.mark.parametrize(
    "prompt", [rb'"\ud83d"', b'"\xe9t\xe9"', b"NaN", b"1e999", b'"a\x00b"', b"[" * 3_000 + b"]" * 3_000, b"9" * 5_000]
)
def test_a_field_that_nobody_needs_never_costs_a_batch(codec: Codec, prompt: bytes) -> None:
    """An echoed prompt that is no JSON, and the states of all the others are seen."""
    record = b'{"id":"%s","state":"completed","video":{"url":"https://x/v"},"request":{"prompt":%s}}'
    request = request_for(codec, single=not codec.capabilities.batch)
    body = b"[" + b",".join(record % (id_.encode(), prompt) for id_ in request.ids) + b"]"
    seen = decoded(codec, request, Reply(status=200, body=body))
    assert seen is not None
    assert [(one.state, one.result.url) for one in seen] == [(State.COMPLETED, "https://x/v")] * len(request.ids)

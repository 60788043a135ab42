"""What every codec must write: requests about exactly the IDs asked, within the limits."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import hypothesis
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifier.domain.ids import GenerationId, ProviderName
from notifier.domain.model import Observation, State
from notifier.domain.settings import ProviderSettings, Secret
from notifier.providers.base import Codec, Reply
from notifier.providers.catalogue import KINDS

#: A busy machine is no failure.
STEADY = hypothesis.settings(deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])

CODECS = st.sampled_from(sorted(KINDS)).map(KINDS.__getitem__)
ID_TEXT = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=60).filter(
    lambda text: "," not in text
)
IDS = st.lists(ID_TEXT.map(GenerationId), min_size=1, max_size=12, unique=True)
SETTINGS = st.builds(
    lambda ids_as, max_url, max_ids, slash: ProviderSettings(
        name=ProviderName("p"),
        kind="",
        base_url="https://api.example.com/base" + slash,
        api_key=Secret("k"),
        ids_as=ids_as,
        max_url=max_url,
        max_ids=max_ids,
    ),
    st.sampled_from(["array", "comma"]),
    st.integers(1, 900),
    st.integers(1, 14),
    st.sampled_from(["", "/"]),
)


def values(url: str) -> list[str]:
    return [value for _, value in parse_qsl(urlsplit(url).query, strict_parsing=True)]


@STEADY
@given(CODECS, IDS, SETTINGS)
def test_a_batch_poll_asks_for_exactly_the_ids_given(
    codec: Codec, ids: list[GenerationId], settings: ProviderSettings
) -> None:
    """Whatever characters IDs have, a server that reads the query gets them back, in their order, and nothing else."""
    if not codec.capabilities.batch:
        return
    request = codec.batch_poll(ids, settings)
    got = values(request.url)
    assert (got if settings.ids_as == "array" else ",".join(got).split(",")) == ids
    assert (request.ids, request.batch) == (tuple(ids), True)
    assert str(httpx.URL(request.url)) == request.url


@STEADY
@given(CODECS, ID_TEXT.map(GenerationId), SETTINGS)
def test_a_poll_asks_for_exactly_the_id_given(codec: Codec, id_: GenerationId, settings: ProviderSettings) -> None:
    """One ID, percent-encoded, by the single route."""
    request = codec.poll(id_, settings)
    assert id_ in (*values(request.url), urlsplit(request.url).path.rpartition("/")[2])
    assert (request.ids, request.batch) == ((id_,), False)
    assert request.url.startswith("https://api.example.com/base/")
    assert str(httpx.URL(request.url)) == request.url


@STEADY
@given(CODECS, IDS, SETTINGS)
def test_what_fits_is_as_much_as_the_limits_allow(
    codec: Codec, ids: list[GenerationId], settings: ProviderSettings
) -> None:
    """`fit` counts the bytes really sent: that many IDs keep to both limits, and one more would not; at least one."""
    if not codec.capabilities.batch:
        return
    count = codec.fit(ids, settings)
    assert 1 <= count <= max(1, min(len(ids), settings.max_ids))
    assert count == 1 or len(codec.batch_poll(ids[:count], settings).url.encode()) <= settings.max_url
    if count < min(len(ids), settings.max_ids):
        assert len(codec.batch_poll(ids[: count + 1], settings).url.encode()) > settings.max_url


@pytest.mark.parametrize("ids_as", ["array", "comma"])
@pytest.mark.parametrize("kind", [kind for kind in KINDS if KINDS[kind].capabilities.batch])
def test_a_url_of_exactly_the_limit_fits(kind: str, ids_as: str) -> None:
    """Not a byte is wasted and none is too many."""
    ids = [GenerationId(f"id/{number}") for number in range(20)]
    base = ProviderSettings(
        name=ProviderName("p"), kind=kind, base_url="https://x.test", api_key=Secret("k"), ids_as=ids_as
    )
    length = len(KINDS[kind].batch_poll(ids, base).url)
    assert KINDS[kind].fit(ids, replace(base, max_url=length)) == 20
    assert KINDS[kind].fit(ids, replace(base, max_url=length - 1)) == 19


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_is_found_under_its_own_name(kind: str) -> None:
    """The catalogue and the codec agree on the name, and the codec has a place to request."""
    assert KINDS[kind].kind == kind
    assert KINDS[kind].base_url.startswith("https://")
    assert not KINDS[kind].base_url.endswith("/")


@pytest.mark.parametrize("kind", KINDS)
def test_the_key_is_in_the_headers_that_authenticate_and_nowhere_else(kind: str) -> None:
    """So a request may be logged and compared; what proves who asks is added when it is sent."""
    key = "sk-very-secret-key-0123456789"
    settings = ProviderSettings(name=ProviderName("p"), kind=kind, base_url=KINDS[kind].base_url, api_key=Secret(key))
    assert any(key in value for value in KINDS[kind].authenticate(settings).values())
    assert key not in repr(KINDS[kind].poll(GenerationId("a"), settings))


@pytest.mark.parametrize("kind", KINDS)
def test_words_for_users_are_lower_case_and_cover_the_states(kind: str) -> None:
    """Every state has a word of the provider's, so that `state:` can be said in the provider's language."""
    assert set(KINDS[kind].words.values()) == set(State)
    assert all(word == word.lower().strip() for word in KINDS[kind].words)


@STEADY
@given(CODECS, ID_TEXT)
def test_an_id_has_one_form(codec: Codec, text: str) -> None:
    """Normalising twice changes nothing more."""
    once = codec.normalise_id(text)
    assert codec.normalise_id(once) == once


def test_no_poll_of_luma_asks_to_wait() -> None:
    """A poll is answered at once: neither `state` nor `status` is sent."""
    luma = KINDS["aimlapi-luma"]
    settings = ProviderSettings(
        name=ProviderName("p"), kind="aimlapi-luma", base_url=luma.base_url, api_key=Secret("k")
    )
    asks = [
        luma.batch_poll([GenerationId("a"), GenerationId("b")], settings),
        luma.batch_poll([GenerationId("a"), GenerationId("b")], replace(settings, ids_as="comma")),
        luma.poll(GenerationId("-G3b3vVKdoC42fMNeK1T5"), settings),
    ]
    assert [urlsplit(request.url).path + "?" + urlsplit(request.url).query for request in asks] == [
        "/v2/generate/video/luma-ai/generations?generation_ids%5B%5D=a&generation_ids%5B%5D=b",
        "/v2/generate/video/luma-ai/generations?generation_ids=a,b",
        "/v2/generate/video/luma-ai/generation?generation_id=-G3b3vVKdoC42fMNeK1T5",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("755F9BBB-D99B-4880-992B-F05244DDBA61", "755f9bbb-d99b-4880-992b-f05244ddba61"),
        ("Not-A-Uuid", "Not-A-Uuid"),
        ("755F9BBB-D99B-4880-992B-F05244DDBA61:luma/ray-2", "755F9BBB-D99B-4880-992B-F05244DDBA61:luma/ray-2"),
        ("-G3b3vVKdoC42fMNeK1T5", "-G3b3vVKdoC42fMNeK1T5"),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_only_uuids_are_compared_without_case(kind: str, text: str, expected: str) -> None:
    """A uuid is lower case; any other ID is kept to the letter."""
    assert KINDS[kind].normalise_id(text) == expected


@pytest.mark.parametrize(
    ("id_", "written"),
    [
        ("60ac7c34-d99b-4880-992b-f05244ddba61:luma/ray-2", "60ac7c34-d99b-4880-992b-f05244ddba61%3Aluma%2Fray-2"),
        ("349872201343396:minimax/hailuo-2.3-fast", "349872201343396%3Aminimax%2Fhailuo-2.3-fast"),
        ("-G3b3vVKdoC42fMNeK1T5", "-G3b3vVKdoC42fMNeK1T5"),
        ("a,b&state=completed", "a%2Cb%26state%3Dcompleted"),
        ("50%+?#", "50%25%2B%3F%23"),
    ],
)
def test_an_id_of_the_video_endpoint_is_encoded_whole(id_: str, written: str) -> None:
    """Colons, slashes and commas are part of it, nothing is split off, and nothing but the ID is sent."""
    video = KINDS["aimlapi-video"]
    settings = ProviderSettings(
        name=ProviderName("p"), kind="aimlapi-video", base_url=video.base_url, api_key=Secret("k")
    )
    wanted = "https://api.aimlapi.com/v2/video/generations?generation_id=" + written
    assert video.poll(video.normalise_id(id_), settings).url == wanted
    assert video.fit([GenerationId(id_), GenerationId("b")], settings) == 1


def test_a_luma_id_with_a_comma_is_refused_with_a_sentence() -> None:
    """It would be two IDs to the server."""
    with pytest.raises(ValueError, match="comma"):
        KINDS["aimlapi-luma"].normalise_id("a,b")


# ---- long-polls ---------------------------------------------------------------------------------------------------
LONG_POLLERS = [kind for kind in KINDS if KINDS[kind].capabilities.long_poll is not None]
WAIT_NAMES = st.lists(st.sampled_from(["state", "status", "wait_for"]), min_size=1, max_size=3, unique=True).map(tuple)
TARGETS = st.sampled_from(list(State))


def luma_settings(**more: Any) -> ProviderSettings:
    fields: dict[str, Any] = {"base_url": "https://api.aimlapi.com"} | more
    return ProviderSettings(name=ProviderName("p"), kind="aimlapi-luma", api_key=Secret("k"), **fields)


@pytest.mark.parametrize(
    ("target", "word"),
    [
        (State.QUEUED, "queued"),
        (State.RUNNING, "dreaming"),
        (State.COMPLETED, "completed"),
        (State.FAILED, "failed"),
    ],
)
def test_a_long_poll_of_luma_names_the_state_in_its_own_words(target: State, word: str) -> None:
    """One ID by the single route with `state`; many by the batch route, with `state` and `status` as sources differ."""
    luma, ids = KINDS["aimlapi-luma"], [GenerationId("a"), GenerationId("b")]
    one, many = luma.long_poll(ids[:1], target, luma_settings()), luma.long_poll(ids, target, luma_settings())
    base = "https://api.aimlapi.com/v2/generate/video/luma-ai"
    assert one.url == f"{base}/generation?generation_id=a&state={word}"
    assert many.url == (f"{base}/generations?generation_ids%5B%5D=a&generation_ids%5B%5D=b&state={word}&status={word}")
    assert ((one.ids, one.batch), (many.ids, many.batch)) == ((("a",), False), (("a", "b"), True))


def test_settings_rename_what_a_long_poll_sends() -> None:
    """Each route has its own names, in the order given."""
    settings = luma_settings(long_poll_single_as=("until", "state"), long_poll_multi_as=("wait_for",), ids_as="comma")
    luma, ids = KINDS["aimlapi-luma"], [GenerationId("a"), GenerationId("b")]
    assert luma.long_poll(ids[:1], State.COMPLETED, settings).url.endswith(
        "?generation_id=a&until=completed&state=completed"
    )
    assert luma.long_poll(ids, State.RUNNING, settings).url.endswith("?generation_ids=a,b&wait_for=dreaming")


@pytest.mark.parametrize("kind", KINDS)
def test_only_a_long_poll_has_patience(kind: str) -> None:
    """A poll is answered at once; a long-poll says how long the provider may keep it, as its codec does."""
    settings = luma_settings()
    a = GenerationId("a")
    assert KINDS[kind].poll(a, settings).patience == 0
    if KINDS[kind].capabilities.batch:
        assert KINDS[kind].batch_poll([a], settings).patience == 0
    if kind in LONG_POLLERS:
        request = KINDS[kind].long_poll([a], State.COMPLETED, settings)
        assert request.patience == KINDS[kind].capabilities.long_poll
    else:
        with pytest.raises(ValueError, match="has no long-polls"):
            KINDS[kind].long_poll([a], State.COMPLETED, settings)


@STEADY
@given(st.sampled_from(LONG_POLLERS), IDS, TARGETS, SETTINGS, WAIT_NAMES)
def test_a_long_poll_asks_for_exactly_the_ids_and_the_state(
    kind: str, ids: list[GenerationId], target: State, settings: ProviderSettings, names: tuple[str, ...]
) -> None:
    """Whatever characters IDs have, a server that reads the query gets them back, and the wish, and nothing else."""
    kind_ = KINDS[kind]
    request = kind_.long_poll(ids, target, replace(settings, long_poll_single_as=names, long_poll_multi_as=names))
    got = parse_qsl(urlsplit(request.url).query, strict_parsing=True)
    read = [value for _, value in got[: -len(names)]]
    assert (read if len(ids) == 1 or settings.ids_as == "array" else ",".join(read).split(",")) == ids
    assert tuple(name for name, _ in got[-len(names) :]) == names
    assert {kind_.words[value] for _, value in got[-len(names) :]} == {target}
    assert (request.ids, request.batch) == (tuple(ids), len(ids) > 1)
    assert str(httpx.URL(request.url)) == request.url


@STEADY
@given(st.sampled_from(LONG_POLLERS), IDS, TARGETS, SETTINGS, WAIT_NAMES)
def test_what_fits_in_a_long_poll_keeps_to_the_limits(
    kind: str, ids: list[GenerationId], target: State, settings: ProviderSettings, names: tuple[str, ...]
) -> None:
    """The wish takes room too, whatever state it names: so never more IDs than in a batch poll, and at least one."""
    kind_, settings = KINDS[kind], replace(settings, long_poll_multi_as=names)
    count = kind_.fit(ids, settings, long_poll=True)
    assert 1 <= count <= kind_.fit(ids, settings)
    assert count == 1 or len(kind_.long_poll(ids[:count], target, settings).url.encode()) <= settings.max_url
    if count < min(len(ids), settings.max_ids):
        longest = max(kind_.long_poll(ids[: count + 1], state, settings).url for state in State)
        assert len(longest) + 3 * len(names) > settings.max_url


@pytest.mark.parametrize("ids_as", ["array", "comma"])
def test_a_long_poll_of_exactly_the_limit_fits(ids_as: str) -> None:
    """Not a byte is wasted and none is too many."""
    luma, ids = KINDS["aimlapi-luma"], [GenerationId(f"id/{number}") for number in range(20)]
    length = len(luma.long_poll(ids, State.COMPLETED, luma_settings(ids_as=ids_as)).url)
    assert luma.fit(ids, luma_settings(ids_as=ids_as, max_url=length), long_poll=True) == 20
    assert luma.fit(ids, luma_settings(ids_as=ids_as, max_url=length - 1), long_poll=True) == 19


# ---- what a record tells beside its state --------------------------------------------------------------------------
A_MODEL = "60ac7c34-d99b-4880-992b-f05244ddba61:luma/ray-2"


def told(kind: str, id_: str, **fields: Any) -> Observation:
    request = KINDS[kind].poll(GenerationId(id_), luma_settings())
    body = orjson.dumps({"id": id_, "status": "completed", "state": "completed"} | fields)
    (seen,) = KINDS[kind].decode(request, Reply(status=200, body=body))
    assert seen.state is State.COMPLETED
    return seen


@pytest.mark.parametrize("kind", KINDS)
def test_a_record_tells_its_model(kind: str) -> None:
    """As it says itself, or behind the colon of its ID; None where neither does."""
    assert told(kind, "a", model="ray-2").model == "ray-2"
    assert told(kind, A_MODEL, model="ray-flash-2").model == "ray-flash-2"
    assert told(kind, A_MODEL).model == "luma/ray-2"
    assert told(kind, "a").model is None
    assert told(kind, "a:").model is None


@pytest.mark.parametrize("model", ["", None, 7, True, ["ray-2"], {"name": "ray-2"}])
@pytest.mark.parametrize("kind", KINDS)
def test_a_model_that_is_no_name_is_none(kind: str, model: Any) -> None:
    """What is in its place and is no text tells nothing."""
    assert told(kind, "a", model=model).model is None
    assert told(kind, A_MODEL, model=model).model == "luma/ray-2"


@pytest.mark.parametrize(
    "text",
    ["2026-11-22T05:14:00Z", "2026-11-22T05:14:00.000Z", "2026-11-22T07:14:00+02:00", "2026-11-22 05:14:00"],
)
@pytest.mark.parametrize("kind", KINDS)
def test_a_record_tells_when_it_was_made(kind: str, text: str) -> None:
    """In any ISO form; without an offset it is UTC."""
    assert told(kind, "a", created_at=text).created_at == datetime(2026, 11, 22, 5, 14, tzinfo=UTC)


@pytest.mark.parametrize(
    "garbage", [None, "", "yesterday", 1_763_788_440, "2026-13-40", [], {}, "0000-00-00T00:00:00Z"]
)
@pytest.mark.parametrize("kind", KINDS)
def test_a_date_that_cannot_be_read_is_none(kind: str, garbage: Any) -> None:
    """It is no reason to refuse what else the record says."""
    assert told(kind, "a", created_at=garbage).created_at is None


@STEADY
@given(
    st.sampled_from(sorted(KINDS)),
    st.one_of(st.text(max_size=40), st.datetimes().map(str), st.integers(-(2**63), 2**63)),
)
def test_no_date_breaks_a_look(kind: str, value: Any) -> None:
    """Whatever is there: a time with an offset, that can be compared, or none."""
    made = told(kind, "a", created_at=value).created_at
    assert made is None or made - datetime(2026, 11, 22, tzinfo=UTC) is not None


def test_what_is_not_there_tells_nothing() -> None:
    """An absent ID has no model that was seen, and no date."""
    luma = KINDS["aimlapi-luma"]
    request = luma.batch_poll([GenerationId("a"), GenerationId("b")], luma_settings())
    reply = Reply(status=200, body=orjson.dumps([{"id": "a", "state": "completed", "model": "ray-2"}]))
    assert [(seen.model, seen.created_at) for seen in luma.decode(request, reply)] == [("ray-2", None), (None, None)]

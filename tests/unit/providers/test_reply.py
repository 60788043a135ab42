"""What is read out of a record, and how much of a reply is read at all."""

from typing import Any

import orjson
import pytest

from notifier.domain.errors import ProviderBusy
from notifier.domain.ids import GenerationId, ProviderName
from notifier.domain.model import Observation, State
from notifier.domain.settings import ProviderSettings, Secret
from notifier.providers.base import Reply
from notifier.providers.kinds.aimlapi_luma import AimlapiLuma
from notifier.providers.records import find_records, fold_uuid
from notifier.providers.reply import message_of
from notifier.providers.reply_text import read_json
from notifier.providers.result_fields import failure_of

A = GenerationId("a")
SETTINGS = ProviderSettings(
    name=ProviderName("p"), kind="aimlapi-luma", base_url="https://api.test", api_key=Secret("k")
)


def seen(**fields: Any) -> Observation:
    luma = AimlapiLuma()
    body = orjson.dumps({"id": "a", "state": "completed", **fields})
    return luma.decode(luma.poll(A, SETTINGS), Reply(status=200, body=body))[0]


@pytest.mark.parametrize(
    ("fields", "urls"),
    [
        ({"assets": {"video": "https://x/v", "image": "https://x/i"}}, ["https://x/v", "https://x/i"]),
        ({"video": {"url": "https://x/u"}, "video_url": "https://x/w"}, ["https://x/u", "https://x/w"]),
        ({"video": "https://x/s"}, ["https://x/s"]),
        ({"video": ["https://x/0", {"url": "https://x/1"}, None]}, ["https://x/0", "https://x/1"]),
        ({"video_url": "http://x/w", "assets": {"image": "https://x/i"}}, ["http://x/w", "https://x/i"]),
        ({"assets": {"video": "https://x/v"}, "video": {"url": "https://x/v"}}, ["https://x/v"]),
        ({"assets": {"video": "https://x/v"}, "video": "HTTPS://x/s"}, ["https://x/v", "HTTPS://x/s"]),
        ({"assets": {"progress_video": "https://x/p"}}, []),
        ({"assets": {"video": "ftp://x/v", "image": "https://x/i"}}, ["https://x/i"]),
        ({"assets": [1], "video": 7, "video_url": {}}, []),
        ({"assets": None, "video": None}, []),
        ({"video_url": "javascript:alert(1)"}, []),
        ({"video_url": "https://"}, []),
        ({"video_url": "https://x/\r\nSet-Cookie: a"}, []),
        ({"video_url": "https://x/ y"}, []),
        ({"video_url": "https://x/" + "v" * 4_086}, ["https://x/" + "v" * 4_086]),
        ({"video_url": "https://x/" + "v" * 4_087}, []),
    ],
)
def test_result_urls_are_found_in_their_order(fields: dict[str, Any], urls: list[str]) -> None:
    """The first place that holds a URL which may be passed on is the result; all others follow, each once."""
    result = seen(**fields).result
    assert (result.url, result.urls) == (urls[0] if urls else None, tuple(urls))


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({"failure_reason": "why", "error": "x"}, "why"),
        ({"failure_reason": None, "error": {"name": "N", "message": "m"}}, "m"),
        ({"failure_reason": "  ", "error": "plain"}, "plain"),
        ({"error": {"detail": [{"msg": "a"}, {"msg": "b"}, {"loc": 1}, "c"]}}, "a; b; c"),
        ({"detail": [{"msg": "top"}]}, "top"),
        ({"error": {"detail": "words"}}, "words"),
        ({"error": {"name": "NSFW"}}, "NSFW"),
        ({"error": {"message": {"deep": 1}}}, '{"message":{"deep":1}}'),
        ({"error": ["list"]}, "list"),
        ({"failure_reason": 7, "detail": 7}, "7"),
        ({}, None),
    ],
)
def test_the_failure_is_found_in_its_order(record: dict[str, Any], expected: str | None) -> None:
    """`failure_reason`, then the error's message, the error as text, a vendor's details, its name, else as JSON."""
    assert failure_of(record) == expected


def test_of_two_equal_records_the_one_with_a_result_counts() -> None:
    """A repeated ID is read as the record that says most, wherever it is."""
    luma = AimlapiLuma()
    empty, full = {"id": "a", "state": "completed"}, {"id": "a", "state": "completed", "video_url": "https://x/v"}
    for pair in ([empty, full], [full, empty]):
        ask = luma.batch_poll([A], SETTINGS)
        assert luma.decode(ask, Reply(status=200, body=orjson.dumps(pair)))[0].result.url == "https://x/v"


def test_a_failure_text_is_printable_and_cut() -> None:
    """A terminal cannot be driven by it, and it stays at a thousand characters."""
    failure = seen(state="failed", failure_reason="red \x1b[31m\n" + "x" * 5_000).failure
    assert failure is not None
    assert failure.isprintable()
    assert len(failure) <= 1_000


def test_the_providers_word_travels_as_it_came() -> None:
    """Case is kept for the reader, though it plays no part in the meaning."""
    assert (seen(state="Dreaming").provider_state, seen(state="Dreaming").state) == ("Dreaming", State.RUNNING)


@pytest.mark.parametrize("depth", [3, 50, 900])
def test_wrappers_are_opened_to_a_fixed_depth(depth: int) -> None:
    """A reply cannot make the search deep: what is wrapped more often than anybody does is not found."""
    value: Any = {"id": "a", "state": "completed"}
    for _ in range(depth):
        value = {"data": value}
    assert bool(find_records(value, [A], lone=False)) == (depth == 3)


def test_an_id_may_be_a_number_in_the_reply() -> None:
    """`7` and `"7"` are one ID; `true` is none."""
    ids = [GenerationId("7"), GenerationId("True")]
    assert [id_ for id_, _ in find_records([{"id": 7}, {"id": True}], ids, lone=False)] == ["7"]


def test_a_key_of_a_map_counts_although_its_record_names_an_unknown_id() -> None:
    """The map answers for the ID we asked; the record may carry the inner provider's ID."""
    hits = find_records({"a": {"id": "inner", "state": "queued"}}, [A], lone=False)
    assert [id_ for id_, _ in hits] == ["a"]


def test_only_whole_uuids_are_folded() -> None:
    """Anything that merely holds a uuid keeps its case."""
    uuid = "755F9BBB-D99B-4880-992B-F05244DDBA61"
    assert fold_uuid(uuid) == uuid.lower()
    assert fold_uuid("X" + uuid[1:]) == "X" + uuid[1:]
    assert fold_uuid(uuid + "\n") == uuid + "\n"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"message":"plain"}', "plain"),
        (b'{"message":["a","b",1]}', "a; b"),
        (b'{"error":{"message":"inner"}}', "inner"),
        (b'{"message":null,"detail":[{"msg":"d"}]}', "d"),
        (b'["x"]', ""),
        (b"<html>", ""),
        (b"", ""),
    ],
)
def test_an_error_body_is_read_where_it_can_be(body: bytes, expected: str) -> None:
    """One short line, or nothing."""
    assert message_of(body) == expected


def test_a_page_in_place_of_json_is_shown_by_its_beginning() -> None:
    """The operator sees what came instead, printable and short."""
    with pytest.raises(ProviderBusy, match="<html>") as caught:
        read_json(b"<html>\n\x1b[2J" + b"x" * 10_000)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 200


URL = "https://x/v.mp4"


def alone(body: Any) -> Observation:
    """What a reply about one ID says, as it came."""
    luma = AimlapiLuma()
    return luma.decode(luma.poll(A, SETTINGS), Reply(status=200, body=orjson.dumps(body)))[0]


@pytest.mark.parametrize("word", ["failed", "running", "queued", "upscaling"])
@pytest.mark.parametrize("outer", [{}, {"id": "a"}])
@pytest.mark.parametrize("inner", [{}, {"id": "a"}])
def test_a_word_beside_what_holds_the_file_is_that_of_the_record(
    word: str, outer: dict[str, str], inner: dict[str, str]
) -> None:
    """A URL inside, which may be what was put in, makes no success of a failure."""
    read = alone({**outer, "status": word, "data": {**inner, "video_url": URL}})
    assert read.provider_state == word
    assert read.state is (State.RUNNING if word == "upscaling" else State(word))


@pytest.mark.parametrize(
    ("body", "expected", "word"),
    [
        ({"status": {"state": "failed", "message": "boom"}}, State.FAILED, "failed"),
        ({"task": {"id": "a", "status": "succeeded"}, "content": {"url": URL}}, State.COMPLETED, "succeeded"),
        ({"output": {"task_status": "RUNNING", "video_url": URL}}, State.RUNNING, "RUNNING"),
        ({"metadata": {"state": "BATCH_STATE_EXPIRED"}, "done": True}, State.FAILED, "BATCH_STATE_EXPIRED"),
        ({"result": {"id": "a", "status": "processing", "video_url": URL}}, State.RUNNING, "processing"),
        ({"done": True, "error": {"code": 13, "message": "boom"}}, State.FAILED, None),
        ({"done": True, "response": {"videos": [{"uri": URL}]}}, State.COMPLETED, None),
        ({"status": "ended", "error": "boom"}, State.FAILED, "ended"),
        ({"done": False, "video_url": URL}, State.RUNNING, None),
        ({"url": URL, "failure": "boom", "model": "m"}, State.RUNNING, None),
        ({"url": URL, "error": "none", "statusCode": 200}, State.COMPLETED, None),
    ],
)
@pytest.mark.parametrize("named", [{}, {"id": "a"}])
def test_a_state_is_found_inside_or_told_by_what_is_over(
    named: dict[str, str], body: dict[str, Any], expected: State, word: str | None
) -> None:
    """The record stays whole: what it made and why it failed is read from all of it."""
    read = alone({**named, **body})
    assert (read.state, read.provider_state) == (expected, word)
    assert read.failure == ("boom" if "boom" in str(body) and expected is State.FAILED else None)
    assert read.result.url == (URL if URL in str(body) else None)


@pytest.mark.parametrize("name", ["task", "result", "output", "job"])
def test_the_state_of_another_generation_is_not_taken(name: str) -> None:
    """What is inside may name an ID that was not asked for."""
    assert alone({name: {"id": "b", "status": "completed", "video_url": URL}}).state is None

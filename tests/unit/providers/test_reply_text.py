"""Bytes that are not quite JSON, and bytes that are more than is read."""

import orjson
import pytest

from notifier.domain.errors import ProviderBusy, ReplyTooLarge
from notifier.domain.ids import GenerationId
from notifier.providers.reply_text import DEEPEST, can_be_written, is_page, read_json

ONE = [GenerationId("g-1")]
TWO = [*ONE, GenerationId("g-2")]


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (rb'{"prompt":"\ud83d"}', {"prompt": "\ufffd"}),
        (rb'{"prompt":"\ude00 \ud83d\ude00"}', {"prompt": "\ufffd \U0001f600"}),
        (rb'{"prompt":"\ud83d\ud83d\ude00\uD83D"}', {"prompt": "\ufffd\U0001f600\ufffd"}),
        (rb'{"prompt":"\\ud83d \ud83d \\\ud83d"}', {"prompt": "\\ud83d \ufffd \\\ufffd"}),
        (rb'{"\udc00":{"id":"a\ud800"}}', {"\ufffd": {"id": "a\ufffd"}}),
        (b'{"a":"\xe9t\xe9"}', {"a": "\ufffdt\ufffd"}),
        (b'{"a":"\xf0\x9f\x98"}', {"a": "\ufffd"}),
        (b'\xef\xbb\xbf{"a":1}', {"a": 1}),
        ('{"a":"é😀"}'.encode("utf-16"), {"a": "é😀"}),
        ('{"a":"é"}'.encode("utf-16-be"), {"a": "é"}),
        ('{"a":"é"}'.encode("utf-32"), {"a": "é"}),
        (b'{"a":NaN,"b":[Infinity,-Infinity]}', {"a": None, "b": [None, None]}),
        (b'{"a":1e999,"b":' + b"1" * 5_000 + b"}", {"a": None, "b": None}),
        (b'{"a":NaN,"b":' + b"1" * 30 + b"}", {"a": None, "b": float("1" * 30)}),
        (b'{"a":NaN,"b":[18446744073709551615,-9223372036854775808]}', {"a": None, "b": [2**64 - 1, -(2**63)]}),
        (b'{"a":"tab\tline\n\x01"}', {"a": "tab\tline\n\x01"}),
        (b'{"a":1}\x00\n', {"a": 1}),
        (b'{"a":1}</html>', {"a": 1}),
        (b'{"a":1}\n{"a":2}\n', [{"a": 1}, {"a": 2}]),
        (b'{"a":1,"a":2}', {"a": 2}),
    ],
)
def test_what_is_wrong_in_a_field_costs_that_field(body: bytes, value: object) -> None:
    """Everything else is read, and all of it can be written as JSON in UTF-8 again."""
    assert read_json(body, ONE) == value
    assert can_be_written(read_json(body, ONE))


def test_what_is_nested_too_deep_costs_its_own_record_alone() -> None:
    """The record beside it is whole; brackets in a text are no nesting."""
    deep = b"[" * 9_000 + b"]" * 9_000
    value = read_json(b'[{"id":"a","x":' + deep + b',"y":"[[{"},{"id":"b"}]', TWO)
    assert (value[0]["id"], value[0]["y"], value[1]) == ("a", "[[{", {"id": "b"})
    depth, inner = 0, value[0]["x"]
    while inner:
        depth, inner = depth + 1, inner[0]
    assert depth < DEEPEST


@pytest.mark.parametrize(
    "body",
    [
        b'[{"id":"a"},{"id":"b',
        b'[{"id":"a","p":"\\ud83d"},{"id":"b"',
        b'{"id":"a"}\n{"id":',
        b"[" * 9_000,
        b"[1,]",
        b"null<html>",
        b"<html>{}</html>",
        b"\x1f\x8b\x08\x00",
        b"\xff\xfe",
    ],
)
def test_what_was_cut_off_or_is_no_json_is_not_read(body: bytes) -> None:
    """Half a reply could hide that an ID is there, and a page is no API's."""
    with pytest.raises(ProviderBusy) as caught:
        read_json(body, TWO)
    assert str(caught.value).isprintable()


def test_a_page_is_called_one() -> None:
    """Who reads the log knows at once that no API answered."""
    with pytest.raises(
        ProviderBusy, match=r"is a page for people, not the JSON of an API\. It begins: <!DOCTYPE html>"
    ):
        read_json(b"<!DOCTYPE html><title>Sign in</title>", ONE)
    assert is_page(b"\xef\xbb\xbf\n <?xml version='1.0'?>")
    assert not is_page(b'{"a":"<html>"}')


@pytest.mark.parametrize(
    ("body", "one", "two"),
    [
        (b"[" + b"1," * 99_998 + b"1]", None, None),
        (
            b"[" + b"1," * 100_000 + b"1]",
            "The answer about g-1 holds 100,001 values, above 100,000: more than is read of one ID.",
            None,
        ),
        (b"[" + b"{}," * 30_000 + b"1]", "The answer about g-1 holds 30,001 lists and objects, above 30,000", None),
        (
            b"[" + b"[]," * 50_000 + b"1]",
            "of one ID",
            "The answer about 2 IDs holds 50,001 lists and objects, above 50,000",
        ),
        (b"[" + b"1," * 150_000 + b"1]", "of one ID", "so fewer are asked for at a time."),
    ],
)
def test_what_would_take_too_long_to_parse_is_not_parsed(body: bytes, one: str | None, two: str | None) -> None:
    """Counted before: the ID is named if it is one, and several are asked for in smaller parts."""
    for ids, said in ((ONE, one), (TWO, two)):
        if said is None:
            assert isinstance(read_json(body, ids), list)
            continue
        with pytest.raises(ReplyTooLarge) as caught:
            read_json(body, ids)
        assert said in str(caught.value)


def test_patience_is_bounded_in_any_text() -> None:
    """Escapes, quotes and brackets without end are refused as quickly as they are read."""
    for body in (b'["' + b"\\" * 2**20, b'"' * 2**18, b'["' + rb"\ud83d" * 2**17, b'{"a":' * 40_000):
        with pytest.raises(ProviderBusy):
            read_json(body, ONE)
    assert orjson.dumps(read_json(b'["' + rb"\ud83d" * 2**17 + b'"]', ONE))

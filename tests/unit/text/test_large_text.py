"""Files of the allowed size that are made to take memory: each is refused, and what is built on the way is bounded."""

import json
import tracemalloc
from collections.abc import Callable
from datetime import timedelta

import pytest

from notifier.domain.errors import InvalidWatch
from notifier.domain.ids import GenerationId
from notifier.intake.entry import Known, KnownProvider
from notifier.intake.parse import parse_drop
from notifier.text.document import TextError
from notifier.text.strict_json import read_json
from notifier.text.strict_yaml import read_yaml

ONE = Known(
    providers={"luma": KnownProvider(normalise_id=GenerationId, words={}, timeout=timedelta(hours=24))},
    endpoints=["studio"],
)
#: Bytes of a hostile file here; a quarter of what is allowed.
SIZE = 4 * 2**20
#: Bytes that may be taken for each of its bytes, its own text among them. The least of these files took 45 before.
EACH = 16


def fill(part: str) -> Callable[[], str]:
    return lambda: part * (SIZE // len(part))


def inside(part: str) -> Callable[[], str]:
    return lambda: "[" + ",".join([part] * (SIZE // (len(part) + 1))) + "]"


def pairs(form: str, join: str) -> str:
    return join.join(form % number for number in range(SIZE // 16))


@pytest.mark.parametrize(
    ("name", "make", "words"),
    [
        ("a.txt", fill("a\n"), "100001: There are more than 100,000 IDs in this file; split it."),
        ("a.txt", fill("\n"), "The file holds no ID; write one a line."),
        ("a.json", inside("{}"), "It holds too many values: about 1,200,000 may be in one file. Split it."),
        ("a.json", inside('{"a":1}'), "1: There are more than 100,000 items in this list; split it."),
        ("a.json", inside('"some text"'), "1: There are more than 100,000 items in this list; split it."),
        (
            "a.json",
            lambda: "{" + pairs('"k%09d":1', ",") + "}",
            "This is longer than 1,048,576 characters, and not a list; only a list of watches may be.",
        ),
        ("a.json", lambda: "[{" + pairs('"k%09d":1', ",") + "}]", "1: One item is longer than 262,144 characters."),
        ("a.json", lambda: '[{},\n{"id": "' + "a" * SIZE + '"}]', "2: One item is longer than 262,144 characters."),
        ("a.yaml", fill("-\n"), "100001: There are more than 100,000 items in this list; split it."),
        ("a.yaml", fill("- {a: 1}\n"), "100001: There are more than 100,000 items in this list; split it."),
    ],
)
def test_a_hostile_file_takes_no_more_than_a_little_memory(name: str, make: Callable[[], str], words: str) -> None:
    """It is refused with one fault, and no more than a few times its size was ever held."""
    content = make().encode()
    tracemalloc.start()
    try:
        with pytest.raises(InvalidWatch) as refused:
            parse_drop(name, content, ONE)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert [str(fault) for fault in refused.value.faults] == [words]
    assert most < EACH * SIZE


def test_values_of_yaml_are_counted_as_they_are_read() -> None:
    """However they are nested, reading ends at the first that is too many, with its line as the one fault."""
    with pytest.raises(TextError) as refused:
        read_yaml(f"- [{'{},' * 300}]\n".encode() * 3_000)
    assert [str(fault) for fault in refused.value.faults] == [
        "2658: It holds too many values: about 1,200,000 may be in one file. Split it."
    ]


@pytest.mark.parametrize("before", ["", "a: 1\n...\n"], ids=["at the top", "after a document"])
@pytest.mark.parametrize("end", ["\n", "\r", "\x85", "\u2028"], ids=ascii)
def test_directives_are_counted_before_they_are_parsed(before: str, end: str) -> None:
    """The parser compares each with all before it: a large file of them would stop the daemon for half an hour."""
    tags = end.join(f"%TAG !a{number}! x" for number in range(20_000))
    with pytest.raises(TextError) as refused:
        read_yaml(f"{before}{tags}\n---\na: 1\n".encode())
    (fault,) = refused.value.faults
    assert fault.message == "More than 16 lines begin with %, as directives do; take them out."
    assert end != "\n" or fault.line == (before + tags).split("\n").index("%TAG !a16! x") + 1


@pytest.mark.parametrize("end", ["x", ":", "_", "e", ".", "-", ""])
@pytest.mark.parametrize("part", ["0", "12", "1_", "1:2", "-", "0.1", "+1e", "0x", "2026-01-01 "])
def test_a_long_scalar_is_judged_in_one_pass(part: str, end: str) -> None:
    """Whether it is a number that may be misread or text: a megabyte of digits does not take hours."""
    try:
        assert read_yaml((part * 50_000 + end).encode()).value is not None
    except TextError as error:
        assert error.faults


def test_a_few_directives_do_no_harm() -> None:
    """YAML's own version may be named, and a text may begin with a percent sign."""
    assert read_yaml(b'%YAML 1.1\n---\n- "a\n% b"\n').value == ["a % b"]


def test_a_hundred_thousand_whole_watches_fit_in_yaml() -> None:
    """Every part that an entry can have, metadata with two keys among them, in a file below 16 MiB."""
    entry = (
        "- {id: a-%08d, state: completed, notify: studio, provider: luma, timeout: 2h, metadata: {job: a%d, user: u}}\n"
    )
    content = "".join(entry % (number, number) for number in range(100_000)).encode()
    assert len(content) < 16 * 2**20
    assert len(parse_drop("a.yaml", content, ONE)) == 100_000


def test_a_watch_keeps_no_more_than_its_metadata() -> None:
    """A hundred thousand watches with a few bytes of metadata each are not held with 4 KiB each."""
    content = json.dumps([{"id": f"id{number}", "metadata": {"job": number}} for number in range(2_000)]).encode()
    tracemalloc.start()
    try:
        requests = parse_drop("a.json", content, ONE)
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert len(requests) == 2_000
    assert held < 2_000 * 1_000


# ---- lists that are read item by item -----------------------------------------------------------------------------
ITEM = {"id": "x" * 200, "metadata": {"text": 'é, \\ " [{}]', "numbers": [1, 2.5, None, True]}}


def test_a_large_list_is_the_same_list() -> None:
    """Whether it is read at once or item by item, with or without blanks."""
    items = [{**ITEM, "number": number} for number in range(6_000)]
    for text in (json.dumps(items), json.dumps(items, indent=2), "\ufeff \n" + json.dumps(items, ensure_ascii=False)):
        assert len(text) > 1_048_576
        assert read_json(text.encode()).value == items
    assert read_json(b"[" + b" " * 1_100_000 + b"]").value == []


@pytest.mark.parametrize(
    ("end", "words"),
    [
        ("", "6003: Not JSON: Expecting ',' delimiter (column 1)."),
        (",\n", "6004: Not JSON: Expecting value (column 1)."),
        (",]", "6003: Not JSON: Expecting value (column 2)."),
        (" {}]", "6003: Not JSON: Expecting ',' delimiter (column 2)."),
        ("] 1", "6003: Not JSON: Extra data (column 3)."),
        (", {,}]", "Not JSON: Expecting property name enclosed in double quotes (column 4)."),
        (', {"a": "b]', "6003: Not JSON: Unterminated string starting at (column 9)."),
    ],
)
def test_a_large_list_has_the_faults_of_a_small_one(end: str, words: str) -> None:
    """With the line, wherever they are."""
    text = "[\n" + ",\n".join([json.dumps(ITEM)] * 6_000) + "\n\n" + end
    with pytest.raises(TextError) as refused:
        read_json(text.encode())
    assert words in str(refused.value.faults[0])
    with pytest.raises(json.JSONDecodeError) as standard:
        json.loads(text)
    assert refused.value.faults[0].line == standard.value.lineno

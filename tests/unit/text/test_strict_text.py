"""Reading YAML and JSON: what is refused, with which words and where; and that no bytes whatever do harm."""

import json
import math
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from notifier.text.document import Document, TextError
from notifier.text.printable import did_you_mean, printable, show_path
from notifier.text.strict_json import read_json
from notifier.text.strict_yaml import read_yaml


def faults_of(read: Any, data: bytes) -> list[str]:
    with pytest.raises(TextError) as refused:
        read(data)
    return [str(fault) for fault in refused.value.faults]


TAB = "{}: A tab is before the text of this line; YAML takes spaces only. Put spaces in its place."
YAML_FAULTS: list[tuple[bytes, list[str]]] = [
    (b"id: 0123", ['1: id: 0123 is read as different numbers by different YAML parsers; quote it: "0123".']),
    (b"a:\n  - 12:30", ['2: a[0]: 12:30 is read as different numbers by different YAML parsers; quote it: "12:30".']),
    (b"a: 1_000", ['1: a: 1_000 is read as different numbers by different YAML parsers; quote it: "1_000".']),
    (b"a: 1e5", ['1: a: 1e5 is read as different numbers by different YAML parsers; quote it: "1e5".']),
    (b"a: 2026-11-22", ['1: a: 2026-11-22 is a date to YAML; quote it: "2026-11-22".']),
    (b"a: .nan", ['1: a: .nan is not a finite number; quote it if it is text: ".nan".']),
    (b"a: -.inf", ['1: a: -.inf is not a finite number; quote it if it is text: "-.inf".']),
    (b"a: 1.0e+999", ['1: a: 1.0e+999 is not a finite number; quote it if it is text: "1.0e+999".']),
    (b"a: 1\nb: 2\na: 3", ['3: a: "a" is here twice; keep one.']),
    (b"1: 2", ['1: A key must be text; quote it: "1".']),
    (b"yes: 2", ['1: A key must be text; quote it: "yes".']),
    (b"? [a]\n: 1", ["1: A key must be text, not a list or a mapping."]),
    (
        b"a: !!binary aGk=",
        [
            (
                "1: a: Tags (tag:yaml.org,2002:binary) are not supported; write the value out. "
                "Text that begins with ! goes in quotes."
            )
        ],
    ),
    (
        b"a: !!python/name:os.system x",
        [
            (
                "1: a: Tags (tag:yaml.org,2002:python/name:os.system) are not supported; write the value out. "
                "Text that begins with ! goes in quotes."
            )
        ],
    ),
    (
        b"a: &x 1\nb: *x",
        [
            "1: a: Anchors (&x) are not supported; write the value out. Text that begins with & goes in quotes.",
            "2: b: Aliases (*name) are not supported; write the value out. Text that begins with * goes in quotes.",
        ],
    ),
    (b"a: 1\n<<: 2", ["2: merging with << is not supported; write the keys out."]),
    (b"a: 1\n---\nb: 2", ["2: A second document begins here (---); only one is allowed in a file."]),
    (b"a: \xff", ["1: Byte 0xff is not UTF-8. Save the file as UTF-8."]),
    ("a: 1".encode("utf-16"), ["1: The file is UTF-16 or UTF-32. Save it as UTF-8."]),
    (b"a: \x07", ["1: Not YAML: control characters are not allowed."]),
    (b"a: 1\n\tb: 2", [TAB.format(2)]),
    (b"\t- id: x", [TAB.format(1)]),
    (b"- id: x\n  \tprovider: y\n", [TAB.format(2)]),
    (b"-\tid: x", [TAB.format(1)]),
    (b"a:\r\n\t- b\r\n", [TAB.format(2)]),
    (b"a: |\n\ttext", [TAB.format(2)]),
]


@pytest.mark.parametrize(("data", "expected"), YAML_FAULTS)
def test_yaml_that_may_be_misread_is_refused(data: bytes, expected: list[str]) -> None:
    """Whatever parsers and people may read differently is refused with its line, its path and what to write."""
    assert faults_of(read_yaml, data) == expected


@pytest.mark.parametrize(
    ("text", "cure"),
    [
        ('{id: "x"}', 'A key has double quotes around it: write "id".'),
        ("{'id': 'x'}", 'JSON knows the plain double quote only: write ", around keys too.'),
        ("{\u201cid\u201d: \u201cx\u201d}", 'JSON knows the plain double quote only: write ", around keys too.'),
        ('{"id": \u00abx\u00bb}', 'JSON knows the plain double quote only: write ", around keys too.'),
        ('{\\"id\\": 1}', 'Write " without a backslash before it.'),
        ('[{"id": "x"},]', "There is no comma after the last one."),
        ('{"id": "x",\n}', "There is no comma after the last one."),
        ('{"id": "x", "a": True}', "Write true."),
        ('{"id": "x", "a": None}', "Write null."),
    ],
)
def test_json_that_is_nearly_right_is_told_what_to_write(text: str, cure: str) -> None:
    """Quotes of another kind or none, a comma too many, Python's constants."""
    (fault,) = faults_of(read_json, text.encode())
    assert fault.endswith(f"). {cure}")


@pytest.mark.parametrize("word", ["'id'", '"id"', "\u201cid\u201d", '\\"id\\"', "`id`"])
def test_quotes_that_are_a_part_of_a_name_are_pointed_out(word: str) -> None:
    """As people copy them from a page, or a shell leaves them."""
    assert did_you_mean(word, ["id", "state"]) == " The quotes are a part of it here; write id without them."


def test_every_yaml_fault_is_told_at_once() -> None:
    """A person corrects a file once, not fault by fault."""
    assert len(faults_of(read_yaml, b"a: 0123\nb: 2026-01-01\nc: &x 1\nb: 3\n")) == 4


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"", None),
        (b"# only a comment\n", None),
        (b"\xef\xbb\xbfa: 1", {"a": 1}),
        (
            b"a: -1\nb: 1.5\nc: yes\nd: ~\ne:\nf: Off\ng: 0x1F",
            {"a": -1, "b": 1.5, "c": True, "d": None, "e": None, "f": False, "g": 31},
        ),
        (
            b"a: '0123'\nb: \"12:30\"\nc: 755f9bbb-d99b\nd: nobody\ne: '2026-11-22'",
            {"a": "0123", "b": "12:30", "c": "755f9bbb-d99b", "d": "nobody", "e": "2026-11-22"},
        ),
        (b"- [a, {b: c}]\n- |\n  x\n  y\n", [["a", {"b": "c"}], "x\ny\n"]),
        (b"a: 127.0.0.1:8585\nb: 5/s\nc: 15s\nd: 1.2.3", {"a": "127.0.0.1:8585", "b": "5/s", "c": "15s", "d": "1.2.3"}),
    ],
)
def test_plain_yaml_is_read_as_people_mean_it(data: bytes, value: Any) -> None:
    """Plain scalars, lists and mappings come out as plain values."""
    assert read_yaml(data).value == value


def test_lines_are_known_of_every_part_or_its_nearest_ancestor() -> None:
    """A fault can name the line of whatever it is about."""
    document = read_yaml(b"watches:\n  - id: a\n    metadata:\n      x: 0x1F\n  -\n    id: b\n")
    assert [
        document.line(path)
        for path in [(), ("watches", 0, "metadata", "x"), ("watches", 1, "id"), ("watches", 1, "nope")]
    ] == [1, 4, 6, 6]
    assert document.written(("watches", 0, "metadata", "x")) == "0x1F"
    assert document.written(("watches", 0, "id")) is None
    assert Document({"a": 1}).line(("a",)) is None


@pytest.mark.parametrize(
    "bomb",
    [
        b"a: &a [x,x,x]\nb: &b [*a,*a,*a]\nc: &c [*b,*b,*b]\nd: [*c,*c,*c]\n",
        b"[" * 200_000,
        b"{a: " * 100_000,
        b"- " * 50_000,
        b"? " * 50_000,
        b"a: &a [*a]",
        b"'" + b"x" * 1_000_000,
    ],
)
def test_no_yaml_bomb_goes_off(bomb: bytes) -> None:
    """Aliases, depth and unclosed text end in a fault, quickly and without deep recursion."""
    assert faults_of(read_yaml, bomb)


@pytest.mark.parametrize("deep", [b"[" * 90, b"[" * 100_000, b"{a: " * 5_000, b"- " * 50_000])
def test_yaml_that_is_too_deep_is_called_that(deep: bytes) -> None:
    """The parser has a limit of its own, in words of its own: whichever is met first, it is our sentence."""
    assert "Lists and mappings are more than 64 deep here." in faults_of(read_yaml, deep)[0]


def test_json_is_as_strict() -> None:
    """Keys that are there twice, NaN, depth and half characters are refused in JSON too."""
    assert faults_of(read_json, b'{"a": 1, "b": {"a": 1, "a": 2}}') == ['b: "a" is here twice; keep one.']
    assert faults_of(read_json, b"[NaN, -Infinity]") == [
        "NaN is not a JSON number; quote it if it is text.",
        "-Infinity is not a JSON number; quote it if it is text.",
    ]
    assert faults_of(read_json, b"[1e999]") == ["1e999 is too large a number; quote it if it is text."]
    assert faults_of(read_json, b"[\n1,\n2") == ["3: Not JSON: Expecting ',' delimiter (column 2)."]
    assert faults_of(read_json, b'[{"a": "\\ud800"}]') == ["[0].a: Half of a surrogate pair (\\ud8…) is not text."]
    assert faults_of(read_json, b"[" * 200_000) == ["Lists and objects are more than 64 deep."]
    assert "more than 64 deep" in faults_of(read_json, b"[" * 90 + b"]" * 90)[0]
    assert faults_of(read_json, b"[" * 90 + b"\n") == ["Lists and objects are more than 64 deep."]
    assert faults_of(read_json, b'{"a":' * 90 + b'"') == ["Lists and objects are more than 64 deep."]
    assert faults_of(read_json, b'["' + b"[" * 90) == ["1: Not JSON: Unterminated string starting at (column 2)."]
    assert faults_of(read_json, b"[[]," * 90) == ["Lists and objects are more than 64 deep."]
    assert faults_of(read_json, b"[" + b"[]," * 90) == ["1: Not JSON: Expecting value (column 272)."]
    assert "too many digits" in faults_of(read_json, b"[" + b"9" * 6_000 + b"]")[0]
    assert read_json(b'"\\ud83d\\ude00"').value == "😀"


@given(
    st.binary(max_size=300)
    | st.text(alphabet="ab:-[]{}&*!|>'\"#%@,?~<=.0123 \n\té\u202e", max_size=120).map(str.encode)
)
@example(b"\x00")
@example(b"- \xc2\x85")
@example(b"%YAML 1.2\n---\na")
@settings(max_examples=400, deadline=None)
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    """No input does anything else than give a value or faults, each of them printable."""
    for read in (read_yaml, read_json):
        try:
            document = read(data)
        except TextError as refused:
            shown = [str(fault) for fault in refused.faults]
        else:
            shown = [json.dumps(document.value, allow_nan=False)]
        assert shown
        assert all(text.isprintable() for text in shown)


SIMPLE = (
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=10)
)
VALUES = st.recursive(
    SIMPLE,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(VALUES)
@settings(max_examples=200, deadline=None)
def test_json_comes_back_as_it_was(value: Any) -> None:
    """Strictness refuses nothing that is plain JSON."""
    assert read_json(json.dumps(value).encode()).value == value


def test_printable_shows_what_would_act() -> None:
    """Control, ANSI, line ends, bidi and lone surrogates become visible; the length is bounded."""
    assert printable("a\n\x1b[31m\u202eb\ud800\x00", 100) == "a\\n\\x1b[31m\\u202eb\\ud800\\x00"
    assert printable("x" * 11, 10) == "x" * 9 + "…"
    assert printable("\x1b" * 4, 10) == "\\x1b\\x1b\\x…"[:9] + "…"
    assert printable("fine é 漢", 10) == "fine é 漢"


@given(st.text(), st.integers(1, 50))
def test_printable_is_printable_and_bounded(text: str, limit: int) -> None:
    """Whatever comes in, one line of at most `limit` printable characters comes out."""
    shown = printable(text, limit)
    assert shown.isprintable()
    assert len(shown) <= limit


def test_hints_name_the_near_one_or_all() -> None:
    """A near miss is answered with the word meant, anything else with the words there are."""
    assert did_you_mean("api_kye", ["api_key", "rate"]) == ' Did you mean "api_key"?'
    assert did_you_mean("generation.done", ["generation.queued", "x"]) == " Known: generation.queued, x."
    assert did_you_mean("aimlapi-sora", ["aimlapi-luma"]) == " Known: aimlapi-luma."
    assert did_you_mean("aimlapi-lum", ["aimlapi-luma"]) == ' Did you mean "aimlapi-luma"?'
    assert did_you_mean("zzz", ["a", "b"]) == " Known: a, b."
    assert did_you_mean("zzz", []) == ""
    assert did_you_mean("zzz", map(str, range(30))).endswith("19, ….")


def test_paths_read_like_code() -> None:
    """A path is shown as a person would write it, and never with what would act on a terminal."""
    assert show_path(("watches", 3, "id")) == "watches[3].id"
    assert show_path((0, "a b\x1b")) == '[0]["a b\\x1b"]'
    assert show_path(()) == ""


def test_floats_stay_finite() -> None:
    """Numbers at the edge are read exactly."""
    assert read_yaml(b"1.7976931348623157e+308").value == float("1.7976931348623157e+308")
    assert math.isclose(read_yaml(b"-.5").value, -0.5)

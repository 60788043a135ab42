"""Entries of every kind into requests, or into faults in these very words."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from notifier.domain.errors import InvalidWatch
from notifier.domain.ids import GenerationId
from notifier.domain.model import State, WatchRequest
from notifier.domain.settings import WatchDefaults
from notifier.intake import entry
from notifier.intake.entry import MAX_WATCHES, Known, KnownProvider
from notifier.intake.parse import MAX_BYTES, Unparsable, parse_document, parse_drop, requests_from
from notifier.net.address_policy import Allow, parse_allow
from notifier.text.quantity import parse_duration, parse_rate
from notifier.text.strict_yaml import read_yaml


def normalise(text: str) -> GenerationId:
    if "," in text:
        raise ValueError(f'"{text}" holds a comma, which this API cannot be asked for.')
    return GenerationId(text.lower())


LUMA = KnownProvider(
    normalise_id=normalise,
    words={"dreaming": State.RUNNING, "queued": State.QUEUED, "error": State.FAILED},
    timeout=timedelta(hours=24),
)
ONE = Known(providers={"luma": LUMA}, endpoints=["studio"])
MANY = Known(
    providers={"luma": LUMA, "other": LUMA},
    endpoints=["studio", "lab"],
    callbacks=True,
    callback_allow=("10.0.0.0/8", "hooks.internal:9000"),
)


def faults_of(data: bytes | str, known: Known = ONE, name: str = "a.yaml") -> list[str]:
    with pytest.raises(InvalidWatch) as refused:
        parse_drop(name, data.encode() if isinstance(data, str) else data, known)
    return [str(fault) for fault in refused.value.faults]


def one(data: str, known: Known = ONE, name: str = "a.yaml") -> WatchRequest:
    (request,) = parse_drop(name, data.encode(), known)
    return request


def test_an_id_alone_is_enough() -> None:
    """With one provider and one endpoint configured, everything but the ID has a default."""
    request = one('{"id": " ABC "}', name="a.json")
    assert (request.provider, request.generation, request.target) == ("luma", "abc", State.COMPLETED)
    assert (request.endpoint, request.destination, request.timeout, request.metadata) == (
        "studio",
        "studio",
        timedelta(hours=24),
        b"{}",
    )


def test_states_and_endpoints_multiply() -> None:
    """One entry makes a watch for each state and endpoint; two words for one state count once."""
    requests = parse_drop(
        "a.yaml", b"{id: a, provider: luma, state: [running, dreaming, completed], notify: [lab, studio]}", MANY
    )
    assert [(r.target, r.endpoint) for r in requests] == [
        (State.RUNNING, "lab"),
        (State.RUNNING, "studio"),
        (State.COMPLETED, "lab"),
        (State.COMPLETED, "studio"),
    ]


def test_a_callback_url_is_its_own_endpoint() -> None:
    """Its identity is the normalised URL, its destination the origin."""
    request = one("{id: a, provider: other, callback_url: 'HTTPS://Example.com:443/x?b=1'}", MANY)
    assert (request.endpoint, request.destination) == ("https://example.com/x?b=1", "https://example.com")
    assert (
        one("{id: a, provider: other, callback_url: 'http://hooks.internal:9000/'}", MANY).destination
        == "http://hooks.internal:9000"
    )


def test_what_is_allowed_is_read_once_for_many_urls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of URLs that differ, and a long list: reading it for each would stop every other file for a minute."""
    read: list[Sequence[str]] = []

    def reading(entries: Sequence[str]) -> Allow:
        read.append(entries)
        return parse_allow(entries)

    monkeypatch.setattr(entry, "parse_allow", reading)
    known = replace(MANY, callback_allow=tuple(f"h{number}.internal:9000" for number in range(500)))
    asked = [
        {"id": "a", "provider": "luma", "callback_url": f"http://h{number % 500}.internal:9000/{number}"}
        for number in range(1_100)
    ]
    assert len(parse_drop("a.json", json.dumps(asked).encode(), known)) == 1_100
    assert len(read) == 1


def test_defaults_fill_what_an_entry_leaves_out() -> None:
    """The drop section's defaults take the place of provider, endpoints and state."""
    known = replace(MANY, defaults=WatchDefaults(provider="other", notify=("lab", "studio"), state=State.RUNNING))
    requests = parse_drop("a.txt", b"# three\n\n-A\r\nb \n", known)
    assert [(r.provider, r.generation, r.endpoint, r.target) for r in requests] == [
        ("other", id_, name, State.RUNNING) for id_ in ("-a", "b") for name in ("lab", "studio")
    ]


def test_metadata_is_compact_and_equal_content_is_equal_bytes() -> None:
    """The order of keys makes no other watch."""
    assert one("{id: a, metadata: {b: é, a: [1, 2.5, yes]}}").metadata == '{"a":[1,2.5,true],"b":"é"}'.encode()


QUOTED = "The quotes are a part of it here; write id without them."
DEEP = "{a: " * 17 + "1" + "}" * 17
TABLE: list[tuple[str, Known, list[str]]] = [
    ("id: 12", ONE, ['1: id: id must be text; quote it: "12".']),
    ("id: 0x1F", ONE, ['1: id: id must be text; quote it: "0x1F".']),
    ("id: yes", ONE, ['1: id: id must be text; quote it: "yes".']),
    ("id: 0123", ONE, ['1: id: 0123 is read as different numbers by different YAML parsers; quote it: "0123".']),
    ("id: [a]", ONE, ["1: id: id must be text."]),
    ("id: ''", ONE, ['1: id: "" is not an ID: 1 to 256 printable ASCII characters.']),
    (
        "id: \u201cabc\u201d",
        ONE,
        ["1: id: \u201cabc\u201d: the quotes are a part of this ID here; write it without them."],
    ),
    ("id: '\"abc\"'", ONE, ['1: id: "abc": the quotes are a part of this ID here; write it without them.']),
    (
        "\u201cid\u201d: abc\nid: abc",
        ONE,
        [f'1: ["\u201cid\u201d"]: "\u201cid\u201d" is not a part of a watch. {QUOTED}'],
    ),
    ("id: é", ONE, ['1: id: "é" is not an ID: 1 to 256 printable ASCII characters.']),
    ('id: "a\\nb\\e[31m"', ONE, ['1: id: "a\\nb\\x1b[31m" is not an ID: 1 to 256 printable ASCII characters.']),
    ("id: 'a,b'", ONE, ['1: id: "a,b" holds a comma, which this API cannot be asked for.']),
    ("state: completed", ONE, ["1: id: id is missing: the generation's ID, as the provider gave it."]),
    ("{id: a, stat: x}", ONE, ['1: stat: "stat" is not a part of a watch. Did you mean "state"?']),
    (
        "{id: a, url: x}",
        ONE,
        [
            (
                '1: url: "url" is not a part of a watch. '
                "Known: id, provider, state, notify, callback_url, timeout, metadata."
            )
        ],
    ),
    (
        "{id: a, state: failed}",
        ONE,
        [
            (
                "1: state: A watch cannot wait for failed: wait for completed, "
                "and a generation that fails is answered at once with generation.failed."
            )
        ],
    ),
    (
        "{id: a, state: [error, dreamin]}",
        ONE,
        [
            (
                "1: state[0]: A watch cannot wait for error: wait for completed, "
                "and a generation that fails is answered at once with generation.failed."
            ),
            '1: state[1]: "dreamin" is not a state to wait for. Did you mean "dreaming"?',
        ],
    ),
    (
        "{id: a, state: done}",
        ONE,
        ['1: state: "done" is not a state to wait for. Known: dreaming, queued, running, completed.'],
    ),
    ("{id: a, state: []}", ONE, ["1: state: state is an empty list; name at least one, or leave it out."]),
    ("{id: a, state: [[a]]}", ONE, ["1: state[0]: state must be text or a list of texts."]),
    ("{id: a, provider: lumma}", ONE, ['1: provider: Provider "lumma" is not configured. Did you mean "luma"?']),
    ("{id: a, notify: lab}", MANY, ["1: provider: provider is missing. Known: luma, other."]),
    ("{id: a, provider: luma}", MANY, ["1: notify: notify is missing. Known: studio, lab."]),
    (
        "{id: a}",
        Known(providers={"luma": LUMA}, endpoints=[]),
        ["1: notify: notify is missing. No endpoint is configured."],
    ),
    (
        "{id: a}",
        Known(providers={}, endpoints=["studio"]),
        ["1: provider: provider is missing. No provider is configured."],
    ),
    ("{id: a, notify: studoi}", ONE, ['1: notify: Endpoint "studoi" is not configured. Did you mean "studio"?']),
    ("{id: a, notify: 7}", ONE, ['1: notify: notify must be text; quote it: "7".']),
    (
        "{id: a, notify: 'https://x.example/'}",
        ONE,
        ["1: notify: notify takes the name of a configured endpoint; a URL goes in callback_url."],
    ),
    (
        "{id: a, callback_url: 'https://x.example/'}",
        ONE,
        [
            (
                "1: callback_url: callback_url needs a callbacks: section with a secret in the configuration, "
                "and there is none."
            )
        ],
    ),
    (
        "{id: a, provider: luma, notify: lab, callback_url: 'https://x.example/'}",
        MANY,
        ["1: callback_url: callback_url takes the place of notify; keep one of them."],
    ),
    (
        "{id: a, provider: luma, callback_url: 'ftp://x.example/'}",
        MANY,
        ["1: callback_url: A URL begins with http:// or https://; ftp:// is not supported."],
    ),
    ("{id: a, timeout: 60}", ONE, ['1: timeout: timeout needs a unit: write e.g. "60s".']),
    (
        "{id: a, timeout: soon}",
        ONE,
        ['1: timeout: "soon" is not a duration; write e.g. "1500ms", "15s", "5m", "2h" or "1d".'],
    ),
    ("{id: a, timeout: 0s}", ONE, ["1: timeout: timeout must be more than 0."]),
    ("{id: a, timeout: 9999d}", ONE, ['1: timeout: "9999d" is too long; at most 3650d.']),
    ("{id: a, metadata: [1]}", ONE, ["1: metadata: metadata must be a mapping (a JSON object)."]),
    (f"{{id: a, metadata: {DEEP}}}", ONE, ["1: metadata: metadata is more than 16 deep."]),
    (
        "{id: a, metadata: {n: 9007199254740993}}",
        ONE,
        ["1: metadata: metadata holds an integer beyond ±2^53, which receivers misread; quote it."],
    ),
    (
        f"{{id: a, metadata: {{n: {'x' * 4096}}}}}",
        ONE,
        ["1: metadata: metadata is 4,104 bytes as compact JSON; at most 4,096."],
    ),
    ("watches:\n  - {id: a}", ONE, ['1: watches: Write the list itself, without "watches:" above it.']),
    ("just text", ONE, ['1: A watch is a mapping such as {id: "…"}, or a list of them.']),
    ("- a\n- {id: b}", ONE, ['1: [0]: A watch is a mapping such as {id: "…"}.']),
    ("", ONE, ["The file holds no watch."]),
    ("[]", ONE, ["The file holds no watch."]),
]


@pytest.mark.parametrize(("text", "known", "expected"), TABLE)
def test_a_wrong_entry_is_told_what_to_write(text: str, known: Known, expected: list[str]) -> None:
    """Every fault comes with its line, its path and a sentence that a person can act on."""
    assert faults_of(text, known) == expected


def test_all_faults_of_all_entries_come_at_once() -> None:
    """Faults of the text and of its meaning are in one answer, in the order of lines."""
    text = "- {id: 0123, stat: x}\n- {id: 5, state: failed, timeout: 3}\n- {id: a, notify: b}\n"
    assert [fault.split(": ")[:2] for fault in faults_of(text)] == [
        ["1", "[0].id"],
        ["1", "[0].stat"],
        ["2", "[1].id"],
        ["2", "[1].state"],
        ["2", "[1].timeout"],
        ["3", "[2].notify"],
    ]


@pytest.mark.parametrize(
    "part", ["timeout: 1", "timeout: {}", "state: [done]", "notify: []", "callback_url: x", "provider: no"]
)
def test_an_entry_beside_many_alike_tells_its_own_faults(part: str) -> None:
    """What most of a list say is read once; whoever says something else is read by itself, with its line."""
    alike = "- {id: a, timeout: 1h}\n" * 3
    (fault,) = faults_of(f"{alike}- {{id: b, {part}}}\n{alike}")
    assert fault.startswith(f"4: [3].{part.partition(':')[0]}")


def test_entries_that_say_the_same_and_others_keep_their_own() -> None:
    """In turns, with one text and with lists of one, by the names and by the provider's words."""
    said = [
        "state: dreaming",
        "state: [running]",
        "timeout: 2h",
        "notify: lab",
        "notify: [lab]",
        "notify: [studio, lab]",
    ]
    entries = [*said, *reversed(said), *said]
    known = replace(MANY, defaults=WatchDefaults(provider="luma", notify=("studio",)))
    alone = [parse_drop("a.yaml", f"- {{id: a, {each}}}".encode(), known) for each in entries]
    together = "\n".join(f"- {{id: a, {each}}}" for each in entries)
    assert parse_drop("a.yaml", together.encode(), known) == [request for some in alone for request in some]


def test_private_callbacks_and_odd_ports_are_refused_unless_listed() -> None:
    """What the guard would refuse by the URL alone is refused at once."""
    assert "Port 99" in faults_of("{id: a, provider: luma, callback_url: 'http://x.example:99/'}", MANY)[0]
    assert "127.0.0.1" in faults_of("{id: a, provider: luma, callback_url: 'http://127.0.0.1/'}", MANY)[0]
    assert one("{id: a, provider: luma, callback_url: 'http://10.1.2.3/'}", MANY).destination == "http://10.1.2.3"


def test_text_files_tell_lines_and_no_paths() -> None:
    """In a list of IDs a line is all that a person needs."""
    assert faults_of("ok\n\né\na,b\n", name="a.txt") == [
        '3: "é" is not an ID: 1 to 256 printable ASCII characters.',
        '4: "a,b" holds a comma, which this API cannot be asked for.',
    ]
    assert faults_of("# nothing\n", name="a.txt") == ["The file holds no ID; write one a line."]
    assert [r.generation for r in parse_drop("A.TXT", b"\xef\xbb\xbfx\n", ONE)] == ["x"]


def test_names_and_sizes_are_bounded() -> None:
    """An unknown suffix, too many bytes or too many watches are one clear fault each."""
    assert faults_of("", name="a.csv") == ["What kind of file is this? Its name must end in .json, .yaml, .yml, .txt."]
    assert faults_of(b" " * (MAX_BYTES + 1)) == ["The file is larger than 16 MiB; split it."]
    assert faults_of(b"a\n" * (MAX_WATCHES + 1), name="a.txt") == [
        "100001: There are more than 100,000 IDs in this file; split it."
    ]
    many = {"id": "a", "provider": "luma", "notify": ["studio", "lab"]}
    with pytest.raises(InvalidWatch, match=r"make more than 100,000 watches of this list; split it\."):
        requests_from([many] * 50_001, MANY, lines=None, source="")


def test_a_number_of_any_size_is_refused_as_an_id() -> None:
    """One that no 64 bits hold is shown as it was written."""
    assert faults_of('{"id": -9223372036854775809}', name="a.json") == [
        'id: id must be text; quote it: "-9223372036854775809".'
    ]


def test_faults_are_bounded() -> None:
    """A file of a hundred thousand wrong entries is not answered with a hundred thousand sentences."""
    faults = faults_of(json.dumps([{"id": 1}] * 5_000), name="a.json")
    assert len(faults) == 201
    assert faults[-1] == "There may be more faults; looking for them ended here."


def test_text_that_cannot_be_read_may_be_incomplete() -> None:
    """Callers can tell a broken document from a wrong one."""
    with pytest.raises(Unparsable):
        parse_drop("a.json", b'[{"id": "a"},', ONE)
    with pytest.raises(InvalidWatch) as wrong:
        parse_drop("a.json", b'{"id": 1}', ONE)
    assert not isinstance(wrong.value, Unparsable)


def test_watches_of_a_configuration_are_found_at_their_root() -> None:
    """`root` says where the list is in a larger document; nothing at all is an empty list."""
    document = read_yaml(b"x: 1\nwatches:\n  - {id: a}\n  - {id: b, stat: c}\n")
    with pytest.raises(InvalidWatch) as refused:
        requests_from(document.value["watches"], ONE, lines=document, source="config.yaml", root=("watches",))
    (fault,) = refused.value.faults
    assert (fault.source, fault.path, fault.line) == ("config.yaml", "watches[1].stat", 4)
    assert requests_from(None, ONE, lines=None, source="") == []
    assert parse_document(b"# nothing yet\n", ONE, json=False, source="w.yaml") == []


ENTRY = st.dictionaries(
    st.sampled_from(["id", "provider", "state", "notify", "callback_url", "timeout", "metadata", "x"]),
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.text(max_size=8)
        | st.sampled_from(["luma", "studio", "completed", "failed", "5s", "https://x.example/"]),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
        max_leaves=6,
    ),
    max_size=8,
)


@given(ENTRY | st.lists(ENTRY, max_size=4))
@settings(max_examples=400, deadline=None)
def test_any_value_makes_requests_or_faults(value: Any) -> None:
    """No entry, however odd, does anything else; and every fault is one printable line."""
    try:
        requests = requests_from(value, MANY, lines=None, source="")
    except InvalidWatch as refused:
        requests, faults = [], refused.faults
    else:
        faults = ()
    assert faults or isinstance(requests, list)
    assert all(str(fault).isprintable() for fault in faults)
    assert all(isinstance(json.loads(request.metadata), Mapping) for request in requests)


@given(st.binary(max_size=200), st.sampled_from(["a.json", "a.yaml", "a.txt", "a.bin"]))
@settings(max_examples=300, deadline=None)
def test_any_file_makes_requests_or_faults(data: bytes, name: str) -> None:
    """Nothing that is dropped can do more than be refused."""
    try:
        found: Sequence[object] = parse_drop(name, data, ONE)
    except InvalidWatch as refused:
        found = refused.faults
    assert found


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1500ms", 1.5), ("15s", 15), ("5m", 300), ("2h", 7_200), ("1d", 86_400), ("0s", 0), ("1.5 h", 5_400)],
)
def test_durations(text: str, seconds: float) -> None:
    """Every unit is read."""
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(("text", "rate"), [("5/s", 5), ("300/m", 5), ("3600/h", 1), ("0.5/s", 0.5)])
def test_rates(text: str, rate: float) -> None:
    """Every unit is read."""
    assert parse_rate(text) == rate


@pytest.mark.parametrize("text", ["", "5", "s", "-1s", "1w", "1e3s", "٣s", "99999999999s"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    """A bare or odd number is not guessed at."""
    with pytest.raises(ValueError, match=r"is not a duration"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["", "5", "0/s", "5/d", "-5/s", "5/", "/s"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    """A bare, odd or zero number is not guessed at."""
    with pytest.raises(ValueError, match=r"is not a rate"):
        parse_rate(text)


@pytest.mark.parametrize("line", ['{"id":"a-1"}', '["a-1"]', '"a-1"', "a-1 a-2"])
def test_a_line_that_is_no_id_is_refused(line: str) -> None:
    """JSON in a .txt file, or two IDs on a line, would be watched for ever and never found."""
    with pytest.raises(InvalidWatch) as refused:
        parse_drop("ids.txt", f"b-1\n{line}\n".encode(), ONE)
    assert [(fault.line, "more than one ID" in fault.message) for fault in refused.value.faults] == [(2, True)]

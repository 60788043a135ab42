"""What is answered if a selection leads to nothing."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from notifier.admin.answers import instead_of_url, nothing_fits, unknown_name
from notifier.domain.ids import Destination, EndpointIdentity, GenerationId, ProviderName
from notifier.domain.model import DeliveryStatus
from notifier.store.records import Kept, Selection

NOW = datetime(2026, 11, 22, 5, 14, tzinfo=UTC)
STUDIO = EndpointIdentity("studio")
OWED = frozenset({DeliveryStatus.PENDING, DeliveryStatus.EXHAUSTED, DeliveryStatus.PARKED})


def kept(**counts: int) -> Kept:
    by_status = {DeliveryStatus(word): count for word, count in counts.items()}
    return (
        Kept(counts=by_status, oldest=NOW, newest=NOW + timedelta(hours=1))
        if counts
        else Kept(counts={}, oldest=None, newest=None)
    )


FIRST, LAST = "2026-11-22T05:14:00.000Z", "2026-11-22T06:14:00.000Z"
AGAIN = " `notifier redeliver` sends what was delivered again too."
CASES: list[tuple[Selection, Kept, str]] = [
    (
        Selection(endpoint=STUDIO, since=NOW, statuses=OWED),
        kept(delivered=3, filtered=10),
        (
            f"No message to studio is pending, exhausted or parked and was created at or after {FIRST}. "
            "There are 3 delivered and 10 filtered messages to studio, "
            f"the first of them created {FIRST}, the last {LAST}.{AGAIN}"
        ),
    ),
    (
        Selection(endpoint=STUDIO, since=NOW + timedelta(hours=1), statuses=OWED),
        replace(kept(exhausted=1), newest=NOW),
        (
            f"No message to studio is pending, exhausted or parked and was created at or after {LAST}. "
            f"There is 1 exhausted message to studio, created {FIRST}. For all of them write --since {FIRST}."
        ),
    ),
    (
        Selection(provider=ProviderName("luma"), type="watch.expired", since=NOW, until=NOW + timedelta(hours=1)),
        kept(parked=2),
        (
            f"No message of provider luma of type watch.expired was created at or after {FIRST} and before {LAST}. "
            "There are 2 parked messages of provider luma of type watch.expired, "
            f"the first of them created {FIRST}, the last {LAST}. For all of them write --since {FIRST}."
        ),
    ),
    (Selection(generation=GenerationId("g-1"), statuses=OWED), kept(), "No message for generation g-1 is kept."),
    (
        Selection(destination=Destination("https://a.example.com")),
        kept(),
        "No message to https://a.example.com is kept.",
    ),
    (
        Selection(endpoint=EndpointIdentity("https://a.example.com/x?token=abc")),
        kept(),
        "No message to https://a.example.com/x?… is kept.",
    ),
    (Selection(statuses=frozenset({DeliveryStatus.PARKED})), kept(), "No message is kept."),
    (
        Selection(endpoint=STUDIO, statuses=OWED),
        replace(kept(filtered=1), newest=NOW),
        (
            "No message to studio is pending, exhausted or parked. There is 1 filtered message to studio, "
            f"created {FIRST}. `notifier recover --include-filtered` sends what `events:` left out, "
            "and so does `notifier redeliver`."
        ),
    ),
]


@pytest.mark.parametrize(("selection", "found", "sentence"), CASES, ids=[case[2][:60] for case in CASES])
def test_what_nothing_fits_says_what_there_is(selection: Selection, found: Kept, sentence: str) -> None:
    """What was asked for, what is kept of it, and what to write instead."""
    assert str(nothing_fits(selection, found)) == sentence


A = "https://a.example.com"


@pytest.mark.parametrize(
    ("url", "found", "sentence"),
    [
        (f"{A}/hook?token=x", kept(), " It is the url of endpoint studio: write `studio` in place of it."),
        (f"{A}/hook", kept(pending=3), " It is the url of endpoint studio: write `studio` in place of it."),
        (
            f"{A}/x",
            kept(pending=2, delivered=1),
            f" There are 3 messages to other URLs of {A}: write {A} for all of them.",
        ),
        (f"{A}/x", kept(), ""),
    ],
)
def test_a_url_that_leads_to_nothing_says_what_would(url: str, found: Kept, sentence: str) -> None:
    """The name of the endpoint that has it, or the origin."""
    assert (
        instead_of_url(url, named={"studio": f"{A}/hook?token=y", "b": "https://b"}, destination=A, kept=found)
        == sentence
    )


NAMES = [
    ("LUMA", ["video", "luma"], 'Did you mean "luma"? Known: luma, video.'),
    ("lumma", ["video", "luma"], 'Did you mean "luma"? Known: luma, video.'),
    ("zzz", ["video", "luma"], "Known: luma, video."),
    ("zzz", [], "is not in the configuration."),
    ("e", [f"e{number:02}" for number in range(30)], "e19, …."),
]


@pytest.mark.parametrize(("name", "known", "end"), NAMES)
def test_a_name_that_is_unknown_lists_those_that_are(name: str, known: list[str], end: str) -> None:
    """With the one that was most likely meant."""
    said = str(unknown_name("Provider", name, known))
    assert said.startswith(f"Provider {name} is not in the configuration.")
    assert said.endswith(end)
    assert said.count("Known:") <= 1

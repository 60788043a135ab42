"""Identifiers are facts made short: the same everywhere and for ever, and different where any fact differs."""

import string
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from notifier.domain.ids import message_id, watch_id

FACTS: dict[str, Any] = {
    "provider": "luma",
    "generation": "755f9bbb-d99b-4880-992b-f05244ddba61",
    "target": "completed",
    "endpoint": "studio",
}
MESSAGE: dict[str, Any] = {**FACTS, "kind": "result", "round_": 0}
ALLOWED = set(string.ascii_lowercase + "234567")
ANY = st.fixed_dictionaries({name: st.text(max_size=8) for name in FACTS})
ANY_MESSAGE = st.fixed_dictionaries(
    {**{name: st.text(max_size=8) for name in (*FACTS, "kind")}, "round_": st.integers(min_value=0, max_value=10**6)}
)


def test_message_ids_stay_what_they_are() -> None:
    """A release that changed these would post again what is delivered: computed once by hand, never to be edited."""
    assert message_id(**MESSAGE) == "msg_a3izgri4y2aa3whmhxvxmv2nehcz7ywqdvfkgqi2wde7rf6b6lgq"


def test_watch_ids_stay_what_they_are() -> None:
    """Operators keep them in tickets and apps in tables."""
    assert watch_id(**FACTS) == "wch_zp5fvquzqzwh5xwhudcawti45mi5ibzx"


def test_every_fact_counts() -> None:
    """Another provider, generation, target, endpoint, kind or round is another message."""
    others: list[dict[str, Any]] = [{name: "other"} for name in (*FACTS, "kind")] + [{"round_": 1}]
    made = {message_id(**(MESSAGE | other)) for other in others} | {message_id(**MESSAGE)}
    assert len(made) == len(others) + 1


@given(ANY_MESSAGE, ANY_MESSAGE)
def test_different_facts_make_different_messages(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Two messages are the same if and only if all their facts are."""
    assert (message_id(**one) == message_id(**other)) == (one == other)


@given(ANY, st.data())
def test_facts_do_not_run_into_each_other(facts: dict[str, str], data: st.DataObject) -> None:
    """Moving text from the end of one fact to the beginning of the next makes another watch."""
    names = list(FACTS)
    at = data.draw(st.integers(min_value=0, max_value=len(names) - 2))
    cut = data.draw(st.integers(min_value=0, max_value=len(facts[names[at]])))
    moved = facts | {
        names[at]: facts[names[at]][:cut],
        names[at + 1]: facts[names[at]][cut:] + facts[names[at + 1]],
    }
    assert (watch_id(**moved) == watch_id(**facts)) == (moved == facts)


@given(ANY_MESSAGE)
def test_an_id_can_be_signed_and_grepped(facts: dict[str, Any]) -> None:
    """A signature joins ID, time and body by dots, so there is none in an ID; nor is there anything to quote."""
    made = message_id(**facts)
    assert made.startswith("msg_")
    assert set(made.removeprefix("msg_")) <= ALLOWED
    assert len(made) == 56

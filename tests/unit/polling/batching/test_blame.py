"""Whose failure it is: the provider's, or one ID's."""

from datetime import UTC, datetime, timedelta

import pytest

from notifier.domain.ids import GenerationId
from notifier.polling.batching.blame import Evidence, Setback

NOW = datetime(2026, 11, 22, 5, 14, tzinfo=UTC)
MANY = 100


def ids(*numbers: int) -> list[GenerationId]:
    return [GenerationId(f"g-{number}") for number in numbers]


def evidence(*sets: list[GenerationId], sent_at: float = 10.0) -> Evidence:
    found = Evidence()
    for failed in sets:
        found.failed(failed, sent_at=sent_at)
    return found


@pytest.mark.parametrize(
    ("sets", "against"),
    [
        pytest.param([ids(1)], False, id="one ID"),
        pytest.param([ids(1), ids(2)], False, id="two IDs"),
        pytest.param([ids(1), ids(1), ids(1), ids(1)], False, id="one ID many times"),
        pytest.param([ids(1), ids(2), ids(3)], True, id="three IDs"),
        pytest.param([ids(1, 2, 3, 4)], False, id="a batch"),
        pytest.param([ids(1, 2, 3, 4), ids(1, 2), ids(1)], False, id="a batch, its half and one of that"),
        pytest.param([ids(1, 2, 3, 4), ids(1, 2), ids(3, 4)], True, id="both halves of a batch"),
        pytest.param([ids(1, 2, 3, 4), ids(5, 6)], True, id="two batches"),
        pytest.param([ids(1), ids(1, 2, 3, 4)], False, id="an ID, and a batch with it"),
        pytest.param([ids(1, 2), ids(2, 3)], False, id="two batches with an ID in common"),
        pytest.param([ids(1, 2), ids(3), ids(4)], True, id="a batch and two others"),
    ],
)
def test_what_no_single_id_explains_speaks_against_the_provider(
    sets: list[list[GenerationId]], *, against: bool
) -> None:
    """Two batches, or three IDs, with none in common; a batch is as good as explained by the bad ID in it."""
    assert evidence(*sets).against_provider(watched=MANY) is against


def test_where_everything_failed_nothing_is_left_to_ask_about() -> None:
    """One ID of one, two of two; a batch has halves to ask about first."""
    assert evidence(ids(1)).of_all(watched=1)
    assert evidence(ids(1), ids(2)).against_provider(watched=2)
    assert not evidence(ids(1)).against_provider(watched=2)
    assert not evidence(ids(1, 2)).against_provider(watched=2)
    assert not Evidence().of_all(watched=0)


def test_an_answer_ends_all_doubt() -> None:
    """To a request that was sent with the first that failed, or later; an older one says nothing of the time since."""
    found = evidence(ids(1), ids(2))
    assert not found.answered(sent_at=9.9)
    assert found
    assert found.answered(sent_at=10.0)
    assert not found
    found.failed(ids(3), sent_at=11.0)
    assert not found.against_provider(watched=MANY)


def test_a_failure_beside_later_answers_is_no_evidence() -> None:
    """A request that hung for half a minute while others were answered failed for itself."""
    found = Evidence()
    found.answered(sent_at=20.0)
    found.failed(ids(1), sent_at=20.0)
    assert not found
    found.failed(ids(1), sent_at=20.1)
    assert found


def test_who_failed_again_failed_last() -> None:
    """So that those that may be answered by now come first."""
    assert list(evidence(ids(1), ids(2), ids(1)).ids()) == ids(2, 1)


def test_evidence_is_bounded() -> None:
    """In an outage of weeks the oldest is forgotten."""
    assert len(list(evidence(*(ids(number) for number in range(2_000))).ids())) == 1_000


def setback(count: int = 1) -> Setback:
    failures = Setback(since=NOW, last=NOW, sent_at=10.0, reason="500")
    for number in range(count):
        failures = failures.again("502", last=NOW + timedelta(seconds=number))
    return failures


def test_waits_of_a_bad_id_double_to_five_minutes() -> None:
    """5, 10, 20 … 300 s, however often it failed."""
    assert [setback(count).wait for count in range(1, 9)] == [5, 10, 20, 40, 80, 160, 300, 300]
    assert setback(5_000).wait == 300


def test_a_setback_tells_since_when_how_often_and_what_last() -> None:
    """What a person asks about an ID that is never answered."""
    failures = setback(3)
    assert (failures.count, failures.since, failures.last, failures.reason) == (
        3,
        NOW,
        NOW + timedelta(seconds=2),
        "502",
    )


def test_it_is_the_id_once_another_was_answered() -> None:
    """In a request that was sent with the first that failed, or later."""
    assert not setback().proved(9.9)
    assert setback().proved(10.0)


def test_three_failures_may_end_what_waits_for_it() -> None:
    """One or two may be chance, and without an answer about another ID it may be the provider."""
    assert setback(3).may_expire(10.0, now=11.0)
    assert not setback(2).may_expire(10.0, now=24.9)
    assert not setback(3).may_expire(9.9, now=1_000.0)


def test_two_failures_that_took_long_are_enough() -> None:
    """An ID that hangs fails once in a minute: after the time that three quick failures take, two are no chance."""
    assert setback(2).may_expire(10.0, now=25.0)
    assert not setback(1).may_expire(10.0, now=1_000.0)

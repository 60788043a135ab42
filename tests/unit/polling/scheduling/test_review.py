"""For which generations the next poll is decided anew, and when."""

import pytest

from notifier.polling.scheduling.review import Review


@pytest.mark.parametrize(
    ("intervals", "due"),
    [
        ([10.0], False),
        ([10.0, 7.0], False),
        ([10.0, 6.0], True),
        ([2.0, 10.0, 4.0, 6.0], True),
        ([1.0, 0.1], False),
        ([1.5, 0.9], True),
    ],
)
def test_it_is_due_once_polls_could_be_much_closer_together(intervals: list[float], *, due: bool) -> None:
    """By half as much again than at the scarcest moment; while the budget was ample no wait was too long."""
    review: Review[str] = Review()
    assert any(review.due(even, 1.0) for even in intervals) == due


def test_after_it_has_begun_it_is_due_only_when_it_was_scarcer_again() -> None:
    """A budget that goes up and down by a little starts nothing twice."""
    review: Review[str] = Review()
    assert not review.due(10.0, 1.0)
    assert review.due(5.0, 1.0)
    review.begin([], 5.0)
    assert not review.due(5.0, 1.0)
    assert not review.due(4.0, 1.0)
    assert review.due(3.0, 1.0)


def test_many_are_reviewed_in_steps_and_each_once() -> None:
    """It begins from the first again when it is begun again."""
    review: Review[int] = Review()
    review.begin(range(4_500), 1.0)
    parts = [list(review.some()) for _ in range(4)]
    assert [number for part in parts for number in part] == list(range(4_500))
    assert max(map(len, parts)) <= 2_000
    assert parts[3] == []
    review.begin(range(3), 1.0)
    assert list(review.some()) == [0, 1, 2]

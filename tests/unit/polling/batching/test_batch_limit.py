"""How the size of a batch goes down with what is refused, and up again."""

import hypothesis
from hypothesis import given
from hypothesis import strategies as st

from notifier.polling.batching.batch_limit import GOOD_BATCHES, BatchLimit

#: A busy machine is no failure.
STEADY = hypothesis.settings(deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])


def test_a_batch_that_was_too_large_halves_the_limit() -> None:
    """The learned limit is half of what was refused, never above what is known already, never below one."""
    limit = BatchLimit.of(100)
    assert limit.refused(100).limit == 50
    assert limit.refused(100).refused(100).limit == 50
    assert limit.refused(40).limit == 20
    assert limit.refused(1).limit == 1


def test_the_limit_grows_again_after_twenty_answered_batches_at_it() -> None:
    """A quarter more, only for batch polls of the full limit, and never above `max_ids`."""
    limit = BatchLimit.of(100).refused(100)
    for _ in range(GOOD_BATCHES - 1):
        limit = limit.proved(50).proved(49)
    assert limit.limit == 50
    limit = limit.proved(50)
    assert limit.limit == 62
    for _ in range(200):
        limit = limit.proved(limit.limit)
    assert limit.limit == 100
    assert BatchLimit.of(3).refused(2).limit == 1


def batches_at(limit: BatchLimit, most: int, count: int) -> tuple[BatchLimit, int]:
    """After so many full batches of a provider that takes `most` IDs; how many were refused."""
    refused = 0
    for _ in range(count):
        if limit.limit > most:
            limit, refused = limit.refused(limit.limit), refused + 1
        else:
            limit = limit.proved(limit.limit)
    return limit, refused


def test_a_limit_that_went_too_far_goes_back_to_what_was_answered() -> None:
    """What was answered is known to fit: one step too far costs one request, not half of the batch."""
    limit = BatchLimit.of(100).refused(100)
    for _ in range(GOOD_BATCHES):
        limit = limit.proved(50)
    assert limit.refused(62).limit == 50


def test_what_was_answered_and_is_refused_now_is_halved() -> None:
    """The provider has become smaller: what it took once proves nothing any more."""
    limit = BatchLimit.of(100).refused(100)
    for _ in range(GOOD_BATCHES):
        limit = limit.proved(50)
    limit = limit.refused(62).refused(50)
    assert limit.limit == 25
    assert limit.refused(25).limit == 12


def test_trying_more_in_vain_becomes_rare() -> None:
    """Each time that more is refused it takes twice as many answered batches until it is tried again, up to 2,000."""
    limit, refused = batches_at(BatchLimit.of(100), 60, 100_000)
    assert limit.limit in (50, 62)
    assert limit.enough == 2_000
    assert refused < 60


@STEADY
@given(st.integers(1, 300), st.integers(1, 300))
def test_the_limit_comes_near_what_the_provider_takes(max_ids: int, most: int) -> None:
    """Whatever that is: never above `max_ids`, at most halves on the way down, and never for ever far below."""
    limit, refused = batches_at(BatchLimit.of(max_ids), most, 400)
    assert 1 <= limit.limit <= max_ids
    wanted = min(max_ids, most)
    assert wanted / 2 - 1 <= limit.limit <= max(wanted * 1.25, wanted + 1)
    assert refused <= 9 + 5  # halves of 300; and 20 + 40 + ... + 320 batch polls until more is tried


def test_what_a_smaller_batch_proved_is_gone_back_to() -> None:
    """A batch poll below the limit that was answered is evidence too: a refusal goes down to it, not to half."""
    assert BatchLimit.of(100).proved(60).refused(100).limit == 60

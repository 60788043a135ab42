"""Injected faults, the rate, and the strictness of what sets them."""

import math
from typing import Any

import pytest

from notifier.domain.model import State
from notifier.emulator.faults import Bucket, FaultKind, changed_faults, draw_fault
from notifier.emulator.settings import EmulatorSettings, FaultSettings, RetryAfter
from notifier.emulator.specs import Spec, read_specs

_MIXED = FaultSettings(server_error=0.1, bad_gateway=0.1, truncated=0.1, slow=0.1, dropped=0.1)


def test_faults_are_a_function_of_seed_and_number() -> None:
    """One seed gives one sequence of faults; another seed another one."""
    sequence = [draw_fault(_MIXED, 1, number) for number in range(200)]
    assert sequence == [draw_fault(_MIXED, 1, number) for number in range(200)]
    assert sequence != [draw_fault(_MIXED, 2, number) for number in range(200)]


def test_faults_come_as_often_as_they_were_set() -> None:
    """Each of five shares of a tenth is met about that often, and the rest meets nothing."""
    drawn = [draw_fault(_MIXED, 1, number) for number in range(5_000)]
    for kind in FaultKind:
        assert 400 < drawn.count(kind) < 600
    assert 2_300 < drawn.count(None) < 2_700


@pytest.mark.parametrize("kind", FaultKind)
def test_a_share_of_one_always_hits(kind: FaultKind) -> None:
    """With a share of 1 every request meets the fault, and without any none does."""
    settings = changed_faults(FaultSettings(), {kind.value: 1})
    assert {draw_fault(settings, 1, number) for number in range(100)} == {kind}
    assert {draw_fault(FaultSettings(), 1, number) for number in range(100)} == {None}


def test_a_bucket_lets_a_second_s_worth_pass_and_then_the_rate() -> None:
    """Five at once by 5/s, then none until a fifth of a second has gone; what waited is not counted."""
    bucket = Bucket()
    assert [bucket.wait(5.0, now=10.0) for _ in range(5)] == [0.0] * 5
    assert bucket.wait(5.0, now=10.0) == pytest.approx(0.2)
    assert bucket.wait(5.0, now=10.1) == pytest.approx(0.1)
    assert bucket.wait(5.0, now=10.21) == 0.0


def test_a_slow_rate_still_lets_one_pass() -> None:
    """Below one a second the bucket holds one."""
    bucket = Bucket()
    assert bucket.wait(0.5, now=0.0) == 0.0
    assert bucket.wait(0.5, now=0.0) == pytest.approx(2.0)


def test_faults_change_by_name() -> None:
    """Named fields change, the others stay; a whole number stands for a fraction."""
    changed = changed_faults(_MIXED, {"slow": 0, "rate": 5, "retry_after": "date", "batch": False})
    assert (changed.slow, changed.rate, changed.retry_after, changed.batch) == (0.0, 5.0, RetryAfter.DATE, False)
    assert changed.dropped == 0.1


@pytest.mark.parametrize(
    "change",
    [
        None,
        [],
        {"sloww": 1},
        {"slow": "1"},
        {"slow": True},
        {"slow": 2},
        {"slow": 0.6, "dropped": 0.6},
        {"batch": 0},
        {"refuse": 200},
        {"retry_after": "soon"},
        {"retry_after": 1},
        {"rate": -1},
    ],
)
def test_a_change_without_sense_is_refused(change: Any) -> None:
    """A wrong name, type or value is refused with a sentence."""
    with pytest.raises(ValueError, match=r"\w"):
        changed_faults(FaultSettings(), change)


@pytest.mark.parametrize(
    "wrong",
    [
        {"speed": 0.0},
        {"shortest": 5.0, "longest": 4.0},
        {"failures": 1.1},
        {"max_ids_status": 418},
        {"max_ids": -1},
        {"long_poll_limit": -1.0},
        {"max_url": 1},
        {"median": float("inf")},
    ],
)
def test_settings_without_sense_are_refused(wrong: dict[str, Any]) -> None:
    """Every setting acts or is refused."""
    with pytest.raises(ValueError, match=r"\w"):
        EmulatorSettings(**wrong)


def test_the_key_is_not_printed() -> None:
    """Settings may be logged: the key is not in them."""
    assert "s3cret" not in repr(EmulatorSettings(api_key="s3cret"))


def test_specs_are_read() -> None:
    """One spec, or a list of them, with either name for the end."""
    assert read_specs({"count": 2000, "complete_at": 5.0}) == [Spec(count=2000, ends_after=5.0)]
    assert read_specs([{"id": "a", "duration": 1, "outcome": "failed"}, {}]) == [
        Spec(id="a", ends_after=1.0, outcome=State.FAILED),
        Spec(),
    ]
    assert read_specs({"complete_at": "never"}) == [Spec(ends_after=math.inf)]


@pytest.mark.parametrize(
    "value",
    [
        None,
        "a",
        [[]],
        {"cuont": 1},
        {"count": 0},
        {"count": True},
        {"count": 2, "id": "a"},
        {"count": 10_000_000},
        {"complete_at": -1},
        {"complete_at": "soon"},
        {"complete_at": 1, "duration": 1},
        {"outcome": "dreaming"},
        {"outcome": []},
    ],
)
def test_specs_without_sense_are_refused(value: Any) -> None:
    """A wrong spec is refused with a sentence, before anything is made."""
    with pytest.raises(ValueError, match=r"\w"):
        read_specs(value)

"""What is known of long-polls: the table of what one shows, and how much it takes to believe it."""

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifier.polling.long_poll.support import (
    AGAIN,
    PROOF,
    QUICK,
    TRIAL_EVERY,
    LongPollOutcome,
    LongPollSupport,
    Mode,
    showed,
)

#: A busy machine is no failure.
STEADY = hypothesis.settings(deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
PATIENCE = 30.0


def support(mode: Mode = Mode.AUTO, patience: float | None = PATIENCE) -> LongPollSupport:
    return LongPollSupport(mode=mode, patience=patience)


@pytest.mark.parametrize(
    ("took", "reached", "asked", "expected"),
    [
        # answered at once
        (0.1, 0, 5, LongPollOutcome.IGNORED),
        (1.9, 0, 1, LongPollOutcome.IGNORED),
        (0.1, 1, 5, LongPollOutcome.NOTHING),  # it was there already
        (0.1, 5, 5, LongPollOutcome.NOTHING),
        # kept, and ended before its patience
        (2.0, 0, 5, LongPollOutcome.NOTHING),
        (12.0, 0, 5, LongPollOutcome.NOTHING),
        (12.0, 1, 5, LongPollOutcome.ANY),
        (12.0, 4, 5, LongPollOutcome.ANY),
        (12.0, 5, 5, LongPollOutcome.NOTHING),  # any and all alike
        # kept to the end of its patience
        (28.0, 0, 5, LongPollOutcome.NOTHING),
        (28.0, 1, 5, LongPollOutcome.ALL),
        (30.2, 4, 5, LongPollOutcome.ALL),
        (30.2, 5, 5, LongPollOutcome.NOTHING),
        # one ID: any is all
        (12.0, 1, 1, LongPollOutcome.NOTHING),
        (30.0, 0, 1, LongPollOutcome.NOTHING),
    ],
)
def test_what_one_long_poll_shows(took: float, reached: int, asked: int, expected: LongPollOutcome) -> None:
    """Only an outcome that has one explanation is a sign."""
    assert showed(took=took, patience=PATIENCE, reached=reached, asked=asked) is expected


def learned(begin: LongPollSupport, *signs: LongPollOutcome, now: float = 100.0) -> LongPollSupport:
    for sign in signs:
        begin = begin.learned(sign, now)
    return begin


def test_a_provider_without_patience_gets_no_long_polls() -> None:
    """Whatever the mode says."""
    for mode in Mode:
        nobody = support(mode, None)
        assert (nobody.single(0.0), nobody.any(0.0), nobody.trial(0.0)) == (False, False, False)


def test_what_each_mode_allows_at_the_start() -> None:
    """`off` nothing, `single` one ID, `any` several, and `auto` one ID and a trial."""
    known = {mode: support(mode) for mode in Mode}
    allowed = {mode: (each.single(0.0), each.any(0.0), each.trial(0.0)) for mode, each in known.items()}
    assert allowed == {
        Mode.OFF: (False, False, False),
        Mode.SINGLE: (True, False, False),
        Mode.ANY: (True, True, False),
        Mode.AUTO: (True, False, True),
    }


@pytest.mark.parametrize("sign", list(LongPollOutcome))
def test_one_observation_is_never_believed(sign: LongPollOutcome) -> None:
    """One sign neither proves that several can be long-polled nor ends the trials for ten minutes."""
    once = learned(support(), sign)
    assert not once.any(100.0)
    assert once.trial(100.0 + TRIAL_EVERY)


def test_several_are_long_polled_once_three_trials_agree() -> None:
    """Then there is no trial any more."""
    known = learned(support(), *[LongPollOutcome.ANY] * (PROOF - 1))
    assert not known.any(100.0)
    known = learned(known, LongPollOutcome.ANY)
    assert known.any(100.0)
    assert not known.trial(1_000.0)


@pytest.mark.parametrize("sign", [LongPollOutcome.ALL, LongPollOutcome.IGNORED])
def test_a_provider_that_keeps_none_of_several_ids_is_tried_again_after_ten_minutes(sign: LongPollOutcome) -> None:
    """Three signs in a row, and no trial until then."""
    known = learned(support(), *[sign] * PROOF)
    assert not known.trial(100.0 + AGAIN - 0.1)
    assert known.trial(100.0 + AGAIN)


def test_a_sign_against_it_begins_the_proof_anew() -> None:
    """Proofs count in a row only, and so do doubts."""
    known = learned(
        support(),
        LongPollOutcome.ANY,
        LongPollOutcome.ANY,
        LongPollOutcome.IGNORED,
        LongPollOutcome.ANY,
        LongPollOutcome.ANY,
    )
    assert not known.any(1_000.0)
    known = learned(
        support(),
        LongPollOutcome.IGNORED,
        LongPollOutcome.IGNORED,
        LongPollOutcome.ANY,
        LongPollOutcome.IGNORED,
        LongPollOutcome.IGNORED,
    )
    assert known.trial(100.0 + TRIAL_EVERY)


@pytest.mark.parametrize("sign", [LongPollOutcome.ALL, LongPollOutcome.IGNORED])
def test_what_is_proved_takes_three_signs_to_unprove(sign: LongPollOutcome) -> None:
    """Two may be chance; after the third none is long-polled together for ten minutes, and all must be proved again."""
    known = learned(support(), *[LongPollOutcome.ANY] * PROOF, sign, sign)
    assert known.any(100.0)
    known = learned(known, sign)
    assert not known.any(100.0 + AGAIN)
    assert (known.trial(100.0 + AGAIN - 0.1), known.trial(100.0 + AGAIN)) == (False, True)


def test_nothing_shown_changes_nothing() -> None:
    """Most long-polls end without a sign."""
    known = learned(support(), LongPollOutcome.ANY, LongPollOutcome.IGNORED)
    assert learned(known, LongPollOutcome.NOTHING) == known


def test_trials_are_some_time_apart() -> None:
    """One that began keeps the next away, whatever comes of it, until it shows that it was kept."""
    known = support().tried(100.0)
    assert (known.trial(100.0 + TRIAL_EVERY - 0.1), known.trial(100.0 + TRIAL_EVERY)) == (False, True)
    assert known.learned(LongPollOutcome.ANY, 110.0).trial(110.0)


def kept(*took: float) -> LongPollSupport:
    known = support()
    for each in took:
        known = known.kept(took=each, reached=False).judged(100.0)
    return known


def test_one_id_is_long_polled_until_three_in_a_row_were_not_kept() -> None:
    """Then not for ten minutes: the next would be answered at once too, and the budget would be spent on them."""
    assert kept(0.1, 0.1).single(100.0)
    known = kept(0.1, 0.1, 0.1)
    assert not known.single(100.0 + AGAIN - 0.1)
    assert not known.trial(100.0 + AGAIN - 0.1)
    assert known.single(100.0 + AGAIN)
    assert known.kept(took=0.1, reached=False).judged(100.0 + AGAIN).single(100.0 + AGAIN)


def test_a_long_poll_that_was_kept_makes_good_for_those_that_were_not() -> None:
    """They count in a row only."""
    assert kept(0.1, 0.1, QUICK, 0.1, 0.1).single(100.0)


def test_an_answer_at_once_with_the_state_there_says_nothing() -> None:
    """It had nothing to wait for."""
    known = support()
    for _ in range(9):
        known = known.kept(took=0.1, reached=True).judged(100.0)
    assert known == support()


def test_a_gateway_that_cuts_long_polls_off_counts_like_one_that_answers_at_once() -> None:
    """Three cuts in a row."""
    known = support()
    for _ in range(PROOF):
        assert known.single(100.0)
        known = known.broke(asked=1, since=100.0, now=100.0)
    assert not known.single(100.0)
    assert known.single(100.0 + AGAIN)


SIGNS = st.lists(st.tuples(st.sampled_from(LongPollOutcome), st.floats(0, 100)), max_size=60)


@STEADY
@given(st.sampled_from(Mode), SIGNS)
def test_what_did_not_work_is_always_tried_again(mode: Mode, signs: list[tuple[LongPollOutcome, float]]) -> None:
    """After whatever signs: ten minutes later one ID may be long-polled, and several tried if the mode allows."""
    known, now = support(mode), 0.0
    for sign, seconds in signs:
        now += seconds
        if known.trial(now):
            known = known.tried(now)
        known = known.learned(sign, now)
    later = now + AGAIN
    assert known.single(later) is (mode is not Mode.OFF)
    assert (known.any(later) or known.trial(later)) is (mode in (Mode.AUTO, Mode.ANY))


def test_one_doubt_does_not_overrule_the_operator() -> None:
    """With `long_poll: any` a single answer at once changes nothing; three in a row stop it for ten minutes."""
    known = support(Mode.ANY)
    for _ in range(PROOF - 1):
        known = known.learned(LongPollOutcome.IGNORED, 100.0)
        assert known.any(100.0)
    known = known.learned(LongPollOutcome.IGNORED, 100.0)
    assert not known.any(100.0)
    assert known.any(100.0 + AGAIN)

"""Whom a failed attempt is held against: its endpoint, or nobody while nobody answers at all."""

import pytest

from notifier.delivery.outage import CONNECTED, SILENT, OutageDetector
from notifier.domain.model import Verdict

OURS = {Verdict.ADDRESS_REFUSED, Verdict.INTERRUPTED, Verdict.OUT_OF_RESOURCES}
ANSWERED = sorted(set(Verdict) - SILENT - OURS)


@pytest.mark.parametrize("verdict", sorted(SILENT))
def test_silence_counts_only_while_others_answer(verdict: Verdict) -> None:
    """Not before the first answer, for an hour after it, and not a moment longer."""
    outage = OutageDetector()
    assert not outage.affects_health(verdict, 0.0)
    outage.answered(10.0)
    assert outage.affects_health(verdict, 10.0 + CONNECTED)
    assert not outage.affects_health(verdict, 10.0 + CONNECTED + 0.001)


@pytest.mark.parametrize("verdict", ANSWERED)
def test_whatever_was_answered_counts_and_shows_that_somebody_answers(verdict: Verdict) -> None:
    """A refusal as well as a success, and a connection that broke off."""
    outage = OutageDetector()
    assert outage.affects_health(verdict, 10.0)
    assert outage.affects_health(Verdict.TIMED_OUT, 11.0)


@pytest.mark.parametrize("verdict", [Verdict.ADDRESS_REFUSED, Verdict.INTERRUPTED])
def test_what_nobody_was_asked_shows_nothing(verdict: Verdict) -> None:
    """What we refuse ourselves is no sign of a network, but counts against the endpoint."""
    outage = OutageDetector()
    assert outage.affects_health(verdict, 10.0)
    assert not outage.affects_health(Verdict.TIMED_OUT, 11.0)


def test_what_this_machine_could_not_try_counts_for_nobody() -> None:
    """Whoever answered just before: no endpoint is held to it, and it shows nothing of the network."""
    outage = OutageDetector()
    assert not outage.affects_health(Verdict.OUT_OF_RESOURCES, 10.0)
    assert not outage.affects_health(Verdict.TIMED_OUT, 11.0)
    outage.answered(12.0)
    assert not outage.affects_health(Verdict.OUT_OF_RESOURCES, 13.0)

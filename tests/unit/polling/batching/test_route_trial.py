"""Whether batches hang because of the batch route: what is asked to find out, and when it is proved."""

from notifier.domain.ids import GenerationId
from notifier.polling.batching.route_trial import RouteTrial

IDS = [GenerationId(f"g-{number}") for number in range(20)]


def yes(_: GenerationId) -> bool:
    return True


def waits(trial: RouteTrial) -> bool:
    return trial.pending


def test_two_that_are_there_alone_are_asked_for_together() -> None:
    """One after the other, then both; no answer for long enough is proof."""
    trial = RouteTrial()
    trial.late(IDS, 6.0, sent_at=0.0)
    assert trial.next(6.0, fit=yes) == (IDS[10],)
    assert not waits(trial)
    trial.single_answered(IDS[10], found=True)
    assert trial.next(6.5, fit=yes) == (IDS[11],)
    trial.single_answered(IDS[11], found=True)
    assert waits(trial)
    assert trial.next(7.0, fit=yes) == (IDS[10], IDS[11])
    assert not trial.proved(11.9, 5.0)
    assert trial.proved(12.0, 5.0)


def test_an_answer_of_the_route_ends_it() -> None:
    """Whatever it said; and a batch that was sent before it is not late because of the route."""
    trial = RouteTrial()
    trial.late(IDS, 6.0, sent_at=0.0)
    trial.answered(7.0)
    assert not waits(trial)
    trial.late(IDS, 8.0, sent_at=6.9)
    assert not waits(trial)
    trial.late(IDS, 15.0, sent_at=7.5)
    assert waits(trial)


def test_ids_that_are_not_there_prove_nothing() -> None:
    """Eight are asked about at most, once for all batches that hang at a time."""
    trial = RouteTrial()
    trial.late(IDS, 6.0, sent_at=0.0)
    asked = 0
    while waits(trial):
        (id_,) = trial.next(6.0, fit=yes) or ()
        trial.single_answered(id_, found=False)
        asked += 1
    assert asked == 8
    trial.late(IDS, 9.0, sent_at=3.0)
    assert not waits(trial)
    assert not trial.proved(99.0, 5.0)


def test_ids_that_nobody_watches_are_passed_over() -> None:
    """They may be gone by now."""
    trial = RouteTrial()
    trial.late(IDS[:4], 6.0, sent_at=0.0)
    assert trial.next(6.0, fit=lambda id_: id_ == IDS[1]) == (IDS[1],)
    trial.single_answered(IDS[1], found=True)
    assert trial.next(6.0, fit=lambda _: False) is None
    assert not waits(trial)

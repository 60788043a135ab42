"""What is known of a provider's batch route: whether it can be used, how many IDs it takes, when an answer is late."""

from typing import Any

from notifier.domain.ids import GenerationId, ProviderName
from notifier.domain.settings import ProviderSettings, Secret
from notifier.polling.batch_route import RETRY, BatchRoute
from notifier.polling.batching.bisect import Bisection, Diagnosis
from notifier.runtime.health import Health
from tests.support.fakes import HandClock, some


def settings(**more: Any) -> ProviderSettings:
    fields: dict[str, Any] = {"base_url": "https://p.example.com", "api_key": Secret("k"), "max_ids": 100} | more
    return ProviderSettings(name=ProviderName("p"), kind="aimlapi-luma", **fields)


def route(clock: HandClock, *, most: int | None = 50, health: Health | None = None, **more: Any) -> BatchRoute:
    return BatchRoute(settings(**more), most, clock=clock, health=health or Health())


def test_the_settings_and_the_api_say_whether_there_is_one() -> None:
    """And how many IDs it takes at most: the lower of both."""
    clock = HandClock()
    assert route(clock).usable(0.0)
    assert route(clock).limit == 50
    assert route(clock, max_ids=7).limit == 7
    assert not route(clock, batch=False).usable(0.0)
    assert not route(clock, most=None).usable(0.0)


def test_a_route_that_is_done_without_is_tried_again() -> None:
    """Readiness says so until it answers, or the settings change."""
    clock, health = HandClock(), Health()
    one = route(clock, health=health)
    one.do_without("400: no.")
    assert not one.usable(clock.monotonic())
    assert "400: no. Single requests work" in "".join(health.troubles.values())
    clock.advance(RETRY)
    assert one.usable(clock.monotonic())
    one.answered(2, sent_at=clock.monotonic())
    assert not health.troubles


def test_late_is_what_takes_much_longer_than_lately() -> None:
    """Five seconds at least, and one for a part of a batch that failed; four times as long as polls take."""
    clock = HandClock()
    one = route(clock)
    assert (one.late_after, one.part_late_after) == (5.0, 1.0)
    for _ in range(100):
        clock.advance(3.0)
        one.answered(10, sent_at=clock.monotonic() - 3.0)
    assert 11.9 < one.late_after == one.part_late_after < 12.1


def test_a_batch_that_failed_while_its_halves_did_not_is_too_large_the_second_time() -> None:
    """Once may be chance. A refusal is none."""
    for failed, limits in ((True, [50, 5]), (False, [5, 2])):
        one = route(HandClock())
        found = []
        for size in (10, 10 if failed else 5):
            bisection = Bisection(tuple(map(GenerationId, some(size))), "500", failed=failed)
            while ids := bisection.next():
                bisection.answered(ids, ids)
            assert one.learn(bisection) is Diagnosis.TOO_LARGE
            found.append(one.limit)
        assert found == limits


def test_a_route_that_fails_for_two_ids_that_are_there_is_done_without_the_second_time() -> None:
    """Once may be chance: then the batch counts as too large."""
    clock = HandClock()
    one = route(clock)
    for expected in (Diagnosis.TOO_LARGE, Diagnosis.BATCH_ROUTE_UNUSABLE):
        assert one.usable(clock.monotonic())
        assert one.learn(refused_pair()) is expected
    assert not one.usable(clock.monotonic())


def refused_pair() -> Bisection:
    """Four IDs: their pairs fail, and each ID of one pair is there alone."""
    bisection = Bisection(tuple(map(GenerationId, some(4))), "500", failed=True)
    while not bisection.done and (ids := bisection.next()):
        if len(ids) > 1:
            bisection.refused(ids)
        else:
            bisection.answered(ids, ids)
    return bisection

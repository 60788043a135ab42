"""How many requests to a provider may be made: rate, places, irregular polls, and what this machine has."""

from typing import Any

from notifier.domain.errors import NotAsked
from notifier.domain.ids import ProviderName
from notifier.domain.settings import ProviderSettings, Secret
from notifier.polling.budget import Budget
from notifier.runtime.health import Health


def budget(health: Health | None = None, **more: Any) -> Budget:
    fields: dict[str, Any] = {"base_url": "https://p.example.com", "api_key": Secret("k"), "rate": 10.0} | more
    settings = ProviderSettings(name=ProviderName("p"), kind="aimlapi-luma", **fields)
    return Budget(settings, health or Health())


def test_polls_and_long_polls_share_the_places() -> None:
    """What is under way leaves that many fewer; a request that ends gives its place back."""
    one = budget(in_flight=3)
    one.begin(0.0)
    one.begin(0.0, long_poll=True)
    assert (one.polls, one.long_polls, one.free(0.0)) == (1, 1, 1)
    one.end(took=0.1)
    one.end(took=30.0, long_poll=True)
    assert one.free(1.0) == 3


def test_a_used_up_rate_leaves_nothing_however_many_places_are_free() -> None:
    """Requests of one moment are as many as the rate allows in a second; then there are none for a while."""
    one = budget(rate=2.0, in_flight=9)
    while one.free(0.0):
        one.begin(0.0)
    assert one.polls <= 2
    assert not one.idle(0.0)
    assert one.wait(0.0) > 0
    assert one.free(one.wait(0.0) + 0.001) > 0


def test_irregular_polls_have_half_of_the_places_and_a_fifth_of_the_rate() -> None:
    """What hangs is among them, so the others keep the rest; one of them is always possible."""
    one = budget(in_flight=4)
    assert one.places_for_irregular == 2
    while one.room_for_irregular(0.0):
        one.begin(0.0, irregular=True)
    assert one.polls == 2
    assert budget(in_flight=1).places_for_irregular == 1


def test_an_overloaded_provider_gets_half_and_slowly_all_of_it_again() -> None:
    """Places and rate alike."""
    one = budget(rate=10.0, in_flight=8)
    one.overloaded()
    assert (one.rate, one.in_flight, one.interval) == (5.0, 4, 0.2)
    for _ in range(1_000):
        one.answered()
    assert (one.rate, one.in_flight) == (10.0, 8)


def test_polls_need_as_many_places_as_rate_times_duration() -> None:
    """By the moving average of what polls take; long-polls do not count."""
    one = budget(rate=10.0)
    for _ in range(100):
        one.begin(0.0)
        one.end(took=0.5)
        one.begin(0.0, long_poll=True)
        one.end(took=30.0, long_poll=True)
    assert one.places_for_polls == 5


def test_a_machine_that_has_too_little_makes_fewer_requests() -> None:
    """Until one that was sent later was made; readiness says so meanwhile."""
    health = Health()
    one = budget(health, in_flight=8)
    one.begin(0.0)
    one.not_asked(NotAsked("no file descriptor is free"), sent_at=0.0, now=0.0)
    assert one.free(0.0) < 7
    assert health.troubles
    one.asked(1_000.0)
    assert not health.troubles

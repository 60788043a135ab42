"""Never more than `rate` in any second, whatever the configuration becomes meanwhile."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifier.delivery.rates import Rates
from notifier.domain.ids import Destination, EndpointIdentity
from notifier.domain.settings import EndpointSettings

STUDIO = Destination("studio")
Policies = dict[Destination, EndpointSettings]


def limited(rate: float | None, name: str = "studio", url: str = "https://a.example.com/") -> Policies:
    policy = EndpointSettings(
        identity=EndpointIdentity(name), destination=Destination(name), url=url, secrets=(), rate=rate
    )
    return {policy.destination: policy}


def begin_all(rates: Rates, destination: Destination, now: float, *, unlimited: int = 0) -> int:
    """Begin what may begin now; how many that were."""
    room = rates.room(destination, now)
    count = unlimited if room is None else room
    for _ in range(count):
        rates.begin(destination, now)
    return count


CHANGES: list[tuple[str, Sequence[Policies]]] = [
    ("lower", [limited(20), limited(19)]),
    ("higher, not above", [limited(10), limited(20)]),
    ("the same", [limited(20), limited(20)]),
    ("taken out and set again", [limited(20), limited(None), limited(20)]),
    ("the endpoint goes and comes back", [limited(20), {}, limited(20)]),
    ("it goes for two reloads", [limited(20), {}, limited(20, "audit", "https://b.example.com/"), limited(20)]),
    ("back and forth", [limited(20), limited(5), limited(20), limited(1), limited(20)]),
]


@pytest.mark.parametrize(("changes"), [case[1] for case in CHANGES], ids=[case[0] for case in CHANGES])
def test_a_change_lets_no_second_burst_through(changes: Sequence[Policies]) -> None:
    """However often the configuration changes within one second, no more than 20 begin in it."""
    rates, begun = Rates(), 0
    for number in range(9):
        now = 100.0 + number * 0.1
        rates.apply(changes[number % len(changes)], now)
        begun += begin_all(rates, STUDIO, now)
    assert 0 < begun <= 20


def test_another_name_for_the_same_url_is_the_same_receiver() -> None:
    """Renamed, or two that swap their names: what was sent within the second still counts."""
    rates = Rates()
    rates.apply(limited(20), 100.0)
    assert begin_all(rates, STUDIO, 100.0) == 20
    rates.apply(limited(20, "atelier"), 100.1)
    assert rates.room(Destination("atelier"), 100.1) == 0
    other = "https://b.example.com/"
    rates.apply(limited(20, "atelier") | limited(20, "audit", other), 101.5)
    assert begin_all(rates, Destination("audit"), 101.5) == 20
    rates.apply(limited(20, "audit") | limited(20, "atelier", other), 101.6)
    assert (rates.room(Destination("audit"), 101.6), rates.room(Destination("atelier"), 101.6)) == (20, 0)


def test_what_was_sent_without_a_limit_counts_once_there_is_one_again() -> None:
    """A hundred while there was no rate: nothing more until a second after them."""
    rates = Rates()
    rates.apply(limited(20), 100.0)
    rates.apply(limited(None), 100.0)
    assert begin_all(rates, STUDIO, 100.5, unlimited=100) == 100
    rates.apply(limited(20), 100.6)
    assert rates.room(STUDIO, 101.4) == 0
    assert begin_all(rates, STUDIO, 101.6) == 20


def test_a_bucket_that_nobody_needs_is_forgotten() -> None:
    """Names that come and go leave nothing behind; an unlimited one keeps no record at all."""
    rates = Rates()
    for number in range(50):
        rates.apply(limited(20, f"e{number}", f"https://{number}.example.com/"), 100.0 + number)
        begin_all(rates, Destination(f"e{number}"), 100.0 + number)
    assert rates.waits(200.0) == []
    assert len(vars(rates)["_buckets"]) <= 3


SETTINGS = [limited(20), limited(3.5), limited(0.5), limited(None), Policies(), limited(20, "atelier")]


@given(steps=st.lists(st.tuples(st.sampled_from(SETTINGS), st.floats(0, 0.7)), min_size=2, max_size=40))
def test_no_second_has_more_than_the_highest_rate(steps: list[tuple[Policies, float]]) -> None:
    """Any changes at any times: in no second does one receiver get more than the highest rate that it ever had."""
    rates, now, times = Rates(), 1_000.0, list[float]()
    for policies, gap in steps:
        now += gap
        rates.apply(policies, now)
        for destination in policies:
            times += [now] * begin_all(rates, destination, now)
    for first in range(len(times) - 20):
        assert times[first + 20] - times[first] >= 1.0 - 1e-5

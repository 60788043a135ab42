"""The first cadence."""

from datetime import timedelta

from notifier.ids import ProviderName
from notifier.polling.cadence import next_look
from notifier.settings import ProviderSettings, Secret


def settings(every: float) -> ProviderSettings:
    return ProviderSettings(
        name=ProviderName("luma"),
        kind="aimlapi-luma",
        base_url="https://api.example.com",
        api_key=Secret("k"),
        sweep_every=timedelta(seconds=every),
    )


def test_an_id_in_a_batch_is_looked_at_every_sweep_every() -> None:
    """Misses do not slow down an ID that rides with others: its look costs nothing."""
    assert [next_look(settings(5), now=100, misses=misses, alone=False) for misses in (0, 1, 9)] == [105, 105, 105]


def test_an_id_that_stands_alone_is_looked_at_less_and_less_often() -> None:
    """Each miss doubles the interval, up to two minutes."""
    waits = [next_look(settings(5), now=0, misses=misses, alone=True) for misses in range(7)]
    assert waits == [5, 10, 20, 40, 80, 120, 120]
    assert next_look(settings(5), now=0, misses=10_000, alone=True) == 120


def test_a_long_interval_is_never_shortened() -> None:
    """Where `sweep_every` is above two minutes, an ID that stands alone keeps it."""
    assert next_look(settings(600), now=0, misses=3, alone=True) == 600

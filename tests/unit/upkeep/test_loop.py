"""How often a store that fails is probed."""

from notifier.upkeep.loop import StoreBackoff


def test_a_store_that_fails_is_probed_ever_less_often() -> None:
    """Up to every 30 s, and from 1 s on again only once it worked for a minute."""
    backoff = StoreBackoff()
    assert [backoff.next(0) for _ in range(7)] == [1, 2, 4, 8, 16, 30, 30]
    backoff.succeeded(100)
    assert backoff.next(159) == 30
    backoff.succeeded(200)
    assert backoff.next(260) == 1
    backoff.succeeded(300)
    assert [backoff.next(301), backoff.next(302)] == [2, 4]

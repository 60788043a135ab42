"""Keys of a provider that its kind cannot use, and a base_url that brings along what is put behind it."""

import pytest

from notifier.providers.base import Capabilities
from notifier.providers.catalogue import KINDS
from notifier.providers.kinds.aimlapi_luma import AimlapiLuma
from notifier.providers.options import repeated_route, unusable

KEYS = ("max_ids", "max_url", "ids_as", "long_poll_single_as", "long_poll_multi_as")


class Jobs(AimlapiLuma):
    """A kind with batch polls of at most 20 IDs and long-polls, which says itself how both are written."""

    kind = "jobs"
    capabilities = Capabilities(batch=20, long_poll=60.0)
    options = frozenset[str]()


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_can_use_what_it_declares(kind: str) -> None:
    """Each key that needs a capability is refused for a kind that lacks it, and for no other."""
    can = KINDS[kind].capabilities
    refused = {key for key, _ in unusable(KINDS[kind], dict.fromkeys(KEYS, 10) | {"long_poll": "auto", "batch": True})}
    batch = set() if can.batch else {"batch", "max_ids", "max_url", "ids_as"}
    assert refused == batch | (set() if can.long_poll else {"long_poll_single_as", "long_poll_multi_as"})


def test_a_kind_has_its_own_options_and_its_own_limit() -> None:
    """How requests are written is an option of the kinds that name it; a batch never holds more than the API takes."""
    given = {"max_ids": 21, "max_url": 800, "ids_as": "comma", "long_poll_single_as": ("state",)}
    assert dict(unusable(Jobs(), given)) == {
        "ids_as": "jobs has no such option. Take ids_as out: it would not act.",
        "long_poll_single_as": "jobs has no such option. Take long_poll_single_as out: it would not act.",
        "max_ids": "jobs takes at most 20 IDs in one request. Write max_ids: 20, or less.",
    }
    assert not dict(unusable(Jobs(), {"max_ids": 20, "long_poll": "single"}))


# ---- base_url -----------------------------------------------------------------------------------------------------
API = "https://api.test"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("url", "right"),
    [
        (f"{API}/v1", API),
        (f"{API}/v2", API),
        (f"{API}/V2", API),
        (f"{API}/v1beta", API),
        (f"{API}/v2.0/", API),
        (f"{API}/v2/v2", API),
        (f"{API}/gateway/v2", f"{API}/gateway"),
        (API, None),
        ("http://127.0.0.1:8788", None),
        (f"{API}/gateway", None),
        (f"{API}/v2/gateway", None),
        (f"{API}/video", None),
        (f"{API}/api-v2", None),
        ("http://v2", None),
    ],
)
def test_a_version_at_the_end_would_stand_twice(kind: str, url: str, right: str | None) -> None:
    """The right URL is named; a path of a gateway in front is kept."""
    found = repeated_route(url, KINDS[kind].routes)
    assert (found and found[1]) == right


@pytest.mark.parametrize("kind", KINDS)
def test_a_route_at_the_end_would_stand_twice(kind: str) -> None:
    """The whole of it, and each beginning, with any version."""
    for route in KINDS[kind].routes:
        parts = route.partition("?")[0].split("/")[1:]
        for count in range(1, len(parts) + 1):
            for version in ("v1", parts[0]):
                tail = "/".join((version, *parts[1:count]))
                assert repeated_route(f"{API}/x/{tail}", KINDS[kind].routes) == (f"/{tail}", f"{API}/x")

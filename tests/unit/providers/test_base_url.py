"""A base_url that brings along what is put behind it."""

import pytest

from notifier.providers.base import without_route
from notifier.providers.catalogue import KINDS

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
    found = without_route(url, KINDS[kind].routes)
    assert (found and found[1]) == right


@pytest.mark.parametrize("kind", KINDS)
def test_a_route_at_the_end_would_stand_twice(kind: str) -> None:
    """The whole of it, and each beginning, with any version."""
    for route in KINDS[kind].routes:
        parts = route.partition("?")[0].split("/")[1:]
        for count in range(1, len(parts) + 1):
            for version in ("v1", parts[0]):
                tail = "/".join((version, *parts[1:count]))
                assert without_route(f"{API}/x/{tail}", KINDS[kind].routes) == (f"/{tail}", f"{API}/x")

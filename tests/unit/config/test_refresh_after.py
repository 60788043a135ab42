"""`refresh_after` of endpoints and of callbacks: a duration, or off."""

from datetime import timedelta
from pathlib import Path

import pytest

from notifier.config import load
from notifier.delivery.policies import Endpoints
from notifier.domain.errors import ConfigError
from notifier.domain.ids import Destination, EndpointIdentity

KEY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def endpoints(tmp_path: Path, of_studio: str = "", of_callbacks: str = "") -> Endpoints:
    path = tmp_path / "config.yaml"
    path.write_text(
        "store: sqlite:n.db\n"
        "providers: {luma: {kind: aimlapi-luma, api_key: k-123}}\n"
        f'endpoints: {{studio: {{url: "https://a.example/", secret: {KEY}{of_studio}}}}}\n'
        f"callbacks: {{secret: {KEY}{of_callbacks}}}\n"
    )
    settings = load(str(path), environ={})
    return Endpoints(settings.endpoints, settings.callbacks)


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("", timedelta(minutes=15)),
        (", refresh_after: 1h", timedelta(hours=1)),
        (", refresh_after: off", None),
        (', refresh_after: "off"', None),
    ],
)
def test_it_reaches_every_policy(tmp_path: Path, text: str, after: timedelta | None) -> None:
    """Those of configured endpoints, of a callback URL, and of a destination whose URL is not known yet."""
    of_studio = endpoints(tmp_path, of_studio=text)
    assert of_studio.named["studio"].refresh_after == after
    assert of_studio.plain(Destination("https://app.example.com")).refresh_after == timedelta(minutes=15)
    of_callbacks = endpoints(tmp_path, of_callbacks=text)
    derived = of_callbacks.policy(EndpointIdentity("https://app.example.com/done"))
    assert derived is not None
    assert derived.refresh_after == after
    assert of_callbacks.plain(Destination("https://app.example.com")).refresh_after == after
    assert of_callbacks.named["studio"].refresh_after == timedelta(minutes=15)


@pytest.mark.parametrize("value", ["on", "0s", "31d", "15", "[1h]"])
def test_anything_else_is_refused_in_words(tmp_path: Path, value: str) -> None:
    """The sentence says what may be written there."""
    with pytest.raises(ConfigError, match="Write a duration from 1s to 30d, or off"):
        endpoints(tmp_path, of_studio=f", refresh_after: {value}")

"""Which policy holds for an endpoint."""

import dataclasses

from notifier.delivery.policies import Endpoints
from notifier.delivery.signature import callback_secret
from notifier.domain.ids import Destination, EndpointIdentity
from notifier.domain.model import Format
from notifier.domain.settings import DEFAULT_RETRY, CallbackSettings, EndpointSettings, Secret

MASTER = Secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
ED25519 = Secret("whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==")
STUDIO = EndpointSettings(
    identity=EndpointIdentity("studio"),
    destination=Destination("studio"),
    url="http://127.0.0.1:9000/",
    secrets=(MASTER,),
    events=frozenset({"generation.completed"}),
)
URL = EndpointIdentity("https://a.example/hooks?x=1")


def test_a_configured_endpoint_has_its_settings() -> None:
    """And a name that is not configured has none."""
    endpoints = Endpoints({"studio": STUDIO}, None)
    assert endpoints.policy(EndpointIdentity("studio")) is STUDIO
    assert endpoints.policy(EndpointIdentity("gone")) is None


def test_a_callback_url_gets_a_guarded_policy_of_its_origin() -> None:
    """Its destination and key are the origin's, its identity the whole URL, and the defaults hold otherwise."""
    policy = Endpoints({}, CallbackSettings(secret=MASTER)).policy(URL)
    assert policy is not None
    assert (policy.identity, policy.url, policy.destination) == (URL, URL, "https://a.example")
    assert policy.secrets == (callback_secret(MASTER, "https://a.example"),)
    assert policy.guarded
    assert policy.retry == DEFAULT_RETRY


def test_an_ed25519_secret_signs_for_every_origin() -> None:
    """Its public half may be known to all receivers."""
    policy = Endpoints({}, CallbackSettings(secret=ED25519)).policy(URL)
    assert policy is not None
    assert policy.secrets == (ED25519,)


def test_a_host_and_port_that_the_operator_lists_is_trusted_like_an_endpoint() -> None:
    """That host on that port; the same host elsewhere stays guarded."""
    endpoints = Endpoints({}, CallbackSettings(secret=MASTER, allow=("app.internal:9000", "10.0.0.0/8")))
    listed = endpoints.policy(EndpointIdentity("http://app.internal:9000/x"))
    other = endpoints.policy(EndpointIdentity("http://app.internal/x"))
    assert listed is not None
    assert other is not None
    assert (listed.guarded, other.guarded) == (False, True)


def test_without_callbacks_a_url_is_not_configured() -> None:
    """Its deliveries are parked, not lost."""
    endpoints = Endpoints({"studio": STUDIO}, None)
    assert endpoints.policy(URL) is None
    assert not endpoints.directory().callbacks


def test_the_directory_says_what_each_endpoint_wants() -> None:
    """For the transaction that makes messages."""
    directory = Endpoints({"studio": STUDIO}, CallbackSettings(secret=MASTER)).directory()
    assert directory.events == {"studio": frozenset({"generation.completed"})}
    assert directory.callbacks


def test_the_directory_says_how_each_endpoint_wants_its_bodies() -> None:
    """Names by their own setting, callback URLs by that of their section."""
    written = dataclasses.replace(STUDIO, format=Format.CLOUDEVENTS)
    directory = Endpoints({"studio": written, "audit": STUDIO}, CallbackSettings(secret=MASTER)).directory()
    assert (directory.formats, directory.callback_format) == ({"studio": "cloudevents"}, "standard")
    directory = Endpoints({"studio": STUDIO}, CallbackSettings(secret=MASTER, format=Format.CLOUDEVENTS)).directory()
    assert (directory.formats, directory.callback_format) == ({}, "cloudevents")


def test_destinations_are_known_without_a_url() -> None:
    """Slots and leases go by destination: a name's own settings, the defaults for any origin."""
    endpoints = Endpoints({"studio": STUDIO}, CallbackSettings(secret=MASTER))
    derived = endpoints.policy(URL)
    assert derived is not None
    plain = endpoints.plain(Destination("https://a.example"))
    assert endpoints.named == {"studio": STUDIO}
    assert (plain.concurrency, plain.rate, plain.timeout) == (derived.concurrency, derived.rate, derived.timeout)

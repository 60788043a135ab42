"""`notifier secret`: keys for endpoints, and the derived key of a callback_url's origin."""

import os
import secrets

import typer

from notifier.config import load
from notifier.delivery.policies import Endpoints
from notifier.delivery.signature import new_asymmetric_secret, new_secret, public_key
from notifier.domain.errors import ConfigError, Fault, NotifierError
from notifier.domain.ids import EndpointIdentity
from notifier.net.address_policy import parse_allow, url_refusal
from notifier.net.urls import normalise_url


def print_new(*, asymmetric: bool) -> None:
    """The secret alone on standard output, so that it can be piped; what goes with it on standard error."""
    if not asymmetric:
        typer.echo(new_secret(secrets.token_bytes(32)))
        return
    key = new_asymmetric_secret(secrets.token_bytes(32))
    typer.echo(key)
    typer.echo(f"The receiver verifies with the public key {public_key(key)}", err=True)


def print_for(url: str, config: str) -> None:
    settings = load(config, environ=os.environ)
    if settings.callbacks is None:
        raise ConfigError(
            [Fault(source=config, message="there is no callbacks: section, so no callback_url is accepted; add one")]
        )
    try:
        identity = EndpointIdentity(normalise_url(url))
    except ValueError as error:
        raise NotifierError(f"{url}: {error}") from error
    policy = Endpoints({}, settings.callbacks).policy(identity)
    assert policy is not None, "with a callbacks: section every callback_url has a policy"
    key = policy.secrets[0].reveal()
    typer.echo(public_key(key) if key.startswith("whsk_") else key)
    if (why := url_refusal(identity, parse_allow(settings.callbacks.allow))) is not None:
        typer.echo(f"As a callback_url it would be refused: {why}", err=True)

"""Which secrets an endpoint or a provider is sent, so that they are masked in what comes back. Pure."""

from collections.abc import Iterable
from functools import lru_cache

from notifier.domain.settings import EndpointSettings, ProviderSettings, Secret
from notifier.net.proxy import read_proxy
from notifier.text.masking import Mask, parts_of_header, parts_of_url


def mask_of_endpoint(policy: EndpointSettings) -> Mask:
    """Of its signing keys, its headers, the query of its URL and the login at its proxy."""
    return _of_endpoint(policy.secrets, tuple(policy.headers.values()), policy.proxy, policy.url)


def mask_of_provider(settings: ProviderSettings) -> Mask:
    """Of its key, and of the login at its proxy."""
    return _of_provider(settings.api_key, settings.proxy)


@lru_cache(maxsize=4096)
def _of_endpoint(keys: Iterable[Secret], headers: Iterable[Secret], proxy: Secret | None, url: str) -> Mask:
    parts = (part for header in headers for part in parts_of_header(header.reveal()))
    return Mask([*(key.reveal() for key in keys), *parts, *_login(proxy), *parts_of_url(url)])


@lru_cache(maxsize=256)
def _of_provider(key: Secret, proxy: Secret | None) -> Mask:
    return Mask([key.reveal(), *_login(proxy)])


def _login(proxy: Secret | None) -> tuple[str, ...]:
    return () if proxy is None else read_proxy(proxy).secrets()

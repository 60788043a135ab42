"""Faults that one value alone cannot show: names that must exist, sections that need one another, files that fit."""

from collections.abc import Iterator, Mapping
from typing import Any

from notifier.config.expand import Expanded
from notifier.config.records import drop_states
from notifier.config.values import guess, shown
from notifier.domain.errors import Fault
from notifier.domain.model import State
from notifier.domain.settings import DropSettings, EndpointSettings, ProviderSettings, Settings
from notifier.net import tls_files
from notifier.providers.catalogue import KINDS
from notifier.providers.options import repeated_route, unusable
from notifier.text.document import Document
from notifier.text.printable import Path, printable, show_path


def faults_between(settings: Settings, written: Mapping[str, Any], document: Document) -> Iterator[Fault]:
    """Faults of values that are each right but wrong together. `written` is the file that the settings are made of."""
    for path, message in _wrong_together(settings, written):
        yield Fault(message=message, path=show_path(path), line=document.line(path))


def file_faults(settings: Settings, written: Mapping[str, Any], document: Document) -> Iterator[Fault]:
    """Faults of what is in the files that `tls:` names."""
    for name, endpoint in settings.endpoints.items():
        for key, message in tls_files.problems(endpoint.tls) if endpoint.tls else ():
            says, path = message, ("endpoints", name, "tls", key)
            for file, value in written["endpoints"][name]["tls"].items():
                if isinstance(value, Expanded):  # a path out of the environment is shown as it is written
                    says = says.replace(printable(getattr(endpoint.tls, file), 200), value.source)
            yield Fault(message=says, path=show_path(path), line=document.line(path))


def _wrong_together(settings: Settings, written: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    if not settings.providers:
        yield ("providers",), "No provider is configured, so nothing can be polled. Add one below providers:."
    for name, provider in settings.providers.items():
        said = written["providers"][name]
        given = {key: getattr(provider, key) for key in said}
        yield from ((("providers", name, key), message) for key, message in unusable(KINDS[provider.kind], given))
        yield from _base_url_faults(("providers", name, "base_url"), provider, said)
    for name, endpoint in settings.endpoints.items():
        yield from _tls_faults(("endpoints", name, "tls"), endpoint)
    if not settings.endpoints and settings.callbacks is None:
        yield ("endpoints",), "There is no destination: add an endpoint below endpoints:, or a callbacks: section."
    if settings.operator is not None and settings.operator not in settings.endpoints:
        yield ("operator",), _unknown("Endpoint", written["operator"], settings.endpoints)
    if settings.drop:
        yield from _drop_faults(settings.drop, settings, written["drop"])


def _tls_faults(at: Path, endpoint: EndpointSettings) -> Iterator[tuple[Path, str]]:
    """Keys of `tls:` that would not act, or not without another."""
    tls = endpoint.tls
    if tls is None:
        return
    if not tls_files.paths(tls):
        yield at, "There is nothing below tls:. Write cert: and key:, or ca:, or take it out."
    elif not endpoint.url.startswith("https:"):
        yield at, "The url is not https, so this would not act. Write https:// there, or take tls: out."
    for key, other in (("cert", "key"), ("key", "cert")):
        if getattr(tls, key) and not getattr(tls, other):
            yield (*at, key), f"A {key} needs its {other}. Write {other}: PATH; it may be the same file."


def _base_url_faults(at: Path, provider: ProviderSettings, said: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    """A base_url that ends in the beginning of a route, which would then be there twice."""
    url = said.get("base_url")
    every = [route for each in KINDS.values() for route in each.routes]  # the other kind's are as wrong
    if url is None or (wrong := repeated_route(provider.base_url, every)) is None:
        return
    twice, right = wrong
    route = KINDS[provider.kind].routes[0].partition("?")[0]
    if isinstance(url, Expanded):
        ends = "Its value ends"
        write = f"Take {printable(twice, 100)} off the end of the value of {url.source}"
    else:
        ends, write = "It ends", f"Write {printable(right, 200)}"
    yield at, f"{ends} in {printable(twice, 100)}, and {route} is put behind it, with its version. {write}."


def _drop_faults(drop: DropSettings, whole: Settings, said: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    provider = drop.defaults.provider
    if provider is not None and provider not in whole.providers:
        yield ("drop", "provider"), _unknown("Provider", said["provider"], whole.providers)
    notify = said.get("notify", [])
    for index, name in enumerate(notify if isinstance(notify, list) else [notify]):
        if name not in whole.endpoints:
            yield ("drop", "notify", index), _unknown("Endpoint", name, whole.endpoints)
    words, state = drop_states(provider, whole.providers), said.get("state", State.COMPLETED)
    if state.lower() == State.FAILED.value:
        message = "A watch cannot wait for failed: one that waits for completed reports a failure too. Write completed."
        yield ("drop", "state"), message
    elif state.lower() not in words:
        yield ("drop", "state"), f"{shown(state)} is not a state.{guess(state, words)}"


def _unknown(noun: str, name: str, known: Mapping[str, Any]) -> str:
    return f"{noun} {shown(name)} is not configured.{guess(name, known) or ' There is none.'}"

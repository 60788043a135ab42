"""Makes the settings from checked keys, and says which of them watches may use and which a reload cannot change."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from functools import reduce
from typing import Any, TypeVar

from notifier.config.keys import FIXED, SECTIONS
from notifier.config.sections import ConfigKeys, DropKeys, EndpointKeys, ProviderKeys
from notifier.domain.ids import Destination, EndpointIdentity, GenerationId, ProviderName
from notifier.domain.model import State
from notifier.domain.settings import (
    ApiSettings,
    CallbackSettings,
    DropSettings,
    EndpointSettings,
    ProviderSettings,
    Settings,
    TlsSettings,
    WatchDefaults,
)
from notifier.intake.entry import Known, KnownProvider
from notifier.providers.catalogue import KINDS
from notifier.text.printable import closest

_R = TypeVar("_R")


# ---- keys into records --------------------------------------------------------------------------------------------
def settings_from(keys: ConfigKeys, *, source: str) -> Settings:
    """The whole configuration but its watches."""
    providers = {name: _provider(name, each) for name, each in keys["providers"].items()}
    return _record(
        Settings,
        keys,
        source=source,
        providers=providers,
        endpoints={name: _endpoint(name, each) for name, each in keys.get("endpoints", {}).items()},
        callbacks=_section(CallbackSettings, keys.get("callbacks")),
        watches=(),
        drop=_drop(keys.get("drop"), providers),
        api=_section(ApiSettings, keys.get("api")),
    )


def _record(record: Callable[..., _R], keys: Mapping[str, Any], **more: Any) -> _R:
    """A record from the keys of a section, by name; a key that is not written has the default of the record's field.

    `more` are fields that are no keys, or that are more than what is written. Lists become tuples.
    """
    made = {name: tuple(value) if isinstance(value, list) else value for name, value in {**keys, **more}.items()}
    return record(**made)


def _section(record: Callable[..., _R], keys: Mapping[str, Any] | None) -> _R | None:
    return None if keys is None else _record(record, keys)


def _provider(name: str, keys: ProviderKeys) -> ProviderSettings:
    base_url = keys.get("base_url") or KINDS[keys["kind"]].base_url
    return _record(ProviderSettings, keys, name=ProviderName(name), base_url=base_url)


def _endpoint(name: str, keys: EndpointKeys) -> EndpointSettings:
    same = {key: value for key, value in keys.items() if key != "secret"}
    return _record(
        EndpointSettings,
        same,
        identity=EndpointIdentity(name),
        destination=Destination(name),
        secrets=keys["secret"],
        tls=_section(TlsSettings, keys.get("tls")),
    )


def _drop(keys: DropKeys | None, providers: Mapping[str, ProviderSettings]) -> DropSettings | None:
    if keys is None:
        return None
    default = WatchDefaults(provider=keys.get("provider"), notify=tuple(dict.fromkeys(keys.get("notify", ()))))
    state = drop_states(default.provider, providers).get(keys.get("state", default.state).lower(), default.state)
    return DropSettings(directory=keys["directory"], defaults=dataclasses.replace(default, state=state))


def drop_states(provider: str | None, providers: Mapping[str, ProviderSettings]) -> dict[str, State]:
    """What `drop.state` may say: our words, and those of its provider, or of all providers if it names none."""
    words = {state.value: state for state in State}
    for each in providers.values() if provider is None else filter(None, [providers.get(provider)]):
        words |= KINDS[each.kind].words
    return {word: state for word, state in words.items() if state is not State.FAILED}


# ---- for intake ---------------------------------------------------------------------------------------------------
def known(settings: Settings) -> Known:
    """What the configuration offers to `watches:` and to watch files."""
    return Known(
        providers={name: _known_provider(each.kind, each.timeout) for name, each in settings.providers.items()},
        endpoints=tuple(settings.endpoints),
        callbacks=settings.callbacks is not None,
        callback_allow=settings.callbacks.allow if settings.callbacks else (),
    )


def _known_provider(kind: str, timeout: timedelta) -> KnownProvider:
    return KnownProvider(normalise_id=KINDS[kind].normalise_id, words=KINDS[kind].words, timeout=timeout)


def known_to_drop(settings: Settings) -> Known:
    """What the configuration offers to drop files: the same, with the defaults of `drop:`."""
    offered = known(settings)
    return dataclasses.replace(offered, defaults=settings.drop.defaults) if settings.drop else offered


def sketch(value: Any) -> Known | None:
    """What a faulty configuration seems to offer, so that its watches can be checked; None if that is too little."""
    providers, endpoints, callbacks = (_meant(value, key) for key in ("providers", "endpoints", "callbacks"))
    if not isinstance(providers, dict) or not isinstance(endpoints, dict | None):
        return None
    return Known(
        providers={name: _sketched(each) for name, each in providers.items()},
        endpoints=tuple(endpoints or ()),
        callbacks=callbacks is not None,
    )


def _meant(value: Mapping[str, Any], key: str) -> Any:
    """What is written at `key`, or at a misspelt key that means it."""
    names = list(SECTIONS[()].keys)
    meant = (other for other in value if other not in names and closest(other, names) == key)
    return value.get(key if key in value else next(meant, key))


def _sketched(value: Any) -> KnownProvider:
    """A provider, from what can be read of it. If its kind is unknown, the words of every kind are accepted."""
    kind = value.get("kind") if isinstance(value, dict) else None
    timeout = SECTIONS["providers", "*"].keys["timeout"].default
    if isinstance(kind, str) and kind in KINDS:
        return _known_provider(kind, timeout)
    words = {word: state for each in KINDS.values() for word, state in each.words.items()}
    return KnownProvider(normalise_id=GenerationId, words=words, timeout=timeout)


# ---- for a reload -------------------------------------------------------------------------------------------------
def needs_restart(old: Settings, new: Settings) -> list[str]:
    """A sentence for each change that a running daemon cannot take over; empty if it can take over all of `new`."""
    sentences = []
    for name, mark in FIXED.items():
        before, after = (_at(settings, name.split(".")) or mark.unset for settings in (old, new))
        if before != after:
            sentences.append(f"{name}: needs a restart to change from {before} to {after}.")
    return sentences


def _at(part: Any, steps: Iterable[str]) -> Any:
    """The settings' value of a key; None if its section is not there."""
    return reduce(lambda part, step: part and getattr(part, step), steps, part)

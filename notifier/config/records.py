"""From checked shapes to the records that the parts work with, and what two of them mean to each other.

What one value alone cannot show is judged here: names that must exist, sections that need one another.
"""

import dataclasses
import glob
import os
from collections.abc import Iterator, Mapping
from pathlib import Path as File
from typing import Any

from notifier.config.shapes import CallbacksShape, ConfigShape, DropShape, EndpointShape, ProviderShape
from notifier.config.values import guess, shown
from notifier.errors import Fault
from notifier.ids import EndpointIdentity, GenerationId, Lane, ProviderName
from notifier.intake.request import Known, KnownProvider
from notifier.intake.text import Document, Path, show_path
from notifier.model import Format, State
from notifier.providers.registry import KINDS, codec
from notifier.settings import (
    CallbackSettings,
    DropSettings,
    EndpointSettings,
    ProviderSettings,
    Settings,
    WatchDefaults,
)


# ---- shapes into records ------------------------------------------------------------------------------------------
def settings_from(shape: ConfigShape, *, source: str) -> Settings:
    """The whole configuration but its watches; relative paths start at the directory of `source`."""
    base = base_of(source)
    callbacks = shape.callbacks
    return Settings(
        source=source,
        store=absolute(shape.store, base),
        providers={name: _provider(name, each) for name, each in shape.providers.items()},
        endpoints={name: _endpoint(name, each) for name, each in shape.endpoints.items()},
        callbacks=_callbacks(callbacks) if callbacks else None,
        watches=(),
        # The directory's own name is no pattern.
        watch_files=tuple(absolute(pattern, File(glob.escape(str(base)))) for pattern in shape.watch_files),
        drop=_drop(shape.drop, shape, base) if shape.drop else None,
    )


def base_of(source: str) -> File:
    """The directory that relative paths in the configuration start at."""
    return File(os.path.abspath(source)).parent  # noqa: PTH100  resolve() would follow links and move the base


def absolute(path: str, base: File) -> str:
    """`path` without dots in it, from `base` where it is relative."""
    return os.path.normpath(base / path)


def _provider(name: str, shape: ProviderShape) -> ProviderSettings:
    return ProviderSettings(
        name=ProviderName(name),
        kind=shape.kind,
        base_url=shape.base_url or codec(shape.kind).base_url,
        api_key=shape.api_key,
        max_ids=shape.max_ids,
        max_url=shape.max_url,
        ids_as=shape.ids_as,
        rate=shape.rate,
        in_flight=shape.in_flight,
        timeout=shape.timeout,
        batch=shape.batch,
        sweep_every=shape.sweep_every,
        hold=shape.hold,
        hold_single_as=shape.hold_single_as,
        hold_multi_as=shape.hold_multi_as,
        request_timeout=shape.request_timeout,
    )


def _endpoint(name: str, shape: EndpointShape) -> EndpointSettings:
    return EndpointSettings(
        identity=EndpointIdentity(name),
        lane=Lane(name),
        url=shape.url,
        secrets=tuple(shape.secret),
        events=shape.events,
        format=Format(shape.format),
        concurrency=shape.concurrency,
        rate=shape.rate,
        timeout=shape.timeout,
        headers=shape.headers,
        retry=tuple(shape.retry),
        refresh_after=shape.refresh_after,
    )


def _callbacks(shape: CallbacksShape) -> CallbackSettings:
    return CallbackSettings(
        secret=shape.secret,
        allow=tuple(shape.allow),
        format=Format(shape.format),
        refresh_after=shape.refresh_after,
    )


def _drop(shape: DropShape, whole: ConfigShape, base: File) -> DropSettings:
    target = _targets(shape, {name: each.kind for name, each in whole.providers.items()}).get(shape.state.lower())
    return DropSettings(
        directory=absolute(shape.directory, base),
        defaults=WatchDefaults(
            provider=None if shape.provider is None else str(shape.provider),
            notify=tuple(dict.fromkeys(map(str, shape.notify))),
            state=target or State.COMPLETED,
        ),
    )


def _targets(shape: DropShape, kinds: Mapping[str, str]) -> dict[str, State]:
    """What `drop.state` may say: our words, and those of its provider, or of every one where it names none."""
    words = {state.value: state for state in State}
    for name in [shape.provider] if shape.provider else kinds:
        words |= codec(kinds[name]).words if kinds.get(name) in KINDS else {}
    return {word: state for word, state in words.items() if state is not State.FAILED}


# ---- what only the whole shows ------------------------------------------------------------------------------------
def faults_between(shape: ConfigShape, document: Document) -> Iterator[Fault]:
    """Faults of values that are each right, and wrong together."""

    def fault(path: Path, message: str) -> Fault:
        return Fault(message=message, path=show_path(path), line=document.line(path))

    if not shape.providers:
        yield fault(("providers",), "No provider is configured, so nothing can be polled. Add one below providers:.")
    for name, provider in shape.providers.items():
        yield from (fault(("providers", name, key), message) for key, message in _batch_faults(provider))
    if not shape.endpoints and shape.callbacks is None:
        message = "Nobody would be called: add an endpoint below endpoints:, or a callbacks: section."
        yield fault(("endpoints",), message)
    if shape.drop:
        yield from (fault(("drop", *path), message) for path, message in _drop_faults(shape.drop, shape))


def _batch_faults(provider: ProviderShape) -> Iterator[tuple[str, str]]:
    """What is said of batches where the API has none: it would not act."""
    kind = codec(provider.kind)
    yield from _hold_faults(provider, holds=kind.patience is not None)
    if kind.multi:
        return
    none = f"{provider.kind} has no route for many IDs."
    if "batch" in provider.model_fields_set and provider.batch:
        yield "batch", f"{none} Write batch: off, or take the key out."
    for key in ("max_ids", "max_url", "ids_as"):
        if key in provider.model_fields_set:
            yield key, f"{none} Take {key} out: it would not act."


def _hold_faults(provider: ProviderShape, *, holds: bool) -> Iterator[tuple[str, str]]:
    """What is said of holds where there are none: it would not act."""
    given = provider.model_fields_set
    if not holds and provider.hold in ("single", "any"):
        yield "hold", f"{provider.kind} answers every request at once. Write hold: off, or take the key out."
    for key in ("hold_single_as", "hold_multi_as"):
        if key in given and (not holds or provider.hold == "off"):
            why = "hold is off" if holds else f"{provider.kind} answers every request at once"
            yield key, f"It would not act: {why}. Take {key} out."


def _drop_faults(drop: DropShape, whole: ConfigShape) -> Iterator[tuple[Path, str]]:
    if drop.provider is not None and drop.provider not in whole.providers:
        yield ("provider",), _unknown("Provider", drop.provider, whole.providers)
    for index, name in enumerate(drop.notify):
        if name not in whole.endpoints:
            yield ("notify", index), _unknown("Endpoint", name, whole.endpoints)
    targets = _targets(drop, {name: each.kind for name, each in whole.providers.items()})
    if drop.state.lower() == State.FAILED.value:
        yield (
            ("state",),
            "Nobody can wait for failed: whoever waits for completed is told of a failure too. Write completed.",
        )
    elif drop.state.lower() not in targets:
        yield ("state",), f"{shown(drop.state)} is not a state.{guess(drop.state, targets)}"


def _unknown(noun: str, name: str, known: Mapping[str, Any]) -> str:
    return f"{noun} {shown(name)} is not configured.{guess(name, known) or ' There is none.'}"


# ---- for intake ---------------------------------------------------------------------------------------------------
def known(settings: Settings) -> Known:
    """What the configuration offers to `watches:` and to watch files."""
    return Known(
        providers={
            name: KnownProvider(
                normalise_id=codec(each.kind).normalise_id, words=codec(each.kind).words, timeout=each.timeout
            )
            for name, each in settings.providers.items()
        },
        endpoints=tuple(settings.endpoints),
        callbacks=settings.callbacks is not None,
        callback_allow=settings.callbacks.allow if settings.callbacks else (),
    )


def known_to_drop(settings: Settings) -> Known:
    """What the configuration offers to drop files: the same, with the defaults of `drop:`."""
    offered = known(settings)
    return dataclasses.replace(offered, defaults=settings.drop.defaults) if settings.drop else offered


def sketch(value: Any) -> Known | None:
    """What a faulty configuration seems to offer: enough to find the faults of its watches; None where it is not."""
    providers, endpoints, callbacks = (value.get(key) for key in ("providers", "endpoints", "callbacks"))
    if not isinstance(providers, dict) or not isinstance(endpoints, dict | None):
        return None
    return Known(
        providers={name: _sketch_provider(each) for name, each in providers.items()},
        endpoints=tuple(endpoints or ()),
        callbacks=callbacks is not None,
    )


def _sketch_provider(value: Any) -> KnownProvider:
    kind = value.get("kind") if isinstance(value, dict) else None
    judge = KINDS.get(kind) if isinstance(kind, str) else None
    if judge is None:
        return KnownProvider(normalise_id=GenerationId, words=_all_words(), timeout=_timeout())
    return KnownProvider(normalise_id=judge.normalise_id, words=judge.words, timeout=_timeout())


def _all_words() -> dict[str, State]:
    return {word: state for each in KINDS.values() for word, state in each.words.items()}


def _timeout() -> Any:
    return ProviderShape.model_fields["timeout"].default


# ---- for a reload -------------------------------------------------------------------------------------------------
def needs_restart(old: Settings, new: Settings) -> list[str]:
    """What of `new` a running daemon cannot take over, a sentence each; empty where all of it can act now."""
    before, after = (each.drop.directory if each.drop else None for each in (old, new))
    sentences = []
    if old.store != new.store:
        sentences.append(f"store: needs a restart to change from {old.store} to {new.store}.")
    if before != after:
        sentences.append(f"drop.directory: needs a restart to change from {before or 'none'} to {after or 'none'}.")
    return sentences

"""From checked shapes to the records that the parts work with, and what two of them mean to each other.

What one value alone cannot show is judged here: names that must exist, sections that need one another.
"""

import dataclasses
import glob
import os
from collections.abc import Iterator, Mapping
from pathlib import Path as File
from typing import Any

from notifier.config.expand import Expanded
from notifier.config.shapes import (
    ApiShape,
    CallbacksShape,
    ConfigShape,
    DropShape,
    EndpointShape,
    ProviderShape,
    TlsShape,
)
from notifier.config.values import guess, shown
from notifier.domain.errors import Fault
from notifier.domain.ids import Destination, EndpointIdentity, GenerationId, ProviderName
from notifier.domain.model import Format, State
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
from notifier.net import tls_files
from notifier.providers.catalogue import KINDS, codec
from notifier.providers.options import repeated_route, unusable
from notifier.text.document import Document
from notifier.text.printable import Path, closest, printable, show_path


# ---- shapes into records ------------------------------------------------------------------------------------------
def settings_from(shape: ConfigShape, *, source: str) -> Settings:
    """The whole configuration but its watches; relative paths start at the directory of `source`."""
    base = base_of(source)
    callbacks = shape.callbacks
    return Settings(
        source=source,
        store=absolute(shape.store, base),
        providers={name: _provider(name, each) for name, each in shape.providers.items()},
        endpoints={name: _endpoint(name, each, base) for name, each in shape.endpoints.items()},
        callbacks=_callbacks(callbacks) if callbacks else None,
        operator=None if shape.operator is None else str(shape.operator),
        watches=(),
        # The directory's own name is no pattern.
        watch_files=tuple(absolute(pattern, File(glob.escape(str(base)))) for pattern in shape.watch_files),
        drop=_drop(shape.drop, shape, base) if shape.drop else None,
        api=_api(shape.api, base) if shape.api else None,
        retention=shape.retention,
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
        base_url=str(shape.base_url or codec(shape.kind).base_url),
        api_key=shape.api_key,
        max_ids=shape.max_ids,
        max_url=shape.max_url,
        ids_as=shape.ids_as,
        rate=shape.rate,
        in_flight=shape.in_flight,
        timeout=shape.timeout,
        batch=shape.batch,
        poll_every=shape.poll_every,
        long_poll=shape.long_poll,
        long_poll_single_as=shape.long_poll_single_as,
        long_poll_multi_as=shape.long_poll_multi_as,
        state_words=shape.state_words,
        request_timeout=shape.request_timeout,
        proxy=shape.proxy,
    )


def _endpoint(name: str, shape: EndpointShape, base: File) -> EndpointSettings:
    return EndpointSettings(
        identity=EndpointIdentity(name),
        destination=Destination(name),
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
        tls=_tls(shape.tls, base) if shape.tls else None,
        proxy=shape.proxy,
    )


def _callbacks(shape: CallbacksShape) -> CallbackSettings:
    return CallbackSettings(
        secret=shape.secret,
        allow=tuple(shape.allow),
        format=Format(shape.format),
        refresh_after=shape.refresh_after,
    )


def _tls(shape: TlsShape, base: File) -> TlsSettings:
    return TlsSettings(**{key: absolute(path, base) for key, path in shape if path is not None})


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


def _api(shape: ApiShape, base: File) -> ApiSettings:
    return ApiSettings(listen=None if shape.listen is None else absolute(shape.listen, base))


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
        given = {key: getattr(provider, key) for key in provider.model_fields_set}
        yield from (fault(("providers", name, key), message) for key, message in unusable(codec(provider.kind), given))
        yield from (fault(("providers", name, "base_url"), message) for message in _base_url_faults(provider))
    for name, endpoint in shape.endpoints.items():
        yield from (fault(("endpoints", name, *path), message) for path, message in _tls_faults(endpoint))
    if not shape.endpoints and shape.callbacks is None:
        message = "Nobody would be called: add an endpoint below endpoints:, or a callbacks: section."
        yield fault(("endpoints",), message)
    if shape.operator is not None and shape.operator not in shape.endpoints:
        yield fault(("operator",), _unknown("Endpoint", shape.operator, shape.endpoints))
    if shape.drop:
        yield from (fault(("drop", *path), message) for path, message in _drop_faults(shape.drop, shape))


def file_faults(settings: Settings, shape: ConfigShape, document: Document) -> Iterator[Fault]:
    """Faults of what stands in the files that `tls:` names."""
    for name, endpoint in settings.endpoints.items():
        for key, message in tls_files.problems(endpoint.tls) if endpoint.tls else ():
            path = ("endpoints", name, "tls", key)
            yield Fault(
                message=_discreet(message, endpoint.tls, shape.endpoints[name].tls),
                path=show_path(path),
                line=document.line(path),
            )


def _discreet(message: str, files: TlsSettings | None, shape: TlsShape | None) -> str:
    """A path out of the environment is shown as it is written."""
    for key, written in shape or ():
        if isinstance(written, Expanded):
            message = message.replace(printable(getattr(files, key), 200), written.source)
    return message


def _tls_faults(endpoint: EndpointShape) -> Iterator[tuple[Path, str]]:
    """What would not act, or not alone."""
    if endpoint.tls is None:
        return
    if not any(path for _, path in endpoint.tls):
        yield ("tls",), "Nothing stands below tls:. Write cert: and key:, or ca:, or take it out."
    elif not endpoint.url.startswith("https:"):
        yield ("tls",), "The url is not https, so this would not act. Write https:// there, or take tls: out."
    for key, other in (("cert", "key"), ("key", "cert")):
        if getattr(endpoint.tls, key) and not getattr(endpoint.tls, other):
            yield ("tls", key), f"A {key} needs its {other}. Write {other}: PATH; it may be the same file."


def _base_url_faults(provider: ProviderShape) -> Iterator[str]:
    """A base_url that brings along what is put behind it."""
    url = provider.base_url
    every = [route for each in KINDS.values() for route in each.routes]  # the other kind's are as wrong
    if url is None or (wrong := repeated_route(url, every)) is None:
        return
    twice, right = wrong
    route = codec(provider.kind).routes[0].partition("?")[0]
    if isinstance(url, Expanded):
        ends, write = (
            "What it stands for ends",
            f"Take {printable(twice, 100)} off the end of what {url.source} stands for",
        )
    else:
        ends, write = "It ends", f"Write {printable(right, 200)}"
    yield f"{ends} in {printable(twice, 100)}, and {route} is put behind it, with its version. {write}."


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
    providers, endpoints, callbacks = (_section(value, key) for key in ("providers", "endpoints", "callbacks"))
    if not isinstance(providers, dict) or not isinstance(endpoints, dict | None):
        return None
    return Known(
        providers={name: _sketch_provider(each) for name, each in providers.items()},
        endpoints=tuple(endpoints or ()),
        callbacks=callbacks is not None,
    )


def _section(value: Mapping[str, Any], key: str) -> Any:
    """What stands at `key`, or at a key that is meant to be it."""
    names = list(ConfigShape.model_fields)
    meant = (other for other in value if other not in names and closest(other, names) == key)
    return value.get(key if key in value else next(meant, key))


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
    before, after = (each.api.listen if each.api else None for each in (old, new))
    if before != after:
        before, after = before or "its usual place", after or "its usual place"
        sentences.append(f"api.listen: needs a restart to change from {before} to {after}.")
    return sentences

"""`notifier check`: says before the start what would stop the daemon, or make it miss watches.

It changes nothing. It judges for the user who runs it: if that user may not write something, it says so, even if the
daemon's user may.
"""

import os
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Final

import anyio
import anyio.to_thread
import typer

from notifier.api.server import obstacle
from notifier.config import ConfigFile, SecretSource, known
from notifier.domain.errors import ConfigError, InvalidWatch, StoreError
from notifier.domain.model import WatchRequest
from notifier.domain.settings import Settings
from notifier.intake.drop.safe_open import examine
from notifier.intake.entry import Known
from notifier.intake.watch_files import read_watch_file
from notifier.intake.watch_listing import list_files
from notifier.net.certificate_expiry import certificate_files, lacking_trust, validities
from notifier.runtime.clock import SystemClock
from notifier.store.sqlite import open_reader, store_exists, write_obstacles
from notifier.text.masking import without_query
from notifier.text.printable import printable

#: Faults of one watch file that are shown, at most.
_SHOWN: Final = 20
#: Where a watch is declared, and the watch.
_Declared = tuple[str, WatchRequest]
#: The part, what was found, and whether the daemon can work with it.
_Finding = tuple[str, object, bool]


def check_all(config: str, *, deep: bool, online: bool) -> int:
    """Print what was found; 0 if all is well. A bad configuration raises `ConfigError`."""
    opened = ConfigFile(config, environ=os.environ)
    settings = opened.settings()
    _summary(settings, opened.secret_sources())
    watches = [("watches:", request) for request in settings.watches]
    well = True
    for part, sentence, good in chain(
        _tls(settings),
        _watch_files(settings, watches),
        _drop(settings),
        _api(settings),
        _store(settings, deep=deep),
        _watches(settings, watches),
    ):
        _say(part, sentence)
        well = well and good
    if online:
        from notifier.cli.check_online import check_providers

        well = anyio.run(check_providers, settings.providers.values()) and well
    return 0 if well else 1


def _say(part: str, sentence: object) -> None:
    typer.echo(f"{part:13}  {sentence}")


def _summary(settings: Settings, secrets: Sequence[SecretSource]) -> None:
    numbers = {"provider": settings.providers, "endpoint": settings.endpoints, "watch": settings.watches}
    parts = ", ".join(f"{word}: {len(found)}" for word, found in numbers.items())
    now = SystemClock().now()
    _say("configuration", f"{settings.source}: good ({parts})")
    for secret in secrets:
        typer.echo(f"  {secret.path}: {secret.origin}; {secret.renewal}")
    for name, endpoint in settings.endpoints.items():
        ends = {file.key: f"; {file.says(now)}" for file in validities(endpoint.tls)} if endpoint.tls else {}
        for key in ("cert", "key", "ca") if endpoint.tls else ():
            if path := getattr(endpoint.tls, key):
                said = f"file {printable(path, 200)}{ends.get(key, '')}; read again when it changes"
                typer.echo(f"  endpoints.{name}.tls.{key}: {said}")


def _tls(settings: Settings) -> Iterator[_Finding]:
    """A certificate that ends soon is named, and may wait."""
    now = SystemClock().now()
    for _, place, file in certificate_files(settings):
        if not file.usable(now) or file.ends_soon(now):
            yield "tls", f"{place}: {printable(file.path, 200)} {file.says(now)}", file.usable(now)
    if why := lacking_trust(settings):
        yield "tls", why, False


def _watch_files(settings: Settings, watches: list[_Declared]) -> Iterator[_Finding]:
    """A pattern that matches nothing is named, and may be right. What the files hold is added to `watches`."""
    offered, seen = known(settings), set[str]()
    for index, pattern in enumerate(settings.watch_files):
        listing = list_files([pattern])
        if not listing.files and not listing.unseen:
            yield "watch files", f"watch_files[{index}]: matches no file ({printable(pattern, 300)})", True
        for path, why in listing.unseen.items():
            yield "watch files", f"{printable(path, 300)} {why}", False
        for path in listing.files:
            if path not in seen:
                seen.add(path)
                yield from _watch_file(path, offered, watches)


def _watch_file(path: str, offered: Known, watches: list[_Declared]) -> Iterator[_Finding]:
    source = printable(path, 300)
    try:
        requests = read_watch_file(path, offered)
    except InvalidWatch as error:
        for fault in error.faults[:_SHOWN]:
            yield "watch files", fault, False
        if (more := len(error.faults) - _SHOWN) > 0:
            yield "watch files", f"{source}: and {more} more", False
    else:
        yield "watch files", f"{source}: good (watch: {len(requests)})", True
        watches += [(source, request) for request in requests]


def _drop(settings: Settings) -> Iterator[_Finding]:
    if settings.drop is not None:
        try:
            examine(settings.drop.directory)
        except ConfigError as error:
            yield from (("drop", fault, False) for fault in error.faults)
        else:
            yield "drop", f"{settings.drop.directory}: good", True


def _api(settings: Settings) -> Iterator[_Finding]:
    """Only a path that the configuration names is judged: the usual one depends on who runs the daemon."""
    if settings.api is not None and settings.api.listen is not None:
        why = obstacle(settings.api.listen)
        yield "api", why or f"{settings.api.listen}: good", why is None


def _store(settings: Settings, *, deep: bool) -> Iterator[_Finding]:
    yield from anyio.run(_examine, settings.store, deep)


async def _examine(path: str, deep: bool) -> list[_Finding]:  # noqa: FBT001  anyio.run passes positions only
    problems: list[str] = []
    good = f"{path}: not there yet; the first start makes it"
    try:
        if await anyio.to_thread.run_sync(store_exists, path):
            async with open_reader(path) as store:
                problems += [f"{path}: {problem}" for problem in await store.problems(deep=deep)]
                count = (await store.counts()).open_generations
            good = f"{path}: good ({count} generation{'' if count == 1 else 's'} watched)"
    except StoreError as error:
        return [("store", error, False)]
    problems += write_obstacles(await anyio.to_thread.run_sync(os.path.realpath, path))
    return [("store", problem, False) for problem in problems] or [("store", good, True)]


# ---- what is watched ----------------------------------------------------------------------------------------------
def _watches(settings: Settings, watches: Sequence[_Declared]) -> Iterator[_Finding]:
    """What may be right and often is not: no watch at all, or the same watch twice."""
    if not settings.watches and not settings.watch_files and settings.drop is None:
        nothing = "nothing says what to watch: write watches:, watch_files: or drop: into the configuration"
        yield "watches", nothing, True
    twice = list(_repeated(watches))
    yield from (("watches", sentence, True) for sentence in twice[:_SHOWN])
    if (more := len(twice) - _SHOWN) > 0:
        yield "watches", f"and {more} more that are declared twice", True


def _repeated(watches: Sequence[_Declared]) -> Iterator[str]:
    """A sentence for each watch that was declared before: the first one counts."""
    met: dict[tuple[str, ...], _Declared] = {}
    for place, request in watches:
        same = (request.provider, request.generation, request.target, request.endpoint)
        first, before = met.setdefault(same, (place, request))
        if before is request:
            continue
        where = f"twice in {place}" if first == place else f"in {first} and again in {place}"
        differs = "" if before == request else ", with another timeout or metadata: the first counts"
        to = printable(without_query(request.endpoint), 200)
        yield f"{printable(request.generation, 256)} until {request.target}, for {to}, is declared {where}{differs}"

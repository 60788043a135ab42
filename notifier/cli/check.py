"""`notifier check`: what would stop the daemon, or make it miss watches, said before it starts. It changes nothing.

It judges for the user who runs it: if that user may not write something, it says so, whatever the daemon's user may.
"""

import os
from collections.abc import Iterator, Sequence
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


def check_all(config: str, *, deep: bool, online: bool) -> int:
    """Print what was found; 0 if all is well. A bad configuration raises `ConfigError`."""
    opened = ConfigFile(config, environ=os.environ)
    settings = opened.settings()
    _summary(settings, opened.secret_sources())
    watches = [("watches:", request) for request in settings.watches]
    found = [
        _check_tls(settings),
        _check_watch_files(settings, watches),
        _check_drop(settings),
        _check_api(settings),
        anyio.run(_check_store, settings.store, deep),
    ]
    _print_watches(settings, watches)
    if online:
        from notifier.cli.check_online import check_providers

        found.append(anyio.run(check_providers, settings.providers.values()))
    return 0 if all(found) else 1


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


def _check_tls(settings: Settings) -> bool:
    """False if a certificate is of no use now, or nobody is trusted. One that ends soon is printed and may wait."""
    now, well = SystemClock().now(), True
    for _, place, file in certificate_files(settings):
        if not file.usable(now) or file.ends_soon(now):
            _say("tls", f"{place}: {printable(file.path, 200)} {file.says(now)}")
            well = well and file.usable(now)
    if why := lacking_trust(settings):
        _say("tls", why)
    return well and not why


# ---- watch files --------------------------------------------------------------------------------------------------
def _check_watch_files(settings: Settings, watches: list[_Declared]) -> bool:
    """False if a file would be skipped. A pattern that matches nothing is printed, and may be right.

    What the files hold is added to `watches`.
    """
    offered, seen, well = known(settings), set[str](), True
    for index, pattern in enumerate(settings.watch_files):
        listing = list_files([pattern])
        if not listing.files and not listing.unseen:
            _say("watch files", f"watch_files[{index}]: matches no file ({printable(pattern, 300)})")
        for path, why in listing.unseen.items():
            _say("watch files", f"{printable(path, 300)} {why}")
            well = False
        for path in listing.files:
            if path not in seen:
                seen.add(path)
                well = _check_watch_file(path, offered, watches) and well
    return well


def _check_watch_file(path: str, offered: Known, watches: list[_Declared]) -> bool:
    source = printable(path, 300)
    try:
        requests = read_watch_file(path, offered)
    except InvalidWatch as error:
        for fault in error.faults[:_SHOWN]:
            _say("watch files", fault)
        if (more := len(error.faults) - _SHOWN) > 0:
            _say("watch files", f"{source}: and {more} more")
        return False
    _say("watch files", f"{source}: good (watch: {len(requests)})")
    watches += [(source, request) for request in requests]
    return True


# ---- what is watched ----------------------------------------------------------------------------------------------
def _print_watches(settings: Settings, watches: Sequence[_Declared]) -> None:
    """What may be right and often is not: no watch at all, or the same watch twice."""
    if not settings.watches and not settings.watch_files and settings.drop is None:
        _say("watches", "nothing says what to watch: write watches:, watch_files: or drop: into the configuration")
    twice = list(_repeated(watches))
    for sentence in twice[:_SHOWN]:
        _say("watches", sentence)
    if (more := len(twice) - _SHOWN) > 0:
        _say("watches", f"and {more} more that are declared twice")


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


# ---- drop directory -----------------------------------------------------------------------------------------------
def _check_drop(settings: Settings) -> bool:
    if settings.drop is None:
        return True
    try:
        examine(settings.drop.directory)
    except ConfigError as error:
        for fault in error.faults:
            _say("drop", fault)
        return False
    _say("drop", f"{settings.drop.directory}: good")
    return True


def _check_api(settings: Settings) -> bool:
    """Only a path that the configuration names is judged: the usual one depends on who runs the daemon."""
    if settings.api is None or settings.api.listen is None:
        return True
    if why := obstacle(settings.api.listen):
        _say("api", why)
        return False
    _say("api", f"{settings.api.listen}: good")
    return True


# ---- store --------------------------------------------------------------------------------------------------------
async def _check_store(path: str, deep: bool) -> bool:  # noqa: FBT001  anyio.run passes positions only
    try:
        there = await anyio.to_thread.run_sync(store_exists, path)
        problems, counts = await _examine(path, deep=deep) if there else ([], "")
    except StoreError as error:
        _say("store", error)
        return False
    problems += write_obstacles(await anyio.to_thread.run_sync(os.path.realpath, path))
    for problem in problems:
        _say("store", problem)
    if not problems:
        _say("store", f"{path}: good ({counts})" if there else f"{path}: not there yet; the first start makes it")
    return not problems


async def _examine(path: str, *, deep: bool) -> tuple[list[str], str]:
    """What is wrong with the store, and how much it watches."""
    async with open_reader(path) as store:
        problems = [f"{path}: {problem}" for problem in await store.problems(deep=deep)]
        count = (await store.counts()).open_generations
    return problems, f"{count} generation{'' if count == 1 else 's'} watched"

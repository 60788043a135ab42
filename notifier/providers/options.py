"""Which keys of a provider's configuration act for its kind, and what its `base_url` must not hold. Pure."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from notifier.providers.base import Codec

_OF_BATCH_POLLS: Final = frozenset({"max_ids", "max_url", "ids_as"})
_OF_LONG_POLLS: Final = frozenset({"long_poll_single_as", "long_poll_multi_as"})
#: Keys that say how a request is written: a kind names those that it has in its `options`.
_HOW_TO_WRITE: Final = frozenset({"ids_as", "long_poll_single_as", "long_poll_multi_as"})
_VERSION: Final = re.compile(r"v\d[a-z0-9.]*", re.IGNORECASE)


def unusable(kind: Codec, given: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """(key, sentence) for each key that is `given` and would not act for this kind."""
    batch, long_poll = kind.capabilities.batch, kind.capabilities.long_poll
    at_once = f"{kind.kind} answers every request at once"
    one_id = f"{kind.kind} has no route for many IDs."
    if long_poll is None and given.get("long_poll") in ("single", "any"):
        yield "long_poll", f"{at_once}. Write long_poll: off, or take the key out."
    if batch is None and given.get("batch"):
        yield "batch", f"{one_id} Write batch: off, or take the key out."
    for key in given:
        if key in _OF_LONG_POLLS and (long_poll is None or given.get("long_poll") == "off"):
            yield key, f"It would not act: {at_once if long_poll is None else 'long_poll is off'}. Take {key} out."
        elif key in _OF_BATCH_POLLS and batch is None:
            yield key, f"{one_id} Take {key} out: it would not act."
        elif key in _HOW_TO_WRITE and key not in kind.options:
            yield key, f"{kind.kind} has no such option. Take {key} out: it would not act."
    most = given.get("max_ids")
    if batch is not None and isinstance(most, int) and most > batch:
        yield "max_ids", f"{kind.kind} takes at most {batch:,} IDs in one request. Write max_ids: {batch}, or less."


def repeated_route(base_url: str, routes: Sequence[str]) -> tuple[str, str] | None:
    """(the end that would be there twice, the right URL) of a base_url that ends in a version or a route's beginning.

    None if it ends in neither.
    """
    scheme, _, rest = base_url.partition("://")
    host, *path = [part for part in rest.split("/") if part]
    starts = [[part for part in route.partition("?")[0].split("/") if part] for route in routes]
    for kept in range(len(path)):
        tail = [_folded(part) for part in path[kept:]]
        if tail == ["v"] or any([_folded(part) for part in start[: len(tail)]] == tail for start in starts):
            url = f"{scheme}://{'/'.join((host, *path[:kept]))}"
            return "/" + "/".join(path[kept:]), (repeated_route(url, routes) or ("", url))[1]
    return None


def _folded(part: str) -> str:
    """Any version counts as that of the route: `/v1` is as wrong before `/v2/…` as `/v2` is."""
    return "v" if _VERSION.fullmatch(part) else part.lower()

"""What a query string asks for: which IDs, and which state to wait for. Pure.

It reads the raw query itself: most requests are multi requests of 100 IDs, and for these the general parser of URLs
costs more than everything else.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from urllib.parse import unquote_plus

from notifier.domain.model import State
from notifier.emulator.generations import STATES
from notifier.emulator.settings import WaitName

#: The documented sentence, literally.
CANNOT_WAIT: Final = "You cannot wait for an failed state"
INVALID: Final = "Body validation error!"

_SINGLE: Final = frozenset({"generation_id"})
_MULTI: Final = frozenset({"generation_ids", "generation_ids[]"})


class BadQuery(ValueError):
    """A query that the API answers with 400 and this message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    #: Each once, in the order of asking; at least one.
    ids: tuple[str, ...]
    #: The state to wait for; None answers at once.
    wait: State | None


def parse_single(query: str) -> Query:
    """Read `generation_id=…&state=…`. `status` is understood too, as the documents' Python examples have it."""
    pairs = list(_pairs(query))
    ids = _ids(pairs, _SINGLE, commas=False)
    if len(ids) != 1:
        raise BadQuery(INVALID)
    return Query(ids=ids, wait=_wait(pairs, WaitName.BOTH))


def parse_multi(query: str, wait_name: WaitName) -> Query:
    """Read `generation_ids[]=…` or `generation_ids=…`, repeated or with commas, and the wait parameter by its name."""
    pairs = list(_pairs(query))
    ids = _ids(pairs, _MULTI, commas=True)
    if not ids:
        raise BadQuery(INVALID)
    return Query(ids=ids, wait=_wait(pairs, wait_name))


def _pairs(query: str) -> Iterator[tuple[str, str]]:
    for piece in query.split("&"):
        if piece:
            name, _, value = piece.partition("=")
            yield _decoded_name(name), _decoded(value)


@lru_cache(maxsize=64)
def _decoded_name(text: str) -> str:
    """Cached: `generation_ids%5B%5D` is a hundred times in one query; decoding it was a third of the work."""
    return _decoded(text)


def _decoded(text: str) -> str:
    return unquote_plus(text) if "%" in text or "+" in text else text


def _ids(pairs: list[tuple[str, str]], names: frozenset[str], *, commas: bool) -> tuple[str, ...]:
    values = [value for name, value in pairs if name in names]
    if commas:
        values = [part for value in values for part in (value.split(",") if "," in value else (value,))]
    return tuple(dict.fromkeys(filter(None, map(str.strip, values))))


def _wait(pairs: list[tuple[str, str]], accepted: WaitName) -> State | None:
    """The state to wait for. `state` wins over `status` if both are there."""
    given = dict(pairs)
    names = ("state", "status") if accepted is WaitName.BOTH else (accepted.value,)
    word = next((given[name] for name in names if given.get(name)), None)
    if word is None:
        return None
    if word not in STATES:
        raise BadQuery(INVALID)
    if STATES[word] is State.FAILED:
        raise BadQuery(CANNOT_WAIT)
    return STATES[word]

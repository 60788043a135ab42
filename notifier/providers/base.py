"""What a provider's codec is: sans-IO, all that is particular to one API. `providers.client` does the asking.

Rules for every codec, held by `tests/contract/`:
- Replies are untrusted. `decode` returns or raises one of the errors below for any bytes whatever, in bounded time.
- `decode` gives exactly one Observation per ID asked, in the order asked; an ID the reply does not hold is absent.
  Match by ID, never by position.
- A state word that neither `words` nor the settings know is running, with `unmapped`: never success, never failure.
"""

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from notifier.domain.ids import GenerationId
from notifier.domain.model import Observation, State
from notifier.domain.settings import ProviderSettings
from notifier.providers.state_words import NONE_TAUGHT, Taught


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One request to a provider, encoded: a GET of `url` about `ids`."""

    ids: tuple[GenerationId, ...]
    #: Absolute, percent-encoded.
    url: str
    #: True where it used the multi route.
    multi: bool
    #: Seconds that the provider may keep it until a state is there; 0 where it was not asked to.
    patience: float = 0.0

    @property
    def hold(self) -> bool:
        return self.patience > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What came back, its body bounded and decompressed."""

    status: int
    body: bytes
    #: Seconds, from `Retry-After`; None where not sent or senseless.
    retry_after: float | None = None


#: Returns when one request more may be made: a connection that is lost has it made again.
Leave = Callable[[], Awaitable[None]]

_VERSION: Final = re.compile(r"v\d[a-z0-9.]*", re.IGNORECASE)


def without_route(base_url: str, routes: Sequence[str]) -> tuple[str, str] | None:
    """(what stands twice, the right URL) if a base_url ends in a version, or in the beginning of a route; else None."""
    scheme, _, rest = base_url.partition("://")
    host, *path = [part for part in rest.split("/") if part]
    starts = [[part for part in route.partition("?")[0].split("/") if part] for route in routes]
    for kept in range(len(path)):
        tail = [_folded(part) for part in path[kept:]]
        if tail == ["v"] or any([_folded(part) for part in start[: len(tail)]] == tail for start in starts):
            url = f"{scheme}://{'/'.join((host, *path[:kept]))}"
            return "/" + "/".join(path[kept:]), (without_route(url, routes) or ("", url))[1]
    return None


def _folded(part: str) -> str:
    """Any version counts as that of the route: `/v1` is as wrong before `/v2/…` as `/v2` is."""
    return "v" if _VERSION.fullmatch(part) else part.lower()


class Codec(Protocol):
    #: As `kind:` names it.
    kind: str
    base_url: str
    #: Paths that are put behind `base_url`.
    routes: tuple[str, ...]
    #: The provider's own words -> ours; what `state:` accepts beside the canonical words.
    words: dict[str, State]
    #: False where the API has no multi route.
    multi: bool

    @property
    def patience(self) -> float | None:
        """Seconds that the API keeps a request which waits for a state; None where it never does."""
        ...

    def normalise_id(self, text: str) -> GenerationId:
        """The one form of an ID; `ValueError` with a sentence for the user where `text` cannot be one."""
        ...

    def sweep(self, ids: Sequence[GenerationId], settings: ProviderSettings) -> Ask:
        """A look at all of `ids` in one multi request, answered at once."""
        ...

    def single(self, id_: GenerationId, settings: ProviderSettings) -> Ask:
        """A look at one ID by the single route, answered at once."""
        ...

    def hold(self, ids: Sequence[GenerationId], target: State, settings: ProviderSettings) -> Ask:
        """A request that waits until `target` is reached: one ID by the single route, several by the multi route.

        `ValueError` where `patience` is None.
        """
        ...

    def fit(self, ids: Sequence[GenerationId], settings: ProviderSettings, *, hold: bool = False) -> int:
        """How many of `ids`, from the first, fit in one sweep, or hold, by `max_ids` and `max_url`; at least 1."""
        ...

    def decode(self, ask: Ask, reply: Reply, taught: Taught = NONE_TAUGHT) -> list[Observation]:
        """What the reply says of each ID asked; `taught` are the words that the provider's `state_words:` adds.

        Raises `ProviderBusy` (429, 5xx, a body that is not the API's), `ProviderRefused` (401, 403), `BatchRejected`
        (400, 404, 413, 414, 422 to a multi ask). A single ask that is answered 400, 404 or 422 is no error: the ID is
        absent; unless no API wrote that answer, which is `ProviderRefused`.
        """
        ...

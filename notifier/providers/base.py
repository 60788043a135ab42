"""What a provider's codec is: pure (no I/O), all that is particular to one API. `providers.client` sends its requests.

A codec owns the requests of its API, how each of them authenticates, which options of the configuration act for it, and
what a reply says. Batch polls and long-polls are capabilities that it declares; who polls reads them there.

Rules for every codec, tested in `tests/contract/`:
- Replies are untrusted. For any bytes `decode` returns, or raises one of the errors below, in bounded time.
- `decode` gives exactly one Observation for each ID asked, in the order asked; an ID that the reply does not hold is
  absent. It matches by ID, never by position.
- A state word that neither `words` nor the settings know is running, with `unmapped`: never success, never failure.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from notifier.domain.errors import ProviderRefused
from notifier.domain.ids import GenerationId
from notifier.domain.model import Observation, State
from notifier.domain.settings import ProviderSettings
from notifier.providers.state_words import NONE_TAUGHT, Taught


@dataclass(frozen=True, slots=True, kw_only=True)
class PollRequest:
    """One request to a provider about `ids`. It holds no secret: `Codec.authenticate` adds that when it is sent."""

    ids: tuple[GenerationId, ...]
    #: Absolute, percent-encoded, with the query.
    url: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    #: True if it uses the request for several IDs; it may be about one ID only.
    batch: bool
    #: Seconds that the provider may keep it until a state is reached; 0 if it is answered at once.
    patience: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What came back, its body bounded and decompressed."""

    status: int
    body: bytes
    #: Seconds, from `Retry-After`; None if it was not sent or makes no sense.
    retry_after: float | None = None


#: Returns when one request more may be made: a request whose connection is lost is made again.
BeforeRepeat = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What an API can do beside answering about one ID at once."""

    #: IDs in one request at most; None if each request is about one ID.
    batch: int | None = None
    #: Seconds that the API keeps a request which waits for a state (a long-poll); None if it has none.
    long_poll: float | None = None


class Codec(Protocol):
    """One kind of provider. A kind that lacks a capability leaves the methods of it as they are here."""

    #: As `kind:` names it.
    kind: str
    base_url: str
    #: Paths that are put behind `base_url`.
    routes: tuple[str, ...]
    #: The provider's own words -> ours; what `state:` accepts beside the canonical words.
    words: dict[str, State]
    capabilities: Capabilities
    #: Keys of the configuration that say how this kind writes its requests; other kinds refuse them.
    options: frozenset[str]

    def normalise_id(self, text: str) -> GenerationId:
        """The one form of an ID; `ValueError` with a sentence for the user if `text` cannot be one."""
        ...

    def authenticate(self, settings: ProviderSettings) -> Mapping[str, str]:
        """The headers that show the provider who asks: by default the api_key as a bearer token (RFC 6750).

        `ProviderRefused` if a header cannot carry the key: httpx would quote it in its own error.
        """
        key = settings.api_key.reveal()
        if key and key.isascii() and key.isprintable() and key == key.strip():
            return {"Authorization": f"Bearer {key}"}
        wrong = "the api_key is empty or holds characters that a header cannot carry"
        cure = "Look for a line break or a blank that was pasted with it."
        raise ProviderRefused(f"Provider {settings.name}: {wrong}. {cure}", any_id=True)

    def poll(self, id_: GenerationId, settings: ProviderSettings) -> PollRequest:
        """The request about one ID, answered at once."""
        ...

    def batch_poll(self, ids: Sequence[GenerationId], settings: ProviderSettings) -> PollRequest:
        """The one request about all of `ids`, answered at once. `ValueError` if the kind has no batch polls."""
        del ids, settings
        raise ValueError(f"{self.kind} has no batch polls")

    def long_poll(self, ids: Sequence[GenerationId], target: State, settings: ProviderSettings) -> PollRequest:
        """A request that is answered once `target` is reached; of several IDs it is a batch poll.

        `ValueError` if the kind has no long-polls.
        """
        del ids, target, settings
        raise ValueError(f"{self.kind} has no long-polls")

    def fit(self, ids: Sequence[GenerationId], settings: ProviderSettings, *, long_poll: bool = False) -> int:
        """How many `ids`, from the first, fit in a batch poll or long-poll by `max_ids` and `max_url`: at least 1."""
        del ids, settings, long_poll
        return 1

    def decode(self, request: PollRequest, reply: Reply, taught: Taught = NONE_TAUGHT) -> list[Observation]:
        """What the reply says of each ID asked; `taught` are the words that the provider's `state_words:` adds.

        Raises `ProviderBusy` (429, 5xx, a body that is not the API's), `ProviderRefused` (401, 403), `BatchRejected`
        (400, 404, 413, 414, 422 to a batch poll). A request about one ID that is answered 400, 404 or 422 is no error:
        the ID is absent; unless no API wrote that answer, which is `ProviderRefused`.
        """
        ...

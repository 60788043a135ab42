"""The settings of each part, as frozen records that `config` makes: checked, with secrets read.

A field with a default is a key that need not be written; the reference prints the default from here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from notifier.domain.ids import Destination, EndpointIdentity, ProviderName
from notifier.domain.model import Format, State, WatchRequest


class Secret:
    """Text that cannot be printed by accident; only `reveal` gives it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return "Secret(…)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)


DEFAULT_RETRY: Final[tuple[timedelta, ...]] = (
    timedelta(0),
    timedelta(seconds=5),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=5),
    timedelta(hours=10),
    timedelta(hours=14),
    timedelta(hours=20),
    timedelta(hours=24),
)


#: A result seen longer ago than this is read again before it is sent.
DEFAULT_REFRESH_AFTER: Final = timedelta(minutes=15)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderSettings:
    name: ProviderName
    #: The name of the codec, e.g. `aimlapi-luma`.
    kind: str
    base_url: str
    api_key: Secret
    #: IDs in one multi-ID request, at most.
    max_ids: int = 100
    #: Bytes in the URL of one request, at most; this limits the IDs in it too.
    max_url: int = 8_000
    #: How a multi-ID request writes its IDs: `array` (the parameter repeated) or `comma`.
    ids_as: str = "array"
    #: Requests per second; the bucket holds one second's worth.
    rate: float = 5.0
    #: Requests at one time, at most.
    in_flight: int = 9
    #: A watch's deadline, counted from its registration, unless the watch has its own.
    timeout: timedelta = timedelta(hours=24)
    #: False: the API has no multi-ID route, so each request asks for one ID.
    batch: bool = True
    #: Shortest time between two polls of an ID.
    poll_every: timedelta = timedelta(seconds=1)
    #: Requests that are answered when a state is reached: `single` for one ID each, `any` for many that return with
    #: the first of them, `auto` for what the API turns out to do, or `off`.
    long_poll: str = "auto"
    #: Names of the parameter that asks for a long-poll, by route.
    long_poll_single_as: tuple[str, ...] = ("state",)
    long_poll_multi_as: tuple[str, ...] = ("state", "status")
    #: Words for states in addition to those that are known, as they are compared (`providers.state_words`).
    state_words: Mapping[str, State] = field(default_factory=dict)
    #: Total time for one request.
    request_timeout: timedelta = timedelta(seconds=45)
    #: `http://user:password@host:port` that requests go through; None is a direct connection.
    proxy: Secret | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsSettings:
    """PEM files of one endpoint's TLS, read again when they change. Absolute paths."""

    #: The certificate that we show, followed by those between it and its root, and its key: both or neither.
    cert: str | None = None
    key: str | None = None
    #: The CA certificates that the server's must come from; None is those that the system trusts.
    ca: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointSettings:
    """Policy of one destination. For callback URLs one is derived per URL, with the origin as destination."""

    identity: EndpointIdentity
    destination: Destination
    url: str
    #: Signing keys, newest first: `whsec_…`, `whsk_…`.
    secrets: tuple[Secret, ...]
    events: frozenset[str] | None = None
    #: Of messages that are made from now on; a pending one keeps its own.
    format: Format = Format.STANDARD
    concurrency: int = 32
    #: Attempts per second; None is no limit. The bucket holds one second's worth.
    rate: float | None = None
    #: Total time for one attempt, the answer's body included.
    timeout: timedelta = timedelta(seconds=15)
    #: Values may carry credentials.
    headers: Mapping[str, Secret] = field(default_factory=dict)
    retry: tuple[timedelta, ...] = DEFAULT_RETRY
    #: Results seen longer ago than this are read again before an attempt; None: never.
    refresh_after: timedelta | None = DEFAULT_REFRESH_AFTER
    #: None: the CA certificates of the system, and no certificate of ours.
    tls: TlsSettings | None = None
    #: `http://user:password@host:port` that callbacks go through; None is a direct connection, as for any callback URL.
    proxy: Secret | None = None
    #: True for callback URLs that came from outside: the full list of refused addresses applies to them.
    guarded: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CallbackSettings:
    """What applies to every callback_url that a watch brings."""

    #: `whsec_…`, from which each origin's key is derived; or `whsk_…`, which signs all callbacks.
    secret: Secret
    #: `host:port`, addresses and networks that are allowed beyond public ones.
    allow: tuple[str, ...] = ()
    #: As of an endpoint.
    format: Format = Format.STANDARD
    refresh_after: timedelta | None = DEFAULT_REFRESH_AFTER


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchDefaults:
    """What an entry gets for a key that it does not have; None means that it must have it."""

    provider: str | None = None
    notify: tuple[str, ...] = ()
    state: State = State.COMPLETED


@dataclass(frozen=True, slots=True, kw_only=True)
class DropSettings:
    directory: str
    defaults: WatchDefaults


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiSettings:
    #: Path of the unix socket for commands; None is the usual place.
    listen: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The whole configuration, checked, with secrets read."""

    #: The configuration file.
    source: str
    #: Path of the SQLite file.
    store: str
    providers: Mapping[str, ProviderSettings]
    endpoints: Mapping[str, EndpointSettings]
    callbacks: CallbackSettings | None
    #: Name of the endpoint that is sent notices about the health of the others.
    operator: str | None = None
    watches: tuple[WatchRequest, ...]
    #: Globs.
    watch_files: tuple[str, ...] = ()
    drop: DropSettings | None
    api: ApiSettings | None = None
    #: How long finished callbacks and watches are kept.
    retention: timedelta = timedelta(days=30)

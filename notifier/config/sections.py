"""What the configuration file may say: every section, every key, what each does, its type and its bounds.

A key is declared here once. The checks, the reference (`docs/configuration.md`), the JSON Schema, the places of secrets
and what a reload refuses are made from its annotation; its default is that of the field of the same name in the
section's record. What is not here is refused; what is here acts.

To add a key: a field in the record (`domain.settings`), and a line here with its type, how it is read and what it does.
`config.example.yaml` must show it too.
"""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Annotated, Any, Final, NamedTuple, Required

from annotated_types import Len
from pydantic import BeforeValidator, ConfigDict, TypeAdapter, with_config
from pydantic_core import core_schema
from typing_extensions import TypedDict  # pydantic needs this one before Python 3.12

from notifier.config.secret_values import ApiKey, HeaderValue, ProxyUrl, SigningKey, check_headers
from notifier.config.state_words import StateWords
from notifier.config.targets import AllowEntry, BaseUrl, EndpointUrl, Listen, Store
from notifier.config.values import (
    Duration,
    DurationOrOff,
    EventTypes,
    FilePath,
    Name,
    OneOf,
    OnOff,
    Parameters,
    Rate,
    Text,
    Whole,
)
from notifier.domain.model import Format, State
from notifier.domain.settings import Secret
from notifier.providers.catalogue import KINDS


# ---- marks beside the readings ------------------------------------------------------------------------------------
class Simpler:
    """A simpler form may be written too: `change` makes the full form of it, which is then checked.

    `schema` makes the JSON Schema of the simpler form from that of the full one.
    """

    def __init__(self, change: Callable[[Any], Any], schema: Callable[[Any], Any]) -> None:
        self._change, self._schema = change, schema

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> core_schema.CoreSchema:
        return core_schema.no_info_before_validator_function(self._change, handler(source))

    def __get_pydantic_json_schema__(self, core: Any, handler: Any) -> dict[str, Any]:
        full = handler(core)
        return {"anyOf": [self._schema(full), full]}


ONE_OR_LIST: Final = Simpler(lambda value: value if isinstance(value, list) else [value], lambda full: full["items"])
#: A section or a list whose entries are all commented out counts as not there.
NULL_IS_EMPTY: Final = Simpler(lambda value: {} if value is None else value, lambda _: {"type": "null"})
NULL_IS_NO_LIST: Final = Simpler(lambda value: [] if value is None else value, lambda _: {"type": "null"})


class NeedsRestart(NamedTuple):
    """A running daemon does not take over a change of this key."""

    #: What counts if nothing is written.
    unset: str = "none"


# ---- the sections: a string below a key says what it does, for the reference and the schema -----------------------
_strict: Final = with_config(ConfigDict(extra="forbid", arbitrary_types_allowed=True, hide_input_in_errors=True))
_IDS_AS: Final = OneOf(("array", "comma"), noun='a way to write IDs: "array" repeats the parameter, "comma" joins them')
_FORMAT: Final = OneOf(Format, noun="a format")
_REFRESH_AFTER: Final = DurationOrOff("1s", "30d")
_PEM: Final = FilePath("the path of a file in PEM form")
_DIRECTORY: Final = FilePath("the path of a directory", example="directory: /var/spool/notifier/drop")
_WATCH_FILES: Final = FilePath("the path of watch files; * and ? are wildcards", pattern=True)
_PROVIDER: Final = Name("providers: with a name of yours below it, and below that kind: and api_key:")


@_strict
class ProviderKeys(TypedDict, total=False):
    """`providers:` holds one of these under each name. An API that can only be polled."""

    kind: Required[Annotated[str, OneOf(KINDS, noun="a kind of provider", example="kind: aimlapi-luma")]]
    """Which API it is."""
    api_key: Required[Annotated[Secret, ApiKey()]]
    """Sent to the provider as a bearer token. A secret."""
    base_url: Annotated[str, BaseUrl()]
    """Where the API is, without the routes and their version (`/v2`). By default that of the kind."""
    max_ids: Annotated[int, Whole(1, 1000)]
    """IDs in one multi-ID request, at most."""
    max_url: Annotated[int, Whole(500, 65_536)]
    """Bytes in the URL of one request, at most. It caps the IDs in it too."""
    ids_as: Annotated[str, _IDS_AS]
    """How several IDs are written: the parameter repeated, or joined by commas."""
    rate: Annotated[float, Rate()]
    """Requests in a time, at most. A burst is one second's worth."""
    in_flight: Annotated[int, Whole(1, 256)]
    """Requests at one time, at most."""
    timeout: Annotated[timedelta, Duration("1s", "365d")]
    """Deadline of a watch, counted from its registration, unless the watch says otherwise."""
    batch: Annotated[bool, OnOff()]
    """Off: one ID a request, for an API whose multi-ID route is gone."""
    poll_every: Annotated[timedelta, Duration("100ms", "1d")]
    """Shortest time between two polls of an ID. How often it is really polled is learned, within `rate`."""
    long_poll: Annotated[str, OneOf(("auto", "single", "any", "off"), noun="a way to long-poll")]
    """Long-polls: requests that the API answers when a state is reached. For one ID (single), for many at once that
    return with the first of them (any), by what the API turns out to do (auto), or none (off)."""
    long_poll_single_as: Annotated[tuple[str, ...], Parameters()]
    """The parameter that asks for it, in a request about one ID."""
    long_poll_multi_as: Annotated[tuple[str, ...], Parameters()]
    """The same in a request about many IDs; every name listed is sent."""
    state_words: Annotated[Mapping[str, State], StateWords()]
    """What words of the API for a state mean, in addition to those that are known. An unknown word counts as running,
    and the log names it: `state.unmapped`."""
    request_timeout: Annotated[timedelta, Duration("1s", "120s")]
    """Total time for one request, its answer included. A long-poll has 30 s more."""
    proxy: Annotated[Secret, ProxyUrl()]
    """Requests go through this proxy. A secret, because it may contain a password. The environment's proxies are
    ignored."""


@_strict
class TlsKeys(TypedDict, total=False):
    """`tls:` of an endpoint whose `url` is https. PEM files, relative paths start at the configuration file.

    They are read again when they change, without a reload. Until the new ones fit together, the last ones are used.
    """

    cert: Annotated[str, _PEM]
    """The certificate that we show (mutual TLS), followed by those between it and its root."""
    key: Annotated[str, _PEM]
    """Its private key, without a password. May be the same file."""
    ca: Annotated[str, _PEM]
    """The CA certificates that the server's must come from, in place of those that the system trusts."""


@_strict
class EndpointKeys(TypedDict, total=False):
    """`endpoints:` holds one of these under each name. Where callbacks are sent, and how."""

    url: Required[Annotated[str, EndpointUrl()]]
    """Where callbacks are sent. It may be on this machine."""
    secret: Required[Annotated[list[Annotated[Secret, SigningKey()]], Len(1, 10), ONE_OR_LIST]]
    """Signs the callbacks. One, or a list of up to 10, newest first, while receivers change over."""
    events: Annotated[frozenset[str], EventTypes()]
    """The event types that are sent; others are recorded and not sent. By default all."""
    format: Annotated[Format, _FORMAT]
    """How bodies are written: as Standard Webhooks or as CloudEvents 1.0. A pending callback keeps its form."""
    concurrency: Annotated[int, Whole(1, 256)]
    """Callbacks at one time, at most. No endpoint has more than half of what is free for all, 512 slots."""
    rate: Annotated[float, Rate()]
    """Callbacks in a time, at most. A burst is one second's worth. By default no limit."""
    timeout: Annotated[timedelta, Duration("1s", "30s")]
    """Total time for one attempt, the answer's body included."""
    headers: Annotated[dict[str, Annotated[Secret, HeaderValue()]], BeforeValidator(check_headers)]
    """Further headers of every callback. Values may be secrets."""
    retry: Annotated[list[Annotated[timedelta, Duration("0s", "7d")]], Len(1, 50)]
    """The wait before each attempt, the first one included. There are as many attempts as entries."""
    refresh_after: Annotated[timedelta | None, _REFRESH_AFTER]
    """A result that was seen longer ago than this is read again before an attempt, because its URLs run out."""
    tls: TlsKeys | None
    """A certificate that we show, or a CA of yours."""
    proxy: Annotated[Secret, ProxyUrl()]
    """Callbacks go through this proxy. A secret, because it may contain a password. The environment's proxies are
    ignored."""


@_strict
class CallbacksKeys(TypedDict, total=False):
    """`callbacks:` lets a watch name a `callback_url` of its own. Without it such watches are refused."""

    secret: Required[Annotated[Secret, SigningKey()]]
    """A master key. The key of each origin is derived from it, and `notifier secret for URL` prints that. A `whsk_` key
    signs all callbacks."""
    allow: Annotated[list[Annotated[str, AllowEntry()]], NULL_IS_NO_LIST]
    """What a callback_url may reach in addition to public addresses at ports 80, 443, 8080 and 8443."""
    format: Annotated[Format, _FORMAT]
    """How bodies are written, as for an endpoint."""
    refresh_after: Annotated[timedelta | None, _REFRESH_AFTER]
    """When a result is read again before an attempt, as for an endpoint."""


@_strict
class DropKeys(TypedDict, total=False):
    """`drop:` is a directory where other programs put files that register watches."""

    directory: Required[Annotated[str, _DIRECTORY, NeedsRestart()]]
    """The directory; a relative path starts at the configuration file."""
    provider: Annotated[str, Text("the name of a provider")]
    """For entries that name none. By default the only provider there is."""
    notify: Annotated[list[Annotated[str, Text("the name of an endpoint")]], ONE_OR_LIST]
    """Endpoints, for entries that name none. By default the only endpoint there is."""
    state: Annotated[str, Text("queued, running or completed")]
    """The target, for entries that name none."""


@_strict
class ApiKeys(TypedDict, total=False):
    """`api:` is where a running daemon takes commands, such as `notifier redeliver`."""

    listen: Annotated[str, Listen(), NeedsRestart(unset="its usual place")]
    """A unix socket; who may open its file may command. A relative path starts at the configuration file. By default
    `api.sock` in systemd's runtime directory (`/run/notifier`), or else beside the store."""


@_strict
class ConfigKeys(TypedDict, total=False):
    """`store`, `providers` and one of `endpoints` and `callbacks` must be there."""

    store: Required[Annotated[str, Store(), NeedsRestart()]]
    """Where notifier keeps what it knows. A relative path starts at this file."""
    providers: Required[Annotated[dict[Annotated[str, _PROVIDER], ProviderKeys], NULL_IS_EMPTY]]
    """APIs to poll, each under a name of yours."""
    endpoints: Annotated[dict[Annotated[str, Name()], EndpointKeys], NULL_IS_EMPTY]
    """Where callbacks are sent, each under a name of yours."""
    callbacks: CallbacksKeys | None
    """For watches that bring a callback_url of their own."""
    operator: Annotated[str, Text("the name of an endpoint")]
    """The endpoint that gets a message when another one fails, is disabled or has recovered."""
    watches: Any
    """A list of watches, written here."""
    watch_files: Annotated[list[Annotated[str, _WATCH_FILES]], NULL_IS_NO_LIST]
    """Files with more watches, read again when they change. Wildcards are allowed."""
    drop: DropKeys | None
    """A directory where other programs drop watches."""
    api: ApiKeys | None
    """Where commands reach the daemon."""
    retention: Annotated[timedelta, Duration("1h", "3650d")]
    """How long finished callbacks with their attempts, and finished watches, are kept. See operations-store.md."""


CONFIG: Final = TypeAdapter[ConfigKeys](ConfigKeys)

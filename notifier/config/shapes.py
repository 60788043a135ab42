"""What the configuration file may hold: every section, every key, what each does, its default and its bounds.

The reference in `docs/configuration.md` is printed from here, and defaults are taken from the records in `model`: a
documented name is the name that is read. What is not here is refused; what is here acts. One class a section, no more:
each costs memory.
"""

import dataclasses
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from notifier.config.secret_values import ApiKey, HeaderValue, ProxyUrl, SigningKey, check_headers
from notifier.config.state_words import StateWords
from notifier.config.targets import AllowEntry, BaseUrl, EndpointUrl, Listen, Store
from notifier.config.values import (
    Duration,
    DurationOrOff,
    EventTypes,
    FilePath,
    LongPollMode,
    Name,
    OneOf,
    OnOff,
    Parameters,
    Rate,
    Retry,
    Text,
    Whole,
    WrittenPath,
)
from notifier.domain.model import Format, State
from notifier.domain.settings import CallbackSettings, EndpointSettings, ProviderSettings, Secret, Settings
from notifier.providers.catalogue import KINDS

_FORMAT: Final = OneOf(lambda: dict.fromkeys(Format), noun="a format")


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True, hide_input_in_errors=True)


def _key(record: type, name: str, description: str) -> Any:
    """A key whose default is that of the record's field."""
    return Field(default=_default(record, name), description=description)


def _default(record: type, name: str) -> Any:
    return next(field.default for field in dataclasses.fields(record) if field.name == name)


def listed(value: Any) -> Any:
    """One value stands for a list of one."""
    return value if isinstance(value, list) else [value]


def _empty_section(value: Any) -> Any:
    """A section whose keys are all commented out is one that is not there."""
    return {} if value is None else value


def _empty_list(value: Any) -> Any:
    return [] if value is None else value


class ProviderShape(_Section):
    """`providers:` holds one of these under each name. An API that can only be polled."""

    kind: Annotated[str, OneOf(lambda: KINDS, noun="a kind of provider", example="kind: aimlapi-luma")] = Field(
        description="Which API it is."
    )
    api_key: Annotated[Secret, ApiKey()] = Field(description="Sent to the provider as a bearer token. A secret.")
    base_url: Annotated[str | None, BaseUrl()] = Field(
        default=None,
        description="Where the API is, without the routes and their version (`/v2`). By default that of the kind.",
    )
    max_ids: Annotated[int, Whole(1, 1000)] = _key(ProviderSettings, "max_ids", "IDs in one multi-ID request, at most.")
    max_url: Annotated[int, Whole(500, 65_536)] = _key(
        ProviderSettings, "max_url", "Bytes in the URL of one request, at most. It caps the IDs in it too."
    )
    ids_as: Annotated[
        str,
        OneOf(
            lambda: {"array": 1, "comma": 1},
            noun='a way to write IDs: "array" repeats the parameter, "comma" joins them',
        ),
    ] = _key(ProviderSettings, "ids_as", "How several IDs are written: the parameter repeated, or joined by commas.")
    rate: Annotated[float, Rate()] = _key(
        ProviderSettings, "rate", "Requests in a time, at most. A burst is one second's worth."
    )
    in_flight: Annotated[int, Whole(1, 256)] = _key(ProviderSettings, "in_flight", "Requests at one time, at most.")
    timeout: Annotated[timedelta, Duration("1s", "365d")] = _key(
        ProviderSettings,
        "timeout",
        "Deadline of a watch, counted from its registration, unless the watch says otherwise.",
    )
    batch: Annotated[bool, OnOff()] = _key(
        ProviderSettings, "batch", "Off: one ID a request, for an API whose multi-ID route is gone."
    )
    poll_every: Annotated[timedelta, Duration("100ms", "1d")] = _key(
        ProviderSettings,
        "poll_every",
        "Shortest time between two polls of an ID. How often it is really polled is learned, within `rate`.",
    )
    long_poll: Annotated[str, LongPollMode()] = _key(
        ProviderSettings,
        "long_poll",
        "Long-polls: requests that the API answers when a state is reached. For one ID (single), for many at once that "
        "return with the first of them (any), by what the API turns out to do (auto), or none (off).",
    )
    long_poll_single_as: Annotated[tuple[str, ...], Parameters()] = _key(
        ProviderSettings, "long_poll_single_as", "The parameter that asks for it, in a request about one ID."
    )
    long_poll_multi_as: Annotated[tuple[str, ...], Parameters()] = _key(
        ProviderSettings, "long_poll_multi_as", "The same in a request about many IDs; every name listed is sent."
    )
    state_words: Annotated[Mapping[str, State], StateWords()] = Field(
        default={},
        description="What words of the API for a state mean, beside those that are known. One that is not known counts "
        "as running, and the log names it: `state.unmapped`.",
    )
    request_timeout: Annotated[timedelta, Duration("1s", "120s")] = _key(
        ProviderSettings,
        "request_timeout",
        "Total time for one request, its answer included. A long-poll has 30 s more.",
    )
    proxy: Annotated[Secret | None, ProxyUrl()] = Field(
        default=None,
        description="Requests go through this proxy. A secret, for a password may stand in it. "
        "The environment's proxies are ignored.",
    )


class TlsShape(_Section):
    """`tls:` of an endpoint whose `url` is https. PEM files, relative paths start at the configuration file.

    They are read again when they change, without a reload; until they fit together the last ones that did go on.
    """

    cert: Annotated[str | None, WrittenPath("the path of a file in PEM form")] = Field(
        default=None,
        description="The certificate that we show (mutual TLS), with those between it and its root behind it.",
    )
    key: Annotated[str | None, WrittenPath("the path of a file in PEM form")] = Field(
        default=None, description="Its private key, without a password. May be the same file."
    )
    ca: Annotated[str | None, WrittenPath("the path of a file in PEM form")] = Field(
        default=None, description="Who may vouch for the server, in place of those that the system trusts."
    )


class EndpointShape(_Section):
    """`endpoints:` holds one of these under each name. Where callbacks are sent, and how."""

    url: Annotated[str, EndpointUrl()] = Field(description="Where callbacks are sent. It may be on this machine.")
    secret: Annotated[
        list[Annotated[Secret, SigningKey()]], BeforeValidator(listed), Field(min_length=1, max_length=10)
    ] = Field(description="Signs the callbacks. One, or a list of up to 10, newest first, while receivers change over.")
    events: Annotated[frozenset[str] | None, EventTypes()] = Field(
        default=None, description="The event types that are sent; others are recorded and not sent. By default all."
    )
    format: Annotated[str, _FORMAT] = _key(
        EndpointSettings,
        "format",
        "How bodies are written: as Standard Webhooks or as CloudEvents 1.0. What is owed already keeps its form.",
    )
    concurrency: Annotated[int, Whole(1, 256)] = _key(
        EndpointSettings,
        "concurrency",
        "Callbacks at one time, at most. No endpoint has more than half of what is free for all, 512 slots.",
    )
    rate: Annotated[float | None, Rate()] = _key(
        EndpointSettings, "rate", "Callbacks in a time, at most. A burst is one second's worth. By default no limit."
    )
    timeout: Annotated[timedelta, Duration("1s", "30s")] = _key(
        EndpointSettings, "timeout", "Total time for one attempt, the answer's body included."
    )
    headers: Annotated[dict[str, Annotated[Secret, HeaderValue()]], BeforeValidator(check_headers)] = Field(
        default={}, description="Further headers of every callback. Values may be secrets."
    )
    retry: Annotated[list[Annotated[timedelta, Retry()]], Field(min_length=1, max_length=50)] = Field(
        default=list(_default(EndpointSettings, "retry")),
        description="The wait before each attempt, the first one included: so many entries, so many attempts.",
    )
    refresh_after: Annotated[timedelta | None, DurationOrOff("1s", "30d")] = _key(
        EndpointSettings,
        "refresh_after",
        "A result that was seen longer ago than this is read again before an attempt, because its URLs run out.",
    )
    tls: TlsShape | None = Field(default=None, description="A certificate of ours, or a CA of yours.")
    proxy: Annotated[Secret | None, ProxyUrl()] = Field(
        default=None,
        description="Callbacks go through this proxy. A secret, for a password may stand in it. "
        "The environment's proxies are ignored.",
    )


class CallbacksShape(_Section):
    """`callbacks:` lets a watch name a `callback_url` of its own. Without it such watches are refused."""

    secret: Annotated[Secret, SigningKey()] = Field(
        description="A master: the key of each origin is derived from it, and `notifier secret for URL` prints it. "
        "A `whsk_` key signs all."
    )
    allow: Annotated[list[Annotated[str, AllowEntry()]], BeforeValidator(_empty_list)] = Field(
        default=list(_default(CallbackSettings, "allow")),
        description="What a callback_url may reach beyond public addresses and ports 80, 443, 8080 and 8443.",
    )
    format: Annotated[str, _FORMAT] = _key(CallbackSettings, "format", "How bodies are written, as for an endpoint.")
    refresh_after: Annotated[timedelta | None, DurationOrOff("1s", "30d")] = _key(
        CallbackSettings, "refresh_after", "When a result is read again before an attempt, as for an endpoint."
    )


class DropShape(_Section):
    """`drop:` is a directory where other programs put files that register watches."""

    directory: Annotated[str, FilePath("the path of a directory", example="directory: /var/spool/notifier/drop")] = (
        Field(description="The directory; a relative path starts at the configuration file.")
    )
    provider: Annotated[str | None, Text("the name of a provider")] = Field(
        default=None, description="For entries that name none. By default the only provider there is."
    )
    notify: Annotated[list[Annotated[str, Text("the name of an endpoint")]], BeforeValidator(listed)] = Field(
        default=[], description="Endpoints, for entries that name none. By default the only endpoint there is."
    )
    state: Annotated[str, Text("queued, running or completed")] = Field(
        default="completed", description="The target, for entries that name none."
    )


class ApiShape(_Section):
    """`api:` is the door for the commands that a running daemon carries out, such as `notifier redeliver`."""

    listen: Annotated[str | None, Listen()] = Field(
        default=None,
        description="A unix socket; who may open its file may command. A relative path starts at the configuration "
        "file. By default `api.sock` in systemd's runtime directory (`/run/notifier`), or else beside the store.",
    )


class ConfigShape(_Section):
    """`store`, `providers` and one of `endpoints` and `callbacks` must be there."""

    store: Annotated[str, Store()] = Field(
        description="Where notifier keeps what it knows. A relative path starts at this file."
    )
    providers: Annotated[dict[Annotated[str, Name()], ProviderShape], BeforeValidator(_empty_section)] = Field(
        description="APIs to poll, each under a name of yours."
    )
    endpoints: Annotated[dict[Annotated[str, Name()], EndpointShape], BeforeValidator(_empty_section)] = Field(
        default={}, description="Where callbacks are sent, each under a name of yours."
    )
    callbacks: CallbacksShape | None = Field(
        default=None, description="For watches that bring a callback_url of their own."
    )
    operator: Annotated[str | None, Text("the name of an endpoint")] = Field(
        default=None,
        description="The endpoint that is told when another one fails, is disabled or is well again.",
    )
    watches: Any = Field(default=None, description="A list of watches, written here.")
    watch_files: Annotated[
        list[Annotated[str, FilePath("the path of watch files; * and ? are wildcards")]], BeforeValidator(_empty_list)
    ] = Field(default=[], description="Files with more watches, read again when they change. Wildcards are allowed.")
    drop: DropShape | None = Field(default=None, description="A directory where other programs drop watches.")
    api: ApiShape | None = Field(default=None, description="Where commands reach the daemon.")
    retention: Annotated[timedelta, Duration("1h", "3650d")] = _key(
        Settings,
        "retention",
        "How long what is finished is kept: callbacks with their attempts, then watches. See operations-store.md.",
    )

"""What the daemon answers as JSON, and what a command makes of it again: reports, and errors by their status. Pure."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Final

from pydantic import ConfigDict, TypeAdapter

from notifier.domain.errors import (
    Conflict,
    DaemonRefused,
    DaemonUnavailable,
    InvalidRequest,
    NotFound,
    NotifierError,
    StoreUnavailable,
)
from notifier.domain.ids import ProviderName
from notifier.store.records import EndpointSummary, GenerationSummary, History, Trouble

#: Bytes from outside need not be text.
_AS: Final = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")

GENERATIONS: Final = TypeAdapter(Sequence[GenerationSummary], config=_AS)
HISTORIES: Final = TypeAdapter(Sequence[History], config=_AS)
TROUBLES: Final = TypeAdapter(Mapping[ProviderName, Trouble], config=_AS)
ENDPOINTS: Final = TypeAdapter(Sequence[EndpointSummary], config=_AS)

#: An error and its status. In both directions the first row that fits counts.
_STATUSES: Final = (
    (InvalidRequest, HTTPStatus.BAD_REQUEST),
    (NotFound, HTTPStatus.NOT_FOUND),
    (Conflict, HTTPStatus.CONFLICT),
    (DaemonRefused, HTTPStatus.MISDIRECTED_REQUEST),
    (DaemonUnavailable, HTTPStatus.SERVICE_UNAVAILABLE),
    (StoreUnavailable, HTTPStatus.SERVICE_UNAVAILABLE),
)


def status_of(error: NotifierError) -> HTTPStatus:
    found = (status for kind, status in _STATUSES if isinstance(error, kind))
    return next(found, HTTPStatus.INTERNAL_SERVER_ERROR)


def error_of(status: int, sentence: str) -> NotifierError:
    """The error that was answered with this status."""
    return next((kind for kind, each in _STATUSES if each == status), NotifierError)(sentence)

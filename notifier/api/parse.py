"""From the body or the query of a request to what it asks for, or to `InvalidRequest`. Pure.

Which keys there are, and how each is read, is declared in `admin.requests`.
"""

from collections.abc import Mapping
from dataclasses import MISSING
from datetime import datetime
from typing import Any, TypeVar

from notifier.admin.requests import Request, keys_of
from notifier.domain.errors import InvalidRequest
from notifier.text.document import TextError
from notifier.text.printable import did_you_mean, printable
from notifier.text.strict_json import read_json

R = TypeVar("R", bound=Request)


def parse_body(request: type[R], body: bytes, *, now: datetime) -> R:
    """A JSON object; no body at all is an empty one."""
    try:
        value = read_json(body).value if body.strip() else {}
    except TextError as error:
        raise InvalidRequest(f"The request is not JSON: {error.faults[0].message}") from None
    if not isinstance(value, dict):
        raise InvalidRequest("The request is a JSON object.")
    return _parse(request, value, "key", now)


def parse_query(request: type[R], query: Mapping[str, str], *, now: datetime) -> R:
    return _parse(request, query, "parameter", now)


def _parse(request: type[R], given: Mapping[str, Any], noun: str, now: datetime) -> R:
    known = keys_of(request)
    for name in given:
        if name not in known:
            raise InvalidRequest(f'Unknown {noun} "{printable(name, 64)}".{did_you_mean(name, known)}')
    read = {name: known[name][0].read(value, name, now) for name, value in given.items()}
    if any(default is MISSING and name not in read for name, (_, default) in known.items()):
        raise InvalidRequest(request.incomplete)
    return request(**read)

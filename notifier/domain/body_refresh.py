"""Refreshes a stored body: result links that expired are replaced, and nothing else changes. Pure.

Only `data.result`, `data.generation`, `data.generation_omitted` and `data.refreshed_at` change, in either format. All
other bytes stay in their place: a body is split at the borders of its members and joined again. It is never parsed and
serialized again, because that could change the digits of a number in the user's metadata.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Final

import orjson

from notifier.domain.message import CONTENT_TYPES, record_data, result_data
from notifier.domain.model import SeenGeneration
from notifier.domain.times import iso

_STRING: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"')
#: The tokens that decide where a member of minified JSON ends.
_TOKEN: Final = re.compile(_STRING.pattern + rb"|[\[\]{},]")


def refreshed(body: bytes, content_type: str, seen: SeenGeneration, *, refreshed_at: datetime) -> bytes:
    """`body`, stored with `content_type`, with the result that `seen` has now.

    `refreshed_at` is when the reply came that showed it. `ValueError` if this is no message
    about a generation, as `message` makes them.
    """
    if content_type.lower() not in CONTENT_TYPES.values():  # older versions wrote it in capitals
        raise ValueError(f"A body of type {content_type!a} is none of ours: nothing in it can be refreshed.")
    envelope = _members(body)
    content = _members(envelope.get(b'"data"', b""))
    if b'"result"' not in content:
        raise ValueError("This message is about no generation: there is no result in it to refresh.")
    content[b'"result"'] = orjson.dumps(result_data(seen))
    content[b'"generation"'] = orjson.dumps(record_data(seen))
    content[b'"generation_omitted"'] = orjson.dumps(seen.record_omitted)
    content[b'"refreshed_at"'] = orjson.dumps(iso(refreshed_at))
    envelope[b'"data"'] = _joined(content)
    return _joined(envelope)


def _members(text: bytes) -> dict[bytes, bytes]:
    """Name -> value of a minified JSON object, both as they are written; `ValueError` if it is none."""
    found: dict[bytes, bytes] = {}
    depth, begun = 0, 1
    for token in _TOKEN.finditer(text):
        depth += {b"{": 1, b"[": 1, b"}": -1, b"]": -1}.get(token[0], 0)
        if depth == 0 or (depth == 1 and token[0] == b","):
            name = _STRING.match(text, begun)
            if name is None:
                break
            found[name[0]] = text[name.end() + 1 : token.start()]
            begun = token.end()
    if begun != len(text) or not text.startswith(b"{"):
        raise ValueError("The stored body is not a minified JSON object.")
    return found


def _joined(members: Mapping[bytes, bytes]) -> bytes:
    return b"{" + b",".join([name + b":" + value for name, value in members.items()]) + b"}"

"""A stored body brought up to date: result links that ran out are replaced, and nothing else is touched. Pure.

Only `data.result`, `data.generation`, `data.generation_omitted` and `data.refreshed_at` change, in either format. All
else keeps its very bytes and its place: a body is taken apart where its members part and put together again, never
parsed and written anew, which would change the digits of a number in somebody's metadata.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Final

import orjson

from notifier.domain.message import CONTENT_TYPES, produced, record
from notifier.domain.model import SeenGeneration
from notifier.domain.times import iso

_STRING: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"')
#: What decides where a member of minified JSON ends.
_TOKEN: Final = re.compile(_STRING.pattern + rb"|[\[\]{},]")


def refreshed(body: bytes, content_type: str, seen: SeenGeneration, *, refreshed_at: datetime) -> bytes:
    """`body`, stored under `content_type`, with what `seen` says of the result now.

    `refreshed_at` is when the look that showed it was answered. `ValueError` where this is no message about a
    generation, made by `payload`.
    """
    if content_type.lower() not in CONTENT_TYPES.values():  # it was written in capitals once
        raise ValueError(f"A body of type {content_type!a} is none of ours: nothing in it can be refreshed.")
    envelope = _members(body)
    content = _members(envelope.get(b'"data"', b""))
    if b'"result"' not in content:
        raise ValueError("This message is about no generation: there is no result in it to refresh.")
    content[b'"result"'] = orjson.dumps(produced(seen))
    content[b'"generation"'] = orjson.dumps(record(seen))
    content[b'"generation_omitted"'] = orjson.dumps(seen.record_omitted)
    content[b'"refreshed_at"'] = orjson.dumps(iso(refreshed_at))
    envelope[b'"data"'] = _joined(content)
    return _joined(envelope)


def _members(text: bytes) -> dict[bytes, bytes]:
    """Name -> value of a minified JSON object, both as they are written; `ValueError` where it is none."""
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

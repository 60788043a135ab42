"""Metadata: the JSON object that a watch carries and its callback brings back, bounded so that every receiver reads it.

At most 4 KiB as compact UTF-8 and 16 deep, and integers within ±2^53: beyond that a JavaScript receiver reads another
number than was written. Keys are sorted: equal content is equal bytes, and registering it again is the same watch.
"""

from typing import Any, Final

import orjson

MAX_BYTES: Final = 4_096
MAX_DEPTH: Final = 16
MAX_INT: Final = 2**53


def compact(value: Any) -> bytes:
    """`value` as compact JSON. `ValueError` with a sentence if it is no object or beyond a bound."""
    if type(value) is not dict:
        raise ValueError("metadata must be a mapping (a JSON object).")
    _check(value)
    try:
        written = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except (TypeError, orjson.JSONEncodeError) as error:
        raise ValueError(f"metadata cannot be written as JSON: {error}.") from None
    if len(written) > MAX_BYTES:
        raise ValueError(f"metadata is {len(written):,} bytes as compact JSON; at most {MAX_BYTES:,}.")
    return bytes(memoryview(written))  # orjson's own bytes hold on to 4 KiB, of every watch of a list


def _check(value: dict[str, Any]) -> None:
    waiting: list[tuple[int, Any]] = [(1, value)]
    while waiting:
        depth, item = waiting.pop()
        if depth > MAX_DEPTH:
            raise ValueError(f"metadata is more than {MAX_DEPTH} deep.")
        for member in item.values() if type(item) is dict else item:
            if type(member) is dict or type(member) is list:
                waiting.append((depth + 1, member))
            elif type(member) is int and abs(member) > MAX_INT:
                raise ValueError("metadata holds an integer beyond ±2^53, which receivers misread; quote it.")

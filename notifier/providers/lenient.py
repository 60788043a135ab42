"""Finding things in replies whose shape nobody promised. Pure, and shared by the codecs.

Owns the shapes: a bare list, a list or a map under a wrapper's name, a map from ID to record, one record; in any order.
Refuses to match by position: a record belongs to an ID because it names it, because it stands under it in a map, or
because the request was about one ID only and the record names none. What the words in a record mean, the codec says.
Whatever the bytes are, the work is bounded: wrappers are opened to a fixed depth and lists are read to a fixed length.
"""

import re
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any, Final

import orjson

from notifier.errors import ProviderBusy
from notifier.ids import GenerationId
from notifier.intake.text import printable

#: Names under which replies put their records.
WRAPPERS: Final = ("generations", "data", "items", "generation")
#: Names under which a record has its ID.
ID_FIELDS: Final = ("id", "generation_id")
#: Names under which a record has its state.
STATE_FIELDS: Final = ("state", "status")
#: Longest result URL that is passed on.
URL_LIMIT: Final = 4_096
#: Longest failure text that is passed on.
FAILURE_LIMIT: Final = 1_000
#: Wrappers in wrappers that are opened: `{"data": {"generations": {"<id>": {"generation": …}}}}` and no further.
_DEPTH: Final = 5
#: Entries of one list or map that are read; far above any batch.
_ENTRIES: Final = 50_000
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_UUID_LENGTH: Final = 36
_URL: Final = re.compile(r"https?://[^\x00-\x20\x7f-\x9f\u2028\u2029]+", re.IGNORECASE)

Record = dict[str, Any]
Hit = tuple[GenerationId, Record]


def fold_uuid(text: str) -> str:
    """A uuid in lower case, any other text as it is: uuids are compared without case."""
    return text.lower() if len(text) == _UUID_LENGTH and _UUID.fullmatch(text) else text


def read_json(body: bytes) -> Any:
    """The parsed body; `ProviderBusy` where it is not JSON: an HTML page, a truncated reply, nothing at all."""
    if not body.strip():
        raise ProviderBusy("The provider answered with an empty body.")
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        head = printable(body[:200].decode("utf-8", "replace"), 80)
        raise ProviderBusy(f"The provider's reply is not the JSON of its API. It begins: {head}") from error


def can_be_written(value: Any) -> bool:
    """Whether `value` can be written as JSON again: what nests very deep can be read, but not written."""
    try:
        orjson.dumps(value)
    except orjson.JSONEncodeError:
        return False
    return True


# ---- records ------------------------------------------------------------------------------------------------------
def find_records(value: Any, ids: Sequence[GenerationId], *, lone: bool) -> list[Hit]:
    """Every record of `value` that belongs to one of `ids`, an ID more than once where the reply repeats it.

    `lone` says that the request was about one ID only, so that a record which names no ID is that one's.
    """
    return _search(value, {id_: id_ for id_ in ids}, ids[0] if lone else None, _DEPTH)


def _search(value: Any, ids: Mapping[str, GenerationId], keyed: GenerationId | None, depth: int) -> list[Hit]:
    """`keyed` is the ID that a record which names none would belong to."""
    if depth and isinstance(value, list):
        return [hit for entry in value[:_ENTRIES] for hit in _search(entry, ids, None, depth - 1)]
    if depth and isinstance(value, dict):
        return _search_object(value, ids, keyed, depth)
    return []


def _search_object(value: Record, ids: Mapping[str, GenerationId], keyed: GenerationId | None, depth: int) -> list[Hit]:
    names_one, own = _own_id(value, ids)
    owner = own if names_one else keyed
    # What wraps a record is no record itself: its "status" is the reply's.
    if inner := _unwrap(value, ids, owner, depth):
        return inner
    if own is not None:
        return [(own, value)]
    if mapped := _from_map(value, ids, depth):
        return mapped
    return [(owner, value)] if owner is not None and state_word(value) is not None else []


def _own_id(record: Record, ids: Mapping[str, GenerationId]) -> tuple[bool, GenerationId | None]:
    """Whether the record names an ID, and which of `ids` that is; None where it is a stranger's."""
    names_one = False
    for field in ID_FIELDS:
        text = record.get(field)
        if isinstance(text, int) and not isinstance(text, bool):
            text = str(text)
        if isinstance(text, str):
            names_one = True
            if (own := _asked(text, ids)) is not None:
                return True, own
    return names_one, None


def _asked(text: str, ids: Mapping[str, GenerationId]) -> GenerationId | None:
    return ids.get(text) or ids.get(fold_uuid(text))


def _unwrap(value: Record, ids: Mapping[str, GenerationId], owner: GenerationId | None, depth: int) -> list[Hit]:
    hits: list[Hit] = []
    for name in WRAPPERS:
        if name in value:
            hits += _search(value[name], ids, owner, depth - 1)
    return hits


def _from_map(value: Record, ids: Mapping[str, GenerationId], depth: int) -> list[Hit]:
    """Records that stand under their ID. The key decides, unless the record names another ID that was asked for."""
    hits: list[Hit] = []
    for _, (key, entry) in zip(range(_ENTRIES), value.items(), strict=False):
        id_ = _asked(key, ids)
        if id_ is not None and isinstance(entry, dict):
            hits += _search(entry, ids, id_, depth - 1) or [(id_, entry)]
    return hits


# ---- what a record says -------------------------------------------------------------------------------------------
def state_word(record: Record, known: Container[str] = ()) -> str | None:
    """The record's word for its state, as it came: the first whose lower case is in `known`, else the first."""
    first = None
    for field in STATE_FIELDS:
        word = record.get(field)
        if isinstance(word, str) and word.strip():
            if word.strip().lower() in known:
                return word
            first = first or word
    return first


def is_error(record: Record) -> bool:
    """Whether an object without a state word is an error that stands in a record's place."""
    return any(record.get(field) not in (None, "") for field in ("statusCode", "error", "message", "errors"))


def urls_of(candidates: Iterable[Any]) -> tuple[str, ...]:
    """Those that may be passed on, each once: http(s), at most 4,096 characters, no blanks or control characters."""
    return tuple(dict.fromkeys(url for url in candidates if isinstance(url, str) and _is_url(url)))


def _is_url(text: str) -> bool:
    return len(text) <= URL_LIMIT and _URL.fullmatch(text) is not None


def failure_of(record: Record) -> str | None:
    """Why it failed, printable and cut: `failure_reason`, `error.message`, `error`, or `detail[].msg` in either."""
    error = record.get("error")
    inside = error if isinstance(error, dict) else {}
    for text in (record.get("failure_reason"), inside.get("message"), error, _details(inside), _details(record)):
        if isinstance(text, str) and text.strip():
            return printable(text.strip(), FAILURE_LIMIT)
    name = inside.get("name")
    return printable(name.strip(), FAILURE_LIMIT) if isinstance(name, str) and name.strip() else None


def _details(value: Record) -> str | None:
    """The vendors' `{"detail": [{"msg": …}]}`, or a plain `detail`."""
    detail = value.get("detail")
    if isinstance(detail, str):
        return detail
    if not isinstance(detail, list):
        return None
    entries = [entry.get("msg") if isinstance(entry, dict) else entry for entry in detail[:20]]
    return "; ".join(entry for entry in entries if isinstance(entry, str) and entry.strip()) or None


def message_of(body: bytes) -> str:
    """What an error body says, as one short printable line; empty where it says nothing that can be read."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return ""
    if not isinstance(value, dict):
        return ""
    text = value.get("message")
    if isinstance(text, list):
        text = "; ".join(entry for entry in text[:20] if isinstance(entry, str))
    said = text if isinstance(text, str) and text.strip() else failure_of(value)
    return printable(said.strip(), 200) if said else ""

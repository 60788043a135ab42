"""Reading replies whose shape nobody promised. Pure, and shared by the codecs.

Owns the shapes: a bare list, a list or a map under a wrapper's name, a map from ID to record, one record; in any order.
Refuses to match by position: a record belongs to an ID because it names it, because it stands under it in a map, or
because the request was about one ID only and the record names none. Owns what a status code means too. Which routes
there are, which words mean which state and where a result stands, the codec says.
Whatever the bytes are, the work is bounded: wrappers are opened to a fixed depth and lists are read to a fixed length.

Three readings that no documentation settles, and why:
- A record without a state word that shows other signs of a generation (assets, a model, a date) is *running*, unmapped:
  it exists, and nothing says that it ended. A bare `{"id": …}` is absent: who only repeats the question knows nothing.
- The state `error` is taken as failed only in a record that names its own ID; elsewhere, and beside a `statusCode`, it
  is an error object in an unknown ID's place: a failure we made up could not be taken back.
- A single ID that is answered 413 or 414 cannot be split; the operator's base_url is wrong, not the ID.
"""

import re
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from notifier.errors import BatchRejected, ProviderBusy, ProviderRefused
from notifier.ids import GenerationId
from notifier.intake.text import printable
from notifier.model import Observation, Result, State
from notifier.providers.reply_text import can_be_written, try_json

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
#: Words that say the ID is not known there.
_NOT_THERE: Final = frozenset({"not_found", "not found", "notfound"})
#: Any of these beside the ID shows that there is a generation.
_SIGNS: Final = (
    "assets",
    "video",
    "video_url",
    "audio_file",
    "created_at",
    "generation_type",
    "model",
    "request",
    "meta",
    "failure_reason",
)
_OK, _MOVED, _BROKEN = 200, 300, 500
#: Entries of a list of results that are read.
_LINKS: Final = 100
#: Wrappers in wrappers that are opened: `{"data": {"generations": {"<id>": {"generation": …}}}}` and no further.
_DEPTH: Final = 5
#: Entries of one list or map that are read; far above any batch.
_ENTRIES: Final = 50_000
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_UUID_LENGTH: Final = 36
_URL: Final = re.compile(r"https?://[^\x00-\x20\x7f-\x9f\u2028\u2029]+", re.IGNORECASE)

Record = dict[str, Any]
Hit = tuple[GenerationId, Record]
#: Which of the IDs asked a reply means by this text; None where it is a stranger's.
Naming = Callable[[str], GenerationId | None]


def fold_uuid(text: str) -> str:
    """A uuid in lower case, any other text as it is: uuids are compared without case."""
    return text.lower() if len(text) == _UUID_LENGTH and _UUID.fullmatch(text) else text


# ---- a reply with records -----------------------------------------------------------------------------------------
def observe(
    value: Any,
    ids: Sequence[GenerationId],
    *,
    lone: bool,
    words: Mapping[str, State],
    result_of: Callable[[Record], Result],
    naming: Naming | None = None,
) -> list[Observation]:
    """One observation for each ID asked; of a repeated ID the one furthest along.

    `words` are the codec's, in lower case, with what they mean; `lone` and `naming` are as in `find_records`.
    """
    best: dict[GenerationId, Observation] = {}
    shown = can_be_written(value)
    for id_, record in find_records(value, ids, lone=lone, naming=naming):
        word = state_word(record, words)
        key = "" if word is None else word.strip().lower()
        if _is_absence(key, record, words):
            continue
        seen = Observation(
            id=id_,
            state=words.get(key, State.RUNNING),
            provider_state=None if word is None else printable(word.strip(), 100),
            unmapped=key not in words,
            result=result_of(record),
            failure=failure_of(record),
            model=model_of(record, id_),
            created_at=created_at(record),
            record=record if shown or can_be_written(record) else None,
        )
        if id_ not in best or _merit(seen) > _merit(best[id_]):
            best[id_] = seen
    return [best.get(id_) or Observation(id=id_, state=None) for id_ in ids]


def _merit(seen: Observation) -> tuple[int, bool, bool]:
    assert seen.state is not None, "only what is not absent is compared"
    return seen.state.rank, not seen.unmapped, seen.result.url is not None


def _is_absence(key: str, record: Record, words: Container[str]) -> bool:
    """Whether the record says that its ID is not there, by the readings in this module's header."""
    if not key:
        return is_error(record) or not any(record.get(field) is not None for field in _SIGNS)
    if key in words and key != "error":
        return False
    named = any(field in record for field in ID_FIELDS)
    if key == "error":
        return "statusCode" in record or not named
    return key in _NOT_THERE or (not named and is_error(record))


# ---- records ------------------------------------------------------------------------------------------------------
def find_records(value: Any, ids: Sequence[GenerationId], *, lone: bool, naming: Naming | None = None) -> list[Hit]:
    """Every record of `value` that belongs to one of `ids`, an ID more than once where the reply repeats it.

    `lone` says that the request was about one ID only, so that a record which names no ID is that one's. Without a
    `naming` of the codec's, a text means the ID that it is, uuids compared without case.
    """
    return _search(value, naming or _exactly(ids), ids[0] if lone else None, _DEPTH)


def _exactly(ids: Sequence[GenerationId]) -> Naming:
    asked = {str(id_): id_ for id_ in ids}
    return lambda text: asked.get(text) or asked.get(fold_uuid(text))


def _search(value: Any, naming: Naming, keyed: GenerationId | None, depth: int) -> list[Hit]:
    """`keyed` is the ID that a record which names none would belong to."""
    if depth and isinstance(value, list):
        return [hit for entry in value[:_ENTRIES] for hit in _search(entry, naming, None, depth - 1)]
    if depth and isinstance(value, dict):
        return _search_object(value, naming, keyed, depth)
    return []


def _search_object(value: Record, naming: Naming, keyed: GenerationId | None, depth: int) -> list[Hit]:
    names_one, own = _own_id(value, naming)
    owner = own if names_one else keyed
    # What wraps a record is no record itself: its "status" is the reply's.
    if inner := _unwrap(value, naming, owner, depth):
        return inner
    if own is not None:
        return [(own, value)]
    if mapped := _from_map(value, naming, depth):
        return mapped
    return [(owner, value)] if owner is not None and state_word(value) is not None else []


def _own_id(record: Record, naming: Naming) -> tuple[bool, GenerationId | None]:
    """Whether the record names an ID, and which of those asked that is; None where it is a stranger's."""
    names_one = False
    for field in ID_FIELDS:
        text = record.get(field)
        if isinstance(text, int) and not isinstance(text, bool):
            text = str(text)
        if isinstance(text, str):
            names_one = True
            if (own := naming(text)) is not None:
                return True, own
    return names_one, None


def _unwrap(value: Record, naming: Naming, owner: GenerationId | None, depth: int) -> list[Hit]:
    hits: list[Hit] = []
    for name in WRAPPERS:
        if name in value:
            hits += _search(value[name], naming, owner, depth - 1)
    return hits


def _from_map(value: Record, naming: Naming, depth: int) -> list[Hit]:
    """Records that stand under their ID. The key decides, unless the record names another ID that was asked for."""
    hits: list[Hit] = []
    for _, (key, entry) in zip(range(_ENTRIES), value.items(), strict=False):
        id_ = naming(key)
        if id_ is not None and isinstance(entry, dict):
            hits += _search(entry, naming, id_, depth - 1) or [(id_, entry)]
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


def links(value: Any) -> Iterator[Any]:
    """What may be a URL in the value of one field: a text, an object's `url`, or a list of either."""
    for entry in value[:_LINKS] if isinstance(value, list) else (value,):
        yield entry.get("url") if isinstance(entry, dict) else entry


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


def model_of(record: Record, id_: GenerationId) -> str | None:
    """Which model makes it: as the record says, or behind the colon of its ID."""
    model = record.get("model")
    return model if isinstance(model, str) and model else id_.partition(":")[2] or None


def created_at(record: Record) -> datetime | None:
    """When it was submitted; None where the record does not say, or not in a form that can be believed."""
    text = record.get("created_at")
    if not isinstance(text, str):
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


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
    value = try_json(body)
    if not isinstance(value, dict):
        return ""
    text = value.get("message")
    if isinstance(text, list):
        text = "; ".join(entry for entry in text[:20] if isinstance(entry, str))
    said = text if isinstance(text, str) and text.strip() else failure_of(value)
    return printable(said.strip(), 200) if said else ""


# ---- a reply without ----------------------------------------------------------------------------------------------
def is_refused(status: int, body: bytes, *, asked: int, multi: bool, retry_after: float | None) -> bool:
    """False where the reply has records to read; True where the one ID asked is not there; else the error is raised.

    `ProviderBusy`, `ProviderRefused` or `BatchRejected`, as `providers.base` has it. `asked` counts the IDs.
    """
    if _OK <= status < _MOVED:
        return False
    said = _said(body)
    if status in (408, 425, 429) or status >= _BROKEN or status < _OK:
        overloaded = status in _TOO_MUCH
        raise ProviderBusy(
            f"The provider answered {status}{said}",
            retry_after=retry_after,
            overloaded=overloaded,
            any_id=status == _THROTTLED,
        )
    if status in (401, 402, 403):
        # 403 may speak of one ID: of another account's, or of one that a filter took away.
        raise ProviderRefused(f"The provider answered {status}{said} {_FIX[status]}", any_id=status != _FORBIDDEN)
    if status in (400, 404, 422):
        if not multi:
            return True
        raise BatchRejected(f"The provider refused {asked} IDs with {status}{said}", status=status)
    if status in (413, 414) and multi:
        raise BatchRejected(f"{asked} IDs are too many for the provider: {status}{said}", status=status, too_large=True)
    raise ProviderRefused(f"The provider answered {status}{said} Check this provider's kind and base_url.")


_FORBIDDEN: Final = 403
_THROTTLED: Final = 429
#: Statuses that say, or may say, that we ask too much.
_TOO_MUCH: Final = (408, 429, 503, 504)
_FIX: Final = {
    401: "Check this provider's api_key.",
    402: "The account is out of credits: top it up at the provider.",
    403: "The account is out of credits, or the api_key may not use this API: see the account at the provider.",
}


def _said(body: bytes) -> str:
    """The provider's own words, to stand after a status code, and the end of the sentence."""
    text = message_of(body)
    return f": {text}{'' if text[-1:] in '.!?…' else '.'}" if text else "."

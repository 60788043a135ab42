"""Reading replies whose shape nobody promised. Pure, and shared by the codecs.

Owns the shapes: a bare list, a list or a map under a wrapper's name, a map from ID to record, one record; in any order.
Refuses to match by position: a record belongs to an ID because it names it, because it stands under it in a map, or
because the request was about one ID only and the record names none. Owns what a status code means too. Which routes
there are the codec says, what words mean `words`, where results and reasons stand `places`.
Whatever the bytes are, the work is bounded: wrappers are opened to a fixed depth and lists are read to a fixed length.

Readings that no documentation settles, and why:
- A record without a word for its state that has a result, no error, and does not say that it goes on, is *completed*,
  once two looks in a row show it so: a provider that never says a word would otherwise never be done.
- A record without such a word and without a result that shows other signs of a generation (a model, a date) is
  *running*, unmapped: it exists, and nothing says that it ended. A bare `{"id": …}` is absent: who only repeats the
  question knows nothing. A number that nobody taught us is no word: it may be an HTTP status.
- A word beside `data` or the like is the record's own, unless it is one that envelopes use of the request, or the
  record inside has its own: `{"status": "failed", "data": {"video_url": …}}` failed.
- A record that says that it is over, by `done: true` or a word that leaves the rest open, *failed* if it has an error.
- *Completed* without a result is believed at the third look in a row: some APIs say so before the file is there.
- A word that envelopes use of the request (`error`, `fail`, `success`) is believed of a job only in a record that names
  its own ID, or has a result; elsewhere, and beside a `statusCode`, an error is an error object in an unknown ID's
  place: an end that we made up could not be taken back.
- A 404 (or 400, 422) that no API wrote, a page or `Cannot GET /…`, says nothing of an ID: it is the provider's.
- A single ID that is answered 413 or 414 cannot be split; the operator's base_url is wrong, not the ID.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

from notifier.domain.errors import BatchRejected, ProviderBusy, ProviderRefused
from notifier.domain.ids import GenerationId
from notifier.domain.model import Observation, Result, State
from notifier.providers.base import Reply
from notifier.providers.reply_text import can_be_written, try_json, what_else
from notifier.providers.result_fields import Record, failure_of, leads_to_a_file, says_unfinished, says_wrong
from notifier.providers.state_words import (
    LONGEST,
    NO_RESULT,
    NO_WORD,
    NONE_TAUGHT,
    NOT_THERE,
    OF_A_REQUEST,
    OF_AN_ERROR,
    OVER,
    Taught,
    key_of,
    meaning,
    text_of,
)
from notifier.text.printable import printable

#: Names under which replies put their records.
WRAPPERS: Final = ("generations", "data", "items", "generation")
#: Names under which a record has its ID.
ID_FIELDS: Final = ("id", "generation_id")
#: Names under which a record has its state.
STATE_FIELDS: Final = (
    *(
        "state",
        "status",
        "task_status",
        "job_status",
        "generation_status",
        "video_status",
        "processing_status",
        "phase",
    ),
)
#: Objects in a record that may have its state, where the record itself has no word for it.
_STATE_WITHIN: Final = ("state", "status", "task", "job", "prediction", "metadata", "output", "result", "response")
#: What is true in a record that is over.
_OVER_FIELDS: Final = ("done", "completed", "finished")
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
#: Wrappers in wrappers that are opened: `{"data": {"generations": {"<id>": {"generation": …}}}}` and no further.
_DEPTH: Final = 5
#: Entries of one list or map that are read; far above any batch.
_ENTRIES: Final = 50_000
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_UUID_LENGTH: Final = 36
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
    taught: Taught,
    result_of: Callable[[Record], Result],
    naming: Naming | None = None,
) -> list[Observation]:
    """One observation for each ID asked; of a repeated ID the one that says most.

    `taught` are the words that the settings add; `lone` and `naming` are as in `find_records`.
    """
    best: dict[GenerationId, Observation] = {}
    shown = can_be_written(value)
    for id_, record in find_records(value, ids, lone=lone, naming=naming):
        seen = _sight(id_, record, taught, result_of(record))
        if seen is not None and (id_ not in best or _merit(seen) > _merit(best[id_])):
            best[id_] = seen if shown or can_be_written(record) else replace(seen, record=None)
    return [best.get(id_) or Observation(id=id_, state=None) for id_ in ids]


def _sight(id_: GenerationId, record: Record, taught: Taught, result: Result) -> Observation | None:
    """What the record says of the ID; None if it says that it is not there."""
    word = state_word(record, taught)
    key, state = meaning(word, taught) if word is not None else ("", None)
    if state is None and (word is None or key in OVER or not isinstance(_as_it_came(record, word), str)):
        return _wordless(id_, record, word, result)
    assert word is not None, "a word that means something is there"
    if _is_absence(key, state, record, taught):
        return None
    empty = result.url is None and result.text is None
    if empty and key in OF_A_REQUEST and key not in taught and not _names_one(record):
        state = None
    looks = NO_RESULT if empty and state is State.COMPLETED else 1
    return _seen(id_, record, word, state, result, looks=looks)


def _wordless(id_: GenerationId, record: Record, word: str | None, result: Result) -> Observation | None:
    """The same of a record with no word for its state, a number that nobody taught us, or one that leaves it open."""
    wrong = says_wrong(record) or _is_bad_status(record.get("statusCode"))
    if not wrong and not says_unfinished(record) and leads_to_a_file(record):
        return _seen(id_, record, None, State.COMPLETED, result, looks=NO_WORD)
    done = any(record.get(field) is True for field in _OVER_FIELDS)
    there = word is not None and key_of(word) in OVER
    if (there or done) and wrong:
        return _seen(id_, record, word, State.FAILED, result)
    if done:
        return _seen(id_, record, word, State.COMPLETED, result, looks=NO_RESULT)
    goes_on = any(record.get(field) is False for field in _OVER_FIELDS) and not wrong
    if not (there or goes_on) and (is_error(record) or not any(record.get(field) is not None for field in _SIGNS)):
        return None
    return _seen(id_, record, word, None, result)


def _is_bad_status(value: Any) -> bool:
    """Whether it is the HTTP status of an error."""
    return isinstance(value, int) and not _OK <= value < _MOVED and value != 0


def _seen(
    id_: GenerationId, record: Record, word: str | None, state: State | None, result: Result, *, looks: int = 1
) -> Observation:
    return Observation(
        id=id_,
        state=state or State.RUNNING,
        provider_state=None if word is None else printable(word.strip(), LONGEST),
        unmapped=state is None,
        looks=looks,
        result=result,
        failure=failure_of(record, failed=state is State.FAILED),
        model=model_of(record, id_),
        created_at=created_at(record),
        record=record,
    )


def _merit(seen: Observation) -> tuple[bool, int, bool, bool]:
    assert seen.state is not None, "only what is not absent is compared"
    return seen.provider_state is not None, seen.state.rank, not seen.unmapped, seen.result.url is not None


def _is_absence(key: str, state: State | None, record: Record, taught: Taught) -> bool:
    """Whether the record says that its ID is not there, by the readings in this module's header."""
    if key in taught:
        return False
    named = _names_one(record)
    if key == "error":
        return "statusCode" in record or not named
    if key in OF_AN_ERROR:
        return "statusCode" in record or (not named and is_error(record))
    return state is None and (key in NOT_THERE or (not named and is_error(record)))


def _names_one(record: Record) -> bool:
    return any(field in record for field in ID_FIELDS)


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
    # What wraps a record is no record itself: its "status" is the reply's. What is wrapped and says neither whose it is
    # nor how it stands is a part of the record around it; so is what only says whose, beside a word for a job's state.
    inner = _unwrap(value, naming, owner, depth)
    if inner and owner is not None and (word := state_word(value)) is not None:
        of_a_job = key_of(word) not in OF_A_REQUEST | OF_AN_ERROR | NOT_THERE and not word.isdecimal()
        inner = [hit for hit in inner if state_word(hit[1]) or (_names_one(hit[1]) and not of_a_job)]
    if inner:
        return inner
    if own is not None:
        return [(own, value)]
    if mapped := _from_map(value, naming, depth):
        return mapped
    says_something = state_word(value) is not None or leads_to_a_file(value) or value.get("done") in (True, False)
    if owner is None or not says_something or _is_about_another(value, naming):
        return []
    return [(owner, value)]


def _is_about_another(value: Record, naming: Naming) -> bool:
    """Whether what names no ID itself holds the state of one that was not asked for."""
    inner = (value.get(name) for name in _STATE_WITHIN)
    return any(isinstance(each, dict) and _own_id(each, naming) == (True, None) for each in inner)


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
def state_word(record: Record, taught: Taught = NONE_TAUGHT) -> str | None:
    """The record's word for its state, as text: the first that means something, else the first text, else a number.

    Where it has none, the first word that means something in an object that may have it.
    """
    return _own_word(record, taught) or _inner_word(record, taught)


def _own_word(record: Record, taught: Taught = NONE_TAUGHT) -> str | None:
    words = [(name, word) for name in STATE_FIELDS if name in record and (word := text_of(record[name])) is not None]
    for _, word in words:
        if len(words) > 1 and _means_something(word, taught):
            return word
    return next((word for name, word in words if isinstance(record[name], str)), words[0][1] if words else None)


def _inner_word(record: Record, taught: Taught) -> str | None:
    for name in _STATE_WITHIN:
        if isinstance(inner := record.get(name), dict):
            words = (word for field in STATE_FIELDS if isinstance(word := inner.get(field), str))
            for word in words:
                if _means_something(word, taught) and key_of(word) not in OF_A_REQUEST | OF_AN_ERROR:
                    return word
    return None


def _means_something(word: str, taught: Taught) -> bool:
    key, state = meaning(word, taught)
    return state is not None or key in NOT_THERE


def _as_it_came(record: Record, word: str) -> Any:
    """The value that `word` is the text of."""
    return next((value for field in STATE_FIELDS if text_of(value := record.get(field)) == word), word)


def is_error(record: Record) -> bool:
    """Whether an object without a state word is an error that stands in a record's place."""
    return any(record.get(field) not in (None, "") for field in ("statusCode", "error", "message", "errors"))


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
def is_refused(reply: Reply, *, asked: int, batch: bool) -> bool:
    """False where the reply has records to read; True where the one ID asked is not there; else the error is raised.

    `ProviderBusy`, `ProviderRefused` or `BatchRejected`, as `providers.base` has it. `asked` counts the IDs.
    """
    status, body = reply.status, reply.body
    if _OK <= status < _MOVED:
        return False
    said = _said(body)
    if status in (408, 425, 429) or status >= _BROKEN or status < _OK:
        overloaded = status in _TOO_MUCH
        raise ProviderBusy(
            f"The provider answered {status}{said}",
            retry_after=reply.retry_after,
            overloaded=overloaded,
            any_id=status == _THROTTLED,
        )
    if status in (401, 402, 403):
        # 403 may speak of one ID: of another account's, or of one that a filter took away.
        raise ProviderRefused(f"The provider answered {status}{said}", fix=_FIX[status], any_id=status != _FORBIDDEN)
    if status in (400, 404, 422):
        instead = what_else(body)
        if batch:
            said = f", {instead}." if instead else said
            what = f"The provider refused {asked} IDs with {status}{said}"
            raise BatchRejected(what, status=status, foreign=bool(instead))
        if instead:
            raise ProviderRefused(f"The provider answered {status}, {instead}: {_NO_API}")
        return True
    if status in (413, 414) and batch:
        raise BatchRejected(f"{asked} IDs are too many for the provider: {status}{said}", status=status, too_large=True)
    raise ProviderRefused(f"The provider answered {status}{said}", fix="Check this provider's kind and base_url.")


#: Who reads this has a wrong base_url, as a rule; but one ID alone may lead a gateway astray, so `any_id` stays off.
_NO_API: Final = "no API answers here. Check this provider's base_url and kind."
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

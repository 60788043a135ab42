"""Finds the records of a reply and the ID that each belongs to, and the word for its state in each. Pure.

Owns the shapes of replies: a bare list, a list or a map under a wrapper's name, a map from ID to record, one record; in
any order. It never matches by position. A record belongs to an ID if it names that ID, if it is that ID's entry in a
map, or if the request was about one ID only and the record names none.

The work is bounded for any reply: wrappers are opened to a fixed depth, lists are read to a fixed length.
"""

import re
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any, Final

from notifier.domain.ids import GenerationId
from notifier.providers.result_fields import Record, leads_to_a_file, names
from notifier.providers.state_words import (
    NONE_TAUGHT,
    NOT_THERE,
    OF_A_REQUEST,
    OF_AN_ERROR,
    Taught,
    key_of,
    meaning,
    text_of,
)

#: Names under which replies put their records.
_WRAPPERS: Final = ("generations", "data", "items", "generation")
#: Names under which a record has its ID.
_ID_FIELDS: Final = ("id", "generation_id")
#: Names under which a record has its state.
STATE_FIELDS: Final = names("""
    state status task_status job_status generation_status video_status processing_status phase
""")
#: Objects in a record that may have its state if the record itself has no word for it.
_STATE_WITHIN: Final = names("state status task job prediction metadata output result response")
_OF_REQUESTS: Final = OF_A_REQUEST | OF_AN_ERROR
#: Wrappers in wrappers that are opened: `{"data": {"generations": {"<id>": {"generation": …}}}}` and no further.
_DEPTH: Final = 5
#: Entries of one list or map that are read; far above any batch.
_ENTRIES: Final = 50_000
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_UUID_LENGTH: Final = 36
#: A record, and the ID that it belongs to.
_Hit = tuple[GenerationId, Record]
#: Which of the IDs asked a reply means by this text; None if it means none of them.
Naming = Callable[[str], GenerationId | None]


def fold_uuid(text: str) -> str:
    """A uuid in lower case, any other text as it is: uuids are compared without case."""
    return text.lower() if len(text) == _UUID_LENGTH and _UUID.fullmatch(text) else text


# ---- whose it is --------------------------------------------------------------------------------------------------
def find_records(value: Any, ids: Sequence[GenerationId], *, lone: bool, naming: Naming | None = None) -> list[_Hit]:
    """Every record of `value` that belongs to one of `ids`; an ID more than once if the reply repeats it.

    `lone` says that the request was about one ID only, so a record that names no ID belongs to that one. Without the
    codec's own `naming`, a text means the ID that it is, and uuids are compared without case.
    """
    return _search(value, naming or _exactly(ids), ids[0] if lone else None, _DEPTH)


def _exactly(ids: Sequence[GenerationId]) -> Naming:
    asked = {str(id_): id_ for id_ in ids}
    return lambda text: asked.get(text) or asked.get(fold_uuid(text))


def _search(value: Any, naming: Naming, keyed: GenerationId | None, depth: int) -> list[_Hit]:
    """`keyed` is the ID that a record which names none would belong to."""
    if depth and isinstance(value, list):
        return [hit for entry in value[:_ENTRIES] for hit in _search(entry, naming, None, depth - 1)]
    if depth and isinstance(value, dict):
        return _search_object(value, naming, keyed, depth)
    return []


def _search_object(value: Record, naming: Naming, keyed: GenerationId | None, depth: int) -> list[_Hit]:
    named, own = _own_id(value, naming)
    owner = own if named else keyed
    inner = [hit for name in _WRAPPERS if name in value for hit in _search(value[name], naming, owner, depth - 1)]
    # An object that wraps a record is no record itself: its "status" is the reply's. But an inner object that says
    # neither whose it is nor what its state is is a part of the record around it. So is one that says only whose it is,
    # if the object around it has a word for the state of a job.
    if inner and owner is not None and (word := state_word(value)) is not None:
        of_a_job = key_of(word) not in _OF_REQUESTS | NOT_THERE and not word.isdecimal()
        inner = [hit for hit in inner if state_word(hit[1]) or (names_an_id(hit[1]) and not of_a_job)]
    if inner:
        return inner
    if own is not None:
        return [(own, value)]
    if mapped := _from_map(value, naming, depth):
        return mapped
    says_something = state_word(value) is not None or leads_to_a_file(value) or value.get("done") in (True, False)
    # One that holds the state of an ID that was not asked for is about that one.
    within = (each for name in _STATE_WITHIN if isinstance(each := value.get(name), dict))
    if owner is None or not says_something or any(_own_id(each, naming) == (True, None) for each in within):
        return []
    return [(owner, value)]


def _own_id(record: Record, naming: Naming) -> tuple[bool, GenerationId | None]:
    """Whether the record names an ID, and which of those asked that is; None if it was not asked for."""
    named = False
    for field in _ID_FIELDS:
        text = record.get(field)
        if isinstance(text, int) and not isinstance(text, bool):
            text = str(text)
        if isinstance(text, str):
            named = True
            if (own := naming(text)) is not None:
                return True, own
    return named, None


def names_an_id(record: Record) -> bool:
    """Whether it has a field for its ID, with any value."""
    return any(field in record for field in _ID_FIELDS)


def _from_map(value: Record, naming: Naming, depth: int) -> list[_Hit]:
    """Records under their IDs in a map. The key decides, unless the record names another ID that was asked for."""
    hits: list[_Hit] = []
    for key, entry in islice(value.items(), _ENTRIES):
        id_ = naming(key)
        if id_ is not None and isinstance(entry, dict):
            hits += _search(entry, naming, id_, depth - 1) or [(id_, entry)]
    return hits


# ---- its word for the state ---------------------------------------------------------------------------------------
def state_word(record: Record, taught: Taught = NONE_TAUGHT) -> str | None:
    """The record's word for its state, as text: the first that means something, else the first text, else a number.

    If it has none, the first word that means something in an object that may have it.
    """
    words = [(name, word) for name in STATE_FIELDS if name in record and (word := text_of(record[name])) is not None]
    if len(words) > 1:
        for _, word in words:
            if _means_something(word, taught):
                return word
    for name, word in words:
        if isinstance(record[name], str):
            return word
    return words[0][1] if words else _inner_word(record, taught)


def _inner_word(record: Record, taught: Taught) -> str | None:
    for name in _STATE_WITHIN:
        if isinstance(inner := record.get(name), dict):
            for word in map(inner.get, STATE_FIELDS):
                if isinstance(word, str) and _means_something(word, taught) and key_of(word) not in _OF_REQUESTS:
                    return word
    return None


def _means_something(word: str, taught: Taught) -> bool:
    key, state = meaning(word, taught)
    return state is not None or key in NOT_THERE

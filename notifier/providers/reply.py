"""Reads replies without a documented shape: what each ID's state is, or which error the reply is. Pure.

Shared by the codecs. It owns what a record says of its ID, and what a status code means. `records` finds the records,
`state_words` says what words mean, `result_fields` finds results and reasons; which routes there are the codec says.

Readings that no documentation settles, and why:
- A record without a word for its state that has a result, no error, and does not say that it is still running, is
  *completed*, once two polls in a row show it so: a provider that never says a word would otherwise never be done.
- A record without such a word and without a result that shows other signs of a generation (a model, a date) is
  *running*, unmapped: it exists, and nothing says that it ended. A bare `{"id": …}` is absent: a reply that only
  repeats the question knows nothing. A number is no word unless `state_words:` has it: it may be an HTTP status.
- A word beside `data` or the like is the record's own, unless it is one that envelopes use of the request, or the
  record inside has its own: `{"status": "failed", "data": {"video_url": …}}` failed.
- A record that says that it is over, by `done: true` or by a word that does not say how, *failed* if it has an error.
- *Completed* without a result is believed at the third poll in a row: some APIs say so before the file is there.
- A word that envelopes use of the request (`error`, `fail`, `success`) is believed of a job only in a record that names
  its own ID or has a result. Elsewhere, and beside a `statusCode`, an error is an error object in place of an unknown
  ID's record: a failure that was sent by mistake could not be taken back.
- A 404 (or 400, 422) that no API wrote, a page or `Cannot GET /…`, says nothing of an ID: it is the provider's.
- A request about one ID that is answered 413 or 414 cannot be split; the operator's base_url is wrong, not the ID.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from notifier.domain.errors import BatchRejected, ProviderBusy, ProviderRefused
from notifier.domain.ids import GenerationId
from notifier.domain.model import Observation, Result, State
from notifier.providers.base import PollRequest, Reply
from notifier.providers.records import STATE_FIELDS, Naming, find_records, names_an_id, state_word
from notifier.providers.reply_text import can_be_written, read_json, try_json, what_else
from notifier.providers.result_fields import (
    Record,
    failure_of,
    leads_to_a_file,
    names,
    results_of,
    says_unfinished,
    says_wrong,
)
from notifier.providers.state_words import (
    LONGEST,
    NO_RESULT,
    NO_WORD,
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

#: Fields that are true in a record that is over.
_OVER_FIELDS: Final = ("done", "completed", "finished")
#: Any of these beside the ID shows that there is a generation.
_SIGNS: Final = names("""
    assets video video_url audio_file created_at generation_type model request meta failure_reason
""")
_OK, _MOVED, _BROKEN = 200, 300, 500


# ---- what it says of each ID --------------------------------------------------------------------------------------
def observe(
    request: PollRequest,
    reply: Reply,
    taught: Taught,
    *,
    text_of_result: Callable[[Record], str | None] = lambda _: None,
    naming: Naming | None = None,
) -> list[Observation]:
    """One observation for each ID asked; of an ID that the reply repeats, the one that says most.

    `taught` are the words that the settings add, `naming` is as in `find_records`, `text_of_result` gives a result that
    is text. Raises as `Codec.decode` does.
    """
    best: dict[GenerationId, Observation] = {}
    if not _is_missing(request, reply):
        value = read_json(reply.body, request.ids)
        shown = can_be_written(value)
        for id_, record in find_records(value, request.ids, lone=not request.batch, naming=naming):
            urls = results_of(record)
            result = Result(url=urls[0] if urls else None, urls=urls, text=text_of_result(record))
            seen = _observation(id_, record, taught, result)
            if seen is not None and (id_ not in best or _merit(seen) > _merit(best[id_])):
                best[id_] = seen if shown or can_be_written(record) else replace(seen, record=None)
    return [best.get(id_) or Observation(id=id_, state=None) for id_ in request.ids]


def _merit(seen: Observation) -> tuple[bool, int, bool, bool]:
    assert seen.state is not None, "only what is not absent is compared"
    return seen.provider_state is not None, seen.state.rank, not seen.unmapped, seen.result.url is not None


def _observation(id_: GenerationId, record: Record, taught: Taught, result: Result) -> Observation | None:
    """What the record says of the ID; None if it says that it is not there."""
    word = state_word(record, taught)
    key, state = meaning(word, taught) if word is not None else ("", None)
    if state is None and (word is None or key in OVER or not _is_text(record, word)):
        return _without_word(id_, record, word, result)
    assert word is not None, "a word that means something is there"
    if _is_absence(key, state, record, taught):
        return None
    empty = result.url is None and result.text is None
    if empty and key in OF_A_REQUEST and key not in taught and not names_an_id(record):
        state = None
    confirmations = NO_RESULT if empty and state is State.COMPLETED else 1
    return _observed(id_, record, word, state, result, confirmations=confirmations)


def _is_text(record: Record, word: str) -> bool:
    """Whether the value that `word` was read from is text."""
    return isinstance(next((value for field in STATE_FIELDS if text_of(value := record.get(field)) == word), word), str)


def _without_word(id_: GenerationId, record: Record, word: str | None, result: Result) -> Observation | None:
    """The same if `word` is None, a number that `state_words:` does not have, or does not say how it ended."""
    code = record.get("statusCode")
    wrong = says_wrong(record) or (isinstance(code, int) and code != 0 and not _OK <= code < _MOVED)
    if not wrong and not says_unfinished(record) and leads_to_a_file(record):
        return _observed(id_, record, None, State.COMPLETED, result, confirmations=NO_WORD)
    done = any(record.get(field) is True for field in _OVER_FIELDS)
    over = word is not None and key_of(word) in OVER
    if (over or done) and wrong:
        return _observed(id_, record, word, State.FAILED, result)
    if done:
        return _observed(id_, record, word, State.COMPLETED, result, confirmations=NO_RESULT)
    goes_on = any(record.get(field) is False for field in _OVER_FIELDS) and not wrong
    if not (over or goes_on) and (_is_error(record) or not any(record.get(field) is not None for field in _SIGNS)):
        return None
    return _observed(id_, record, word, None, result)


def _observed(
    id_: GenerationId, record: Record, word: str | None, state: State | None, result: Result, *, confirmations: int = 1
) -> Observation:
    model = record.get("model")
    return Observation(
        id=id_,
        state=state or State.RUNNING,
        provider_state=None if word is None else printable(word.strip(), LONGEST),
        unmapped=state is None,
        confirmations=confirmations,
        result=result,
        failure=failure_of(record, failed=state is State.FAILED),
        # As the record says, or behind the colon of its ID.
        model=model if isinstance(model, str) and model else id_.partition(":")[2] or None,
        created_at=_created_at(record),
        record=record,
    )


def _created_at(record: Record) -> datetime | None:
    """When it was submitted; None if the record does not say, or not in a form that can be believed."""
    text = record.get("created_at")
    if not isinstance(text, str):
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def _is_absence(key: str, state: State | None, record: Record, taught: Taught) -> bool:
    """Whether the record says that its ID is not there, by the readings in this module's header."""
    if key in taught:
        return False
    named = names_an_id(record)
    if key == "error":
        return "statusCode" in record or not named
    if key in OF_AN_ERROR:
        return "statusCode" in record or (not named and _is_error(record))
    return state is None and (key in NOT_THERE or (not named and _is_error(record)))


def _is_error(record: Record) -> bool:
    """Whether an object without a state word is an error in a record's place."""
    return any(record.get(field) not in (None, "") for field in ("statusCode", "error", "message", "errors"))


# ---- what its status says ------------------------------------------------------------------------------------------
def _is_missing(request: PollRequest, reply: Reply) -> bool:
    """False if the reply has records to read; True if the one ID asked is not there; else the error is raised."""
    status = reply.status
    if _OK <= status < _MOVED:
        return False
    said = message_of(reply.body)
    said = f": {said}{'' if said[-1:] in '.!?…' else '.'}" if said else "."
    answered = f"The provider answered {status}{said}"
    if status in (408, 425, 429) or status >= _BROKEN or status < _OK:
        overloaded, any_id = status in _TOO_MUCH, status == _THROTTLED
        raise ProviderBusy(answered, retry_after=reply.retry_after, overloaded=overloaded, any_id=any_id)
    if status in _FIX:
        # 403 may speak of one ID: of another account's, or of one that a filter took away.
        raise ProviderRefused(answered, fix=_FIX[status], any_id=status != _FORBIDDEN)
    if status in (400, 404, 422):
        instead = what_else(reply.body)
        if request.batch:
            said = f", {instead}." if instead else said
            what = f"The provider refused {len(request.ids)} IDs with {status}{said}"
            raise BatchRejected(what, status=status, foreign=bool(instead))
        if instead:
            raise ProviderRefused(f"The provider answered {status}, {instead}: {_NO_API}")
        return True
    if status in (413, 414) and request.batch:
        what = f"{len(request.ids)} IDs are too many for the provider: {status}{said}"
        raise BatchRejected(what, status=status, too_large=True)
    raise ProviderRefused(answered, fix="Check this provider's kind and base_url.")


#: Mostly the base_url is wrong then. But one ID alone may lead a gateway astray, so `any_id` stays off.
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


def message_of(body: bytes) -> str:
    """What an error body says, as one short printable line; empty if it says nothing that can be read."""
    value = try_json(body)
    if not isinstance(value, dict):
        return ""
    text = value.get("message")
    if isinstance(text, list):
        text = "; ".join(entry for entry in text[:20] if isinstance(entry, str))
    said = text if isinstance(text, str) and text.strip() else failure_of(value)
    return printable(said.strip(), 200) if said else ""

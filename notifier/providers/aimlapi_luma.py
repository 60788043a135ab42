"""Codec of AIMLAPI's Luma API: one route for one ID, one for many. Pure.

Owns the routes, the words for states and what each status code means. What the documentation leaves open is accepted in
every form; the shapes are found by `lenient`. A look never sends `state`: with it the server would hold the request for
up to 30 seconds, and a sweep must answer at once.

Three readings that the documentation does not settle, and why:
- A record without a state word that shows other signs of a generation (assets, a model, a date) is *running*, unmapped:
  it exists, and nothing says that it ended. A bare `{"id": …}` is absent: who only repeats the question knows nothing.
- `error` is the sister API's word for failed. It is taken so only in a record that names its own ID; elsewhere, and
  beside a `statusCode`, it is an error object in an unknown ID's place: a failure we made up could not be taken back.
- A single ID that is answered 413 or 414 cannot be split; the operator's base_url is wrong, not the ID.
"""

from collections.abc import Iterator, Sequence
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import quote

from notifier.errors import BatchRejected, ProviderBusy, ProviderRefused
from notifier.ids import GenerationId
from notifier.intake.text import printable
from notifier.model import Observation, Result, State
from notifier.providers.base import Ask, Reply
from notifier.providers.lenient import (
    ID_FIELDS,
    Record,
    can_be_written,
    failure_of,
    find_records,
    fold_uuid,
    is_error,
    message_of,
    read_json,
    state_word,
    urls_of,
)
from notifier.settings import ProviderSettings

_OK, _MOVED, _BROKEN = 200, 300, 500
SINGLE_ROUTE: Final = "/v2/generate/video/luma-ai/generation?generation_id="
MULTI_ROUTE: Final = "/v2/generate/video/luma-ai/generations?"
_ARRAY: Final = "generation_ids%5B%5D="
_COMMA: Final = "generation_ids="

_WORDS: Final = {
    "queued": State.QUEUED,
    "dreaming": State.RUNNING,
    "completed": State.COMPLETED,
    "failed": State.FAILED,
}
#: Words that the universal video endpoint has shown for the same jobs; read, but not offered to users.
_SYNONYMS: Final = {
    "waiting": State.QUEUED,
    "pending": State.QUEUED,
    "running": State.RUNNING,
    "generating": State.RUNNING,
    "processing": State.RUNNING,
    "active": State.RUNNING,
    "succeeded": State.COMPLETED,
    "error": State.FAILED,
}
_READ: Final = MappingProxyType(_WORDS | _SYNONYMS)
#: Words that say the ID is not known there.
_NOT_THERE: Final = frozenset({"not_found", "not found", "notfound"})
#: Any of these beside the ID shows that there is a generation.
_SIGNS: Final = ("assets", "video", "video_url", "created_at", "generation_type", "model", "request", "failure_reason")


class AimlapiLuma:
    """`kind: aimlapi-luma`."""

    kind = "aimlapi-luma"
    base_url = "https://api.aimlapi.com"
    multi = True

    def __init__(self) -> None:
        self.words = dict(_WORDS)

    def normalise_id(self, text: str) -> GenerationId:
        if "," in text:
            raise ValueError("An ID of this provider cannot hold a comma. Write one ID for each generation.")
        return GenerationId(fold_uuid(text))

    def sweep(self, ids: Sequence[GenerationId], settings: ProviderSettings) -> Ask:
        parts = [quote(id_, safe="") for id_ in ids]
        query = _COMMA + ",".join(parts) if settings.ids_as == "comma" else "&".join(_ARRAY + part for part in parts)
        return Ask(ids=tuple(ids), url=_base(settings) + MULTI_ROUTE + query, multi=True)

    def single(self, id_: GenerationId, settings: ProviderSettings) -> Ask:
        return Ask(ids=(id_,), url=_base(settings) + SINGLE_ROUTE + quote(id_, safe=""), multi=False)

    def fit(self, ids: Sequence[GenerationId], settings: ProviderSettings) -> int:
        comma = settings.ids_as == "comma"
        length = len(_base(settings).encode()) + len(MULTI_ROUTE) + (len(_COMMA) if comma else 0)
        # What joins two IDs is counted with each; the first has none.
        each = 1 if comma else len(_ARRAY) + 1
        room = settings.max_url - length + 1
        for count, id_ in enumerate(ids[: settings.max_ids]):
            room -= each + len(quote(id_, safe=""))
            if room < 0:
                return max(1, count)
        return max(1, min(len(ids), settings.max_ids))

    def decode(self, ask: Ask, reply: Reply) -> list[Observation]:
        if not _OK <= reply.status < _MOVED:
            return _refusal(ask, reply)
        value = read_json(reply.body)
        if not (value is None or isinstance(value, dict | list)):
            raise ProviderBusy("The provider's reply is JSON, but neither an object nor a list.")
        return _observe(ask, value)


def _base(settings: ProviderSettings) -> str:
    return settings.base_url.rstrip("/")


# ---- a reply with records -----------------------------------------------------------------------------------------
def _observe(ask: Ask, value: Any) -> list[Observation]:
    """One observation for each ID asked; of a repeated ID the one furthest along."""
    best: dict[GenerationId, Observation] = {}
    shown = can_be_written(value)
    for id_, record in find_records(value, ask.ids, lone=not ask.multi):
        seen = _read(id_, record, shown=shown or can_be_written(record))
        if seen is not None and (id_ not in best or _merit(seen) > _merit(best[id_])):
            best[id_] = seen
    return [best.get(id_) or Observation(id=id_, state=None) for id_ in ask.ids]


def _merit(seen: Observation) -> tuple[int, bool, bool]:
    assert seen.state is not None, "only what is not absent is compared"
    return seen.state.rank, not seen.unmapped, seen.result.url is not None


def _read(id_: GenerationId, record: Record, *, shown: bool) -> Observation | None:
    """What one record says; None where it says that the ID is not there. `shown`: it can be written as JSON again."""
    word = state_word(record, _READ)
    key = "" if word is None else word.strip().lower()
    if _is_absence(key, record):
        return None
    urls = urls_of(_urls(record))
    return Observation(
        id=id_,
        state=_READ.get(key, State.RUNNING),
        provider_state=None if word is None else printable(word.strip(), 100),
        unmapped=key not in _READ,
        result=Result(url=urls[0], urls=urls) if urls else _NOTHING,
        failure=failure_of(record),
        record=record if shown else None,
    )


_NOTHING: Final = Result()


def _is_absence(key: str, record: Record) -> bool:
    """By the readings in this module's header."""
    if not key:
        return is_error(record) or not any(record.get(field) is not None for field in _SIGNS)
    if key in _READ and key != "error":
        return False
    named = any(field in record for field in ID_FIELDS)
    if key == "error":
        return "statusCode" in record or not named
    return key in _NOT_THERE or (not named and is_error(record))


def _urls(record: Record) -> Iterator[Any]:
    """Where a result may stand, the best place first."""
    assets = record.get("assets")
    assets = assets if isinstance(assets, dict) else {}
    yield assets.get("video")
    video = record.get("video")
    for entry in video[:100] if isinstance(video, list) else (video,):
        yield entry.get("url") if isinstance(entry, dict) else entry
    yield record.get("video_url")
    yield assets.get("image")


# ---- a reply without ----------------------------------------------------------------------------------------------
def _refusal(ask: Ask, reply: Reply) -> list[Observation]:
    """What a status code other than 2xx comes to: the error to raise, or absence for a single ID."""
    status = reply.status
    said = _said(reply)
    if status in (408, 425, 429) or status >= _BROKEN or status < _OK:
        raise ProviderBusy(f"The provider answered {status}{said}", retry_after=reply.retry_after)
    if status in (401, 402, 403):
        raise ProviderRefused(f"The provider answered {status}{said} {_FIX[status]}")
    if status in (400, 404, 422):
        if not ask.multi:
            return [Observation(id=id_, state=None) for id_ in ask.ids]
        raise BatchRejected(f"The provider refused {len(ask.ids)} IDs with {status}{said}", status=status)
    if status in (413, 414) and ask.multi:
        raise BatchRejected(
            f"{len(ask.ids)} IDs are too many for the provider: {status}{said}", status=status, too_large=True
        )
    raise ProviderRefused(f"The provider answered {status}{said} Check this provider's kind and base_url.")


_FIX: Final = {
    401: "Check this provider's api_key.",
    402: "The account is out of credits: top it up at the provider.",
    403: "The account is out of credits, or the api_key may not use this API: see the account at the provider.",
}


def _said(reply: Reply) -> str:
    """The provider's own words, to stand after a status code, and the end of the sentence."""
    text = message_of(reply.body)
    return f": {text}{'' if text[-1:] in '.!?…' else '.'}" if text else "."

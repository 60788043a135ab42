"""Codec of AIMLAPI's Luma API: one route for one ID, one for many. Pure.

Owns the routes, and the words that are sent. What the documentation leaves open is accepted in every form: shapes,
words, places and status codes are read by `lenient`. A look never sends `state`: with it the
server holds the request for up to 30 seconds, and a sweep must answer at once. A hold sends it, under each name that
`long_poll_single_as` and `long_poll_multi_as` list: sources disagree on what the multi route calls it.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Final
from urllib.parse import quote

from notifier.domain.ids import GenerationId
from notifier.domain.model import Observation, Result, State
from notifier.domain.settings import ProviderSettings
from notifier.providers.base import Ask, Reply
from notifier.providers.reply import fold_uuid, is_refused, observe
from notifier.providers.reply_text import read_json
from notifier.providers.result_fields import Record, results_of
from notifier.providers.state_words import NONE_TAUGHT, Taught

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
#: What is sent for our words.
_SENT: Final = {state: word for word, state in _WORDS.items()}
#: `&`, `=` and the longest of the words sent.
_LONGEST_WAIT: Final = 2 + max(map(len, _WORDS))
#: Text that is sent as it is.
_PLAIN: Final = re.compile(r"[A-Za-z0-9_.~-]+")


class AimlapiLuma:
    """`kind: aimlapi-luma`."""

    kind = "aimlapi-luma"
    base_url = "https://api.aimlapi.com"
    routes: tuple[str, ...] = (SINGLE_ROUTE, MULTI_ROUTE)
    multi = True
    patience = 30.0

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

    def hold(self, ids: Sequence[GenerationId], target: State, settings: ProviderSettings) -> Ask:
        look = self.single(ids[0], settings) if len(ids) == 1 else self.sweep(ids, settings)
        names = settings.long_poll_single_as if len(ids) == 1 else settings.long_poll_multi_as
        waits = "".join(f"&{name}={_SENT[target]}" for name in names)
        return replace(look, url=look.url + waits, patience=self.patience)

    def fit(self, ids: Sequence[GenerationId], settings: ProviderSettings, *, hold: bool = False) -> int:
        comma = settings.ids_as == "comma"
        length = len(_base(settings).encode()) + len(MULTI_ROUTE) + (len(_COMMA) if comma else 0)
        length += sum(len(name) + _LONGEST_WAIT for name in settings.long_poll_multi_as) if hold else 0
        # What joins two IDs is counted with each; the first has none.
        each = 1 if comma else len(_ARRAY) + 1
        room = settings.max_url - length + 1
        most = min(len(ids), settings.max_ids)
        joined = "".join(ids[:most])
        if _PLAIN.fullmatch(joined) and len(joined) + most * each <= room:  # mostly: uuids, and they fit
            return max(1, most)
        for count, id_ in enumerate(ids[: settings.max_ids]):
            room -= each + len(quote(id_, safe=""))
            if room < 0:
                return max(1, count)
        return max(1, min(len(ids), settings.max_ids))

    def decode(self, ask: Ask, reply: Reply, taught: Taught = NONE_TAUGHT) -> list[Observation]:
        missing = is_refused(
            reply.status, reply.body, asked=len(ask.ids), multi=ask.multi, retry_after=reply.retry_after
        )
        value = None if missing else read_json(reply.body, ask.ids)
        return observe(value, ask.ids, lone=not ask.multi, taught=taught, result_of=_result)


def _base(settings: ProviderSettings) -> str:
    return settings.base_url.rstrip("/")


_NOTHING: Final = Result()


def _result(record: Record) -> Result:
    urls = results_of(record)
    return Result(url=urls[0], urls=urls) if urls else _NOTHING

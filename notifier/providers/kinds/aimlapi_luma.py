"""Codec of AIMLAPI's Luma API: one route for one ID, one for many. Pure.

Owns the routes, and the words that are sent. What the documentation leaves open is accepted in every form: shapes,
words, fields and status codes are read by `providers.reply`. Only a long-poll sends `state`, because with it the server
keeps the request for up to 30 seconds. It is sent under each name that `long_poll_single_as` and `long_poll_multi_as`
list: sources disagree on what the batch route calls it.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Final
from urllib.parse import quote

from notifier.domain.ids import GenerationId
from notifier.domain.model import Observation, State
from notifier.domain.settings import ProviderSettings
from notifier.providers.base import Capabilities, Codec, PollRequest, Reply
from notifier.providers.records import fold_uuid
from notifier.providers.reply import observe
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
#: Seconds that the server keeps a request with `state`.
_PATIENCE: Final = 30.0
#: `&`, `=` and the longest of the words sent.
_LONGEST_WAIT: Final = 2 + max(map(len, _WORDS))
#: Text that is sent as it is.
_PLAIN: Final = re.compile(r"[A-Za-z0-9_.~-]+")


class AimlapiLuma(Codec):
    """`kind: aimlapi-luma`."""

    kind = "aimlapi-luma"
    base_url = "https://api.aimlapi.com"
    routes: tuple[str, ...] = (SINGLE_ROUTE, MULTI_ROUTE)
    words = _WORDS
    #: The API names no limit for a batch: as many as `max_ids` may say.
    capabilities = Capabilities(batch=1_000, long_poll=_PATIENCE)
    options = frozenset({"ids_as", "long_poll_single_as", "long_poll_multi_as"})

    def normalise_id(self, text: str) -> GenerationId:
        if "," in text:
            raise ValueError("An ID of this provider cannot hold a comma. Write one ID for each generation.")
        return GenerationId(fold_uuid(text))

    def poll(self, id_: GenerationId, settings: ProviderSettings) -> PollRequest:
        return PollRequest(ids=(id_,), url=_base(settings) + SINGLE_ROUTE + quote(id_, safe=""), batch=False)

    def batch_poll(self, ids: Sequence[GenerationId], settings: ProviderSettings) -> PollRequest:
        parts = [quote(id_, safe="") for id_ in ids]
        query = _COMMA + ",".join(parts) if settings.ids_as == "comma" else "&".join(_ARRAY + part for part in parts)
        return PollRequest(ids=tuple(ids), url=_base(settings) + MULTI_ROUTE + query, batch=True)

    def long_poll(self, ids: Sequence[GenerationId], target: State, settings: ProviderSettings) -> PollRequest:
        at_once = self.poll(ids[0], settings) if len(ids) == 1 else self.batch_poll(ids, settings)
        names = settings.long_poll_single_as if len(ids) == 1 else settings.long_poll_multi_as
        waits = "".join(f"&{name}={_SENT[target]}" for name in names)
        return replace(at_once, url=at_once.url + waits, patience=_PATIENCE)

    def fit(self, ids: Sequence[GenerationId], settings: ProviderSettings, *, long_poll: bool = False) -> int:
        comma = settings.ids_as == "comma"
        length = len(_base(settings).encode()) + len(MULTI_ROUTE) + (len(_COMMA) if comma else 0)
        length += sum(len(name) + _LONGEST_WAIT for name in settings.long_poll_multi_as) if long_poll else 0
        # The separator is counted with each ID; the first has none.
        each = 1 if comma else len(_ARRAY) + 1
        room = settings.max_url - length + 1
        most = min(len(ids), settings.max_ids)
        joined = "".join(ids[:most])
        if _PLAIN.fullmatch(joined) and len(joined) + most * each <= room:  # the usual case: uuids, and they fit
            return max(1, most)
        for count, id_ in enumerate(ids[:most]):
            room -= each + len(quote(id_, safe=""))
            if room < 0:
                return max(1, count)
        return max(1, most)

    def decode(self, request: PollRequest, reply: Reply, taught: Taught = NONE_TAUGHT) -> list[Observation]:
        return observe(request, reply, taught)


def _base(settings: ProviderSettings) -> str:
    return settings.base_url.rstrip("/")

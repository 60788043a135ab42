"""Codec of AIMLAPI's universal video endpoint: one route, one ID a request, an answer at once. Pure.

Owns the route, the words that users may write and what an ID is here. Shapes, words, fields and status codes are read
by `providers.reply`. The documentation has four words; samples show more, and failure is `error`, not `failed`: a
client that waits for `failed` alone waits for ever. Audio and speech-to-text share the envelope; the spoken words are
the result's text.

An ID is opaque, and need not be a uuid: `60ac7c34-…:luma/ray-2`, `349872201343396:minimax/hailuo-2.3-fast`,
`-G3b3vVKdoC42fMNeK1T5`. So:
- It is sent percent-encoded as a whole, a comma included: there is no list here that a comma could divide.
- Its case counts, because IDs as random as the last one may differ by case alone. Only a text that is a whole uuid is
  folded: a uuid has no case, and two spellings would be two generations to us, each with its callback.
- A reply may leave out the `:model` that the request had, or add one that it had not: the request was about one ID, and
  the same text up to the colon is that ID. A record that names anything else is another's, even if it is the only one:
  a wrong result that was sent could not be taken back. `generation.unknown` or the watch's expiry reports a missed
  result.
"""

from functools import partial
from typing import Final
from urllib.parse import quote

from notifier.domain.ids import GenerationId
from notifier.domain.model import Observation, State
from notifier.domain.settings import ProviderSettings
from notifier.providers.base import Capabilities, Codec, PollRequest, Reply
from notifier.providers.records import fold_uuid
from notifier.providers.reply import observe
from notifier.providers.result_fields import Record
from notifier.providers.state_words import NONE_TAUGHT, Taught

ROUTE: Final = "/v2/video/generations?generation_id="
#: Longest text that is passed on, characters. A longer one is cut: a body holds less, and says that it does.
TEXT_LIMIT: Final = 16_384

_WORDS: Final = {
    "queued": State.QUEUED,
    "generating": State.RUNNING,
    "completed": State.COMPLETED,
    "error": State.FAILED,
}


class AimlapiVideo(Codec):
    """`kind: aimlapi-video`."""

    kind = "aimlapi-video"
    base_url = "https://api.aimlapi.com"
    routes: tuple[str, ...] = (ROUTE,)
    words = _WORDS
    capabilities = Capabilities()
    options = frozenset[str]()

    def normalise_id(self, text: str) -> GenerationId:
        return GenerationId(fold_uuid(text))

    def poll(self, id_: GenerationId, settings: ProviderSettings) -> PollRequest:
        url = settings.base_url.rstrip("/") + ROUTE + quote(id_, safe="")
        return PollRequest(ids=(id_,), url=url, batch=False)

    def decode(self, request: PollRequest, reply: Reply, taught: Taught = NONE_TAUGHT) -> list[Observation]:
        return observe(request, reply, taught, text_of_result=_text, naming=partial(_naming, request.ids[0]))


def _naming(asked: GenerationId, text: str) -> GenerationId | None:
    """By the third rule of this module's header."""
    same = fold_uuid(text) == asked or asked.startswith(f"{text}:") or text.startswith(f"{asked}:")
    return asked if same else None


def _text(record: Record) -> str | None:
    text = record.get("output")
    return text[:TEXT_LIMIT] if isinstance(text, str) and text.strip() else None

"""Replies of providers: whatever the bytes and the status, exactly one observation for each ID asked, or an error."""

from pathlib import Path

import orjson
import yaml
from hypothesis import strategies as st

from notifier.domain.errors import BatchRejected, ProviderBusy, ProviderRefused
from notifier.domain.ids import GenerationId, ProviderName
from notifier.domain.model import State
from notifier.domain.settings import ProviderSettings, Secret
from notifier.providers.base import Codec, Reply
from notifier.providers.catalogue import KINDS
from tests.support.bounds import LARGEST, PATIENCE, bounded, fuzzed, mutated

pytestmark = PATIENCE

IDS = [GenerationId(name) for name in ("A", "B", "755f9bbb-d99b-4880-992b-f05244ddba61", "60ac:luma/ray-2")]
REPLIES = Path(__file__).parents[1] / "contract" / "replies"
SEEDS = [case["body"].encode() for kind in KINDS for case in yaml.safe_load((REPLIES / f"{kind}.yaml").read_text())]
TOKENS = [
    *(
        token.encode()
        for token in ("{", "}", "[", "]", '"', ",", ":", "null", "true", "1e999", "-0", "9" * 30, "\\ud800")
    ),
    *(
        f'"{token}":'.encode()
        for token in ("id", "generation_id", "state", "status", "data", "items", "error", "A", "B")
    ),
    *(
        f'"{token}"'.encode()
        for token in ("A", "B", "completed", "error", "not_found", "https://x/y", "\x1b[31m", "\u202e")
    ),
    *(f'{{"id":"{id_}","state":"completed"}},'.encode() for id_ in IDS),
    b'{"data":',
    b"{},",
    b"[[",
    b"\xff",
    b"\xef\xbb\xbf",
    b"<html>",
]
STATUSES = st.one_of(st.just(200), st.just(200), st.integers(-1, 999))


def settings_of(codec: Codec) -> ProviderSettings:
    return ProviderSettings(name=ProviderName("p"), kind=codec.kind, base_url=codec.base_url, api_key=Secret("k" * 20))


@fuzzed(st.sampled_from(sorted(KINDS)), st.integers(1, 4), STATUSES, mutated(SEEDS, TOKENS), examples=600)
def test_any_reply_is_observations_or_an_error(kind: str, count: int, status: int, body: bytes) -> None:
    """In the order asked, each kept to the rules of an observation; errors are one printable line."""
    codec = KINDS[kind]
    settings = settings_of(codec)
    ids = IDS[: count if codec.capabilities.batch else 1]
    ask = codec.batch_poll(ids, settings) if len(ids) > 1 else codec.poll(ids[0], settings)
    reply = Reply(status=status, body=bytes(body))
    try:
        observations = bounded(len(body), lambda: codec.decode(ask, reply))
    except (ProviderBusy, ProviderRefused, BatchRejected) as error:
        assert str(error).isprintable()
        assert len(str(error)) < 500
        return
    assert [seen.id for seen in observations] == ids
    for seen in observations:
        assert seen.state is None or seen.state in State
        assert not seen.absent or (seen.result.url, seen.failure, seen.record) == (None, None, None)
        assert len(orjson.dumps(seen.record)) <= 6 * LARGEST
        assert all(len(url) <= 4_096 and url.lower().startswith("http") for url in seen.result.urls)
        for text in (seen.provider_state, seen.failure):
            assert text is None or text.isprintable()

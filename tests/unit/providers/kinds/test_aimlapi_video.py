"""What is read out of a record of the universal video endpoint."""

from typing import Any

import orjson
import pytest

from notifier.domain import message
from notifier.domain.ids import GenerationId, ProviderName
from notifier.domain.model import Observation
from notifier.domain.settings import ProviderSettings, Secret
from notifier.providers.base import Reply
from notifier.providers.kinds.aimlapi_video import TEXT_LIMIT, AimlapiVideo

SETTINGS = ProviderSettings(
    name=ProviderName("p"), kind="aimlapi-video", base_url="https://api.test/", api_key=Secret("k")
)


def seen(**fields: Any) -> Observation:
    video = AimlapiVideo()
    body = orjson.dumps({"id": "a", "status": "completed", **fields})
    return video.decode(video.poll(GenerationId("a"), SETTINGS), Reply(status=200, body=body))[0]


@pytest.mark.parametrize(
    ("fields", "urls"),
    [
        ({"video": {"url": "https://x/u"}}, ["https://x/u"]),
        ({"video": "https://x/s"}, ["https://x/s"]),
        ({"video": ["https://x/0", {"url": "https://x/1"}, None, 7]}, ["https://x/0", "https://x/1"]),
        ({"video": [{"url": "https://x/0"}, {"url": "https://x/0"}]}, ["https://x/0"]),
        ({"audio_file": {"url": "https://x/a", "file_name": "a.wav"}}, ["https://x/a"]),
        ({"audio_file": "https://x/a"}, ["https://x/a"]),
        ({"video": {"url": "https://x/u"}, "audio_file": {"url": "https://x/a"}}, ["https://x/u", "https://x/a"]),
        ({"video": None, "video_url": "https://x/w"}, ["https://x/w"]),
        ({"video": {"url": "javascript:alert(1)"}, "audio_file": [[]]}, []),
        ({"video": {"url": None}, "audio_file": None}, []),
        ({"output": "https://x/text"}, ["https://x/text"]),
        ({"assets": {"video": "https://x/v"}}, ["https://x/v"]),
    ],
)
def test_a_video_or_an_audio_file_is_found_however_it_is_written(fields: dict[str, Any], urls: list[str]) -> None:
    """An object with a URL, a text, or a list of either, in any of the places; the video first, each once."""
    result = seen(**fields).result
    assert (result.url, result.urls) == (urls[0] if urls else None, tuple(urls))


@pytest.mark.parametrize(
    ("output", "text"),
    [
        ("So it was said.", "So it was said."),
        (" two\nlines ", " two\nlines "),
        ("  ", None),
        ({"text": "inside"}, None),
        (["a"], None),
        (None, None),
        ("x" * TEXT_LIMIT, "x" * TEXT_LIMIT),
        ("x" * TEXT_LIMIT + "y", "x" * TEXT_LIMIT),
    ],
)
def test_what_was_said_is_the_text_of_the_result(output: Any, text: str | None) -> None:
    """Untouched; beyond the limit it is cut, and stays longer than what a body holds, so that the body says so."""
    assert TEXT_LIMIT > message.TEXT_LIMIT
    assert seen(output=output).result.text == text


@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_batch_poll_is_a_mistake(count: int) -> None:
    """No ID is dropped in silence."""
    with pytest.raises(ValueError, match="has no batch polls"):
        AimlapiVideo().batch_poll([GenerationId("a")] * count, SETTINGS)

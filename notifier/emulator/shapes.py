"""What replies look like: one record in each form, many of them in each shape and order, and the error envelope. Pure.

The documents leave the multi reply open, so each reading of them is here to be chosen; a client that matches IDs by
position, or takes one shape for granted, fails against at least one of them.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from notifier.domain.model import State
from notifier.domain.times import iso
from notifier.emulator.generations import WORDS, failure_reason
from notifier.emulator.random_draws import draw
from notifier.emulator.settings import Order, RecordForm, Shape, Unknown

BAD_GATEWAY: Final = b"<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n<hr><center>cloudflare</center>\r\n</body>\r\n</html>\r\n"  # noqa: E501  one page as a gateway sends it

_VIDEOS: Final = "https://storage.example.com/emulator"


def record(
    form: RecordForm, id_: str, state: State, *, created_at: str, request: Mapping[str, Any], seed: int
) -> dict[str, Any]:
    """One generation as `form` writes it."""
    video = f"{_VIDEOS}/{id_}.mp4" if state is State.COMPLETED else None
    failure = failure_reason(seed, id_) if state is State.FAILED else None
    if form is RecordForm.LUMA:
        return _luma(id_, WORDS[state], created_at, request, video=video, failure=failure)
    if form is RecordForm.LEGACY:
        return {"id": id_, "state": WORDS[state], "created_at": created_at, "video_url": video, "error": failure}
    error = None if failure is None else {"name": "GenerationError", "message": failure}
    return {
        "id": id_,
        "status": WORDS[state],
        "video": None if video is None else {"url": video},
        "error": error,
        "meta": {"usage": {"credits_used": 120_000}},
    }


def _luma(
    id_: str, word: str, created_at: str, request: Mapping[str, Any], *, video: str | None, failure: str | None
) -> dict[str, Any]:
    return {
        "id": id_,
        "generation_type": "video",
        "state": word,
        "failure_reason": failure,
        "created_at": created_at,
        "assets": None if video is None else {"video": video, "image": None, "progress_video": None},
        "model": request.get("model", "ray-2"),
        "request": request,
    }


def in_order(ids: Sequence[str], order: Order, *, seed: int, number: int) -> Sequence[str]:
    """The order in which the `number`-th request's IDs come back."""
    if order is Order.REVERSED:
        return ids[::-1]
    if order is Order.SHUFFLED:
        return sorted(ids, key=lambda id_: draw(seed, "order", number, id_))
    return ids


def multi_reply(shape: Shape, unknown: Unknown, records: Mapping[str, dict[str, Any] | None]) -> Any:
    """`records` in their order, as `shape` writes them; None is an ID that is not known."""
    shown = {
        id_: _stand_in(unknown, id_) if found is None else found
        for id_, found in records.items()
        if found is not None or unknown is not Unknown.OMIT
    }
    if shape is Shape.MAP:
        return shown
    listed = list(shown.values())
    if shape is Shape.ARRAY:
        return listed
    if shape is Shape.OBJECT:
        return listed[0] if len(records) == 1 and listed else listed
    return {shape.value: listed}


def _stand_in(unknown: Unknown, id_: str) -> dict[str, Any] | None:
    """What is in place of an unknown ID's record."""
    error = {"name": "NotFoundError", "message": "Generation not found"}
    if unknown is Unknown.ERROR:
        return {"id": id_, "error": error, "statusCode": 404}
    return {"error": error, "statusCode": 404} if unknown is Unknown.ANONYMOUS else None


def envelope(status: int, message: str, *, path: str, request_id: str, at: datetime) -> dict[str, Any]:
    """The API's error body."""
    return {
        "message": message,
        "path": path,
        "requestId": request_id,
        "statusCode": status,
        "timestamp": iso(at),
    }

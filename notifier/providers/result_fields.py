"""Finds in a record the results that were made, and why it failed, in the fields that APIs of this field use. Pure.

Rules for results:
- A video before audio, a file before an image, the record's own fields before those of something inside it. All that is
  found is passed on, each URL once.
- Inputs are no results, and neither are previews, covers and thumbnails: `request`, `input` and the like are not read.
- A URL is the whole of its text but for blanks around it: http(s), at most 4,096 characters. It is never fetched.

Rules for reasons: `failure_reason` and `error` are believed in any record. `message` and the like may say anything, so
they count only in a record that failed, and so does any field whose name speaks of an error. A value that has no text
in it is given as compact JSON, which is more than nothing.
"""

import re
from collections.abc import Iterable
from typing import Any, Final

import orjson

from notifier.text.printable import printable

Record = dict[str, Any]

#: Longest result URL that is passed on.
URL_LIMIT: Final = 4_096
#: Longest failure text that is passed on.
FAILURE_LIMIT: Final = 1_000
#: Entries of a list that are read.
_ENTRIES: Final = 100
#: Blanks that have no width.
_UNSEEN: Final = "\u200b\ufeff"
_URL: Final = re.compile(r"https?://[^\x00-\x20\x7f-\x9f\u2028\u2029]+", re.IGNORECASE)


def names(text: str) -> tuple[str, ...]:
    """Names of fields, written as one text, the best first."""
    return tuple(text.split())


class _Names:
    """Names of fields: the best first, and as a set, for a quick look at which of them a record has."""

    def __init__(self, text: str) -> None:
        self.ordered = names(text)
        self.any = frozenset(self.ordered)

    def in_(self, record: Record) -> Iterable[str]:
        """Those that the record has, the best first."""
        found = self.any.intersection(record)
        return found if len(found) < 2 else sorted(found, key=self.ordered.index)  # noqa: PLR2004  nothing to sort


#: What a record, or an object in it, calls a video or a sound.
_MEDIA: Final = _Names("""
    video videos video_url video_urls videoUrl videoUrls videoURL video_file videoFile final_video_url
    generated_video generated_videos generateVideoResponse download_url downloadUrl audio_file audio audio_url audioUrl
""")
#: What may be anything, so it counts only if there is nothing better.
_FILES: Final = _Names("""
    url urls uri result_url resultUrl output_url outputUrl file_url fileUrl file_urls media_url mediaUrl media_urls
    link links href src sample results files artifacts media creations
""")
_IMAGES: Final = _Names("image images image_url image_urls imageUrl generated_images")
#: What contains results in a record.
_WITHIN: Final = _Names("assets data content output outputs result results response task_result file")
_ANYWHERE: Final = _MEDIA.any | _FILES.any | _WITHIN.any
#: What one entry of a list, or an object in a field, calls its URL.
_LINK: Final = names("""
    url uri video_url videoUrl videoURL video download_url downloadUrl download href src sample generatedSamples
""")
#: What may lead to the record itself.
_OWN: Final = _Names("url uri link links href")
_DEPTH: Final = 4
#: The end of the path of a URL that leads to a file which was made, and not to a record of it.
_FILE: Final = re.compile(
    r"\.(?:mp4|m4v|mov|webm|mkv|avi|gif|png|jpe?g|webp|mp3|wav|ogg|flac|m4a|glb|zip)\Z", re.IGNORECASE
)


# ---- results ------------------------------------------------------------------------------------------------------
def results_of(record: Record) -> tuple[str, ...]:
    """Every result URL, the best first."""
    if _ANYWHERE.isdisjoint(record):
        return ()
    within = [value for name in _WITHIN.in_(record) if (value := record[name])]
    holders = [value for value in within if isinstance(value, dict)]
    # `assets`, where the first API that was supported has its results, comes before the record's own fields.
    first = holders[:1] if holders and holders[0] is record.get("assets") else []
    best = urls_of(_under(_MEDIA, [*first, record, *holders[len(first) :]]))
    rest = [link for value in within if not isinstance(value, dict) for link in _links(value, _DEPTH)]
    if not best:
        rest += _under(_FILES, [*holders, record])
    rest += _under(_IMAGES, holders)
    return urls_of([*best, *rest]) if rest else best


def leads_to_a_file(record: Record) -> bool:
    """Whether a URL in it is certainly a result. A bare `url` may be where the record itself is."""
    own = urls_of(_under(_OWN, [record]))
    return any(url not in own or _FILE.search(url.partition("?")[0]) for url in results_of(record))


def _under(fields: _Names, holders: Iterable[Record]) -> list[Any]:
    values = [value for holder in holders for name in fields.in_(holder) if (value := holder[name])]
    return [link for value in values for link in _links(value, _DEPTH)]


def _links(value: Any, depth: int) -> list[Any]:
    """What may be a URL in the value of one field: a text, an object's URL, or a list of either."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list) and depth:
        return [link for entry in value[:_ENTRIES] for link in _links(entry, depth - 1)]
    if isinstance(value, dict) and depth:
        return [link for name in _LINK for link in _links(value.get(name), depth - 1)]
    return []


def urls_of(candidates: Iterable[Any]) -> tuple[str, ...]:
    """Those that may be passed on, each once: http(s), at most 4,096 characters, no blanks or control characters."""
    texts = (text.strip().strip(_UNSEEN) for text in candidates if isinstance(text, str))
    return tuple(dict.fromkeys(text for text in texts if len(text) <= URL_LIMIT and _URL.fullmatch(text)))


def says_unfinished(record: Record) -> bool:
    """Whether it says, other than by a word for its state, that it is still running."""
    progress = record.get("progress")
    if isinstance(progress, int | float) and not isinstance(progress, bool) and progress < 100 and progress != 1:  # noqa: PLR2004  per cent, or a share of one
        return True
    return any(record.get(name) is False for name in ("done", "finished", "completed", "ready", "success"))


# ---- reasons ------------------------------------------------------------------------------------------------------
#: Believed in any record.
STRONG: Final = ("failure_reason", "error")
#: Believed in one that failed.
_WEAK: Final = names("""
    failure failure_message failureReason fail_reason failReason failed_reason error_message errorMessage error_msg
    errorMsg status_message statusMessage status_msg task_status_msg status_reason reason message msg detail details
    errors base_resp status_details failure_code failureCode error_code errorCode code
""")
_ALL: Final = (*STRONG, *_WEAK)
#: Names that are about an error, together with any other word.
_SPEAKING: Final = re.compile(
    r"err(?!and)|fail|reason|exception|traceback|moderation|violation|(?:^|_)cause(?:_|$)", re.IGNORECASE
)
#: Any value of these but an empty one says that something went wrong.
_WRONG: Final = names("""
    failure_reason error errors failure failure_message failureReason fail_reason failReason failed_reason error_message
    errorMessage error_msg errorMsg failure_code failureCode error_code errorCode
""")
#: Where an object that gives a reason has its text.
_TEXT: Final = names("""
    message msg error detail details reason description errors data status_msg text code name type title
""")
#: Objects in a failed record that may have the reason.
_INNER: Final = names("result output response task_result data content status state task job metadata meta moderation")
_REASON_DEPTH: Final = 5


def failure_of(record: Record, *, failed: bool = True) -> str | None:
    """Why it failed, printable and cut; None if it does not say. If it did not fail, only what is certain."""
    places = [value for name in (_ALL if failed else STRONG) if (value := record.get(name)) not in _NO_REASON]
    if not (places or failed):
        return None
    said = next((text for value in places if (text := _reason(value, _REASON_DEPTH))), None)
    if said is None and failed:
        said = _inner_reason(record) or next(filter(None, map(_compact, places)), None) or _spoken(record)
    return printable(said, FAILURE_LIMIT) if said else None


def says_wrong(record: Record) -> bool:
    """Whether it names an error, by names that are given to nothing else."""
    values = (value for name in _WRONG if (value := record.get(name)) not in _NO_REASON)
    return any(not isinstance(value, str) or _reason(value, 0) for value in values)


def _spoken(record: Record) -> str | None:
    """The value of a field whose name speaks of an error."""
    named = [value for name, value in record.items() if _SPEAKING.search(name) and value not in _NO_REASON]
    return next((text for value in named if (text := _reason(value, _REASON_DEPTH) or _compact(value))), None)


#: Values that give no reason, and are not shown as JSON.
_NO_REASON: Final[tuple[Any, ...]] = (None, "", 0, False, [], {})


def _inner_reason(record: Record) -> str | None:
    inner = (each for name in _INNER if isinstance(each := record.get(name), dict))
    return next(filter(None, (failure_of(each | dict.fromkeys(_INNER)) for each in inner)), None)


def _reason(value: Any, depth: int) -> str:
    """The text in what an API gives as a reason; empty if there is none, or only one that says all is well."""
    if isinstance(value, str):
        return "" if value.strip().lower() in _NO_TROUBLE else value.strip()
    if not depth:
        return ""
    if isinstance(value, list):
        texts = [_reason(entry, depth - 1) for entry in value[:20]]
        return "; ".join(dict.fromkeys(text for text in texts if text))
    if isinstance(value, dict):
        return next((text for name in _TEXT if (text := _reason(value.get(name), depth - 1))), "")
    return ""


#: Texts in a reason's place that say that there is none.
_NO_TROUBLE: Final = frozenset({"", "success", "succeed", "ok", "none", "null", "no error", "0"})


def _compact(value: Any) -> str | None:
    if isinstance(value, str) and not _reason(value, 0):
        return None
    try:
        return orjson.dumps(value).decode()
    except orjson.JSONEncodeError:  # too deep
        return None

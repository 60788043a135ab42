"""Words for states: one vocabulary for every kind, and what `state_words:` of a provider adds to it. Pure.

A word is compared without case, and blanks, dashes, dots, underscores and the humps of camelCase are all one separator:
`Timed Out`, `timed-out`, `TIMED_OUT` and `timedOut` are one word. Beginnings that only say what the state is of do not
count: `TASK_STATUS_SUCCEED` and `Request Moderated` are read as `succeed` and `moderated`.

A word that is in neither means nothing: never success and never failure. The settings count before the vocabulary.
"""

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final

from notifier.domain.model import State

#: Polls in a row that must show *completed* without a result, until it is believed.
NO_RESULT: Final = 3
#: The same for a record with a result that has no word for its state.
NO_WORD: Final = 2
#: Characters of a word that are read, at most.
LONGEST: Final = 100

#: Words of every kind of provider, each in the form in which words are compared.
_WORDS: Final = {
    State.QUEUED: """
        accepted created enqueued in_queue init initialized initializing new not_started pending preparing queue queued
        queueing queuing received scheduled starting submitted throttled validating waiting
    """,
    State.RUNNING: """
        active aborting busy canceling cancelling dreaming executing finalizing generating in_progress in_process
        inprogress ongoing paused processing progress reasoning rendering retrying run running started updating
        uploading working
    """,
    State.COMPLETED: """
        complete completed done finish finished fulfilled generated ok okay partially_succeeded processed ready rendered
        succeed succeeded success successful successfully transcribed
    """,
    State.FAILED: """
        abort aborted banned blocked cancel canceled cancelled crashed dead declined deleted denied disallowed err error
        errored errors exception expired fail failed failure fault faulted filtered flagged forbidden halted interrupted
        invalid killed lost moderated moderation_blocked moderation_failed nsfw refused rejected revoked skipped stale
        stopped terminated time_out timed_out timeout timedout unsuccessful user_canceled user_cancelled violation
        content_filtered content_moderated content_policy_violation content_violation policy_violation
    """,
}
VOCABULARY: Final[Mapping[str, State]] = MappingProxyType(
    {word: state for state, words in _WORDS.items() for word in words.split()}
)
#: Words that say that it is over, and not how: the rest of the record does.
OVER: Final = frozenset({"ended", "closed", "concluded", "over", "final", "finalized", "exited"})
#: Words that an envelope says of the request and a record of the job: `{"status": "success", "data": …}`.
OF_A_REQUEST: Final = frozenset({"ok", "okay", "success", "successful", "successfully"})
#: The same for a request that went wrong.
OF_AN_ERROR: Final = frozenset({"error", "err", "errors", "errored", "fail", "failure", "invalid", "denied", "refused"})
#: Words that say the ID is not known there.
NOT_THERE: Final = frozenset({"not_found", "notfound", "not_exist", "does_not_exist", "no_such_generation"})

#: Beginnings that say what the state is of.
_OF_WHAT: Final = frozenset(
    {"batch", "content", "generation", "job", "operation", "prediction", "process", "request", "run", "state"}
    | {"status", "task", "video"}
)
_HUMP: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
#: Words that YAML reads as this text without quotes.
_BARE: Final = re.compile(
    r"(?!(?i:null|true|false|yes|no|on|off)\Z)[A-Za-z][A-Za-z0-9_-]*(?: [A-Za-z0-9_-]+)*|[0-9]{1,18}"
)
_SEPARATORS: Final = re.compile(r"[\s_.:/-]+")

Taught = Mapping[str, State]
NONE_TAUGHT: Final[Taught] = MappingProxyType({})


def text_of(word: Any) -> str | None:
    """A word as text: text, a whole number or a boolean; None for anything else, and for a blank."""
    if isinstance(word, bool):
        return "true" if word else "false"
    if isinstance(word, int):
        return str(word) if abs(word) < 10**18 else None
    if isinstance(word, float) and word.is_integer() and abs(word) < 10**15:
        return str(int(word))
    return word if isinstance(word, str) and word.strip() else None


def key_of(text: str) -> str:
    """The form in which words are compared."""
    return _SEPARATORS.sub("_", _HUMP.sub("_", text[: LONGEST + 1].strip())).strip("_").lower()


def meaning(text: str, taught: Taught) -> tuple[str, State | None]:
    """(the word that counted, its state); None if its meaning is not known, and for `not_found` and the like."""
    readings = _known(text) if len(text) <= LONGEST else _readings(key_of(text))
    for word in readings:
        if (state := taught.get(word) or VOCABULARY.get(word)) is not None:
            return word, state
        if word in NOT_THERE:
            return word, None
    return readings[0], None


@lru_cache(maxsize=1_024)
def _known(text: str) -> tuple[str, ...]:
    """Kept, because the same few words are in every record."""
    return _readings(key_of(text))


def how_to_teach(word: str) -> str:
    """What to write so that this word means something."""
    text = word if _BARE.fullmatch(word) else json.dumps(word, ensure_ascii=False)
    return (
        f"write below this provider what it means: `state_words: {{completed: [{text}]}}`, or failed, running, queued"
    )


def _readings(key: str) -> tuple[str, ...]:
    """The whole word, and the word without each beginning that only says what the state is of."""
    readings, parts = [key], key.split("_")
    while len(parts) > 1 and parts[0] in _OF_WHAT:
        parts = parts[1:]
        readings.append("_".join(parts))
    return tuple(readings)

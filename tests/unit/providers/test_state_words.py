"""What a provider's word for a state means."""

import pytest
import yaml

from notifier.domain.model import State
from notifier.providers.state_words import NONE_TAUGHT, VOCABULARY, how_to_teach, key_of, meaning, text_of


def state(word: str) -> State | None:
    return meaning(word, NONE_TAUGHT)[1]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (
            ["complete", "completed", "succeed", "success", "successful", "done", "ok", "finished", "ready"],
            State.COMPLETED,
        ),
        (
            [
                "fail",
                "failed",
                "failure",
                "error",
                "errored",
                "aborted",
                "cancelled",
                "canceled",
                "expired",
                "rejected",
            ],
            State.FAILED,
        ),
        (["moderated", "Request Moderated", "Content Moderated", "NSFW", "blocked"], State.FAILED),
        (["timed_out", "Timed Out", "timed-out", "TIMED_OUT", "timedOut", " timed  out "], State.FAILED),
        (["BATCH_STATE_FAILED", "TASK_STATUS_FAIL", "job.failed", "video:failed", "JobState/Failed"], State.FAILED),
        (["TASK_STATUS_SUCCEED", "JOB_STATE_SUCCEEDED", "video.completed", "Generation completed"], State.COMPLETED),
        (["dreaming", "generating", "IN_PROGRESS", "in-progress", "InProgress", "cancelling"], State.RUNNING),
        (["queued", "IN_QUEUE", "notStarted", "Queueing", "Preparing", "submitted", "pending"], State.QUEUED),
    ],
)
def test_words_of_the_field_mean_what_they_say(words: list[str], expected: State) -> None:
    """However they are written: case, blanks, dashes, dots, humps, and what only says whose state it is."""
    assert {word: state(word) for word in words} == dict.fromkeys(words, expected)


@pytest.mark.parametrize(
    "word",
    [
        "done!",
        "not_completed",
        "incomplete",
        "completed_with_errors",
        "partial",
        "success-ish",
        "ended",
        "x" * 5_000,
        "_",
    ],
)
def test_a_word_that_stands_nowhere_means_nothing(word: str) -> None:
    """Never success and never failure, however alike it looks."""
    assert state(word) is None


def test_what_is_taught_counts_before_the_vocabulary() -> None:
    """In whatever way the API writes it; the vocabulary says what it says for all others."""
    taught = {key_of("Ready For Review"): State.RUNNING, "2": State.COMPLETED, "done": State.FAILED}
    assert meaning("ready_for-review", taught) == ("ready_for_review", State.RUNNING)
    assert meaning("TASK_READY_FOR_REVIEW", taught)[1] is State.RUNNING
    assert (meaning("2", taught)[1], meaning("Done", taught)[1]) == (State.COMPLETED, State.FAILED)
    assert meaning("finished", taught)[1] is State.COMPLETED


def test_every_word_stands_in_the_form_that_is_compared() -> None:
    """A word in any other form would never be found."""
    assert all(key_of(word) == word for word in VOCABULARY)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("x", "x"),
        (2, "2"),
        (-1, "-1"),
        (2.0, "2"),
        (True, "true"),
        (False, "false"),
        (2.5, None),
        (None, None),
        (" ", None),
        ([], None),
        (10**40, None),
        (float("inf"), None),
        (float("nan"), None),
    ],
)
def test_a_word_may_be_text_a_whole_number_or_a_boolean(value: object, text: str | None) -> None:
    """Anything else is none."""
    assert text_of(value) == text


@pytest.mark.parametrize(
    "word", ["upscaling", "my done", "7", "done!", "yes", "no", "null", "a: b", "é", 'say "x"', "-x"]
)
def test_what_the_log_says_to_write_teaches_that_word(word: str) -> None:
    """Copied from the log into the file, YAML reads the very word."""
    line = how_to_teach(word).split("`")[1]
    (read,) = yaml.safe_load(line)["state_words"]["completed"]
    assert text_of(read) == word

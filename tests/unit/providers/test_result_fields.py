"""Where results and reasons are found."""

from typing import Any

import pytest

from notifier.providers.result_fields import FAILURE_LIMIT, failure_of, leads_to_a_file, results_of

V, W = "https://x.test/v.mp4", "https://x.test/w.mp4"


@pytest.mark.parametrize(
    ("record", "urls"),
    [
        ({"content": {"video_url": V}}, [V]),
        ({"output": {"video_url": V}}, [V]),
        ({"videos": [V, {"url": W}]}, [V, W]),
        ({"videos": [{"video": {"url": V}}]}, [V]),
        ({"url": V}, [V]),
        ({"url": f"  {V}\n"}, [V]),
        ({"assets": {"video": f"\t{V} "}}, [V]),
        ({"video": {"url": V}}, [V]),
        ({"output": [V, W]}, [V, W]),
        ({"output": V}, [V]),
        ({"output": [{"url": V}]}, [V]),
        ({"result": {"sample": V}}, [V]),
        ({"result": {"videos": [{"url": V}]}}, [V]),
        ({"task_result": {"videos": [{"id": "v1", "url": V, "watermark_url": W}]}}, [V]),
        ({"file": {"download_url": V}}, [V]),
        ({"response": {"video": {"uri": V}}}, [V]),
        ({"result": V}, [V]),
        ({"audio_file": {"url": V}, "video": W}, [W, V]),
        ({"assets": {"image": W, "video": V}}, [V, W]),
        ({"video": V, "url": "https://api.test/generations/7"}, [V]),
        ({"assets": {"progress_video": V, "thumbnail": W}}, []),
        ({"request": {"url": V}, "input": {"video": V}, "image_url": V, "preview": V}, []),
        ({"output": "so it was said", "result": 7, "content": None, "videos": {"a": 1}}, []),
        ({"url": "s3://b/v.mp4", "video": "javascript:alert(1)"}, []),
        ({"videos": [[[[[[V]]]]]]}, []),
    ],
)
def test_results_are_found_where_apis_of_this_field_put_them(record: dict[str, Any], urls: list[str]) -> None:
    """Blanks around a URL are no part of it; what was put in, and previews, are no results."""
    assert list(results_of(record)) == urls


@pytest.mark.parametrize(
    ("record", "sure"),
    [
        ({"video": {"url": "https://x.test/v"}}, True),
        ({"url": "https://x.test/v.mp4?sig=1"}, True),
        ({"url": "https://api.test/generations/7"}, False),
        ({"uri": "https://api.test/v1/tasks/7"}, False),
        ({"output": ["https://x.test/1"]}, True),
        ({}, False),
    ],
)
def test_a_bare_url_may_be_where_the_record_is(record: dict[str, Any], *, sure: bool) -> None:
    """Only a file's name at its end makes it a result for sure."""
    assert leads_to_a_file(record) is sure


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({"message": "no credits left"}, "no credits left"),
        ({"error": {"code": "moderation_blocked"}}, "moderation_blocked"),
        ({"error": {"error": {"message": "deep"}}}, "deep"),
        ({"error": [{"message": "a"}, {"msg": "b"}, "c", "c"]}, "a; b; c"),
        ({"errors": ["x", "y"]}, "x; y"),
        ({"errors": {"data": [{"code": "bad_line", "message": "not JSON"}]}}, "not JSON"),
        ({"failure": "flagged", "failureCode": "SAFETY"}, "flagged"),
        ({"failureCode": "SAFETY.INPUT"}, "SAFETY.INPUT"),
        ({"base_resp": {"status_code": 1027, "status_msg": "output new_sensitive"}}, "output new_sensitive"),
        ({"base_resp": {"status_code": 0, "status_msg": "success"}}, '{"status_code":0,"status_msg":"success"}'),
        ({"detail": "words"}, "words"),
        ({"details": {"Moderation Reasons": ["Violence"]}}, '{"Moderation Reasons":["Violence"]}'),
        ({"task_status_msg": "risk control"}, "risk control"),
        ({"error": {"code": 13, "why": None}}, '{"code":13,"why":null}'),
        ({"error": 7}, "7"),
        ({"error": True}, "true"),
        ({"error": {}, "message": "m"}, "m"),
        ({"error": "", "failure_reason": "  ", "reason": "r"}, "r"),
        ({"result": {"error": {"message": "inside"}}}, "inside"),
        ({"output": {"message": "inside"}}, "inside"),
        ({"message": "SUCCEED", "output": {"code": "E1"}}, "E1"),
        ({"description": "a lake", "error": None}, None),
        ({"err": {"message": "m"}}, "m"),
        ({"ErrMsg": "m", "ErrCode": 0}, "m"),
        ({"moderation_reasons": ["m", "n"]}, "m; n"),
        ({"response": {"raiMediaFilteredCount": 1, "raiMediaFilteredReasons": ["m"]}}, "m"),
        ({"finish_reason": "CONTENT_FILTERED"}, "CONTENT_FILTERED"),
        ({"error": "  ", "errand": "x"}, None),
        ({}, None),
    ],
)
def test_reasons_are_found_where_apis_of_this_field_put_them(record: dict[str, Any], expected: str | None) -> None:
    """Text first; an error without any is shown as compact JSON, which is more than nothing."""
    assert failure_of(record) == expected


def test_what_may_say_anything_counts_only_in_a_record_that_failed() -> None:
    """A running one may say "in the queue" as its message; its error counts anyway."""
    assert failure_of({"message": "in the queue", "detail": "x", "error": None}, failed=False) is None
    assert failure_of({"error": {"message": "soft"}, "message": "m"}, failed=False) == "soft"


def test_a_reason_is_one_printable_line_that_is_cut() -> None:
    """Whatever came, compact JSON of it too; what is too deep to be written is left out."""
    for error in ("red \x1b[31m\n" + "x" * 5_000, {"a": "\x1b" * 5_000}, [["\n"] * 50]):
        said = failure_of({"error": error})
        assert said is not None
        assert said.isprintable()
        assert len(said) <= FAILURE_LIMIT
    deep: Any = 1
    for _ in range(400):
        deep = [deep]
    assert failure_of({"error": deep}) is None

"""What replies look like."""

from typing import Any

import pytest

from notifier.domain.model import State
from notifier.emulator.settings import Order, RecordForm, Shape, Unknown
from notifier.emulator.shapes import in_order, multi_reply, record

_A: dict[str, Any] = {"id": "a"}
_B: dict[str, Any] = {"id": "b"}


@pytest.mark.parametrize(
    ("shape", "reply"),
    [
        (Shape.ARRAY, [_A, _B]),
        (Shape.GENERATIONS, {"generations": [_A, _B]}),
        (Shape.DATA, {"data": [_A, _B]}),
        (Shape.ITEMS, {"items": [_A, _B]}),
        (Shape.MAP, {"a": _A, "b": _B}),
        (Shape.OBJECT, [_A, _B]),
    ],
)
def test_each_shape(shape: Shape, reply: Any) -> None:
    """Two records in each shape."""
    assert multi_reply(shape, Unknown.OMIT, {"a": _A, "b": _B}) == reply


def test_one_id_may_come_back_as_one_object() -> None:
    """`object` gives the bare record where one ID was asked, and an empty list where that one is unknown."""
    assert multi_reply(Shape.OBJECT, Unknown.OMIT, {"a": _A}) == _A
    assert multi_reply(Shape.OBJECT, Unknown.OMIT, {"a": None}) == []


@pytest.mark.parametrize("shape", Shape)
def test_unknown_ids_are_left_out(shape: Shape) -> None:
    """By default a reply holds the known ones only, in every shape."""
    assert "x" not in str(multi_reply(shape, Unknown.OMIT, {"x": None, "a": _A}))


def test_unknown_ids_leave_a_mark() -> None:
    """`null` leaves a null, `error` an object with the ID, `anonymous` one that does not say which ID it means."""
    assert multi_reply(Shape.ARRAY, Unknown.NULL, {"x": None, "a": _A}) == [None, _A]
    assert multi_reply(Shape.MAP, Unknown.NULL, {"x": None, "a": _A}) == {"x": None, "a": _A}
    named = multi_reply(Shape.ARRAY, Unknown.ERROR, {"x": None})[0]
    assert named["id"] == "x"
    assert "error" in named
    assert "id" not in multi_reply(Shape.ARRAY, Unknown.ANONYMOUS, {"x": None})[0]


def test_orders() -> None:
    """Reversed is reversed; shuffled has the same IDs, the same way for one request and another way for the next."""
    ids = tuple("abcdefgh")
    assert in_order(ids, Order.ASKED, seed=1, number=1) == ids
    assert in_order(ids, Order.REVERSED, seed=1, number=1) == ids[::-1]
    shuffled = in_order(ids, Order.SHUFFLED, seed=1, number=1)
    assert sorted(shuffled) == sorted(ids)
    assert shuffled == in_order(ids, Order.SHUFFLED, seed=1, number=1)
    assert shuffled != in_order(ids, Order.SHUFFLED, seed=1, number=2)


def _shown(form: RecordForm, state: State) -> dict[str, Any]:
    return record(form, "a", state, created_at="2026-11-22T05:14:00.123Z", request={"prompt": "x"}, seed=1)


@pytest.mark.parametrize(
    ("form", "path"),
    [
        (RecordForm.LUMA, ("assets", "video")),
        (RecordForm.LEGACY, ("video_url",)),
        (RecordForm.UNIVERSAL, ("video", "url")),
    ],
)
def test_a_completed_record_has_its_result(form: RecordForm, path: tuple[str, ...]) -> None:
    """Each form carries the URL of the video in its own place."""
    found: Any = _shown(form, State.COMPLETED)
    for key in path:
        found = found[key]
    assert found.endswith("/a.mp4")


@pytest.mark.parametrize("form", RecordForm)
def test_a_failed_record_says_why_and_has_no_result(form: RecordForm) -> None:
    """A failure has a reason, in the form's own field, and no video."""
    shown = _shown(form, State.FAILED)
    assert ".mp4" not in str(shown)
    reason = shown.get("failure_reason") or shown["error"]
    assert reason
    assert "failed" in (shown.get("state"), shown.get("status"))


@pytest.mark.parametrize("state", [State.QUEUED, State.RUNNING])
def test_an_unfinished_record_has_neither(state: State) -> None:
    """Before its end a record has no assets and no reason, and the provider's word for its state."""
    shown = _shown(RecordForm.LUMA, state)
    assert shown["assets"] is None
    assert shown["failure_reason"] is None
    assert shown["state"] == {State.QUEUED: "queued", State.RUNNING: "dreaming"}[state]

"""What a query string asks for."""

from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifier.domain.model import State
from notifier.emulator.parse import CANNOT_WAIT, BadQuery, parse_multi, parse_single
from notifier.emulator.settings import WaitName


@pytest.mark.parametrize(
    "query",
    [
        "generation_ids[]=a&generation_ids[]=b&generation_ids[]=c",
        "generation_ids%5B%5D=a&generation_ids%5B%5D=b&generation_ids%5B%5D=c",
        "generation_ids=a,b,c",
        "generation_ids=a%2Cb%2Cc",
        "generation_ids=a&generation_ids=b&generation_ids=c",
        "generation_ids[]=a,b&generation_ids=c",
        "generation_ids=a,,b,+c,a",
    ],
)
def test_every_way_to_write_ids_is_read(query: str) -> None:
    """Arrays, commas and repeats, encoded or not, ask for the same IDs in their order, each once."""
    assert parse_multi(query, WaitName.BOTH).ids == ("a", "b", "c")


@given(st.lists(st.text(min_size=1).filter(lambda id_: "," not in id_ and id_ == id_.strip()), min_size=1, unique=True))
def test_whatever_is_encoded_comes_back(ids: list[str]) -> None:
    """Percent-encoding by the usual library survives, whatever is in an ID."""
    assert parse_multi(urlencode([("generation_ids[]", id_) for id_ in ids]), WaitName.BOTH).ids == tuple(ids)
    assert parse_single(f"generation_id={quote(ids[0], safe='')}").ids == (ids[0],)


@pytest.mark.parametrize("query", ["", "generation_ids[]=", "generation_ids=,", "generation_id=a", "state=completed"])
def test_a_multi_request_without_ids_is_refused(query: str) -> None:
    """At least one ID is demanded."""
    with pytest.raises(BadQuery, match="Body validation error!"):
        parse_multi(query, WaitName.BOTH)


@pytest.mark.parametrize("query", ["", "generation_ids=a", "generation_id=a&generation_id=b"])
def test_a_single_request_asks_for_one(query: str) -> None:
    """No ID, and more than one, are refused."""
    with pytest.raises(BadQuery):
        parse_single(query)


def test_a_comma_is_part_of_a_single_id() -> None:
    """The single route splits nothing."""
    assert parse_single("generation_id=a,b").ids == ("a,b",)


@pytest.mark.parametrize(
    ("name", "state", "status"),
    [
        (WaitName.STATE, State.COMPLETED, None),
        (WaitName.STATUS, None, State.COMPLETED),
        (WaitName.BOTH, State.COMPLETED, State.COMPLETED),
    ],
)
def test_only_the_accepted_wait_parameter_counts(name: WaitName, state: State | None, status: State | None) -> None:
    """The other name is an unknown parameter: ignored, so that the call answers at once."""
    assert parse_multi("generation_ids=a&state=completed", name).wait is state
    assert parse_multi("generation_ids=a&status=completed", name).wait is status


def test_states_are_the_provider_s_words() -> None:
    """`dreaming` is understood, our own word for it is not."""
    assert parse_single("generation_id=a&state=dreaming").wait is State.RUNNING
    with pytest.raises(BadQuery, match="validation"):
        parse_single("generation_id=a&state=running")


@pytest.mark.parametrize("name", ["state", "status"])
def test_nobody_waits_for_failed(name: str) -> None:
    """Waiting for `failed` is refused with the documented sentence."""
    with pytest.raises(BadQuery, match=CANNOT_WAIT):
        parse_single(f"generation_id=a&{name}=failed")

"""The bisection of a refused batch, against providers that refuse in every way."""

import math
from collections.abc import Callable, Collection, Sequence

from hypothesis import given
from hypothesis import strategies as st

from notifier.domain.ids import GenerationId
from notifier.polling.batching.bisect import Bisection, Diagnosis, halves

#: What a provider makes of one request: the IDs it has, or None if it refuses the batch.
Provider = Callable[[Sequence[GenerationId]], list[GenerationId] | None]

SIZES = st.integers(min_value=2, max_value=64)


def some(count: int) -> list[GenerationId]:
    return [GenerationId(f"g-{number}") for number in range(count)]


def refusing(bad: Collection[GenerationId]) -> Provider:
    """Refuses a batch with a bad ID in it; alone a bad ID is just not found."""

    def answer(ids: Sequence[GenerationId]) -> list[GenerationId] | None:
        if len(ids) > 1 and not set(ids).isdisjoint(bad):
            return None
        return [id_ for id_ in ids if id_ not in bad]

    return answer


def play(bisection: Bisection, provider: Provider) -> list[tuple[GenerationId, ...]]:
    """Ask for every part until it is done; every request made."""
    asked = []
    while (ids := bisection.next()) is not None:
        asked.append(ids)
        found = provider(ids)
        if found is None:
            bisection.refused(ids)
        else:
            bisection.answered(ids, found)
    assert bisection.done
    return asked


@st.composite
def spoiled(draw: st.DrawFn) -> tuple[list[GenerationId], set[GenerationId]]:
    """A batch, and the bad IDs in it: at least one of each sort."""
    ids = some(draw(SIZES))
    bad = draw(st.sets(st.sampled_from(ids), min_size=1, max_size=len(ids) - 1))
    return ids, bad


@given(st.lists(st.text(), min_size=2, max_size=50))
def test_a_batch_is_divided_into_two_halves(names: list[str]) -> None:
    """Neither half is empty, together they are the whole in its order, and they differ by one at most."""
    ids = [GenerationId(name) for name in names]
    left, right = halves(ids)
    assert [*left, *right] == ids
    assert 0 <= len(left) - len(right) <= 1


@given(spoiled())
def test_exactly_the_bad_ids_end_alone_and_missed(batch: tuple[list[GenerationId], set[GenerationId]]) -> None:
    """However many IDs are bad: each of them is asked by itself and missed, and every good one is seen."""
    ids, bad = batch
    bisection = Bisection(ids, "404")
    provider = refusing(bad)
    answers = [(asked, provider(asked)) for asked in play(bisection, provider)]
    assert {asked[0] for asked, found in answers if found == []} == bad
    assert {id_ for _, found in answers for id_ in found or ()} == set(ids) - bad
    assert all(len(asked) == 1 for asked, found in answers if found == [])
    assert bisection.diagnosis() is Diagnosis.BAD_IDS


@given(spoiled())
def test_no_id_is_asked_about_twice_with_an_answer(batch: tuple[list[GenerationId], set[GenerationId]]) -> None:
    """The parts that were answered cover the batch, once."""
    ids, bad = batch
    provider = refusing(bad)
    answered = [id_ for asked in play(Bisection(ids, "404"), provider) if provider(asked) is not None for id_ in asked]
    assert sorted(answered) == sorted(ids)


@given(spoiled())
def test_a_bisection_costs_two_requests_a_level_for_each_bad_id(
    batch: tuple[list[GenerationId], set[GenerationId]],
) -> None:
    """The number of requests is bounded by the bad IDs, not by the batch."""
    ids, bad = batch
    asked = play(Bisection(ids, "404"), refusing(bad))
    assert len(asked) <= min(2 * len(bad) * math.ceil(math.log2(len(ids))), 2 * len(ids) - 2)


def test_one_bad_id_of_a_hundred_costs_fourteen_requests_at_most() -> None:
    """The usual case: at one request a second, a fifth of the default rate, it is found in a quarter of a minute."""
    ids = some(100)
    assert max(len(play(Bisection(ids, "404"), refusing({bad}))) for bad in ids) == 14


@given(SIZES, st.data())
def test_a_batch_whose_halves_are_taken_was_too_large(size: int, data: st.DataObject) -> None:
    """No ID is bad then, whichever of them were found: two batches went through, and nothing was polled singly."""
    ids = some(size + 2)
    found = data.draw(st.sets(st.sampled_from(ids)))
    bisection = Bisection(ids, "400")
    assert len(play(bisection, lambda part: [id_ for id_ in part if id_ in found])) == 2
    assert bisection.diagnosis() is Diagnosis.TOO_LARGE


def test_a_half_of_one_is_no_proof_of_size() -> None:
    """Three IDs: a pair that is taken and a single that is missed are one bad ID; with all three found it was size."""
    ids = some(3)
    bisection = Bisection(ids, "404")
    play(bisection, refusing({ids[2]}))
    assert bisection.diagnosis() is Diagnosis.BAD_IDS
    bisection = Bisection(ids, "400")
    play(bisection, list)
    assert bisection.diagnosis() is Diagnosis.TOO_LARGE


@given(SIZES)
def test_a_provider_that_refuses_every_batch_has_no_multi_route(size: int) -> None:
    """Single requests find IDs whose pair was refused: it is the route, not the IDs."""
    bisection = Bisection(some(size), "404")
    asked = play(bisection, lambda ids: list(ids) if len(ids) == 1 else None)
    assert bisection.diagnosis() is Diagnosis.BATCH_ROUTE_UNUSABLE
    assert len(asked) == 2 * size - 2


@given(SIZES)
def test_a_provider_that_has_none_of_them_knows_none(size: int) -> None:
    """All halves refused down to single IDs, and none of those found: it is the provider, not the IDs."""
    ids = some(size)
    bisection = Bisection(ids, "404")
    play(bisection, refusing(ids))
    assert bisection.diagnosis() is Diagnosis.PROVIDER_KNOWS_NONE


def test_the_first_single_id_comes_after_few_requests() -> None:
    """The left half of the left half goes first."""
    ids = some(8)
    asked = play(Bisection(ids, "404"), refusing({ids[0]}))
    assert [len(each) for each in asked] == [4, 2, 1, 1, 2, 4]


def test_what_could_not_be_asked_comes_again() -> None:
    """A provider that was busy with one part is asked for the same part later, and nothing is lost."""
    ids = some(2)
    bisection = Bisection(ids, "404")
    first = bisection.next()
    assert first is not None
    bisection.not_asked(first)
    assert not bisection.done
    assert bisection.next() == first
    bisection.answered(first, [])
    assert play(bisection, refusing(ids)) == [(ids[1],)]


def test_a_bisection_is_not_done_while_a_part_is_under_way() -> None:
    """Nothing left to ask is not yet nothing left to learn."""
    bisection = Bisection(some(2), "404")
    parts = [bisection.next(), bisection.next()]
    assert bisection.next() is None
    for part in parts:
        assert not bisection.done
        assert part is not None
        bisection.answered(part, part)
    assert bisection.done

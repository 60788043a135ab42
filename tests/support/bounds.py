"""How hard the fuzzing tries, and what one example may cost.

Usually each test tries a few hundred examples. `NOTIFIER_FUZZ=long` lets each go on for ten minutes, in rounds that
draw anew; `NOTIFIER_FUZZ=90` for ninety seconds. What an example may cost is bounded in what does not depend on how
busy the machine is: seconds of processor time (a watch that only a failure wakes) and bytes held at a time.
"""

import os
import re
import signal
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final, TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

_ASKED: Final = os.environ.get("NOTIFIER_FUZZ", "")
#: Seconds that each test goes on for; 0 for one round.
SECONDS: Final = 600.0 if _ASKED == "long" else float(_ASKED or 0)
#: Seconds of processor time for one example: a hundred times what the slowest needs.
CPU: Final = 10.0
#: Bytes of one example at most.
LARGEST: Final = 64 * 1024
#: Bytes that may be held for each byte of an example, and beside them.
EACH: Final = 40
BESIDE: Final = 2**20

#: For `pytestmark`: the usual limit of a test does not hold for a long run.
PATIENCE: Final = pytest.mark.timeout(SECONDS + 120)

_T = TypeVar("_T")


def fuzzed(*strategies: st.SearchStrategy[Any], examples: int) -> Callable[[Callable[..., None]], Callable[[], None]]:
    """A test over drawn arguments: one round of `examples`, or rounds for as long as was asked for."""

    def decorate(test: Callable[..., None]) -> Callable[[], None]:
        drawn = given(*strategies)(test)
        one_round = settings(
            max_examples=max(examples, 2_000) if SECONDS else examples,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )(drawn)

        def rounds() -> None:
            until = time.monotonic() + SECONDS
            one_round()
            while time.monotonic() < until:
                one_round()

        rounds.__doc__, rounds.__name__ = test.__doc__, test.__name__
        return rounds

    return decorate


# ---- what an example may cost -------------------------------------------------------------------------------------
class TookTooLong(AssertionError):
    """More processor time than any example may need."""


def _late(_signal: int, _frame: FrameType | None) -> None:
    raise TookTooLong(f"more than {CPU:g} s of processor time")


@contextmanager
def quick() -> Iterator[None]:
    """Ends what takes more processor time than `CPU`; the time of this process, not that of the clock."""
    before = signal.signal(signal.SIGPROF, _late)
    signal.setitimer(signal.ITIMER_PROF, CPU)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def bounded(size: int, ask: Callable[[], _T]) -> _T:
    """What `ask` answers, held to the bounds for an example of `size` bytes."""
    tracemalloc.start()
    try:
        with quick():
            answer = ask()
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < EACH * size + BESIDE, f"{most:,} bytes were held for an example of {size:,}"
    return answer


class Shown(bytes):
    """An example that can be printed: what repeats itself is shown once, with how often it stands there."""

    def __repr__(self) -> str:
        runs = re.compile(rb"(.{1,20}?)\1{19,}", re.DOTALL)
        return repr(runs.sub(lambda run: b"<%b x %d>" % (run[1], len(run[0]) // len(run[1])), bytes(self)))[:20_000]


# ---- examples -----------------------------------------------------------------------------------------------------
@st.composite
def mutated(draw: st.DrawFn, seeds: Sequence[bytes], tokens: Sequence[bytes]) -> bytes:
    """One of `seeds` with a few places cut out and other bytes put in: a token, anything, either many times over."""
    content = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, len(content)))
        cut = draw(st.sampled_from((0, 0, 1, 3, 20)))
        piece = draw(st.one_of(st.sampled_from(tokens), st.sampled_from(tokens), st.binary(max_size=4)))
        content[at : at + cut] = piece * draw(st.sampled_from((0, 1, 1, 1, 2, 70, 5_000)))
    return Shown(content[:LARGEST])

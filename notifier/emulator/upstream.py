"""The provider behind the routes: which generations there are, the state of each now, and how long a request waits.

A test uses `Emulator` directly to make generations, move them, forget them and read the counts. All of it is meant for
the event loop's own thread. It knows nothing about HTTP.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import anyio

from notifier.domain.model import State
from notifier.domain.times import iso
from notifier.emulator.faults import Bucket, changed_faults
from notifier.emulator.generations import Life, draw_id, draw_life, given_life, long_poll_ends, moved_life
from notifier.emulator.settings import EmulatorSettings, FaultSettings, LongPoll, RecordForm
from notifier.emulator.shapes import record
from notifier.emulator.specs import Spec
from notifier.emulator.stats import Stats
from notifier.runtime.clock import Clock, SystemClock

_PROMPT: Mapping[str, Any] = {"prompt": "a fox in the snow", "aspect_ratio": "16:9", "loop": False, "keyframes": {}}


@dataclass(slots=True, kw_only=True)
class Generation:
    """One generation. Its `life` is replaced, never changed in place, when it is moved by hand."""

    id: str
    life: Life
    created_at: str
    #: What was sent to create it.
    request: Mapping[str, Any]


class Emulator:
    """The emulated provider."""

    def __init__(self, settings: EmulatorSettings, clock: Clock | None = None) -> None:
        self.settings = settings
        self.faults: FaultSettings = settings.faults
        self.stats = Stats()
        self.clock: Clock = clock or SystemClock()
        self.bucket = Bucket()
        #: Where it answers, once it is served: `http://127.0.0.1:8788`.
        self.url = ""
        self._generations: dict[str, Generation] = {}
        self._made = 0
        self._closed = False
        self._changed = anyio.Event()

    # ---- what a test or a person does to it ----
    def create(
        self, count: int = 1, *, complete_at: float | None = None, outcome: State | None = None, id_: str | None = None
    ) -> list[str]:
        """Make `count` generations that end `complete_at` seconds from now (infinity: never); None draws. Their IDs."""
        return self.create_all([Spec(count=count, id=id_, ends_after=complete_at, outcome=outcome)])

    def create_all(self, specs: Sequence[Spec]) -> list[str]:
        """Make all of `specs`, or none of them: `ValueError` if an ID is taken already or is there twice."""
        given = [spec.id.lower() for spec in specs if spec.id is not None]
        if len(set(given)) < len(given) or any(id_ in self._generations for id_ in given):
            raise ValueError("An ID is taken already.")
        return [self.add(spec, _PROMPT).id for spec in specs for _ in range(spec.count)]

    def move(self, id_: str, state: State) -> None:
        """Put a generation in `state`, in which it stays; it may step back. `KeyError` if the ID is unknown."""
        generation = self._generations[id_.lower()]
        generation.life = moved_life(generation.life, state, now=self.clock.monotonic())
        self._look_again()

    def forget(self, id_: str) -> None:
        """From now on the ID is unknown. `KeyError` if it is already."""
        del self._generations[id_.lower()]
        self._look_again()

    def change_faults(self, **change: Any) -> FaultSettings:
        """Other faults from the next request on; names and values as in `FaultSettings`."""
        self.faults = changed_faults(self.faults, change)
        return self.faults

    def change(self, **change: Any) -> EmulatorSettings:
        """Other settings from the next request on (`faults` excepted); generations that exist keep their life."""
        self.settings = replace(self.settings, **change)
        return self.settings

    @property
    def generations(self) -> list[Generation]:
        """Every generation, oldest first."""
        return list(self._generations.values())

    @property
    def ids(self) -> list[str]:
        return [generation.id for generation in self._generations.values()]

    def states(self) -> dict[str, int]:
        """How many generations are in which state now."""
        now = self.clock.monotonic()
        return dict(Counter(generation.life.state(now).value for generation in self._generations.values()))

    # ---- what the routes do with it ----
    def add(self, spec: Spec, request: Mapping[str, Any]) -> Generation:
        """Make one generation by `spec`, drawing what it leaves open."""
        self._made += 1
        now = self.clock.monotonic()
        id_ = spec.id or draw_id(self.settings.seed, self._made)
        created_at = iso(self.clock.now())
        made = Generation(id=id_, life=self._life(spec, now), created_at=created_at, request=request)
        self._generations[id_.lower()] = made
        return made

    def found(self, id_: str) -> Generation | None:
        """The generation, if it is known and readable already. Case does not matter in an ID."""
        generation = self._generations.get(id_) or self._generations.get(id_.lower())
        if generation is None:
            return None
        late = self.settings.readable_after
        if late and self.clock.monotonic() < generation.life.created + late:
            return None
        return generation

    def shown(self, generation: Generation, form: RecordForm, *, now: float) -> dict[str, Any]:
        """Its record as it is at `now`: one moment for a whole reply."""
        return record(
            form,
            generation.id,
            generation.life.state(now),
            created_at=generation.created_at,
            request=generation.request,
            seed=self.settings.seed,
        )

    async def long_poll(self, generations: Sequence[Generation], target: State, how: LongPoll) -> None:
        """Wait until `target` is reached as `how` demands, for `long_poll_limit` at most; at once if it is."""
        limit = self.clock.monotonic() + self.settings.long_poll_limit
        self.stats.long_poll_begins()
        try:
            while not self._closed:
                ends = long_poll_ends([generation.life for generation in generations], target, how)
                left = min(ends, limit) - self.clock.monotonic()
                if left <= 0:
                    return
                await self._wait(left)
        finally:
            self.stats.long_poll_ends()

    async def linger(self, seconds: float) -> None:
        """Let time pass, but not past the server's end."""
        until = self.clock.monotonic() + seconds
        while not self._closed and (left := until - self.clock.monotonic()) > 0:
            await self._wait(left)

    def close(self) -> None:
        """Answer every waiting request with the current state."""
        self._closed = True
        self._look_again()

    async def _wait(self, at_most: float) -> None:
        with anyio.move_on_after(at_most):
            await self._changed.wait()

    def _look_again(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

    def _life(self, spec: Spec, now: float) -> Life:
        drawn = draw_life(self.settings, self._made, now=now)
        if spec.ends_after is None:
            return drawn if spec.outcome is None else replace(drawn, outcome=spec.outcome)
        outcome = spec.outcome or State.COMPLETED
        return given_life(self.settings.seed, self._made, now=now, ends_after=spec.ends_after, outcome=outcome)

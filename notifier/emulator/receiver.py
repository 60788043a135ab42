"""A verifying receiver of callbacks: what `notifier listen` runs, and what a test waits on.

Every POST, to any path, is checked by `notifier.verify`, the same code that is offered to receivers. A POST that is
verified and answered 2xx counts as a callback, once per `webhook-id`, as in an app that follows the rules: a message
that comes again is the same message. It can be made to fail, to see the sender's retries.
"""

import base64
import contextlib
import secrets as randomness
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import anyio
from aiohttp import web

from notifier.emulator.random_draws import draw
from notifier.emulator.serving import serving
from notifier.runtime.clock import Clock, SystemClock
from notifier.verify import InvalidSignature, verify

#: How many `webhook-id`s are remembered; the oldest is forgotten first.
_REMEMBERED: Final = 100_000
_OK: Final = range(200, 300)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiverSettings:
    #: `whsec_…` or `whpk_…`; one that verifies is enough. Empty: one is made up.
    secrets: tuple[str, ...] = field(default=(), repr=False)
    #: What a verified callback is answered with.
    status: int = 204
    #: Share of verified callbacks that are answered 500, in [0, 1], drawn by `seed` and the number of the POST.
    fail: float = 0.0
    #: Seconds by which every answer is delayed.
    delay: float = 0.0
    seed: int = 1
    #: Seconds between the signature's time and ours that are accepted.
    tolerance: int = 300
    #: False: only counts are kept, for a receiver that runs for days.
    keep: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.fail <= 1:
            raise ValueError("fail is a share: write a number from 0 to 1.")
        if self.delay < 0:
            raise ValueError("delay is in seconds: write 0 or more.")
        if self.status not in range(200, 600):
            raise ValueError("status is an HTTP status from 200 to 599.")
        if self.secrets:
            # a wrong key shows itself here, by a ValueError that says why, and not at the first callback
            with contextlib.suppress(InvalidSignature):
                verify(b"", {}, self.secrets)


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """One POST as it was received. Everything but times and numbers is text from outside."""

    received_at: datetime
    path: str
    #: `webhook-id` as sent; empty if there is none.
    message_id: str
    #: What was signed, parsed; empty if it is not verified.
    event: Mapping[str, Any]
    #: Why it is not verified; None if it is.
    refused: str | None
    #: 1 for the first verified POST with this `webhook-id`; 0 if it is not verified.
    seen: int
    #: What it was answered with.
    status: int

    @property
    def verified(self) -> bool:
        return self.refused is None

    @property
    def type(self) -> str:
        return str(self.event.get("type", ""))

    @property
    def content(self) -> Mapping[str, Any]:
        """The event's `data`; empty if there is none."""
        found = self.event.get("data")
        return found if isinstance(found, dict) else {}

    @property
    def generation_id(self) -> str:
        return str(self.content.get("generation_id") or "")

    @property
    def lag(self) -> float | None:
        """Seconds from `data.observed_at` to the POST; None if the event does not say it."""
        with contextlib.suppress(TypeError, ValueError):
            observed = datetime.fromisoformat(self.content.get("observed_at"))  # type: ignore[arg-type]  # suppressed
            return (self.received_at - observed).total_seconds()
        return None


class Receiver:
    """The POSTs that arrived so far, and a way to wait for more. For the event loop's own thread."""

    def __init__(
        self,
        settings: ReceiverSettings,
        *,
        on_post: Callable[[Received], None] | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.settings = settings
        #: The keys it verifies with.
        self.secrets = settings.secrets or (new_secret(),)
        #: Where it listens, once it is served.
        self.url = ""
        #: Every POST, in order; empty if nothing is kept.
        self.posts: list[Received] = []
        #: The callbacks: verified, answered 2xx, each `webhook-id` once, in order; empty if nothing is kept.
        self.callbacks: list[Received] = []
        self.post_count = 0
        self.callback_count = 0
        self._on_post = on_post
        self._clock: Clock = clock or SystemClock()
        #: `webhook-id` -> verified POSTs so far, and whether one was answered 2xx.
        self._known: OrderedDict[str, tuple[int, bool]] = OrderedDict()
        self._arrived = anyio.Event()
        self._closing = anyio.Event()

    async def wait_for(self, count: int) -> list[Received]:
        """Until there are `count` callbacks; what is kept of them."""
        while self.callback_count < count:
            await self._arrived.wait()
        return self.callbacks[:count]

    async def wait_for_posts(self, count: int) -> list[Received]:
        """Until there were `count` POSTs of any kind; what is kept of them."""
        while self.post_count < count:
            await self._arrived.wait()
        return self.posts[:count]

    async def __aiter__(self) -> AsyncIterator[Received]:
        """Every callback, those that are there already first; without end. Needs `keep`."""
        place = 0
        while True:
            await self.wait_for(place + 1)
            yield self.callbacks[place]
            place += 1

    def close(self) -> None:
        """Let answers go that are being delayed."""
        self._closing.set()

    async def answer(self, request: web.Request) -> web.Response:
        """Take one POST. It counts before any delay: a sender that gives up waiting has delivered it nevertheless."""
        received = self._judge(request, await request.read())
        self._take(received)
        if self.settings.delay:
            with anyio.move_on_after(self.settings.delay):
                await self._closing.wait()
        return web.Response(status=received.status)

    def _judge(self, request: web.Request, body: bytes) -> Received:
        now = self._clock.now()
        message_id = request.headers.get("webhook-id", "")
        event: Mapping[str, Any] = {}
        refused: str | None = None
        try:
            event = verify(body, request.headers, self.secrets, tolerance=self.settings.tolerance, now=now.timestamp())
        except InvalidSignature as invalid:
            refused = str(invalid)
        number = self.post_count + 1
        return Received(
            received_at=now,
            path=request.path,
            message_id=message_id,
            event=event,
            refused=refused,
            seen=0 if refused is not None else self._known.get(message_id, (0, False))[0] + 1,
            status=401 if refused is not None else self._status(number),
        )

    def _status(self, number: int) -> int:
        fails = self.settings.fail and draw(self.settings.seed, "receiver", number) < self.settings.fail
        return 500 if fails else self.settings.status

    def _take(self, received: Received) -> None:
        """Count it, keep it, and wake those who wait."""
        self.post_count += 1
        if self.settings.keep:
            self.posts.append(received)
        if received.verified:
            self._remember(received)
        if self._on_post is not None:
            self._on_post(received)
        self._arrived.set()
        self._arrived = anyio.Event()

    def _remember(self, received: Received) -> None:
        accepted = received.status in _OK
        before = self._known.get(received.message_id, (0, False))[1]
        self._known[received.message_id] = (received.seen, before or accepted)
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        if accepted and not before:
            self.callback_count += 1
            if self.settings.keep:
                self.callbacks.append(received)


def new_secret() -> str:
    """A signing key of 32 random bytes as `whsec_…`."""
    return "whsec_" + base64.b64encode(randomness.token_bytes(32)).decode()


@asynccontextmanager
async def serve_receiver(
    settings: ReceiverSettings | None = None,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    on_post: Callable[[Received], None] | None = None,
    clock: Clock | None = None,
) -> AsyncIterator[Receiver]:
    """Serve a receiver; yields it with its `url`. `on_post` gets every POST. `NotifierError` if it cannot listen."""
    receiver = Receiver(settings or ReceiverSettings(), on_post=on_post, clock=clock)
    app = web.Application()
    app.router.add_post("/{path:.*}", receiver.answer)
    async with serving(app, host, port) as receiver.url:
        try:
            yield receiver
        finally:
            receiver.close()

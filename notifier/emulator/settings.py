"""What can be set about the emulated API: what its documents say by default, and each freedom they leave open.

Frozen records only. The names of the fields are the names of the options of `notifier emulate` and of the keys that
`POST /_emulator/faults` takes; a value that makes no sense is refused here with a sentence, whoever wrote it.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Final


class Shape(StrEnum):
    """What a multi reply looks like."""

    ARRAY = "array"
    GENERATIONS = "generations"
    DATA = "data"
    ITEMS = "items"
    #: ID -> record.
    MAP = "map"
    #: One bare record where one ID was asked, an array otherwise.
    OBJECT = "object"


class RecordForm(StrEnum):
    """What one record looks like."""

    #: As Luma defines it: `state`, `assets.video`, `failure_reason`.
    LUMA = "luma"
    #: Older field names: `state`, `video_url`, `error` as a string.
    LEGACY = "legacy"
    #: As the universal endpoint has it: `status`, `video.url`, `error.message`.
    UNIVERSAL = "universal"


class Order(StrEnum):
    ASKED = "asked"
    REVERSED = "reversed"
    SHUFFLED = "shuffled"


class LongPoll(StrEnum):
    """When a multi request with a wait parameter returns."""

    ANY = "any"
    ALL = "all"
    #: At once: the parameter is ignored.
    NONE = "none"


class Unknown(StrEnum):
    """What becomes of an ID the server does not know in a multi request."""

    OMIT = "omit"
    NULL = "null"
    #: An error object with the ID, in the record's place.
    ERROR = "error"
    #: An error object that does not say which ID it means.
    ANONYMOUS = "anonymous"
    REJECT400 = "reject400"
    REJECT404 = "reject404"
    REJECT422 = "reject422"

    @property
    def status(self) -> int | None:
        """The status the whole request is refused with; None where it is not."""
        return int(self.removeprefix("reject")) if self.startswith("reject") else None


class WaitName(StrEnum):
    """Which name of the wait parameter a multi request is understood by. The other one is ignored."""

    STATE = "state"
    STATUS = "status"
    BOTH = "both"


class RetryAfter(StrEnum):
    NONE = "none"
    SECONDS = "seconds"
    DATE = "date"


#: What a server may say of too many IDs.
SIZE_STATUSES: Final = (400, 413, 414)
#: The longest request line that reaches us at all, bytes.
MAX_LINE: Final = 1 << 20
_MIN_LINE: Final = 512
_ERRORS: Final = range(400, 600)


def _need_finite(record: object, names: Iterable[str]) -> None:
    for name in names:
        value = getattr(record, name)
        _need(not isinstance(value, float) or math.isfinite(value), f"{name} is a number, and not infinite.")


def _need(holds: bool, sentence: str) -> None:  # noqa: FBT001  reads as `_need(condition, sentence)`
    if not holds:
        raise ValueError(sentence)


_SHARES: Final = ("server_error", "bad_gateway", "truncated", "slow", "dropped")


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultSettings:
    """What goes wrong. Shares are of all API requests, each in [0, 1], and 1 together at most."""

    #: Share answered 500.
    server_error: float = 0.0
    #: Share answered 502 with an HTML page.
    bad_gateway: float = 0.0
    #: Share answered with half of the JSON.
    truncated: float = 0.0
    #: Share answered late.
    slow: float = 0.0
    #: How late, seconds.
    slow_by: float = 5.0
    #: Share whose connection is dropped without an answer.
    dropped: float = 0.0
    #: Requests per second before 429; 0 is no limit. One second's worth may come at once.
    rate: float = 0.0
    #: Whether and how a 429 says when to come again.
    retry_after: RetryAfter = RetryAfter.SECONDS
    #: Answer everything with this status, as 401 (key withdrawn), 403 (out of credits) or 503; 0 is off.
    refuse: int = 0
    #: False: the multi route is gone (404).
    batch: bool = True

    def __post_init__(self) -> None:
        _need_finite(self, (each.name for each in fields(self)))
        for name in _SHARES:
            _need(0 <= getattr(self, name) <= 1, f"{name} is a share: write a number from 0 to 1.")
        _need(sum(getattr(self, name) for name in _SHARES) <= 1, "The shares of faults are more than 1 together.")
        _need(self.slow_by >= 0, "slow_by is in seconds: write 0 or more.")
        _need(self.rate >= 0, "rate is in requests per second: write 0 (no limit) or more.")
        _need(self.refuse == 0 or self.refuse in _ERRORS, "refuse is an HTTP status from 400 to 599, or 0 for off.")


@dataclass(frozen=True, slots=True, kw_only=True)
class EmulatorSettings:
    """The emulated API. Durations are in seconds and are divided by `speed`."""

    #: The key that callers must send as `Authorization: Bearer …`; empty takes any key.
    api_key: str = field(default="emulator", repr=False)
    seed: int = 1
    #: 10 makes every generation ten times shorter. Long-polls and given offsets keep their length.
    speed: float = 1.0
    #: Middle of the drawn durations.
    median: float = 100.0
    #: How far they spread: sigma of the log-normal.
    spread: float = 0.6
    #: No drawn duration is shorter, or longer.
    shortest: float = 11.0
    longest: float = 540.0
    #: Share of generations that fail.
    failures: float = 0.1
    #: A new ID is unknown for so long, not divided by `speed`.
    readable_after: float = 0.0
    #: A request that waits for a state is held no longer than this.
    long_poll_limit: float = 30.0
    shape: Shape = Shape.ARRAY
    record: RecordForm = RecordForm.LUMA
    single_record: RecordForm = RecordForm.LUMA
    order: Order = Order.ASKED
    long_poll: LongPoll = LongPoll.ANY
    unknown: Unknown = Unknown.OMIT
    wait_name: WaitName = WaitName.BOTH
    #: IDs in one multi request at most; 0 is no limit.
    max_ids: int = 0
    #: What more of them are refused with.
    max_ids_status: int = 413
    #: A longer request target is refused with 414, bytes.
    max_url: int = 16_384
    faults: FaultSettings = FaultSettings()

    def __post_init__(self) -> None:
        _need_finite(self, (each.name for each in fields(self)))
        _need(self.speed > 0, "speed is a factor: write a number above 0.")
        _need(0 < self.shortest <= self.longest, "shortest and longest are in seconds, above 0 and in this order.")
        _need(self.median > 0 and self.spread >= 0, "median is in seconds, above 0; spread is 0 or more.")
        _need(0 <= self.failures <= 1, "failures is a share: write a number from 0 to 1.")
        _need(self.readable_after >= 0, "readable_after is in seconds: write 0 or more.")
        _need(self.long_poll_limit >= 0, "long_poll_limit is in seconds: write 0 or more.")
        _need(self.max_ids >= 0, "max_ids is a number of IDs: write 0 (no limit) or more.")
        _need(self.max_ids_status in SIZE_STATUSES, "max_ids_status is 400, 413 or 414.")
        _need(_MIN_LINE <= self.max_url <= MAX_LINE, f"max_url is in bytes, from {_MIN_LINE} to {MAX_LINE}.")

"""What can be set about the emulated API: what its documents say by default, and each freedom they leave open.

Frozen records only. The names of the fields are the names of the options of `notifier emulate` and of the keys that
`POST /_emulator/faults` takes; a value that makes no sense is refused here with a sentence, in both places.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Annotated, Final

from notifier.text.command_line import Option


class Shape(StrEnum):
    """What a multi reply looks like."""

    ARRAY = "array"
    GENERATIONS = "generations"
    DATA = "data"
    ITEMS = "items"
    #: ID -> record.
    MAP = "map"
    #: One bare record if one ID was asked for, an array otherwise.
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
        """The status that the whole request is refused with; None if it is not."""
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

    server_error: Annotated[float, Option("Share of requests answered 500, 0 to 1.", "SHARE")] = 0.0
    bad_gateway: Annotated[float, Option("Share answered 502 with an HTML page.", "SHARE")] = 0.0
    truncated: Annotated[float, Option("Share answered with half of the JSON.", "SHARE")] = 0.0
    slow: Annotated[float, Option("Share answered late.", "SHARE")] = 0.0
    slow_by: Annotated[float, Option("How late, seconds.", "SECONDS")] = 5.0
    dropped: Annotated[float, Option("Share whose connection is dropped without an answer.", "SHARE")] = 0.0
    #: One second's worth may come at once.
    rate: Annotated[float, Option("Requests per second before 429; 0 is no limit.", "NUMBER")] = 0.0
    retry_after: Annotated[RetryAfter, Option("How a 429 says when to come again.")] = RetryAfter.SECONDS
    refuse: Annotated[int, Option("Answer everything with this status, as 401 or 403; 0 is off.", "STATUS")] = 0
    batch: Annotated[bool, Option("Whether the batch route is there; without it, it answers 404.")] = True

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

    api_key: Annotated[str, Option("The key callers must send; an empty one takes any key.", "KEY")] = field(
        default="emulator", repr=False
    )
    seed: Annotated[int, Option("Same seed: same IDs, durations, outcomes and faults.", "NUMBER")] = 1
    #: Long-polls and given offsets keep their length.
    speed: Annotated[float, Option("10 makes every generation ten times shorter.", "FACTOR")] = 1.0
    median: Annotated[float, Option("Middle of the durations, seconds.", "SECONDS")] = 100.0
    spread: Annotated[float, Option("How far they spread: sigma of the log-normal.", "SIGMA")] = 0.6
    shortest: Annotated[float, Option("No generation is shorter, seconds.", "SECONDS")] = 11.0
    longest: Annotated[float, Option("No generation is longer, seconds.", "SECONDS")] = 540.0
    failures: Annotated[float, Option("Share of generations that fail, 0 to 1.", "SHARE")] = 0.1
    #: Not divided by `speed`.
    readable_after: Annotated[float, Option("A new ID is unknown for this long, seconds.", "SECONDS")] = 0.0
    long_poll_limit: Annotated[float, Option("The longest that a request may wait, seconds.", "SECONDS")] = 30.0
    shape: Annotated[Shape, Option("What a multi reply looks like.")] = Shape.ARRAY
    record: Annotated[RecordForm, Option("Field names of a record in a multi reply.")] = RecordForm.LUMA
    single_record: Annotated[RecordForm, Option("Field names of a record in a single reply.")] = RecordForm.LUMA
    order: Annotated[Order, Option("Order of the records in a multi reply.")] = Order.ASKED
    long_poll: Annotated[LongPoll, Option("When a multi request that waits returns.")] = LongPoll.ANY
    unknown: Annotated[Unknown, Option("What becomes of an unknown ID in a multi request.")] = Unknown.OMIT
    wait_name: Annotated[WaitName, Option("Which wait parameter a multi request understands.")] = WaitName.BOTH
    max_ids: Annotated[int, Option("IDs in one multi request at most; 0 is no limit.", "COUNT")] = 0
    max_ids_status: Annotated[int, Option("What more IDs are refused with: 400, 413 or 414.", "STATUS")] = 413
    max_url: Annotated[int, Option("A longer request target is refused with 414, bytes.", "BYTES")] = 16_384
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

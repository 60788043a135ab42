"""Every error of notifier, as a tree split by who must act. Each message says what happened, to what, and what to do.

NotifierError
├── InvalidWatch        whoever sent it      -> 422, or rejected/ and a .error file
├── ConfigError         the operator         -> exit 78 (EX_CONFIG); every fault with its line, nothing started
├── ProviderError       -> first find out whether one ID causes it (`polling.batching.blame`), unless `any_id`
│   ├── ProviderBusy    time                 -> back off, honour retry_after; other providers go on
│   │   └── ReplyTooLarge   the ID           -> fewer IDs in a request; of one ID: its own trouble, others go on
│   ├── ProviderRefused the operator         -> pause this provider, log it, try again slowly
│   ├── BatchRejected   the batch            -> bisect it until the bad ID is found
│   └── NotAsked        the operator, time   -> this machine had too few resources to ask: try again
├── OperationError      whoever asked for it -> 4xx with the sentence; nothing was changed
│   ├── InvalidRequest  ask in other words
│   ├── NotFound        there is nothing of this name
│   └── Conflict        its state does not allow it: still pending, or no longer open
├── DaemonError         whoever asked for it -> a command did not reach the daemon that is meant
│   ├── DaemonUnavailable time, the operator -> nobody answers, or too many ask at once: exit 75
│   └── DaemonRefused   the operator         -> this user may not, or something else answers: exit 78
└── StoreError
    ├── StoreUnavailable the operator, time  -> it cannot write now: nothing is accepted, polled or sent
    ├── StoreRefused    the operator         -> in use by another daemon, too new, not a store: exit 78
    └── BackupRefused   whoever asked for it -> the copy cannot be made at that place: exit 1

Two failures are results, not errors, because no caller must act on them: an address that the guard refuses becomes the
verdict of an attempt, and a result whose lease was lost is listed by the store and then thrown away.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

#: Faults that are listed for one document; reading stops there.
MAX_FAULTS: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that is wrong in something a person wrote."""

    #: What is wrong and what to write instead, as a whole sentence.
    message: str
    #: Where in the document, e.g. `endpoints.studio.url` or `watches[3].id`; empty for the whole document.
    path: str = ""
    #: 1-based line in the document; None if it has no lines (an API body) or the fault is not on one.
    line: int | None = None
    #: The document: a file's path; empty if the reader already knows it.
    source: str = ""

    def __str__(self) -> str:
        where = ":".join(part for part in (self.source, "" if self.line is None else str(self.line)) if part)
        return ": ".join(part for part in (where, self.path, self.message) if part)


class NotifierError(Exception):
    """Root of all errors that notifier raises on purpose."""


class _Faulty(NotifierError):
    """Something that a person wrote is wrong; has every fault, not only the first."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("\n".join(map(str, faults)))
        self.faults = tuple(faults)


class InvalidWatch(_Faulty):
    """A watch, or a list of them, cannot be accepted. Nothing of the list was registered."""


class ConfigError(_Faulty):
    """The configuration cannot be used. Nothing was started or changed."""


class ProviderError(NotifierError):
    """A provider did not answer a poll."""

    def __init__(self, message: str, *, any_id: bool = False, fix: str = "") -> None:
        super().__init__(f"{message} {fix}" if fix else message)
        #: The sentence without the `fix`, which says what to do if the provider is the cause and not one ID.
        self.said = message
        #: True if it fails for any ID (the key, the network, too many requests). Otherwise one of the IDs asked for may
        #: be the reason.
        self.any_id = any_id
        #: Seconds the provider asked us to wait; 0 if it did not say.
        self.wait = 0.0

    @property
    def asks_to_wait(self) -> bool:
        return self.wait > 0


class ProviderBusy(ProviderError):
    """The provider cannot answer now: 429, 5xx, a timeout, a broken reply."""

    def __init__(
        self, message: str, *, retry_after: float | None = None, overloaded: bool = False, any_id: bool = False
    ) -> None:
        super().__init__(message, any_id=any_id)
        #: True if we probably ask too much: 429, or no answer in time.
        self.overloaded = overloaded
        #: Seconds the provider asked us to wait; None if it did not say.
        self.retry_after = retry_after
        self.wait = retry_after or 0.0


class ReplyTooLarge(ProviderBusy):
    """The provider's reply about these IDs is larger than what is read. It says nothing about the provider."""


class ProviderRefused(ProviderError):
    """The provider does not answer until the operator changes something: key, credits, route."""


class BatchRejected(ProviderError):
    """The provider refused this request because of its content: a bad ID, or too many IDs."""

    def __init__(self, message: str, *, status: int, too_large: bool = False, foreign: bool = False) -> None:
        super().__init__(message)  # `any_id` is False: that is what it says
        self.status = status
        #: True if the answer is not an API's (a proxy's, say): it does not show that the provider is there.
        self.foreign = foreign
        #: True if the answer (413, 414) is about the size, not about an ID.
        self.too_large = too_large


class NotAsked(ProviderError):
    """We have too few resources to ask: it says nothing about the provider or the IDs."""

    def __init__(self, message: str) -> None:
        super().__init__(message, any_id=True)


class OperationError(NotifierError):
    """What a person asked for cannot be done."""


class InvalidRequest(OperationError):
    """The request cannot be understood, or asks for nothing in particular."""


class NotFound(OperationError):
    """There is no such message, generation, watch or endpoint."""


class Conflict(OperationError):
    """The state of what was named does not allow it."""


class DaemonError(NotifierError):
    """The daemon that is meant could not be asked."""


class DaemonUnavailable(DaemonError):
    """No daemon answers now. It may later."""


class DaemonRefused(DaemonError):
    """It does not answer this user, or another daemon answers, or another program."""


class StoreError(NotifierError):
    """The store cannot be used."""


class StoreUnavailable(StoreError):
    """The store cannot read or write now (full, read-only, locked by another program). It may later."""

    def __init__(self, message: str, *, reading: bool = False) -> None:
        super().__init__(message)
        #: True if a read for a person failed: that says nothing about writing.
        self.reading = reading


class StoreRefused(StoreError):
    """The store must not be opened by this program: in use, too new, or not a store at all."""


class BackupRefused(StoreError):
    """No copy of the store can be made at the given place. Nothing was changed there."""

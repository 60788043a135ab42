"""What the operations say if something cannot be done: what was meant, what there is, and what to write instead.

Pure.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from notifier.domain.errors import Conflict, NotFound, OperationError
from notifier.domain.model import DeliveryStatus
from notifier.domain.times import iso
from notifier.store.records import Cancelled, Kept, Selection, WatchChoice
from notifier.text.masking import without_query
from notifier.text.printable import did_you_mean, printable

#: Names that are listed, at most.
_LISTED: Final = 20


def unknown_name(noun: str, name: str, known: Iterable[str]) -> NotFound:
    """`noun` is "Endpoint" or "Provider"; `known` is what the configuration has."""
    names = sorted(known)
    listed = ", ".join([*(printable(each, 64) for each in names[:_LISTED]), *(["…"] if len(names) > _LISTED else [])])
    said = did_you_mean(name, names)
    if names and "Known:" not in said:
        said += f" Known: {listed}."
    return NotFound(f"{noun} {printable(name, 100)} is not in the configuration.{said}")


def refuse_unknown_names(meant: Selection | WatchChoice, *, providers: Sequence[str], endpoints: Sequence[str]) -> None:
    """`NotFound` if a name is not in the configuration; a callback URL is no name."""
    if meant.provider is not None and meant.provider not in providers:
        raise unknown_name("Provider", meant.provider, providers)
    if meant.endpoint is not None and "://" not in meant.endpoint and meant.endpoint not in endpoints:
        raise unknown_name("Endpoint", meant.endpoint, endpoints)


def nothing_fits(selection: Selection, kept: Kept, instead: str = "") -> NotFound:
    """Nothing of what is `kept` for the selection has the status, or is of the time, that was asked for.

    `instead` is a sentence for the end, if nothing is kept at all.
    """
    meant = _meant(selection)
    if kept.oldest is None or kept.newest is None:
        return NotFound(f"No message{meant} is kept.{instead}")
    counts = " and ".join(f"{count} {status}" for status, count in kept.counts.items())
    total = sum(kept.counts.values())
    are, noun = ("is", "message") if total == 1 else ("are", "messages")
    times = f"created {iso(kept.oldest)}"
    if kept.newest > kept.oldest:
        times = f"the first of them {times}, the last {iso(kept.newest)}"
    return NotFound(
        f"No message{meant} {_narrowed(selection)}. There {are} {counts} {noun}{meant}, {times}."
        f"{_other_way(selection, kept)}"
    )


def _meant(selection: Selection) -> str:
    """Whose messages were asked for."""
    to = selection.endpoint or selection.destination
    parts = [
        f" for generation {printable(selection.generation, 256)}" if selection.generation else "",
        f" of provider {printable(selection.provider, 100)}" if selection.provider else "",
        f" to {printable(without_query(to), 300)}" if to else "",
        f" of type {selection.type}" if selection.type else "",
    ]
    return "".join(parts)


def _narrowed(selection: Selection) -> str:
    """Which of them were asked for."""
    words = [status.value for status in DeliveryStatus if status in selection.statuses]
    parts = [f"is {' or '.join(filter(None, [', '.join(words[:-1]), words[-1]]))}"] if words else []
    since = "" if selection.since is None else f" at or after {iso(selection.since)}"
    until = "" if selection.until is None else f" before {iso(selection.until)}"
    if since or until:
        parts.append(f"was created{' and'.join(filter(None, [since, until]))}")
    return " and ".join(parts or ["fits"])


def _other_way(selection: Selection, kept: Kept) -> str:
    """What to write instead, if that would find something."""
    assert kept.oldest is not None, "asked only if there is something"
    if selection.since is not None and (not selection.statuses or selection.statuses & kept.counts.keys()):
        return f" For all of them write --since {iso(kept.oldest)}."
    if DeliveryStatus.DELIVERED in kept.counts:
        return " `notifier redeliver` sends what was delivered again too."
    if DeliveryStatus.FILTERED in kept.counts:
        return " `notifier recover --include-filtered` sends what `events:` left out, and so does `notifier redeliver`."
    return ""


def instead_of_url(url: str, *, named: Mapping[str, str], destination: str, kept: Kept) -> str:
    """A sentence for a callback URL to which nothing is kept: what to write instead; empty if there is nothing.

    `named` are the URLs of the endpoints, and `kept` is what there is to other URLs of its origin, `destination`.
    """
    bare = url.partition("?")[0]
    if name := next((name for name, each in named.items() if each.partition("?")[0] == bare), None):
        return f" It is the url of endpoint {printable(name, 64)}: write `{printable(name, 64)}` in place of it."
    if total := sum(kept.counts.values()):
        are, noun = ("is", "message") if total == 1 else ("are", "messages")
        return f" There {are} {total} {noun} to other URLs of {destination}: write {destination} for all of them."
    return ""


def nothing_open(choice: WatchChoice, answer: Cancelled) -> OperationError:
    """No watch of the choice is open."""
    meant = f"watch {choice.watch}" if choice.watch else f"generation {printable(choice.generation or '', 256)}"
    if not answer.ended:
        return NotFound(f"There is no watch of {meant}; `notifier list` shows what is watched.")
    ends = ", ".join(f"{count} {status}" for status, count in answer.ended.items())
    return Conflict(f"Nothing of {meant} is open any more ({ends}).")

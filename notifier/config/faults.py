"""pydantic's errors as sentences that say what to write instead, each with its path and line in the file."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from notifier.config.expand import BROKEN
from notifier.config.keys import SECTIONS, Key, general
from notifier.config.values import shown
from notifier.domain.errors import Fault
from notifier.text.document import Document
from notifier.text.printable import Path, closest, did_you_mean, printable, show_path

#: Renamed keys: section -> old name -> new name. The old name is refused, and the sentence has the new one.
RENAMED: Final[Mapping[Path, Mapping[str, str]]] = {
    ("providers", "*"): {
        "hold": "long_poll",
        "hold_single_as": "long_poll_single_as",
        "hold_multi_as": "long_poll_multi_as",
        "sweep_every": "poll_every",
        "words": "state_words",
    },
}
_WHOLE: Final = "keys and values: store:, providers:, endpoints:"


def faults_of(errors: Sequence[Mapping[str, Any]], document: Document) -> list[Fault]:
    """A Fault for each of pydantic's errors, except those already reported and those that follow from another."""
    meant = set(_meant(errors))
    faults = []
    for error in errors:
        kind = error["type"]
        # An unknown key is a fault of its own, beside the one that is already reported of its value.
        reported = kind == "broken" or (error["input"] is BROKEN and kind != "extra_forbidden")
        if not reported and not (kind == "missing" and tuple(error["loc"]) in meant):
            faults.append(_fault(error, document))
    return faults


def _meant(errors: Sequence[Mapping[str, Any]]) -> Iterator[Path]:
    """The keys that misspelt or renamed ones mean: they are not missing."""
    for error in errors:
        if error["type"] == "extra_forbidden":
            *section, key = error["loc"]
            renamed = RENAMED.get(general(tuple(section)), {}).get(str(key))
            yield (*section, renamed or closest(str(key), list(_keys(tuple(section)))) or key)


def _fault(error: Mapping[str, Any], document: Document) -> Fault:
    path = tuple(error["loc"])
    if path and path[-1] == "[key]" and error["type"] != "extra_forbidden":  # pydantic's mark for the key itself
        path = path[:-1]
    if error["type"] != "missing":
        path = _there(path, document.value)
    return Fault(message=_sentence(error, path), path=show_path(path), line=document.line(path))


def _there(path: Path, value: Any) -> Path:
    """The part of `path` that is in the document: one value that was read as a list of one has no index there."""
    for depth, step in enumerate(path):
        if not (step in value if isinstance(value, dict) else isinstance(value, list) and step in range(len(value))):
            return path[:depth]
        value = value[step]
    return path


def _sentence(error: Mapping[str, Any], path: Path) -> str:
    kind = error["type"]
    if kind == "value_error":
        return str(error["ctx"]["error"])
    if kind == "missing":
        reading = _keys(path[:-1])[str(path[-1])].reading
        return f"{path[-1]} is missing. Write {reading.example if reading else ''}."
    if kind != "extra_forbidden":
        return _wrong_shape(error, path)
    section, name = path[:-1], str(path[-1])
    if (renamed := RENAMED.get(general(section), {}).get(name)) is not None:
        return f'"{name}" is now called "{renamed}": rename it.'
    return f'Unknown key "{printable(name, 64)}".{did_you_mean(name, _keys(section))}'


def _wrong_shape(error: Mapping[str, Any], path: Path) -> str:
    value = shown(error["input"])
    match error["type"]:
        case "dict_type":
            below = f"{printable(str(path[-1]), 64)}: and its keys on indented lines below it" if path else _WHOLE
            return f"{value} is given where a mapping is needed. Write {below}."
        case "list_type":
            return f"{value} is given where a list is needed. Write it in [brackets], or as lines with a dash."
        case "too_short":
            return "The list is empty. Write at least one entry."
        case "too_long":
            context = error["ctx"]
            return f"{context['actual_length']} entries are too many. Write {context['max_length']} at most."
        case other:
            return f"This value is not accepted here ({other})."


def _keys(section: Path) -> Mapping[str, Key]:
    return SECTIONS[general(section)].keys

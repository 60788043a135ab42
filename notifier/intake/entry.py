"""What a person writes about one watch, read part by part: every fault is noted before any stops the entry.

The words of an entry (`id`, `provider`, `state`, `notify`, `callback_url`, `timeout`, `metadata`) are the same in a
drop file, in a watch file and in the configuration. One entry makes a watch for each of its states and endpoints. Names
are checked against what is configured (`Known`): a misspelt one is refused at once, not when a callback fails to come.
"""

import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import lru_cache
from typing import Any, Final

from notifier.domain.errors import MAX_FAULTS, Fault
from notifier.domain.ids import Destination, EndpointIdentity, GenerationId, ProviderName
from notifier.domain.model import State, WatchRequest
from notifier.domain.settings import WatchDefaults
from notifier.intake.metadata import compact
from notifier.net.address_policy import Allow, parse_allow, url_refusal
from notifier.net.urls import normalise_url, origin
from notifier.text.document import Document
from notifier.text.printable import QUOTES, Path, closest, did_you_mean, printable, show_path
from notifier.text.quantity import parse_duration

#: Watches in one list at most, after states and endpoints are multiplied out.
MAX_WATCHES: Final = 100_000

_KEYS: Final = ("id", "provider", "state", "notify", "callback_url", "timeout", "metadata")
_KEY_SET: Final = frozenset(_KEYS)
_NOTHING: Final[frozenset[str]] = frozenset()
_OPTIONS: Final = ("provider", "state", "notify", "callback_url", "timeout")
_MAX_ID: Final = 256
#: What an example says in place of an ID.
_PLACEHOLDER: Final = re.compile(
    r"(?i)<.*>|.*(…|\.\.\.).*|change[-_ ]?me|todo|placeholder|(your|replace|insert)[-_ ].*"
)
#: Of one list, so many different options are kept.
_MOST_OPTIONS: Final = 256
#: What `state` takes in any case; failed is not to be waited for.
_TARGETS: Final = {state.value: state for state in State if state is not State.FAILED}
_FAILED: Final = (
    "A watch cannot wait for {}: wait for completed, "
    "and a generation that fails is answered at once with generation.failed."
)
_NO_CALLBACKS: Final = "callback_url needs a callbacks: section with a secret in the configuration, and there is none."


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownProvider:
    """What an entry may say of one configured provider."""

    #: The codec's; `ValueError` with a sentence.
    normalise_id: Callable[[str], GenerationId]
    #: The provider's own words for states.
    words: Mapping[str, State]
    #: A watch's deadline unless it says otherwise.
    timeout: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the configuration offers to an entry."""

    providers: Mapping[str, KnownProvider]
    #: Names.
    endpoints: Collection[str]
    #: Whether `callbacks:` is configured.
    callbacks: bool = False
    callback_allow: tuple[str, ...] = ()
    defaults: WatchDefaults = field(default_factory=WatchDefaults)


class _Enough(Exception):
    """So many faults that more of them help nobody."""


class _Wrong(Exception):
    """A part of the entry cannot be used; the fault is noted."""


#: Endpoint and the destination it shares.
_Target = tuple[EndpointIdentity, Destination]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Options:
    """What an entry says beside its ID and metadata; None for what is wrong."""

    provider: ProviderName | None
    states: Sequence[State] | None
    targets: Sequence[_Target] | None
    timeout: timedelta | None


class Reading:
    """One list of entries on its way to requests; wrong ones leave faults."""

    def __init__(self, known: Known, lines: Document | None, source: str) -> None:
        self.known = known
        self.faults: list[Fault] = []
        self.requests: list[WatchRequest] = []
        #: What is said of them -> options without a fault.
        self._same: dict[tuple[Any, ...], _Options] = {}
        self._lines = lines
        self._source = source

    # ---- faults
    def fault(self, path: Path, message: str) -> None:
        line = None if self._lines is None else self._lines.line(path)
        self.faults.append(Fault(message=message, path=show_path(path), line=line, source=self._source))
        if len(self.faults) >= MAX_FAULTS:
            self.faults.append(
                Fault(message="There may be more faults; looking for them ended here.", source=self._source)
            )
            raise _Enough

    def wrong(self, path: Path, message: str) -> _Wrong:
        self.fault(path, message)
        return _Wrong()

    def text(self, value: Any, path: Path) -> str:
        """A text, blanks around it dropped; not a number that looks like one."""
        if type(value) is str:
            return value.strip()
        if isinstance(value, (dict, list)) or value is None:
            raise self.wrong(path, f"{path[-1]} must be text.")
        written = (None if self._lines is None else self._lines.written(path)) or json.dumps(value)
        raise self.wrong(path, f'{path[-1]} must be text; quote it: "{printable(written, 64)}".')

    # ---- entries
    def read(self, value: Any, root: Path) -> None:
        """Fill `requests` and `faults` from one entry, a list of them, or None for none."""
        with suppress(_Enough):
            if type(value) is list:
                self._list(value, root)
            elif type(value) is dict:
                self._entry(value, root)
            elif value is not None:
                self.fault(root, 'A watch is a mapping such as {id: "…"}, or a list of them.')

    def _list(self, entries: list[Any], root: Path) -> None:
        if len(entries) > MAX_WATCHES:
            self.fault(root, f"{len(entries):,} watches are too many for one list; at most {MAX_WATCHES:,}.")
            return
        for index, entry in enumerate(entries):
            if type(entry) is dict:
                self._entry(entry, (*root, index))
            else:
                self.fault((*root, index), 'A watch is a mapping such as {id: "…"}.')
            if len(self.requests) > MAX_WATCHES:
                self.fault(root, f"States and endpoints make more than {MAX_WATCHES:,} watches of this list; split it.")
                return

    def _entry(self, entry: Mapping[str, Any], path: Path) -> None:
        """All parts are read before any of them ends the entry, so that every fault is noted."""
        if not path and "watches" in entry:
            self.fault(("watches",), 'Write the list itself, without "watches:" above it.')
            return
        meant = _NOTHING if entry.keys() <= _KEY_SET else self._unknown_keys(entry, path)
        options = None if meant else self._same_options(entry)
        provider = None
        if options is not None:
            provider = options.provider
        elif "provider" not in meant:
            provider = self._part(self._provider, entry, path)
        settings = None if provider is None else self.known.providers[provider]
        id_ = None if "id" in meant else self._part(self._id, entry, path, settings)
        options = options or self._read_options(provider, entry, path, meant)
        metadata = b"{}" if entry.get("metadata") is None else self._part(self._metadata, entry, path)
        if (
            options.provider is None
            or id_ is None
            or not options.states
            or not options.targets
            or options.timeout is None
        ):
            return
        if metadata is None or self.faults:  # nothing of a list with a fault is registered
            return
        for state in options.states:
            for endpoint, destination in options.targets:
                self.requests.append(
                    WatchRequest(
                        provider=options.provider,
                        generation=id_,
                        target=state,
                        endpoint=endpoint,
                        destination=destination,
                        timeout=options.timeout,
                        metadata=metadata,
                    )
                )

    def _unknown_keys(self, entry: Mapping[str, Any], path: Path) -> frozenset[str]:
        """Note a fault for each; the keys that are meant by them, and so are not missing."""
        unknown = [key for key in entry if key not in _KEY_SET]
        for key in unknown:
            shown = printable(key, 64)
            self.fault((*path, key), f'"{shown}" is not a part of a watch.{did_you_mean(key, _KEYS)}')
        return frozenset(meant for key in unknown if (meant := closest(key, _KEYS)) and meant not in entry)

    def _same_options(self, entry: Mapping[str, Any]) -> _Options | None:
        """Those of an entry before that said the same, word for word: most of a list do."""
        try:
            return self._same.get(tuple(map(entry.get, _OPTIONS)))
        except TypeError:  # a list or a mapping in it
            return None

    def _read_options(
        self, provider: ProviderName | None, entry: Mapping[str, Any], path: Path, meant: Collection[str]
    ) -> _Options:
        settings = None if provider is None else self.known.providers[provider]
        unclear = "notify" in meant or "callback_url" in meant
        options = _Options(
            provider=provider,
            states=self._part(self._states, entry, path, settings),
            targets=None if unclear else self._part(self._targets, entry, path),
            timeout=self._part(self._timeout, entry, path, settings),
        )
        said = tuple(map(entry.get, _OPTIONS))
        plain = all(type(each) is str or each is None for each in said)
        if plain and not self.faults and len(self._same) < _MOST_OPTIONS:
            self._same[said] = options
        return options

    @staticmethod
    def _part(read: Callable[..., Any], *rest: Any) -> Any:
        try:
            return read(*rest)
        except _Wrong:
            return None

    # ---- parts of an entry: each gives its value, or notes its faults and raises _Wrong
    def _provider(self, entry: Mapping[str, Any], path: Path) -> ProviderName:
        known = self.known.providers
        path = (*path, "provider")
        if entry.get("provider") is None:
            name = self.known.defaults.provider or (next(iter(known)) if len(known) == 1 else None)
            if name is None:
                raise self.wrong(path, f"provider is missing.{_known(known, 'No provider is configured.')}")
        else:
            name = self.text(entry["provider"], path)
        if name not in known:
            shown = printable(name, 64)
            raise self.wrong(path, f'Provider "{shown}" is not configured.{did_you_mean(name, known)}')
        return ProviderName(name)

    def _id(self, entry: Mapping[str, Any], path: Path, settings: KnownProvider | None) -> GenerationId | None:
        path = (*path, "id")
        if entry.get("id") is None:
            raise self.wrong(path, "id is missing: the generation's ID, as the provider gave it.")
        text = self.text(entry["id"], path)
        if text[:1] in QUOTES or text[-1:] in QUOTES:
            shown = printable(text, 64)
            raise self.wrong(path, f"{shown}: the quotes are a part of this ID here; write it without them.")
        if len(text) <= _MAX_ID and _PLACEHOLDER.fullmatch(text):
            raise self.wrong(path, "This is the placeholder of an example. Write the ID that the provider gave.")
        if not 1 <= len(text) <= _MAX_ID or not (text.isascii() and text.isprintable()):
            raise self.wrong(path, f'"{printable(text, 64)}" is not an ID: 1 to {_MAX_ID} printable ASCII characters.')
        if settings is None:
            return None
        try:
            return settings.normalise_id(text)
        except ValueError as error:
            raise self.wrong(path, str(error)) from None

    def _states(self, entry: Mapping[str, Any], path: Path, settings: KnownProvider | None) -> list[State]:
        if entry.get("state") is None:
            return [self.known.defaults.state]
        asked = (
            settings.words if settings else {w: s for p in self.known.providers.values() for w, s in p.words.items()}
        )
        words = {**asked, **_TARGETS, State.FAILED.value: State.FAILED}

        def read(text: str, at: Path) -> State:
            state = words.get(text)
            if state is State.FAILED:
                raise self.wrong(at, _FAILED.format(text))
            if state is None:
                hint = did_you_mean(text, [word for word, meant in words.items() if meant is not State.FAILED])
                raise self.wrong(at, f'"{printable(text, 64)}" is not a state to wait for.{hint}')
            return state

        return self._each(entry["state"], (*path, "state"), read)

    def _each(self, value: Any, path: Path, read: Callable[[str, Path], Any]) -> list[Any]:
        """One text or a list of them, read one by one; equal ones count once."""
        if type(value) is not list:
            return [read(self.text(value, path), path)]
        if not value:
            raise self.wrong(path, f"{path[-1]} is an empty list; name at least one, or leave it out.")
        found: dict[Any, None] = {}
        bad = False
        for index, item in enumerate(value):
            at = (*path, index)
            try:
                if isinstance(item, (dict, list)) or item is None:
                    raise self.wrong(at, f"{path[-1]} must be text or a list of texts.")
                if type(item) is not str:
                    raise self.wrong(at, f'{path[-1]} must be text; quote it: "{printable(str(item), 64)}".')
                found[read(item.strip(), at)] = None
            except _Wrong:
                bad = True
        if bad:
            raise _Wrong
        return list(found)

    def _targets(self, entry: Mapping[str, Any], path: Path) -> list[_Target]:
        url, notify = entry.get("callback_url"), entry.get("notify")
        if url is not None and notify is not None:
            raise self.wrong((*path, "callback_url"), "callback_url takes the place of notify; keep one of them.")
        if url is not None:
            at = (*path, "callback_url")
            text = self.text(url, at)
            found = _callback(text, self.known.callback_allow) if self.known.callbacks else _NO_CALLBACKS
            if isinstance(found, str):
                raise self.wrong(at, found)
            return [found]
        if notify is not None:
            return self._each(notify, (*path, "notify"), self._endpoint)
        known = self.known.endpoints
        usual = self.known.defaults.notify or (tuple(known) if len(known) == 1 else ())
        if not usual or not all(name in known for name in usual):
            nothing = "No endpoint is configured" + ("; give a callback_url." if self.known.callbacks else ".")
            raise self.wrong((*path, "notify"), f"notify is missing.{_known(known, nothing)}")
        return [(EndpointIdentity(name), Destination(name)) for name in usual]

    def _endpoint(self, text: str, path: Path) -> _Target:
        if text in self.known.endpoints:
            return EndpointIdentity(text), Destination(text)
        if "://" in text:
            raise self.wrong(path, "notify takes the name of a configured endpoint; a URL goes in callback_url.")
        shown = printable(text, 64)
        raise self.wrong(path, f'Endpoint "{shown}" is not configured.{did_you_mean(text, self.known.endpoints)}')

    def _timeout(self, entry: Mapping[str, Any], path: Path, settings: KnownProvider | None) -> timedelta | None:
        if entry.get("timeout") is None:
            return None if settings is None else settings.timeout
        path = (*path, "timeout")
        value = entry["timeout"]
        if type(value) in (int, float):
            raise self.wrong(path, f'timeout needs a unit: write e.g. "{printable(str(value), 40)}s".')
        try:
            timeout = parse_duration(self.text(value, path))
        except ValueError as error:
            raise self.wrong(path, str(error)) from None
        if not timeout:
            raise self.wrong(path, "timeout must be more than 0.")
        return timeout

    def _metadata(self, entry: Mapping[str, Any], path: Path) -> bytes:
        try:
            return compact(entry["metadata"])
        except ValueError as error:
            raise self.wrong((*path, "metadata"), str(error)) from None


@lru_cache(maxsize=1_024)
def _callback(text: str, allow: tuple[str, ...]) -> _Target | str:
    """The URL's identity and destination, or what is wrong with it. Most entries name the same few."""
    try:
        url = normalise_url(text)
    except ValueError as error:
        return str(error)
    return url_refusal(url, _allow(allow)) or (EndpointIdentity(url), Destination(origin(url)))


@lru_cache(maxsize=8)
def _allow(entries: tuple[str, ...]) -> Allow:
    """The same for thousands of URLs that differ."""
    return parse_allow(entries)


def _known(names: Collection[str], nothing: str) -> str:
    return did_you_mean("", names) or f" {nothing}"

"""From a configuration file to `Settings`, or to one ConfigError with every fault: read, expand, resolve, check, build.

A fault does not end the checks: everything that does not depend on the faulty value is still checked.
"""

import dataclasses
import re
from collections.abc import Container, Mapping
from typing import Any, Final

from pydantic import ValidationError

from notifier.config.cross_checks import faults_between, file_faults
from notifier.config.expand import expand, expand_text, expanded_places, plain
from notifier.config.faults import faults_of
from notifier.config.hints import hint
from notifier.config.records import known, settings_from, sketch
from notifier.config.secret_sources import SecretSource, is_place, read_secrets, sources
from notifier.config.sections import CONFIG
from notifier.config.targets import Listen, Store
from notifier.config.values import Reading, absolute, base_of
from notifier.domain.errors import ConfigError, Fault, InvalidWatch
from notifier.domain.model import WatchRequest
from notifier.domain.settings import Settings
from notifier.intake.entry import Known
from notifier.intake.parse import MAX_BYTES, requests_from
from notifier.text.document import TWICE, Document, TextError
from notifier.text.printable import show_path
from notifier.text.reader import FileRefused, FileTooLarge, FileUnreadable, read_regular_file
from notifier.text.strict_yaml import read_yaml

#: The end of the reader's sentence about a repeated key. It quotes the key, not the secret.
_WHOLE: Final = (
    "The configuration is a mapping that begins with store:, providers: and endpoints:; see config.example.yaml."
)


def load(path: str, *, environ: Mapping[str, str]) -> Settings:
    """The configuration at `path`, its secrets read. `ConfigError` carries every fault, by line."""
    return ConfigFile(path, environ=environ).settings()


class ConfigFile:
    """A configuration file that is read once, and whose parts can be used without the rest."""

    def __init__(self, path: str, *, environ: Mapping[str, str]) -> None:
        self._path = path
        self._environ = environ
        self._document, self._faults = _document(path)

    def settings(self) -> Settings:
        """The whole of it, its secrets read. `ConfigError` carries every fault, by line."""
        if not isinstance(self._document.value, dict):
            raise _error(self._path, self._faults or [_not_a_mapping(self._document)])
        value, faults = expand(self._document, self._environ)
        faults += read_secrets(value, self._document, base=base_of(self._path), environ=self._environ)
        made, more = self._made(value)
        faults += more
        watches, more = self._watches(value.get("watches"), known(made) if made else sketch(value))
        places = {fault.path for fault in faults}
        faults = _once(self._faults, faults + [fault for fault in more if fault.path not in places])
        if made is None or faults:
            raise _error(self._path, faults)
        return dataclasses.replace(made, watches=tuple(watches))

    def store_path(self) -> str:
        """The store that it names; nothing else of it is checked, and no secret is read."""
        path = self._path_at(Store(), "store")
        if path is None:
            missing = Fault(message=f"store is missing. Write {Store().example}.", path="store")
            whole = isinstance(self._document.value, dict)
            raise _error(self._path, self._faults or [missing if whole else _not_a_mapping(self._document)])
        return path

    def listen_path(self) -> str | None:
        """The socket that it names, None if it names none; nothing else of it is checked."""
        return self._path_at(Listen(), "api", "listen")

    def secret_sources(self) -> list[SecretSource]:
        """Where each secret comes from, as it is written; none of them is read."""
        return sources(self._document)

    def _path_at(self, reading: Reading, *at: str) -> str | None:
        """One path of the configuration, read as `settings` reads it; None if it is not written."""
        value = self._document.value
        for key in at:
            value = value.get(key) if isinstance(value, dict) else None
        if value is None:
            return None
        try:
            expanded = expand_text(value, self._environ) if isinstance(value, str) else value
            return absolute(reading.read(expanded), base_of(self._path))
        except ValueError as error:
            fault = Fault(message=str(error), path=show_path(at), line=self._document.line(at))
            raise _error(self._path, [fault]) from None

    def _made(self, value: Any) -> tuple[Settings | None, list[Fault]]:
        """The settings without their watches, or None if a watch cannot be judged by them; and the faults."""
        try:
            keys = CONFIG.validate_python(value, context=base_of(self._path))
        except ValidationError as error:
            return None, faults_of(error.errors(include_url=False), self._document)
        made = settings_from(keys, source=self._path)
        if faults := list(faults_between(made, value, self._document)):
            return None, faults
        return made, list(file_faults(made, value, self._document))

    def _watches(self, value: Any, offered: Known | None) -> tuple[list[WatchRequest], list[Fault]]:
        """What `watches:` registers, and its faults. A value out of the environment is not shown in one."""
        if offered is None:
            return [], []
        expanded = expanded_places(value, ("watches",))
        try:
            return requests_from(plain(value), offered, lines=self._document, source="", root=("watches",)), []
        except InvalidWatch as error:
            faults = [fault for fault in error.faults if not _follows(fault, offered)]
            hidden = {path: f"The value of {source} is not accepted here." for path, source in expanded.items()}
            return [], [dataclasses.replace(each, message=hidden.get(each.path, each.message)) for each in faults]


def _follows(fault: Fault, offered: Known) -> bool:
    """Whether it only repeats that there is no endpoint, or no provider, at all."""
    part = re.sub(r"\[\d+\]$", "", fault.path).rpartition(".")[2]
    return (part == "notify" and not offered.endpoints) or (part == "provider" and not offered.providers)


# ---- the file -----------------------------------------------------------------------------------------------------
_REMEDIES: Final[Mapping[type, str]] = {
    FileNotFoundError: "Copy config.example.yaml there, or name another with --config FILE.",
    PermissionError: "Run this as root or as the user that runs notifier.",
}


def _document(path: str) -> tuple[Document, list[Fault]]:
    """The file and the faults of its text; `ConfigError` if too little of it can be read to find more faults."""
    content = _bytes(path)
    try:
        return read_yaml(content), []
    except TextError as error:
        faults = []
        for fault in error.faults:
            message = fault.message + hint(fault, content)
            # The reader's sentences quote the text. If it is a secret's, the fault gets another sentence.
            if is_place(fault.path) and not fault.message.endswith(TWICE):
                message = "This is not plain text to YAML. Put the secret in quotes."
            faults.append(dataclasses.replace(fault, message=message))
        if error.document is None:
            raise _error(path, faults) from None
        return error.document, faults


def _bytes(path: str) -> bytes:
    try:
        content = read_regular_file(path, MAX_BYTES, pipe=True)
    except FileTooLarge as error:
        _refuse_database(error.beginning, path)
        raise _error(path, [Fault(message=f"The file {error}.")]) from None
    except FileRefused as error:
        cause = error.error if isinstance(error, FileUnreadable) else None
        remedy = _REMEDIES.get(type(cause), "Name another with --config FILE.")
        raise _error(path, [Fault(message=f"The configuration {error}. {remedy}")]) from None
    _refuse_database(content, path)
    return content


def _refuse_database(content: bytes, path: str) -> None:
    """The store is often beside the configuration, and its name is as quickly written."""
    if content.startswith(b"SQLite format 3"):
        raise _error(path, [Fault(message="This is a database and no configuration. Name that with --config FILE.")])


def _not_a_mapping(document: Document) -> Fault:
    return Fault(message="The file is empty. " + _WHOLE if document.value is None else _WHOLE, line=document.line(()))


def _once(of_text: list[Fault], found: list[Fault]) -> list[Fault]:
    """Every fault, by line, but for those at a path whose text is already refused."""
    places = {fault.path for fault in of_text if fault.path}
    merged = {fault.path for fault in of_text if "<<" in fault.message}
    more = (fault for fault in found if fault.path not in places and not _merged(fault, merged))
    return sorted([*of_text, *more], key=lambda fault: (fault.line or 0, fault.path))


def _merged(fault: Fault, places: Container[str]) -> bool:
    """Whether it only follows from a refused `<<` at one of `places`: the missing keys were to come from there."""
    section, _, key = fault.path.rpartition(".")
    return fault.path.endswith('["<<"]') or (section in places and fault.message.startswith(f"{key} is missing."))


def _error(path: str, faults: list[Fault]) -> ConfigError:
    return ConfigError([dataclasses.replace(fault, source=path) for fault in faults])

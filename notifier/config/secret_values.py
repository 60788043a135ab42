"""What a secret must look like: API key, signing key, header's value, proxy. No error sentence contains a secret.

A placeholder out of an example is refused: anybody could forge callbacks that are signed with it.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from notifier.config.expand import BROKEN
from notifier.config.values import Reading
from notifier.delivery.signature import check_secret
from notifier.domain.settings import Secret
from notifier.net.proxy import parse_proxy
from notifier.text.printable import QUOTES, printable

WAYS: Final = "text, ${NAME}, {file: PATH} or {credential: NAME}"
#: No random key looks like this.
_PLACEHOLDER: Final = re.compile(
    r"(?i)<.*>|.*(…|\.\.\.|x{8}).*|change[-_ ]?me|todo|placeholder|(whsec_|whsk_|sk-)?(your|replace|insert)[-_ ].*"
)
_TOKEN: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}", re.ASCII)
_OURS: Final = re.compile(r"(?i)host|content-.*|transfer-encoding|connection|webhook-.*")
_CONNECTION: Final = re.compile(r"(?i)expect|keep-alive|proxy-.*|t(e|railer)|upgrade")
#: Characters of a header's value at most.
_LONGEST: Final = 8_192


class SecretReading(Reading):
    """A secret. `secret_sources` has read it: the value is a `Secret`, not what the file says about its source."""

    accepts = WAYS
    schema: Mapping[str, Any] = {
        "anyOf": [
            {"type": "string"},
            {
                "type": "object",
                "properties": {way: {"type": "string"} for way in ("file", "credential")},
                "additionalProperties": False,
                "minProperties": 1,
                "maxProperties": 1,
            },
        ]
    }

    def read(self, value: Any) -> Secret:
        if not isinstance(value, Secret):
            raise ValueError(f"This is not a secret. Write {self.accepts}.")  # noqa: TRY004  pydantic collects ValueErrors
        self.check(value.reveal())
        return value

    def check(self, text: str) -> None:
        raise NotImplementedError


def _refuse_stray(text: str, noun: str) -> None:
    if wrong := stray_text(text):
        raise ValueError(f"The {noun} {wrong}. Copy the {noun} alone.")
    if any(map(str.isspace, text)):
        raise ValueError(f"The {noun} has a blank in it. Copy the {noun} alone.")


def stray_text(secret: str) -> str:
    """What a secret's text contains that no secret has, as the end of a sentence; empty if there is nothing."""
    if secret.startswith("\ufeff"):
        return "begins with a byte order mark: save it as UTF-8 without one (no BOM)"
    if len(secret.strip().splitlines()) > 1:
        return "holds more than one line"
    for edge, says in ((secret[:1], "begins with"), (secret[-1:], "ends in")):
        if edge in ("\n", "\r"):
            return f"{says} an empty line"
        if edge.isspace():
            return f"{says} a blank" if edge == " " else f"{says} a tab or another blank"
    if secret[:1] in QUOTES or secret[-1:] in QUOTES:
        return "has quotes around it, which would be a part of it: take them away"
    return ""


def refuse_placeholder(text: str) -> None:
    """`ValueError` if `text` is what an example has in place of a secret."""
    if _PLACEHOLDER.fullmatch(text.strip()):
        raise ValueError("This is the placeholder of an example. Write the real one.")


class ApiKey(SecretReading):
    """It is sent in a header as it is."""

    example = "api_key: ${AIMLAPI_KEY}"

    def check(self, text: str) -> None:
        if not text:
            raise ValueError(f"The key is empty. Write {self.accepts}.")
        refuse_placeholder(text)
        _refuse_stray(text, "key")
        if not all("!" <= char <= "~" for char in text):
            raise ValueError("A blank, a control or a non-ASCII character is in the key. Copy the key alone.")


class SigningKey(SecretReading):
    """`whsec_…` or `whsk_…`."""

    example = "secret: ${WEBHOOK_SECRET}"

    def check(self, text: str) -> None:
        refuse_placeholder(text)
        _refuse_stray(text, "secret")
        check_secret(text)


class HeaderValue(SecretReading):
    """It is sent with every callback."""

    def check(self, text: str) -> None:
        if len(text) > _LONGEST:
            raise ValueError(f"A header's value has at most {_LONGEST:,} characters.")
        if not all(" " <= char <= "~" for char in text) or text != text.strip():
            raise ValueError(
                "The value has a control or a non-ASCII character in it, or a blank at an end. Write plain ASCII."
            )


class ProxyUrl(SecretReading):
    """It may hold a password, so the whole of it is a secret."""

    accepts = f"http://host:port or http://user:password@host:port, as {WAYS}"

    def check(self, text: str) -> None:
        parse_proxy(text)


def check_headers(value: Any) -> Any:
    """`value`, if its keys are names of headers that may be set; else a `ValueError` that lists each wrong one."""
    if value is BROKEN or not isinstance(value, dict):
        return value
    wrong: list[str] = []
    seen: dict[str, str] = {}
    for name in value:
        shown = f'"{printable(name, 60)}"'
        if not _TOKEN.fullmatch(name):
            wrong.append(f"{shown} is not the name of a header: letters, digits and - only.")
        elif _OURS.fullmatch(name):
            wrong.append(f"{shown} is set by notifier itself. Take it out.")
        elif _CONNECTION.fullmatch(name):
            wrong.append(f"{shown} speaks of the connection, not of the message. Take it out.")
        if name.lower() in seen:
            wrong.append(f"{shown} and {seen[name.lower()]} are the same header. Keep one.")
        seen[name.lower()] = shown
    if wrong:
        raise ValueError(" ".join(wrong))
    return value

"""What went wrong with TLS, as one line with the cure. Pure.

The tables go by OpenSSL's own codes, which are the same on every Python: what it says of a certificate that it did not
accept, and the reason of every other failure, the server's alerts among them. An alert is what the server itself says.
Under TLS 1.3 an alert about our certificate comes only after the handshake.
"""

import re
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from notifier.domain.settings import TlsSettings
from notifier.net.certificates import Certificate, from_der
from notifier.text.printable import printable

#: Names of a certificate that are shown.
_SHOWN: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """What this side brings to a handshake."""

    #: Whom the certificate must be for.
    host: str
    now: datetime
    tls: TlsSettings
    #: The endpoint has a `tls:` section in the configuration, or may have one.
    configurable: bool = True
    #: Why this machine trusts no CA; empty if it has certificates of CAs. Called only if needed: it reads files.
    no_trust: Callable[[], str] = str


@dataclass(slots=True)
class Handshake:
    """What is seen of one connection's TLS, beside the errors that the event loop raises."""

    begun: bool = False
    done: bool = False
    failure: ssl.SSLError | None = None
    #: The certificates that the server sent, in DER, its own first; only if the handshake failed.
    presented: tuple[bytes, ...] = ()
    #: Takes bytes that came before the connection was closed and were not read; None before there is TLS.
    take_rest: Callable[[bytes], None] | None = None


def failure_of(error: BaseException, handshake: Handshake) -> ssl.SSLError | None:
    """The failure of TLS behind `error`, however deep; None if there is none."""
    cause: BaseException | None = error
    for _ in range(8):
        # aiohttp's own errors are subclasses of ssl's, but empty; what they carry is the failure.
        inner = getattr(cause, "certificate_error", None) or getattr(cause, "os_error", None)
        if inner is None and (cause is None or isinstance(cause, ssl.SSLError)):
            break
        cause = inner or (cause and (cause.__cause__ or cause.__context__))
    return cause if isinstance(cause, ssl.SSLError) else handshake.failure


#: If a connection ends inside the handshake, without an alert.
CUT_OFF: Final = "the server closed the connection inside the TLS handshake"


def sentence(error: ssl.SSLError, side: Side, presented: Sequence[bytes] = (), *, established: bool = False) -> str:
    """One line. `presented` are the certificates that the server sent, its own first.

    If TLS was `established`, no later failure is a sign that the server does not speak it.
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        try:
            chain = [from_der(each) for each in presented]
        except ValueError:
            chain = []
        return _of_certificate(error, side, chain)
    reason = _reason(error)
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError) or "UNEXPECTED_EOF" in reason:
        return "the server closed the connection inside TLS"
    name = reason.removeprefix("SSL_R_")
    if not (established and name in _NO_TLS) and (said := _of_reason(name, side)):
        return said
    words = reason.lower().replace("_", " ")
    for noise in ("sslv3 alert ", "tlsv1 alert ", "tlsv13 alert ", "ssl/tls alert "):
        words = words.removeprefix(noise)
    who = "the server ended the TLS exchange" if "ALERT" in reason else "the TLS exchange broke off"
    return f"{who}: {words}" if words else who


#: The text of an error if this Python has no name for its reason: `[SSL] words (_ssl.c:1006)`.
_TEXT: Final = re.compile(r"(?:\[[^\]]*\]\s*)?([A-Za-z0-9/ ]*?)\s*(?:\(_ssl\.c:\d+\))?")


def _reason(error: ssl.SSLError) -> str:
    """OpenSSL's name of it. A Python knows fewer names than a newer OpenSSL that it runs with."""
    if error.reason:
        return error.reason.upper()
    text = _TEXT.fullmatch(error.strerror or str(error.args[-1] if error.args else ""))
    return text[1].replace(" ", "_").upper() if text else ""


# ---- the server's certificate -------------------------------------------------------------------------------------
_NOT_YET: Final = 9
_ENDED: Final = 10
_SELF_SIGNED: Final = 18
_OTHER_ROOT: Final = 19
#: The certificate of the signer is missing.
_NO_ISSUER: Final = frozenset({2, 20, 21})
_OTHER_NAME: Final = frozenset({62, 64})
_WEAK: Final = frozenset({66, 67, 68})


def _of_certificate(error: ssl.SSLCertVerificationError, side: Side, chain: Sequence[Certificate]) -> str:
    code = error.verify_code
    if code in (_NOT_YET, _ENDED):
        return _not_valid_now(chain, side, ended=code == _ENDED)
    if code in _OTHER_NAME:
        return f"its certificate is not for {side.host}{_for(chain)}: change the url, or the certificate"
    if code == _SELF_SIGNED:
        return f"its certificate is self-signed: {_name_it('that certificate', side)}"
    if code == _OTHER_ROOT or code in _NO_ISSUER:
        return side.no_trust() or _untrusted(code, side, chain)
    why = error.verify_message.rstrip(".").lower()
    too_weak = f"its certificate is too weak ({why}): it needs a new one"
    return too_weak if code in _WEAK else f"its certificate cannot be accepted: {why}"


def _not_valid_now(chain: Sequence[Certificate], side: Side, *, ended: bool) -> str:
    """It is the server's own, one that the server sends, or one that is trusted here."""
    wrong = next((each for each in chain if (each.ends <= side.now if ended else side.now < each.starts)), None)
    if wrong is None:
        place = f"in {printable(side.tls.ca, 200)}" if side.tls.ca else "among the CA certificates of this machine"
        whose = f"the certificate of its CA {place}"
    else:
        whose = "its certificate" if wrong is chain[0] else f"the certificate of {_shown(wrong.subject)} that it sends"
    if not ended:
        start = f"before {wrong.starts:%Y-%m-%d %H:%M} UTC" if wrong else "yet"
        return f"{whose} is not valid {start}: is the clock of this machine right?"
    return f"{whose} expired on {wrong.ends:%Y-%m-%d}: renew it" if wrong else f"{whose} has expired: replace it"


def _for(chain: Sequence[Certificate]) -> str:
    names = chain[0].names if chain else ()
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f" but for {', '.join(printable(name, 60) for name in names[:_SHOWN])}{more}" if names else ""


def _untrusted(code: int, side: Side, chain: Sequence[Certificate]) -> str:
    """Its own chain ends at a root that is not trusted, or it ends before any."""
    signer = _shown(chain[-1].issuer if chain else "")
    if code == _OTHER_ROOT:
        return f"its certificate is of a private CA, {signer}, that {_trusting(side)}: {_name_it('its CA', side)}"
    send = "have the server send its whole chain (fullchain), intermediate certificates included"
    if side.tls.ca is not None or (chain and chain[-1].public):
        missing = f"an intermediate certificate is missing: the server does not send that of {signer}"
        beside = f", and {_trusting(side)}" if side.tls.ca is not None else ""
        return f"{missing}{beside}: {send}. If it is a CA of yours, {_name_it('it', side)}"
    signed = f"its certificate is signed by {signer}, which {_trusting(side)}"
    return f"{signed}: {_name_it('its CA', side)}. If that is an intermediate of a public CA, {send}"


def _trusting(side: Side) -> str:
    return f"{printable(side.tls.ca, 200)} does not hold" if side.tls.ca else "this machine does not trust"


def _name_it(what: str, side: Side) -> str:
    if side.configurable:
        return f"name {what} in `tls: {{ca: FILE}}`"
    return f"add {what} to the CA certificates of this machine"


def _shown(name: str) -> str:
    return f'"{printable(name, 80)}"' if name else "somebody without a name"


# ---- everything else ----------------------------------------------------------------------------------------------
_NO_TLS: Final = frozenset(
    {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "HTTPS_PROXY_REQUEST", "UNKNOWN_PROTOCOL", "PACKET_LENGTH_TOO_LONG"}
    | {"RECORD_LAYER_FAILURE", "RECORD_TOO_SMALL", "BAD_RECORD_TYPE", "NOT_SSL"}
)
_OTHER_VERSION: Final = (
    "PROTOCOL_VERSION",
    "UNSUPPORTED_PROTOCOL",
    "WRONG_SSL_VERSION",
    "VERSION_TOO_LOW",
    "INAPPROPRIATE_FALLBACK",
)
_NO_CIPHER: Final = ("HANDSHAKE_FAILURE", "NO_SHARED_CIPHER", "INSUFFICIENT_SECURITY", "NO_CIPHERS_AVAILABLE")
#: What a server says of a client's certificate, and what that means of one.
_OF_OURS: Final = {
    "CERTIFICATE_REQUIRED": "got none that it accepts: does it know the CA of",
    "CERTIFICATE_EXPIRED": "says that ours has expired: renew",
    "UNKNOWN_CA": "does not know the CA of ours: have it trust the CA of",
    "CERTIFICATE_REVOKED": "says that ours is revoked: renew",
    "UNSUPPORTED_CERTIFICATE": "does not accept a certificate of this kind:",
    "BAD_CERTIFICATE": "does not accept ours:",
    "CERTIFICATE_UNKNOWN": "does not accept ours:",
    "ACCESS_DENIED": "does not let this client in:",
}


def _of_reason(reason: str, side: Side) -> str:
    """Empty for a reason that is in no table."""
    if reason in _NO_TLS:
        return "it does not speak TLS: write http://"
    if "NO_APPLICATION_PROTOCOL" in reason:
        return "it speaks HTTP/2 only, and callbacks are HTTP/1.1: allow http/1.1 (ALPN) at the server"
    if "UNRECOGNIZED_NAME" in reason:
        return f"it knows no site of the name {side.host}: is the host of the url right?"
    if reason.endswith(_OTHER_VERSION):
        return "no version of TLS in common: the server must speak TLS 1.2 or 1.3"
    cert = side.tls.cert and printable(side.tls.cert, 200)
    named = ": name one in `tls: {cert: FILE, key: FILE}`" if side.configurable else ", and none can be named for it"
    if reason.endswith(_NO_CIPHER):  # before TLS 1.3 a server that wants a client's certificate says no more than this
        or_else = f"it does not accept {cert}" if cert else f"it asks for a client certificate{named}"
        return f"the server refuses the handshake: there is no cipher in common, or {or_else}"
    ours = next((says for word, says in _OF_OURS.items() if reason.endswith(f"ALERT_{word}")), "")
    return f"the server asks for a client certificate{f' and {ours} {cert}' if cert else named}" if ours else ""

"""How TLS is spoken: whose certificates are trusted, how they are verified, and what is seen of a handshake that fails.

Certificates are verified alike on every Python, so the flags are set here and not left to Python's defaults:
- Not VERIFY_X509_STRICT, which Python 3.13 made a default: many private CAs leave out what it asks for, and a receiver
  that worked must not fail because of a newer Python.
- VERIFY_X509_PARTIAL_CHAIN, also a default of 3.13: any certificate in `ca` vouches, be it an intermediate certificate
  or the server's own. An operator who names it there means that, and curl does the same.

Nothing here writes TLS keys to a file, even if SSLKEYLOGFILE is set: who sets a variable must not learn what is sent.
"""

import os
import re
import ssl
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from notifier.domain.settings import TlsSettings
from notifier.net.connection_attempt import current
from notifier.text.printable import printable

_FLAGS: Final = ssl.VERIFY_X509_TRUSTED_FIRST | ssl.VERIFY_X509_PARTIAL_CHAIN
#: How certificates are named in a directory of the system's.
_HASHED: Final = re.compile(r"[0-9a-f]{8}\.[0-9]+")


def context_for(tls: TlsSettings) -> ssl.SSLContext:
    """`OSError` or `ValueError` if the files do not do."""
    context = trusting(tls.ca)
    context.sslobject_class = _Observed
    context.set_alpn_protocols(["http/1.1"])
    if tls.cert is not None:
        # Without a password OpenSSL would ask for one on the terminal.
        context.load_cert_chain(tls.cert, tls.key, password="")
    return context


def trusting(ca: str | None) -> ssl.SSLContext:
    """A context that trusts the certificates in `ca`, or those of this machine."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # certificates and names are checked, TLS is 1.2 at least
    context.verify_flags = _FLAGS
    if ca is None:
        context.load_default_certs()
    else:
        context.load_verify_locations(ca)
    return context


# ---- one handshake ------------------------------------------------------------------------------------------------
class _Observed(ssl.SSLObject):
    """Keeps the failures that event loops lose (uvloop those that come with the first read), and the server's chain.

    A server that refuses our certificate under TLS 1.3 says so and closes while our request is under way. An event loop
    that fails to write reads no more, so the transport hands in what came last when the request has failed.
    """

    #: The error that broke this connection, if one did.
    failure: ssl.SSLError | None = None
    _arriving: ssl.MemoryBIO

    @classmethod
    def _create(cls, incoming: ssl.MemoryBIO, *rest: Any, **more: Any) -> "_Observed":
        """How a context makes one: the only way to the buffer that it reads from."""
        made: _Observed = super()._create(incoming, *rest, **more)  # type: ignore[misc]  # typeshed leaves it out
        made._arriving = incoming
        return made

    def do_handshake(self) -> None:
        seen = current().tls
        seen.begun, seen.take_rest = True, self._take_rest
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as error:
            seen.failure, seen.presented = error, _presented(self)
            raise
        seen.done = True

    def read(self, len: int = 1024, buffer: Any = None) -> Any:  # noqa: A002  its name is the base's
        try:
            return super().read(len, buffer)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as error:
            self.failure = current().tls.failure = error
            raise

    def _take_rest(self, rest: bytes) -> None:
        """An alert in it breaks the connection; anything else is ignored."""
        with suppress(ssl.SSLError, ValueError):
            self._arriving.write(rest)
            self.read()


def _presented(connection: ssl.SSLObject) -> tuple[bytes, ...]:
    """The certificates that the server sent, in DER. From Python 3.13 on there is a public method for it."""
    with suppress(AttributeError, ValueError, ssl.SSLError):
        if hasattr(connection, "get_unverified_chain"):
            return tuple(connection.get_unverified_chain())
        chain = connection._sslobj.get_unverified_chain()  # type: ignore[attr-defined]  # noqa: SLF001  as above
        return tuple(ssl.PEM_cert_to_DER_cert(each.public_bytes()) for each in chain or ())
    return ()


# ---- whom this machine trusts -------------------------------------------------------------------------------------
def no_trust(environ: Mapping[str, str]) -> str:
    """Why this machine trusts no CA, as one line with the cure; empty if it has certificates of CAs."""
    if trusting(None).cert_store_stats()["x509"]:
        return ""
    directories = (environ.get("SSL_CERT_DIR") or ssl.get_default_verify_paths().openssl_capath).split(os.pathsep)
    for directory in directories:
        with suppress(OSError):
            if any(map(_HASHED.fullmatch, os.listdir(directory))):  # noqa: PTH208  names are enough
                return ""
    variables = ("SSL_CERT_FILE", "SSL_CERT_DIR")
    named = [f"{name} names {printable(environ[name], 100)}" for name in variables if environ.get(name)]
    correct = f" ({' and '.join(named)}, where there are none: correct it, or unset it)" if named else ""
    return f"this machine has no CA certificates: install ca-certificates{correct}"

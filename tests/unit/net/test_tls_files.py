"""The context of a `tls:` setting follows its files."""

from pathlib import Path

import trustme

from notifier.domain.settings import TlsSettings
from notifier.net.tls_files import TlsContexts


def test_the_machines_certificates_are_read_again_when_they_come(nobody: Path) -> None:
    """After `apt install ca-certificates` nothing has to be restarted."""
    seconds = [0.0]
    contexts = TlsContexts(lambda: seconds[0])
    before = contexts.context(TlsSettings())
    assert contexts.context(TlsSettings()) is before
    trustme.CA().cert_pem.write_to_path(nobody / "ca.pem")
    seconds[0] += 5
    after = contexts.context(TlsSettings())
    assert (len(before.get_ca_certs()), len(after.get_ca_certs())) == (0, 1)

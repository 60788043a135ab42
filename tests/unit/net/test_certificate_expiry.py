"""When the files of `tls:` end is said, and each change is reported once."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme
from structlog.testing import capture_logs

from notifier.config import load
from notifier.domain.settings import Settings, TlsSettings
from notifier.net.certificate_expiry import ExpiryReports, validities
from notifier.runtime import log_events
from notifier.runtime.health import Health

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NOW = datetime(2026, 11, 22, 5, 0, tzinfo=UTC)


def dated(file: Path, *days: tuple[int, int]) -> str:
    """One certificate each, valid from and to so many days from now; and a key."""
    authority = trustme.CA()
    made = [
        authority.issue_cert("localhost", not_before=NOW + timedelta(days=start), not_after=NOW + timedelta(days=end))
        for start, end in days
    ]
    chain = [each.cert_chain_pems[0].bytes() for each in made]
    file.write_bytes(b"".join([made[0].private_key_pem.bytes(), *chain]))
    return str(file)


@pytest.mark.parametrize(
    ("days", "says", "usable"),
    [
        ((-10, 400), "ends on 2027-12-27", True),
        ((-10, 31), "ends on 2026-12-23, in 31 days", True),
        ((-10, 1), "ends on 2026-11-23, in 1 day", True),
        ((-10, 0), "expired on 2026-11-22: renew it", False),
        ((1, 10), "not valid before 2026-11-23 05:00 UTC", False),
    ],
)
def test_a_file_says_when_it_ends(tmp_path: Path, days: tuple[int, int], says: str, usable: bool) -> None:  # noqa: FBT001  a parameter
    """By the day; the rest of it from two months before."""
    path = dated(tmp_path / "own.pem", days)
    (term,) = validities(TlsSettings(cert=path, key=path))
    assert (term.key, term.says(NOW), term.usable(NOW)) == ("cert", says, usable)


def test_a_chain_ends_with_its_first_and_a_bundle_with_its_last(tmp_path: Path) -> None:
    """An old CA may stay beside the new one; an intermediate that ends takes the chain with it."""
    path = dated(tmp_path / "both.pem", (-10, 400), (-10, -1))
    own, ca = validities(TlsSettings(cert=path, key=path, ca=path))
    assert (own.usable(NOW), ca.usable(NOW)) == (False, True)


def configured(directory: Path, **tls: str) -> Settings:
    file = directory / "c.yaml"
    file.write_text(
        "store: sqlite:n.db\nproviders: {luma: {kind: aimlapi-luma, api_key: k-123456789abc}}\n"
        f"endpoints: {{studio: {{url: 'https://a.example/', secret: {SECRET}, tls: {tls}}}}}\n"
    )
    return load(str(file), environ={})


def told(reports: ExpiryReports, settings: Settings, now: datetime, *, anew: bool = False) -> list[tuple[str, Any]]:
    with capture_logs() as said:
        (reports.report_all if anew else reports.report_changes)(settings, now)
    return [(line["log_level"], line["note"]) for line in said if line["event"] == log_events.TLS_EXPIRY]


def test_what_changes_is_told_once_while_the_daemon_runs(tmp_path: Path) -> None:
    """At the start all, then a file that comes near its end, that ends, and that is renewed."""
    health = Health()
    reports = ExpiryReports(health)
    path = dated(tmp_path / "own.pem", (-10, 100))
    settings = configured(tmp_path, cert=path, key=path)
    assert told(reports, settings, NOW, anew=True) == [("info", "ends on 2027-03-02")]
    assert told(reports, settings, NOW + timedelta(days=1)) == []
    assert told(reports, settings, NOW + timedelta(days=80)) == [("warning", "ends on 2027-03-02, in 20 days")]
    assert told(reports, settings, NOW + timedelta(days=81)) == []
    assert "endpoints.studio.tls.cert" not in health.troubles
    assert told(reports, settings, NOW + timedelta(days=100)) == [("error", "expired on 2027-03-02: renew it")]
    assert health.troubles["endpoints.studio.tls.cert"] == f"{path} expired on 2027-03-02: renew it"
    dated(tmp_path / "own.pem", (-10, 500))
    assert told(reports, settings, NOW + timedelta(days=101)) == [("info", "ends on 2028-04-05")]
    assert "endpoints.studio.tls.cert" not in health.troubles


def test_a_reload_tells_all_again_and_forgets_what_is_gone(tmp_path: Path) -> None:
    """A trouble of a file that is not in the configuration any more is nobody's."""
    health = Health()
    reports = ExpiryReports(health)
    old, new = dated(tmp_path / "old.pem", (-10, -1)), dated(tmp_path / "new.pem", (-10, 100))
    assert told(reports, configured(tmp_path, cert=old, key=old), NOW, anew=True) == [
        ("error", "expired on 2026-11-21: renew it")
    ]
    assert told(reports, configured(tmp_path, ca=new), NOW, anew=True) == [("info", "ends on 2027-03-02")]
    assert "endpoints.studio.tls.cert" not in health.troubles


@pytest.mark.usefixtures("nobody")
def test_that_nobody_is_trusted_is_a_trouble_until_somebody_is(tmp_path: Path) -> None:
    """Only where somebody is needed: a provider over https is one."""
    health = Health()
    reports = ExpiryReports(health)
    settings = configured(tmp_path, ca=dated(tmp_path / "own.pem", (-10, 100)))
    with capture_logs() as said:
        reports.report_all(settings, NOW)
    assert [line["event"] for line in said] == [log_events.TLS_NO_CA_CERTIFICATES, log_events.TLS_EXPIRY]
    assert health.troubles["CA certificates"].startswith("this machine has no CA certificates")
    trustme.CA().cert_pem.write_to_path(tmp_path / "ca.pem")
    reports.report_all(settings, NOW)
    assert not health.troubles

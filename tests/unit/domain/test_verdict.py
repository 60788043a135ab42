"""What an answer means."""

from datetime import UTC, datetime

import pytest

from notifier.domain.model import Answer, Verdict
from notifier.domain.verdict import explain, judge, retryable

NOW = datetime(2026, 11, 22, 5, 14, tzinfo=UTC)


@pytest.mark.parametrize("status", range(100, 600))
def test_success_is_2xx_and_nothing_else(status: int) -> None:
    """Trap 7: no redirect and no 304 is a success."""
    assert (judge(Answer(status_code=status)) is Verdict.DELIVERED) == (200 <= status <= 299)


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (101, Verdict.PROTOCOL_ERROR),
        (301, Verdict.REDIRECTED),
        (304, Verdict.REDIRECTED),
        (400, Verdict.CLIENT_ERROR),
        (410, Verdict.GONE),
        (429, Verdict.THROTTLED),
        (500, Verdict.SERVER_ERROR),
        (502, Verdict.THROTTLED),
        (503, Verdict.SERVER_ERROR),
        (504, Verdict.THROTTLED),
        (600, Verdict.PROTOCOL_ERROR),
        (999, Verdict.PROTOCOL_ERROR),
        (None, Verdict.PROTOCOL_ERROR),
    ],
)
def test_each_kind_of_status_has_its_verdict(status: int | None, verdict: Verdict) -> None:
    """The words of the attempt row."""
    assert judge(Answer(status_code=status)) is verdict


def test_an_exchange_that_broke_off_is_judged_by_that() -> None:
    """A 200 whose body never ended is a failure."""
    assert judge(Answer(status_code=200, error=Verdict.TIMED_OUT)) is Verdict.TIMED_OUT


def test_429_is_retried_and_so_is_all_but_success_and_gone() -> None:
    """Trap 10: being told to slow down is no reason to drop a message."""
    assert retryable(Verdict.THROTTLED)
    assert {verdict for verdict in Verdict if not retryable(verdict)} == {Verdict.DELIVERED, Verdict.GONE}


@pytest.mark.parametrize(
    "page",
    [
        b"<center>The plain HTTP request was sent to HTTPS port</center>",
        b"Client sent an HTTP request to an HTTPS server.\n",
        b"You're speaking plain HTTP to an SSL-enabled server port.<br />",
    ],
    ids=["nginx", "go", "apache"],
)
def test_a_server_that_waits_for_tls_tells_the_person_so(page: bytes) -> None:
    """They answer a plain request in HTTP, with 400; any other 400 is the receiver's own business."""
    answer = Answer(status_code=400, head=page)
    assert explain(answer, judge(answer)) == "this port speaks TLS: write https:// in the url"
    other = Answer(status_code=400, head=b"no signature")
    assert explain(other, judge(other)) == ""


def test_a_redirect_tells_the_person_what_to_change() -> None:
    """The url in the configuration, to what the answer named."""
    moved = Answer(status_code=301, location="https://new.example/")
    assert explain(moved, judge(moved)) == "moved to https://new.example/: change the url"
    assert "304" in explain(Answer(status_code=304), Verdict.REDIRECTED)
    assert explain(Answer(status_code=200), Verdict.DELIVERED) == ""
    assert explain(Answer(error=Verdict.RESET, detail="cut"), Verdict.RESET) == "cut"


@pytest.mark.parametrize(("status", "tells"), [(401, True), (403, True), (404, False), (400, False), (407, False)])
def test_a_receiver_that_does_not_trust_us_is_asked_for_its_secret(status: int, tells: bool) -> None:  # noqa: FBT001
    """Another secret at its end is the usual reason, and `verify` shows it."""
    answer = Answer(status_code=status)
    said = explain(answer, judge(answer))
    assert ("is the secret the same at both ends? `notifier verify` checks that" in said) is tells


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (101, "it switched to another protocol (101), which nobody asked for: is the url that of a WebSocket?"),
        (600, "600 is no status of HTTP: let it answer 2xx once it has the callback, 4xx or 5xx otherwise"),
        (999, "999 is no status of HTTP: let it answer 2xx once it has the callback, 4xx or 5xx otherwise"),
    ],
)
def test_an_unknown_status_is_reported_with_what_to_do(status: int, said: str) -> None:
    """Its verdict alone, "not HTTP", would leave the reader alone."""
    answer = Answer(status_code=status)
    assert explain(answer, judge(answer)) == said

"""`notifier endpoints` as a person meets it: how each endpoint stands, and what to type."""

import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio
import pytest

from notifier.cli.main import main
from notifier.domain.endpoint_health import EndpointHealth, EndpointState
from notifier.domain.ids import Destination, EndpointIdentity, GenerationId, ProviderName
from notifier.domain.model import EndpointDirectory, Observation, State, Transition, WatchRequest
from notifier.store.sqlite import SqliteStore, open_store
from notifier.store.sqlite.endpoints import save

NOW = datetime(2026, 11, 22, 5, 14, tzinfo=UTC)
DIRECTORY = EndpointDirectory(events={"studio": None, "audit": None}, callbacks=False)
CONFIG = """\
store: sqlite:notifier.db
providers:
  luma: {kind: aimlapi-luma, api_key: sk-0123456789abcdef}
"""


async def enqueue(store: SqliteStore, generation: str) -> None:
    request = WatchRequest(
        provider=ProviderName("luma"),
        generation=GenerationId(generation),
        target=State.COMPLETED,
        endpoint=EndpointIdentity("studio"),
        destination=Destination("studio"),
        timeout=timedelta(hours=24),
    )
    await store.add_watches([request], now=NOW)
    seen = Observation(id=request.generation, state=State.COMPLETED)
    transition = Transition(provider=request.provider, observation=seen, observed_at=NOW, not_before=None)
    await store.record_transitions([transition], now=NOW)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty store, and the configuration that names it."""
    (tmp_path / "config.yaml").write_text(CONFIG)
    monkeypatch.setenv("NOTIFIER_CONFIG", str(tmp_path / "config.yaml"))
    path = tmp_path / "notifier.db"

    async def make() -> None:
        async with open_store(str(path)):
            pass

    anyio.run(make)
    return path


def said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> tuple[list[str], str]:
    monkeypatch.setattr(sys, "argv", ["notifier", "endpoints"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    heard = capsys.readouterr()
    return heard.out.splitlines(), heard.err


def test_before_anything_was_sent_that_is_said(
    store: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An empty table would leave the question open."""
    assert store.exists()
    assert said(monkeypatch, capsys) == ([], "Nothing was sent yet, and nothing is pending.\n")


def test_every_endpoint_is_listed_with_what_to_type(
    store: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its state, since when and why, what waits and what is parked; and the commands that change it."""
    failing = EndpointHealth(
        destination=Destination("audit"),
        state=EndpointState.FAILING,
        first_failure=NOW - timedelta(days=2),
        last_failure=NOW,
        failures=17,
        warned_at=NOW,
        reason="no success since then",
    )

    async def prepare() -> None:
        async with open_store(str(store)) as opened:
            await opened.apply_directory(DIRECTORY, now=NOW)
            await enqueue(opened, "g-1")
            await opened.disable_endpoint(Destination("studio"), now=NOW, reason="it answered \x1b[31m410")
            await opened.writer.run(lambda conn: save(conn, [(failing, failing)]))

    anyio.run(prepare)
    lines, _ = said(monkeypatch, capsys)
    assert lines[0].split() == ["ENDPOINT", "STATE", "FAILURES", "PENDING", "PARKED"]
    assert lines[1].split() == ["audit", "failing", "17", "0", "0"]
    assert lines[2:4] == [
        "  failing since 2026-11-20T05:14:00.000Z, last at 2026-11-22T05:14:00.000Z",
        "  why it is failing: no success since then",
    ]
    assert lines[4].split() == ["studio", "disabled", "0", "0", "1"]
    assert lines[5].startswith("  disabled since 2026-11-22T05:14:00.000Z: it answered ")
    assert "\x1b" not in lines[5]
    config = os.environ["NOTIFIER_CONFIG"]
    assert lines[6:] == [
        f"  to enable it: notifier enable studio --config {config}",
        f"  to send what is parked: notifier recover studio --since 2026-11-22T05:14:00.000Z --config {config}",
    ]

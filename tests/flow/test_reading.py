"""`list`, `show` and `endpoints` ask the daemon, and say the same as its file does."""

from collections.abc import Callable
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from notifier.cli.reports import list_endpoints, list_generations, show_history
from notifier.domain.errors import StoreRefused
from notifier.domain.model import DeliveryStatus, State
from tests.support.daemon_rig import Site, caller, up

DONE, WAITS = "755f9bbb-d99b-4880-992b-000000000001", "755f9bbb-d99b-4880-992b-000000000002"
#: What the commands do, by name; each takes the configuration's path.
COMMANDS: dict[str, Callable[[str], object]] = {
    "list": lambda config: list_generations(config, everything=False, limit=100, most=1000),
    "list one of all": lambda config: list_generations(config, everything=True, limit=1, most=1000),
    "show one that is done": lambda config: show_history(config, DONE),
    "show one that waits": lambda config: show_history(config, WAITS),
    "show an ID that nobody has": lambda config: show_history(config, "-x/../y?z&a=b \u00e9"),
    "endpoints": list_endpoints,
}


def said(capsys: pytest.CaptureFixture[str], config: Path) -> dict[str, str]:
    """What each of them prints."""
    capsys.readouterr()
    told = {}
    for name, command in COMMANDS.items():
        command(str(config))
        captured = capsys.readouterr()
        told[name] = captured.out + captured.err
    return told


async def _delivered(place: Site) -> bool:
    return await place.deliveries() == {DeliveryStatus.DELIVERED: 2}


def _forbidden(*_: object, **__: object) -> None:
    raise AssertionError("the file was opened")


async def test_who_may_use_the_socket_need_not_read_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it runs the file is not opened; stopped, the file says the same, word for word."""
    config = tmp_path / "read.yaml"
    config.write_text("store: sqlite:notifier.db\n")
    async with up(tmp_path) as place:
        place.emulator.create(complete_at=0, id_=DONE)
        place.emulator.create(complete_at=float("inf"), id_=WAITS)
        place.emulator.move(WAITS, State.RUNNING)
        place.drop(
            "two.json", {"id": DONE}, {"id": WAITS, "state": ["running", "completed"], "metadata": {"a": "\u00e9"}}
        )
        await place.until(lambda: _delivered(place))
        with monkeypatch.context() as shut:
            shut.setattr("notifier.cli.reading.open_reader", _forbidden)
            told = await anyio.to_thread.run_sync(said, capsys, config)
        await place.stop()
    assert await anyio.to_thread.run_sync(said, capsys, config) == told
    assert "attempt 1" in told["show one that is done"]


async def test_a_daemon_of_another_store_is_not_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It answers where this one's would, and the file is read all the same."""
    config = tmp_path / "read.yaml"
    config.write_text("store: sqlite:other.db\napi: {listen: api.sock}\n")
    async with up(tmp_path):
        with pytest.raises(StoreRefused, match=r"there is no store at .*other\.db"):
            await anyio.to_thread.run_sync(said, capsys, config)


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("/v1/generations?limit=0", "limit is a whole number from 1 to 100,000."),
        ("/v1/generations?limit=1e3", "limit is a whole number"),
        ("/v1/generations?all=yes", "all is 0 or 1."),
        ("/v1/generations?limits=5", 'Unknown parameter "limits". Did you mean "limit"?'),
        ("/v1/histories", "Say which: id."),
    ],
)
async def test_a_wrong_question_is_refused(tmp_path: Path, path: str, sentence: str) -> None:
    """A misspelt one would be answered with something else than was meant."""
    async with up(tmp_path) as place, caller(place) as client:
        answer = await client.raw("GET", path)
        assert (answer.status_code, sentence in answer.json()["error"]) == (400, True)

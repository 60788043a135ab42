"""What durable means here: SQLite's own words for it are asked of the connection that writes."""

from pathlib import Path

from notifier.store.sqlite import open_store


async def test_a_commit_is_handed_to_the_disk_before_it_returns(tmp_path: Path) -> None:
    """The log is synced at each commit (WAL, synchronous=FULL), and no commit moves it into the main file."""
    asked = ("journal_mode", "synchronous", "wal_autocheckpoint")
    async with open_store(str(tmp_path / "notifier.db")) as store:
        said = await store.writer.run(lambda conn: [conn.execute(f"PRAGMA {word}").fetchone()[0] for word in asked])
    assert said == ["wal", 2, 0]

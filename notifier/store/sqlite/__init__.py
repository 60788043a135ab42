"""The embedded store: one SQLite file, one writing thread with group commit, separate readers."""

from notifier.store.sqlite.errors import write_obstacles
from notifier.store.sqlite.opening import open_reader, open_store, store_exists
from notifier.store.sqlite.store import SqliteStore

__all__ = ["SqliteStore", "open_reader", "open_store", "store_exists", "write_obstacles"]

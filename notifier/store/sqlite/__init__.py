"""The embedded store: one SQLite file, one writing thread with group commit, readers apart."""

from notifier.store.sqlite.errors import unwritable
from notifier.store.sqlite.opening import is_there, open_reader, open_store
from notifier.store.sqlite.store import SqliteStore

__all__ = ["SqliteStore", "is_there", "open_reader", "open_store", "unwritable"]

"""Webhooks for APIs that only let you poll. `docs/architecture.md` shows the path of one generation."""

__version__ = "0.1.0"

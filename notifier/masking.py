"""What may not be shown is taken out of text that is shown, logged or kept. Pure."""

from typing import Final

#: What takes the place of a URL's query.
_QUERY: Final = "?…"


def without_query(url: str) -> str:
    """`https://app.example.com/done?…`: a query may carry a token. What has no query is left as it is."""
    return url.partition("?")[0] + _QUERY if "://" in url and "?" in url else url

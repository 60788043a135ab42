"""Strict reading of text that people and programs write: one door for drop files, watch files and the configuration.

What may stand in a document at all is decided behind it; what it means belongs to its readers. A refused document says
every fault that could be found, each with its line and what to write instead. Callers bound the size.
"""

from notifier.domain.errors import MAX_FAULTS
from notifier.text.document import Document, TextError, decode
from notifier.text.printable import QUOTES, Path, closest, did_you_mean, printable, show_path
from notifier.text.strict_json import read_json
from notifier.text.strict_yaml import read_yaml

__all__ = [
    "MAX_FAULTS",
    "QUOTES",
    "Document",
    "Path",
    "TextError",
    "closest",
    "decode",
    "did_you_mean",
    "printable",
    "read_json",
    "read_yaml",
    "show_path",
]

"""One watch file: the watches in it, or why it is skipped. Blocking."""

import os
import stat

from notifier.domain.errors import Fault, InvalidWatch
from notifier.domain.model import WatchRequest
from notifier.domain.os_errors import reason
from notifier.intake.entry import Known
from notifier.intake.parse import MAX_BYTES, parse_document, suffix_of
from notifier.text.printable import printable


class Unread(InvalidWatch):
    """The system did not let us read it. That may pass while the file stays as it is."""


def read_watch_file(path: str, known: Known) -> list[WatchRequest]:
    """Raises `InvalidWatch` with every fault, `Unread` among them."""
    source = printable(path, 300)
    try:
        data = _bytes_of(path, source)
    except OSError as error:
        raise Unread([Fault(message=f"It cannot be read: {reason(error)}.", source=source)]) from None
    return parse_document(data, known, json=suffix_of(path) == ".json", source=source)


def _bytes_of(path: str, source: str) -> bytes:
    """The whole file. It is the operator's: links are followed; but what is no regular file would never end."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(fd, "rb") as file:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            raise InvalidWatch([Fault(message="It is not a regular file.", source=source)])
        data = file.read(min(found.st_size, MAX_BYTES) + 1)  # room for 16 MiB takes longer than most files
        if len(data) > found.st_size:  # it grew meanwhile
            data += file.read(MAX_BYTES + 1 - len(data))
    if len(data) > MAX_BYTES:
        raise InvalidWatch([Fault(message=f"It is larger than {MAX_BYTES // 2**20} MiB; split it.", source=source)])
    return data

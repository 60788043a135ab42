"""Reads a file that a person named: the configuration, a secret, a certificate, a watch file. Blocking.

It is the one module of `text` that touches the file system. Nothing is read without a bound, and only a regular file is
read: a pipe could wait for ever, and a device may have no end. A file that is refused is an error in words, as the end
of a sentence that the caller begins with the file's name.
"""

import os
import stat
from pathlib import Path
from typing import Final

from notifier.domain.errors import NotifierError
from notifier.domain.os_errors import reason

_KIB: Final = 1024
_MIB: Final = 1024 * 1024
#: Bytes read at once of what does not know its size.
_PIECE: Final = 64 * 1024
_OPEN: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY


class FileRefused(NotifierError):
    """The file was not read: it is of another kind, or its path names nothing that can be."""


class FileUnreadable(FileRefused):
    """The system refused it as `error`. That may pass while the file stays as it is."""

    def __init__(self, error: OSError) -> None:
        super().__init__(f"cannot be read: {reason(error)}")
        self.error = error


class FileTooLarge(FileRefused):
    """`beginning` is what was read of it."""

    def __init__(self, most: int, beginning: bytes) -> None:
        super().__init__(f"is larger than {most // _MIB} MiB" if most >= _MIB else f"is larger than {most // _KIB} KiB")
        self.beginning = beginning


def read_regular_file(file: str | Path | int, most: int, *, pipe: bool = False) -> bytes:
    """The whole of `file`, at most `most` bytes; links are followed. Raises `FileRefused`.

    A descriptor is read from where it is, and stays open. With `pipe` a pipe is read to its end too, such as a shell
    makes for `<(command)`.
    """
    try:
        # Without O_NONBLOCK the open itself would wait for a pipe's writer.
        fd = file if isinstance(file, int) else os.open(file, _OPEN | (0 if pipe else os.O_NONBLOCK))
        try:
            content = _content(fd, most, pipe=pipe)
        finally:
            if fd is not file:
                os.close(fd)
    except OSError as error:
        raise FileUnreadable(error) from None
    except ValueError:  # a NUL in it
        raise FileRefused("is not the path of a file") from None
    if len(content) > most:
        raise FileTooLarge(most, content)
    return content


def _content(fd: int, most: int, *, pipe: bool) -> bytes:
    """At most one byte more than `most`."""
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode) and not (pipe and stat.S_ISFIFO(found.st_mode)):
        raise FileRefused("is not a regular file")
    content = os.read(fd, min(found.st_size, most) + 1)  # as a rule all of it, and held once
    if len(content) == found.st_size:
        return content
    pieces, left = [content], most + 1 - len(content)  # it changed meanwhile, or does not know its size
    while left and (piece := os.read(fd, min(left, _PIECE))):
        pieces.append(piece)
        left -= len(piece)
    return b"".join(pieces)

"""Why the system refused a file, in words. Pure."""

import errno
from collections.abc import Mapping
from typing import Final

_WORDS: Final[Mapping[int, str]] = {
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.ELOOP: "its symbolic links lead in a circle, or there are too many",
    errno.ENAMETOOLONG: "the path, or what a link names, is longer than the system allows",
    errno.EIO: "the disk failed to read",
    errno.ESTALE: "its network file system has lost it; mount that again",
    errno.ENOTCONN: "the program that serves its file system is gone; mount that again",
    errno.EMFILE: "too many files are open in this process; raise LimitNOFILE",
    errno.ENFILE: "too many files are open on this machine; raise fs.file-max",
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EROFS: "its file system is mounted read-only",
    errno.EXDEV: "it is on another file system",
}


def reason(error: OSError) -> str:
    """Why the system refused, in words."""
    return _WORDS.get(error.errno or 0) or (error.strerror or "the system refused").lower()

"""The bytes of a file: all of them, whatever its size says; never more than may be read, and of a file only."""

import os
import socket
import threading
from pathlib import Path

import pytest

from notifier.text.reader import FileRefused, FileTooLarge, FileUnreadable, read_regular_file

LIMIT = 64 * 1024


@pytest.mark.parametrize("size", [0, 1, LIMIT - 1, LIMIT])
def test_a_file_is_read_to_its_end(tmp_path: Path, size: int) -> None:
    """By its path, by a link to it and by a descriptor, which stays open."""
    content = os.urandom(size)
    file = tmp_path / "file"
    file.write_bytes(content)
    (tmp_path / "link").symlink_to(file)
    assert read_regular_file(str(file), LIMIT) == read_regular_file(tmp_path / "link", LIMIT) == content
    fd = os.open(file, os.O_RDONLY)
    assert read_regular_file(fd, LIMIT) == content
    os.close(fd)


def test_a_file_that_holds_more_than_its_size_says_is_read_to_its_end() -> None:
    """As one that grows while it is read; those of the kernel say 0. It is not taken for an empty one."""
    assert read_regular_file("/proc/self/comm", LIMIT)


@pytest.mark.parametrize(
    ("limit", "words"), [(16 * 1024 * 1024, "is larger than 16 MiB"), (16 * 1024, "is larger than 16 KiB")]
)
def test_a_file_that_is_too_large_is_refused(tmp_path: Path, limit: int, words: str) -> None:
    """One byte more than the limit is refused as too much, not cut off; how it begins, the caller may look at."""
    file = tmp_path / "file"
    file.write_bytes(b"SQLite")
    os.truncate(file, limit + 1)
    with pytest.raises(FileTooLarge) as caught:
        read_regular_file(file, limit)
    assert str(caught.value) == words
    assert caught.value.beginning.startswith(b"SQLite")


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    """Pipes, directories, devices and sockets, though nobody writes to them."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "directory").mkdir()
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(tmp_path / "socket"))
        for path in (tmp_path / "pipe", tmp_path / "directory", "/dev/zero"):
            before = len(list(Path("/proc/self/fd").iterdir()))
            with pytest.raises(FileRefused, match=r"^is not a regular file$"):
                read_regular_file(path, LIMIT)
            assert len(list(Path("/proc/self/fd").iterdir())) == before
        with pytest.raises(FileUnreadable):
            read_regular_file(tmp_path / "socket", LIMIT)


def test_what_the_system_refuses_is_told_in_words(tmp_path: Path) -> None:
    """With its error, for who has a remedy for it; a path with a NUL is a path of nothing."""
    with pytest.raises(FileUnreadable, match=r"^cannot be read: no such file or directory$") as caught:
        read_regular_file(tmp_path / "none", LIMIT)
    assert isinstance(caught.value.error, FileNotFoundError)
    with pytest.raises(FileRefused, match=r"^is not the path of a file$"):
        read_regular_file("a\0b", LIMIT)


@pytest.mark.parametrize("size", [0, 100, LIMIT, LIMIT + 1])
def test_a_pipe_is_read_to_its_end_if_the_caller_allows_it(tmp_path: Path, size: int) -> None:
    """Such as a shell makes for `<(command)`; within the same bound."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes(b"x" * size))
    writer.start()
    try:
        if size <= LIMIT:
            assert read_regular_file(pipe, LIMIT, pipe=True) == b"x" * size
        else:
            with pytest.raises(FileTooLarge):
                read_regular_file(pipe, LIMIT, pipe=True)
    finally:
        writer.join()

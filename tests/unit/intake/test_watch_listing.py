"""What the patterns of `watch_files` name, and what cannot be looked at."""

from pathlib import Path

import pytest

from notifier.intake.watch_listing import list_files
from notifier.runtime.file_status import CannotLook, is_directory, status_of


def laid(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("")


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("d/*.yaml", ["d/a.yaml", "d/b.yaml"]),
        ("d/a.yaml", ["d/a.yaml"]),
        ("d/none.yaml", []),
        ("none/*.yaml", []),
        ("d/a.yaml/*.yaml", []),
        ("d/?.yaml", ["d/a.yaml", "d/b.yaml"]),
        ("d/[ab].yaml", ["d/a.yaml", "d/b.yaml"]),
        ("*/sub/*.yaml", ["d/sub/c.yaml"]),
        ("d/**/*.yaml", ["d/a.yaml", "d/b.yaml", "d/sub/c.yaml", "d/sub/deep/e.yaml"]),
        ("d/sub/**", ["d/sub/c.yaml", "d/sub/deep/e.yaml"]),
        ("d/.*.yaml", ["d/.hidden.yaml"]),
        ("d/.hidden.yaml", ["d/.hidden.yaml"]),
        ("d/~$a.yaml", ["d/~$a.yaml"]),
    ],
)
def test_patterns_name_files_as_a_shell_does(tmp_path: Path, pattern: str, found: list[str]) -> None:
    """Hidden names and those of editors only if they are written whole; directories never."""
    laid(tmp_path, "d/a.yaml", "d/b.yaml", "d/.hidden.yaml", "d/~$a.yaml", "d/sub/c.yaml", "d/sub/deep/e.yaml")
    (tmp_path / "d/dir.yaml").mkdir()
    listing = list_files([f"{tmp_path}/{pattern}"])
    assert [str(Path(path).relative_to(tmp_path)) for path in listing.files] == found
    assert listing.unseen == {}


@pytest.mark.parametrize(
    "name",
    [
        *("~$a.yaml", "Thumbs.db", "desktop.ini", "4913", "5036", "#a.yaml#", "a.yaml~", "a.yaml.bak", "a.yaml.orig"),
        *("a.yaml.swp", "a.yaml.part", "a.yaml.crdownload", "a.yaml.filepart", "a.yaml.dpkg-old", "a.yaml.rpmnew"),
        *("a.yaml.sb-1a2b3c4d-AbCdEf", "a.yaml___jb_tmp___"),
    ],
)
def test_what_editors_leave_is_no_watch_file(tmp_path: Path, name: str) -> None:
    """A pattern that would match it does not name it."""
    laid(tmp_path, name, "a.yaml", "1234", "4914")
    assert [Path(path).name for path in list_files([f"{tmp_path}/*"]).files] == ["1234", "4914", "a.yaml"]


def test_every_file_comes_once_and_a_loop_of_links_ends(tmp_path: Path) -> None:
    """Named by two patterns, and reached again and again by a link that leads back up."""
    laid(tmp_path, "d/a.yaml", "d/sub/b.yaml")
    (tmp_path / "d/sub/up").symlink_to(tmp_path / "d")
    (tmp_path / "other").mkdir()
    (tmp_path / "d/other").symlink_to(tmp_path / "other")
    laid(tmp_path, "other/c.yaml")
    listing = list_files([f"{tmp_path}/d/**/*.yaml", f"{tmp_path}/d/*.yaml"])
    assert [str(Path(path).relative_to(tmp_path)) for path in listing.files] == [
        "d/a.yaml",
        "d/other/c.yaml",
        "d/sub/b.yaml",
    ]


@pytest.mark.parametrize(
    ("pattern", "entered"),
    [
        ("d/*.yaml", ["d"]),
        ("d/a.yaml", ["d"]),
        ("none/*.yaml", ["none"]),
        ("d/*/c.yaml", ["d/a.yaml", "d/sub"]),
        ("d/**/*.yaml", ["d", "d/sub", "d/sub/deep"]),
        ("d/**", ["d", "d/sub", "d/sub/deep"]),
    ],
)
def test_directories_are_named_before_they_are_looked_into(tmp_path: Path, pattern: str, entered: list[str]) -> None:
    """Each in which a file may come that the pattern names, also one that is not there yet, or is none."""
    laid(tmp_path, "d/a.yaml", "d/sub/c.yaml", "d/sub/deep/e.yaml")
    told: list[str] = []
    list_files([f"{tmp_path}/{pattern}"], told.append)
    assert sorted({str(Path(path).relative_to(tmp_path)) for path in told}) == entered


def test_what_cannot_be_looked_at_is_said_and_the_rest_is_found(tmp_path: Path) -> None:
    """A link whose name is too long, links in a circle; a link that leads nowhere is there, and has no status."""
    laid(tmp_path, "d/a.yaml")
    (tmp_path / "d/long.yaml").symlink_to("x" * 300)
    (tmp_path / "d/loop.yaml").symlink_to("loop.yaml")
    (tmp_path / "d/nowhere.yaml").symlink_to("nothing")
    listing = list_files([f"{tmp_path}/d/*.yaml"])
    assert [Path(path).name for path in listing.files] == ["a.yaml", "nowhere.yaml"]
    assert listing.files[f"{tmp_path}/d/nowhere.yaml"] is None
    assert listing.unseen == {
        f"{tmp_path}/d/long.yaml": (
            "cannot be looked at: the path, or what a link names, is longer than the system allows"
        ),
        f"{tmp_path}/d/loop.yaml": ("cannot be looked at: its symbolic links lead in a circle, or there are too many"),
    }


def test_there_not_there_and_cannot_look(tmp_path: Path) -> None:
    """Three answers: a status, None, or an error whose sentence names the path and the reason."""
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "file").write_text("")
    assert is_directory(tmp_path)
    assert not is_directory(tmp_path / "file")
    assert status_of(tmp_path / "none") is None
    assert status_of(tmp_path / "file" / "below") is None
    assert status_of(tmp_path / "loop", follow=False) is not None
    for path, words in (
        (tmp_path / "loop", "loop cannot be looked at: .* in a circle"),
        (tmp_path / ("x" * 300), "longer than"),
        ("a\0b", "'a"),
    ):
        with pytest.raises(CannotLook, match=words):
            status_of(path)

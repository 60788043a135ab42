"""Why nobody tells of changes, in words that say what to do."""

import errno

import pytest

from notifier.intake.drop.inotify import why


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.EMFILE, "inotify_init1"), "fs.inotify.max_user_instances"),
        (OSError(errno.ENOSPC, "inotify_add_watch"), "fs.inotify.max_user_watches"),
        (RuntimeError("Error creating watcher: Too many open files (os error 24)"), "fs.inotify.max_user_instances"),
        (OSError('No space left on device (os error 28) about ["/etc"]'), "fs.inotify.max_user_watches"),
        (OSError(errno.ENOSYS, "no inotify"), "this system has no inotify"),
        (OSError(errno.EACCES, "inotify_add_watch"), "permission denied"),
        (RuntimeError("something else"), "the system does not tell of changes here"),
    ],
)
def test_a_limit_that_is_used_up_is_named_with_its_cure(error: Exception, words: str) -> None:
    """Of inotify itself and of watchfiles, which tells the system's error in its text; never its number."""
    assert words in why(error)
    assert "os error" not in why(error)

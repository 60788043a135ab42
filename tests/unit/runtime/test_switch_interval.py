"""How long threads keep the interpreter."""

import sys

from notifier.runtime.switch_interval import short_turns


def test_turns_are_short_while_anybody_reads_something_large() -> None:
    """And as they were once the last of them is done, however that ended."""
    usual = sys.getswitchinterval()
    with short_turns():
        with short_turns():
            pass
        assert sys.getswitchinterval() < usual
    assert sys.getswitchinterval() == usual
    try:
        with short_turns():
            raise OSError  # noqa: TRY301  a reader that fails
    except OSError:
        assert sys.getswitchinterval() == usual

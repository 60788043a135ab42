"""Names that are nobody's watches: what editors, file managers, copy programs and systems make for themselves.

They are left where they are: to refuse one would move a file away from the program that works with it. Beside a real
file such a name is only for a moment, or for ever; in both cases nobody meant it for notifier.
"""

import re
from typing import Final

#: Files that are not finished, copies that an editor keeps, locks.
_ENDS: Final = (
    *("~", ".tmp", ".temp", ".bak", ".orig", ".old", ".save", ".rej", ".lock", ".lck"),
    *(".swp", ".swo", ".swx", ".swpx", ".kate-swp", "___jb_tmp___", "___jb_old___"),
    *(".part", ".partial", ".filepart", ".crdownload", ".download", ".opdownload", ".aria2", ".!ut"),
    *(".dpkg-tmp", ".dpkg-new", ".dpkg-old", ".dpkg-dist", ".ucf-dist", ".ucf-old", ".rpmnew", ".rpmsave", ".rpmorig"),
)
#: Hidden ones (`.nfs…`, `.fuse_hidden…`, rsync's `.x.AbCdEf`), Emacs's, Office's.
_BEGINNINGS: Final = (".", "#", "~$")
_WHOLE: Final = frozenset(("thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "icon\r"))
#: Vim tries whether it may write, by a file 4913; if there is one, by 4913 + 123, and so on.
_VIM_FIRST, _VIM_STEP, _VIM_LAST = 4913, 123, 10_000
#: macOS keeps a file so while it is saved.
_MAC_SAVE: Final = re.compile(r".+\.sb-[0-9a-f]{8}-[A-Za-z0-9]{6}")


def ignored(name: str) -> bool:
    """True if `name` is not meant for us, or not yet."""
    lower = name.lower()
    return (
        name.startswith(_BEGINNINGS)
        or lower.endswith(_ENDS)
        or lower in _WHOLE
        or _is_vims_trial(name)
        or _MAC_SAVE.fullmatch(name) is not None
    )


def _is_vims_trial(name: str) -> bool:
    if not (name.isascii() and name.isdecimal() and len(name) == len(str(_VIM_FIRST))):
        return False
    return _VIM_FIRST <= int(name) < _VIM_LAST and (int(name) - _VIM_FIRST) % _VIM_STEP == 0

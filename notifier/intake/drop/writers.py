"""Whether somebody still has a file open for writing: asked of the kernel by a lease. Blocking, for microseconds.

A read lease is only granted on a file that nobody has open for writing, or mapped into memory for it: exactly the
question, with an answer for every writer on this machine. It may be asked for files of our own user, or with CAP_LEASE;
for another user's file nobody says, and the events of the directory have to do. On a network file system the answer may
be "yes" where nobody writes. `/proc/locks` and `/proc/*/fd` would add nothing: few writers lock, the service sees
neither (ProcSubset=pid), and other users' descriptors are hidden anyway.

A writer that opens the file in between makes the kernel send a signal, whose usual one would end the process. It is
SIGURG here, which is ignored unless somebody asks for it. The writer waits until the lease is given back, at once.
"""

import errno
import fcntl
import signal


def has_writer(fd: int) -> bool | None:
    """True where somebody has the open file `fd` open for writing; None where that cannot be told."""
    try:
        fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as error:
        return True if error.errno == errno.EAGAIN else None
    fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return False

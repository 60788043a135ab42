"""`python -m notifier.config` prints the reference of the configuration, from which `docs/configuration.md` is made."""

import sys

from notifier.config import reference

sys.stdout.write(reference())

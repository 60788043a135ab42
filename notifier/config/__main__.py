"""`python -m notifier.config` prints the reference of the configuration, from which `docs/configuration.md` is made.

With `--schema` it prints a JSON Schema of the file.
"""

import json
import sys

from notifier.config.manual import reference, schema

sys.stdout.write(json.dumps(schema(), indent=2) + "\n" if "--schema" in sys.argv[1:] else reference())

"""`python -m notifier.schemas` writes the files beside this one anew."""

import json
from pathlib import Path

from notifier.domain.model import Format
from notifier.schemas.build import TYPES, file_name, schema

for _type in TYPES:
    for _format in Format:
        _text = json.dumps(schema(_type, _format), indent=2) + "\n"
        (Path(__file__).parent / file_name(_type, _format)).write_text(_text, encoding="utf-8")

"""Which codec speaks which `kind:`. A new API is one module in `kinds` and one line here."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from notifier.providers.base import Codec
from notifier.providers.kinds.aimlapi_luma import AimlapiLuma
from notifier.providers.kinds.aimlapi_video import AimlapiVideo

#: Every kind that the configuration may name.
KINDS: Final[Mapping[str, Codec]] = MappingProxyType({codec.kind: codec for codec in (AimlapiLuma(), AimlapiVideo())})

"""What the store knows as JSON: what the daemon answers to commands that read, and what they make of it again. Pure."""

from collections.abc import Mapping, Sequence
from typing import Final

from pydantic import ConfigDict, TypeAdapter

from notifier.domain.ids import ProviderName
from notifier.store.records import EndpointSummary, GenerationSummary, History, Trouble

#: Bytes from outside need not be text.
_AS: Final = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")

GENERATIONS: Final = TypeAdapter(Sequence[GenerationSummary], config=_AS)
HISTORIES: Final = TypeAdapter(Sequence[History], config=_AS)
TROUBLES: Final = TypeAdapter(Mapping[ProviderName, Trouble], config=_AS)
ENDPOINTS: Final = TypeAdapter(Sequence[EndpointSummary], config=_AS)

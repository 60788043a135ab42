"""What the store knows as JSON: what the daemon answers to commands that read, and what they make of it again. Pure."""

from collections.abc import Mapping, Sequence
from typing import Final

from pydantic import ConfigDict, TypeAdapter

from notifier.domain.ids import ProviderName
from notifier.store.ports import EndpointLine, GenerationLine, Story, Trouble

#: Bytes from outside need not be text.
_AS: Final = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")

GENERATIONS: Final = TypeAdapter(Sequence[GenerationLine], config=_AS)
STORIES: Final = TypeAdapter(Sequence[Story], config=_AS)
TROUBLES: Final = TypeAdapter(Mapping[ProviderName, Trouble], config=_AS)
STANDINGS: Final = TypeAdapter(Sequence[EndpointLine], config=_AS)

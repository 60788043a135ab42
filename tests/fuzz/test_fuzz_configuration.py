"""Configurations near a sound one, as text: Settings, or a ConfigError that says what is wrong and shows no secret."""

import tempfile
from pathlib import Path

from notifier.config import load
from notifier.domain.errors import ConfigError
from notifier.domain.settings import Settings
from tests.support.bounds import PATIENCE, fuzzed, mutated, quick

pytestmark = PATIENCE

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ENVIRON = {"AIMLAPI_KEY": "sk-0123456789abcdef", "STUDIO_SECRET": SECRET, "CALLBACK_SECRET": SECRET}
EXAMPLE = (Path(__file__).parents[2] / "config.example.yaml").read_text()
#: With and without what is a comment there.
SEEDS = [
    "\n".join(line for line in EXAMPLE.splitlines() if not line.strip().startswith("#")).encode(),
    b"""store: sqlite:n.db
providers: {luma: {kind: aimlapi-luma, api_key: "${AIMLAPI_KEY}", rate: 5/s, timeout: 24h, max_ids: 100, batch: on}}
endpoints:
  studio: {url: "https://a.example/", secret: ["${STUDIO_SECRET}"], headers: {X-A: b}, retry: [0s, 5s], concurrency: 3}
callbacks: {secret: "${CALLBACK_SECRET}", allow: ["a.internal:8443", 10.1.0.0/16]}
watches: [{id: a, provider: luma, notify: [studio], state: completed, metadata: {a: 1}}]
watch_files: ["w.d/*.yaml"]
drop: {directory: /var/spool/drop, provider: luma, notify: studio, state: running}
""",
]
TOKENS = [
    *(
        token.encode()
        for token in ("{", "}", "[", "]", '"', ",", ": ", ":\n", "- ", "\n", "  ", "#", "&a ", "*a", "!!str ")
    ),
    *(
        token.encode()
        for token in ("${", "${X}", "$$", "${AIMLAPI_KEY}", "{file: /dev/null}", "{credential: a}", "~", "on")
    ),
    *(
        token.encode()
        for token in ("0s", "1e5", "-1", "9" * 50, "5/s", "0/m", ".inf", "2026-01-01", "\x1b[2J", "\u202e", "é")
    ),
    *(
        token.encode()
        for token in ("store: ", "luma: ", "watches: ", "rate: ", "url: ", "retry: ", "api: ", "http://[::1/")
    ),
    b"\xff",
    b"\0",
]


@fuzzed(mutated(SEEDS, TOKENS), examples=250)
def test_a_configuration_near_a_sound_one_is_judged(content: bytes) -> None:
    """Every fault has its sentence and file, in printable text, and no secret out of the environment."""
    with tempfile.NamedTemporaryFile(suffix=".yaml") as file:
        file.write(content)
        file.flush()
        try:
            with quick():
                assert isinstance(load(file.name, environ=ENVIRON), Settings)
        except ConfigError as error:
            assert error.faults
            for fault in error.faults:
                assert fault.message
                assert fault.source == file.name
                assert str(fault).isprintable()
                assert not any(secret in str(fault) for secret in ENVIRON.values())

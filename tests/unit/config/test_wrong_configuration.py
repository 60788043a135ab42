"""Every way in which a configuration can be wrong, and the exact sentence that its author reads."""
# ruff: noqa: E501  no sentence is split, so that it can be searched for

from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from notifier.config import load
from notifier.config.faults import RENAMED
from notifier.config.keys import SECTIONS
from notifier.domain.errors import ConfigError
from notifier.providers.base import Capabilities
from notifier.providers.kinds.aimlapi_luma import AimlapiLuma

KEY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ENVIRON = {"KEY": "k-123", "WHSEC": KEY, "NUMBER": "seven", "LEAK": "hunter2-leak", "EMPTY": ""}
STORE = "store: sqlite:n.db\n"
PROVIDERS = "providers:\n  luma: {kind: aimlapi-luma, api_key: k-123}\n"
ENDPOINTS = f"endpoints:\n  studio: {{url: 'https://a.example/h', secret: {KEY}}}\n"
GOOD = STORE + PROVIDERS + ENDPOINTS


def provider(extra: str) -> str:
    return f"{STORE}{ENDPOINTS}providers:\n  luma:\n    kind: aimlapi-luma\n    api_key: k-123\n    {extra}\n"


def endpoint(extra: str) -> str:
    return f"{STORE}{PROVIDERS}endpoints:\n  studio:\n    url: https://a.example/h\n    secret: {KEY}\n    {extra}\n"


def faults(directory: Path, text: str | bytes) -> list[str]:
    """The faults of a configuration, each as `line: path: sentence`."""
    file = directory / "c.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError) as refused:
        load(str(file), environ=ENVIRON)
    assert {fault.source for fault in refused.value.faults} == {str(file)}
    return [
        str(fault).removeprefix(f"{file}:").replace(str(directory), "DIR").strip() for fault in refused.value.faults
    ]


UNIX = (
    "A unix socket is not called, and neither is a path: a URL begins with http:// or https://. Let the app listen on a "
    "port of this machine, and write http://127.0.0.1:PORT/ and the path."
)
QUOTED = "has quotes around it, which would be a part of it: take them away"
WRONG: list[tuple[str | bytes, *tuple[str, ...]]] = [
    (b"SQLite format 3\0\x10\0", "This is a database and no configuration. Name that with --config FILE."),
    # what only follows from another fault is not reported
    (
        GOOD.replace("endpoints:", "endpoint:") + "watches:\n  - id: a\n",
        '4: endpoint: Unknown key "endpoint". Did you mean "endpoints"?',
    ),
    (
        GOOD.replace("endpoints:", "endpoint:") + "watches:\n  - {id: a, notify: studio}\n",
        '4: endpoint: Unknown key "endpoint". Did you mean "endpoints"?',
    ),
    (
        GOOD.replace("providers:", "provider:") + "watches:\n  - {id: a, provider: luma}\n",
        '2: provider: Unknown key "provider". Did you mean "providers"?',
    ),
    (GOOD.replace("kind:", "kinds:"), '3: providers.luma.kinds: Unknown key "kinds". Did you mean "kind"?'),
    (GOOD.replace("url:", "ulr:"), '5: endpoints.studio.ulr: Unknown key "ulr". Did you mean "url"?'),
    (
        STORE + PROVIDERS + "watches:\n  - id: a\n",
        "1: endpoints: There is no destination: add an endpoint below endpoints:, or a callbacks: section.",
    ),
    (
        GOOD + "watches:\n  - {idd: a}\n",
        '7: watches[0].idd: "idd" is not a part of a watch. Did you mean "id"?',
    ),
    (
        "x: &d {timeout: 5s}\n" + STORE + PROVIDERS + "endpoints:\n  studio:\n    <<: *d\n",
        "1: x: Anchors (&d) are not supported; write the value out. Text that begins with & goes in quotes.",
        "7: endpoints.studio: merging with << is not supported; write the keys out.",
    ),
    (
        GOOD + "x: *a\n  b: c\n",
        "6: x: Aliases (*name) are not supported; write the value out. Text that begins with * goes in quotes.",
    ),
    # the placeholder of an example is no ID
    *(
        (
            GOOD + f"watches:\n  - id: {text}\n",
            "7: watches[0].id: This is the placeholder of an example. Write the ID that the provider gave.",
        )
        for text in ("YOUR-GENERATION-ID", "your_id", "<id>", "'...'", "TODO")
    ),
    # YAML in our words
    (GOOD + "watch_files: *.yaml\n", "6: Not YAML: text that begins with * goes in quotes."),
    (GOOD + "watch_files: [*.yaml]\n", "6: Not YAML: text that begins with * goes in quotes."),
    (provider("base_url: @x"), "8: Not YAML: text cannot begin with @; put it in quotes."),
    (provider("base_url: 'x"), "9: Not YAML: quotes are not closed; look from line 8 on."),
    (
        provider("base_url: 'C:\\x'").replace("'", '"'),
        "8: Not YAML: a backslash in double quotes begins an escape. Write two of them, or use single quotes.",
    ),
    (
        GOOD.replace(": sqlite:", ":sqlite:"),
        '2: Not YAML: a ":" is here, where no key can be. The line above has no ": " in it, a colon and a blank: write KEY: VALUE there.',
    ),
    (
        STORE + "providers:\n  luma:\n    kind=aimlapi-luma\n    api_key: k-123\n",
        '5: Not YAML: a ":" is here, where no key can be. The line above has no ": " in it, a colon and a blank: write KEY: VALUE there.',
    ),
    (GOOD + "watches:\n  - id: a\n  id: b\n", "8: Not YAML: this line is in a list, and does not begin with a dash."),
    (GOOD + "watches: - id: a\n", "6: Not YAML: a list begins on a line of its own, below its key."),
    (
        "",
        "The file is empty. The configuration is a mapping that begins with store:, providers: and endpoints:; see config.example.yaml.",
    ),
    (
        "- a\n- b\n",
        "1: The configuration is a mapping that begins with store:, providers: and endpoints:; see config.example.yaml.",
    ),
    (b"\xff\xfea", "1: The file is UTF-16 or UTF-32. Save it as UTF-8."),
    ("store: [\n", "2: Not YAML: a value is missing here, or a bracket has no partner."),
    (GOOD + "store: sqlite:x\n", '6: store: "store" is here twice; keep one.'),
    (GOOD + "? [a]\n: b\n", "6: A key must be text, not a list or a mapping."),
    (
        STORE,
        "1: providers: providers is missing. Write providers: with a name of yours below it, and below that kind: and api_key:.",
    ),
    (PROVIDERS + ENDPOINTS, "1: store: store is missing. Write store: sqlite:/var/lib/notifier/notifier.db."),
    (
        STORE + PROVIDERS,
        "1: endpoints: There is no destination: add an endpoint below endpoints:, or a callbacks: section.",
    ),
    (
        STORE + "providers:\n" + ENDPOINTS,
        "2: providers: No provider is configured, so nothing can be polled. Add one below providers:.",
    ),
    (
        STORE + "providers: [luma]\n" + ENDPOINTS,
        "2: providers: A list is given where a mapping is needed. Write providers: and its keys on indented lines below it.",
    ),
    (
        GOOD.replace("sqlite:n.db", "postgresql://me@host/db"),
        "1: store: PostgreSQL is not in this version. Write sqlite: and the path of a file, e.g. sqlite:/var/lib/notifier/notifier.db.",
    ),
    (
        GOOD.replace("sqlite:n.db", "/var/n.db"),
        '1: store: "/var/n.db" is not a store. Write sqlite: and the path of a file, e.g. sqlite:/var/lib/notifier/notifier.db.',
    ),
    (
        GOOD.replace("sqlite:n.db", "sqlite:///n.db"),
        '1: store: "sqlite:///n.db" begins the path with two slashes. Write sqlite: and the path of a file, e.g. sqlite:/var/lib/notifier/notifier.db.',
    ),
    (
        GOOD.replace("sqlite:n.db", '"sqlite::memory:"'),
        "1: store: A store in memory would lose pending callbacks. Write sqlite: and the path of a file, e.g. sqlite:/var/lib/notifier/notifier.db.",
    ),
    (
        GOOD.replace("sqlite:n.db", "sqlite:dir/"),
        '1: store: "sqlite:dir/" is a directory. Write sqlite: and the path of a file, e.g. sqlite:/var/lib/notifier/notifier.db.',
    ),
    (
        GOOD.replace("sqlite:n.db", "5"),
        "1: store: 5 is not text. Write sqlite: and the path of a file, e.g. sqlite:/var/lib/notifier/notifier.db.",
    ),
    (
        GOOD + "api: {listen: '127.0.0.1:8585'}\n",
        (
            '6: api.listen: "127.0.0.1:8585" is no path, and no network is listened on yet.'
            " Write the path of a unix socket, e.g. /run/notifier/api.sock."
        ),
    ),
    (
        GOOD + "api: {listen: 'unix:///run/a.sock'}\n",
        (
            '6: api.listen: "unix:///run/a.sock" is no path, and no network is listened on yet.'
            " Write the path of a unix socket, e.g. /run/notifier/api.sock."
        ),
    ),
    (
        GOOD + "api: {listen: 8585}\n",
        (
            "6: api.listen: 8585 is no path, and no network is listened on yet."
            " Write the path of a unix socket, e.g. /run/notifier/api.sock."
        ),
    ),
    (
        GOOD + "api: {listen: run/}\n",
        '6: api.listen: "run/" is a directory. Write the path of a unix socket, e.g. /run/notifier/api.sock.',
    ),
    (GOOD + "api: {tokens: []}\n", '6: api.tokens: Unknown key "tokens". Known: listen.'),
    (
        provider("state_words: [done]"),
        "8: providers.luma.state_words: A list is given where a mapping is needed. Write a mapping with any of completed, failed, running and queued, each with one word or a list, e.g. {completed: [complete, 2], failed: broken}.",
    ),
    (
        provider("state_words: {komplet: [x]}"),
        '8: providers.luma.state_words: "komplet" is not a state. Did you mean "completed"?',
    ),
    (
        provider("state_words: {completed: []}"),
        "8: providers.luma.state_words: There is nothing below completed. Write a word, or take completed out.",
    ),
    (
        provider("state_words: {}"),
        "8: providers.luma.state_words: 0 words are taught. Write 1 to 200, or take the key out.",
    ),
    (
        provider("state_words: {completed: [All Done], failed: all-done}"),
        '8: providers.luma.state_words: "all-done" is below completed and below failed; keep one.',
    ),
    (
        provider("state_words: {completed: [x, [y]]}"),
        "8: providers.luma.state_words: A list is not a word for a state. Write text of 1 to 100 characters, a whole number, true or false.",
    ),
    (
        provider("state_words: {completed: 1.5}"),
        "8: providers.luma.state_words: 1.5 is not a word for a state. Write text of 1 to 100 characters, a whole number, true or false.",
    ),
    (GOOD + "operator: studoi\n", '6: operator: Endpoint "studoi" is not configured. Did you mean "studio"?'),
    (GOOD + "endpoint: {}\n", '6: endpoint: Unknown key "endpoint". Did you mean "endpoints"?'),
    (
        GOOD.replace("luma:", "Luma:"),
        '3: providers.Luma: "Luma" is not a name. Write a name of 1 to 64 characters out of a-z, 0-9, _ and -, that begins with a letter or a digit.',
    ),
    (
        GOOD.replace("studio:", "https://x:"),
        '5: endpoints["https://x"]: "https://x" is not a name. Write a name of 1 to 64 characters out of a-z, 0-9, _ and -, that begins with a letter or a digit.',
    ),
    (
        GOOD.replace("aimlapi-luma", "aimlapi-lumma"),
        '3: providers.luma.kind: "aimlapi-lumma" is not a kind of provider. Did you mean "aimlapi-luma"?',
    ),
    (
        GOOD.replace("kind: aimlapi-luma", "kind: 5"),
        "3: providers.luma.kind: 5 is not text. Write aimlapi-luma or aimlapi-video.",
    ),
    (GOOD.replace("kind: aimlapi-luma, ", ""), "3: providers.luma.kind: kind is missing. Write kind: aimlapi-luma."),
    (
        GOOD.replace(", api_key: k-123", ""),
        "3: providers.luma.api_key: api_key is missing. Write api_key: ${AIMLAPI_KEY}.",
    ),
    (
        STORE + ENDPOINTS + "providers:\n  luma:\n    kind: aimlapi-luma\n    api_key:\n",
        "7: providers.luma.api_key: There is nothing here. Write api_key: ${AIMLAPI_KEY}.",
    ),
    (
        GOOD.replace("api_key: k-123", "api_key: 123"),
        "3: providers.luma.api_key: This is read as a number or as on/off, not as text. Quote it.",
    ),
    (
        GOOD.replace("api_key: k-123", "api_key: 0123"),
        "3: providers.luma.api_key: This is not plain text to YAML. Put the secret in quotes.",
    ),
    (
        GOOD.replace("api_key: k-123", 'api_key: "k 123"'),
        "3: providers.luma.api_key: The key has a blank in it. Copy the key alone.",
    ),
    (
        GOOD.replace("api_key: k-123", 'api_key: "k-\\xE9123"'),
        "3: providers.luma.api_key: A blank, a control or a non-ASCII character is in the key. Copy the key alone.",
    ),
    (
        GOOD.replace("api_key: k-123", "api_key: '\"k-123\"'"),
        f"3: providers.luma.api_key: The key {QUOTED}. Copy the key alone.",
    ),
    (
        GOOD.replace("api_key: k-123", 'api_key: "k-123 "'),
        "3: providers.luma.api_key: The key ends in a blank. Copy the key alone.",
    ),
    (
        GOOD.replace(KEY, f'"{KEY}\\r"'),
        "5: endpoints.studio.secret: The secret ends in an empty line. Copy the secret alone.",
    ),
    (
        GOOD.replace("https://a.example/h", "unix:///run/app.sock"),
        "5: endpoints.studio.url: " + UNIX,
    ),
    (
        GOOD.replace("https://a.example/h", "http+unix://%2Frun%2Fapp.sock/h"),
        "5: endpoints.studio.url: " + UNIX,
    ),
    (GOOD.replace("https://a.example/h", "/run/app.sock"), "5: endpoints.studio.url: " + UNIX),
    (GOOD.replace("https://a.example/h", "http://unix:/run/app.sock"), "5: endpoints.studio.url: " + UNIX),
    (
        GOOD.replace("https://a.example/h", "wss://a.example/h"),
        "5: endpoints.studio.url: A WebSocket is not called: each callback is one POST. Write https:// in place of wss://.",
    ),
    (
        GOOD.replace("api_key: k-123", "api_key: YOUR_API_KEY"),
        "3: providers.luma.api_key: This is the placeholder of an example. Write the real one.",
    ),
    (
        GOOD.replace("api_key: k-123", "apikey: k-123"),
        '3: providers.luma.apikey: Unknown key "apikey". Did you mean "api_key"?',
    ),
    (provider("max_ids: 0"), "8: providers.luma.max_ids: 0 is too small. Write a whole number from 1 to 1,000."),
    (provider("max_ids: 1001"), "8: providers.luma.max_ids: 1001 is too large. Write a whole number from 1 to 1,000."),
    (
        provider("max_ids: many"),
        '8: providers.luma.max_ids: "many" is not a whole number. Write a whole number from 1 to 1,000.',
    ),
    (
        provider("max_ids: on"),
        "8: providers.luma.max_ids: on is not a whole number. Write a whole number from 1 to 1,000.",
    ),
    (
        provider("max_ids: 1.5"),
        "8: providers.luma.max_ids: 1.5 is not a whole number. Write a whole number from 1 to 1,000.",
    ),
    (
        provider("max_ids: ${NUMBER}"),
        "8: providers.luma.max_ids: ${NUMBER} is not a whole number. Write a whole number from 1 to 1,000.",
    ),
    (
        provider("max_ids:"),
        "8: providers.luma.max_ids: There is nothing here. Write a whole number from 1 to 1,000, or take the key out.",
    ),
    (provider("max_url: 10"), "8: providers.luma.max_url: 10 is too small. Write a whole number from 500 to 65,536."),
    (
        provider("ids_as: list"),
        '8: providers.luma.ids_as: "list" is not a way to write IDs: "array" repeats the parameter, "comma" joins them. Known: array, comma.',
    ),
    (
        provider("rate: 5"),
        '8: providers.luma.rate: 5 has no unit. Write a rate such as "5/s", "300/m" or "1000/h", above 0 and at most 100,000/s.',
    ),
    (provider("rate: fast"), '8: providers.luma.rate: "fast" is not a rate; write e.g. "5/s", "300/m" or "1000/h".'),
    (provider("rate: 0/s"), '8: providers.luma.rate: "0/s" is not a rate; write e.g. "5/s", "300/m" or "1000/h".'),
    (
        provider("rate: 200000/s"),
        '8: providers.luma.rate: "200000/s" is out of bounds. Write a rate such as "5/s", "300/m" or "1000/h", above 0 and at most 100,000/s.',
    ),
    (provider("in_flight: 300"), "8: providers.luma.in_flight: 300 is too large. Write a whole number from 1 to 256."),
    (provider("timeout: 400d"), '8: providers.luma.timeout: "400d" is too long. Write a duration from 1s to 365d.'),
    (provider("timeout: 24"), "8: providers.luma.timeout: 24 has no unit. Write a duration from 1s to 365d, e.g. 24s."),
    (
        provider("timeout: soon"),
        '8: providers.luma.timeout: "soon" is not a duration; write e.g. "1500ms", "15s", "5m", "2h" or "1d".',
    ),
    (provider("batch: maybe"), '8: providers.luma.batch: "maybe" is neither on nor off. Write on or off.'),
    (provider("batch: 1"), "8: providers.luma.batch: 1 is neither on nor off. Write on or off."),
    (
        provider("poll_every: 10ms"),
        '8: providers.luma.poll_every: "10ms" is too short. Write a duration from 100ms to 1d.',
    ),
    (
        provider("request_timeout: 5m"),
        '8: providers.luma.request_timeout: "5m" is too long. Write a duration from 1s to 120s.',
    ),
    (
        provider("base_url: api.aimlapi.com"),
        "8: providers.luma.base_url: A URL begins with http:// or https://. Write one of them in front.",
    ),
    (
        provider("base_url: https://api.aimlapi.com/v1"),
        "8: providers.luma.base_url: It ends in /v1, and /v2/generate/video/luma-ai/generation is put behind it, with its version. Write https://api.aimlapi.com.",
    ),
    (
        provider("base_url: https://gw.example/ai/v2/"),
        "8: providers.luma.base_url: It ends in /v2, and /v2/generate/video/luma-ai/generation is put behind it, with its version. Write https://gw.example/ai.",
    ),
    (
        provider("base_url: https://api.aimlapi.com/v2/generate/video/luma-ai/generations"),
        "8: providers.luma.base_url: It ends in /v2/generate/video/luma-ai/generations, and /v2/generate/video/luma-ai/generation is put behind it, with its version. Write https://api.aimlapi.com.",
    ),
    (
        provider("base_url: https://api.aimlapi.com/v2/video/generations"),
        "8: providers.luma.base_url: It ends in /v2/video/generations, and /v2/generate/video/luma-ai/generation is put behind it, with its version. Write https://api.aimlapi.com.",
    ),
    (
        provider("base_url: https://${NUMBER}.example/V2"),
        "8: providers.luma.base_url: Its value ends in /V2, and /v2/generate/video/luma-ai/generation is put behind it, with its version. Take /V2 off the end of the value of https://${NUMBER}.example/V2.",
    ),
    (
        PROVIDERS.replace("aimlapi-luma, ", "aimlapi-video, base_url: 'https://a.example/v1/v2', ") + STORE + ENDPOINTS,
        "2: providers.luma.base_url: It ends in /v2, and /v2/video/generations is put behind it, with its version. Write https://a.example.",
    ),
    (
        provider("base_url: https://a.example/?x=1"),
        "8: providers.luma.base_url: A base URL has no query: routes are put behind it. Write a URL that begins with http:// or https://, without a query.",
    ),
    (provider("api_keys: x"), '8: providers.luma.api_keys: Unknown key "api_keys". Did you mean "api_key"?'),
    (provider("kind: x"), '8: providers.luma.kind: "kind" is here twice; keep one.'),
    (
        endpoint("concurrency: 0"),
        "8: endpoints.studio.concurrency: 0 is too small. Write a whole number from 1 to 256.",
    ),
    (endpoint("rate: none"), '8: endpoints.studio.rate: "none" is not a rate; write e.g. "5/s", "300/m" or "1000/h".'),
    (endpoint("timeout: 31s"), '8: endpoints.studio.timeout: "31s" is too long. Write a duration from 1s to 30s.'),
    (endpoint("timeout: 500ms"), '8: endpoints.studio.timeout: "500ms" is too short. Write a duration from 1s to 30s.'),
    (endpoint("retry: []"), "8: endpoints.studio.retry: The list is empty. Write at least one entry."),
    (
        endpoint("retry: 5s"),
        '8: endpoints.studio.retry: "5s" is given where a list is needed. Write it in [brackets], or as lines with a dash.',
    ),
    (
        endpoint("retry: [0s, 8d, 5]"),
        '8: endpoints.studio.retry[1]: "8d" is too long. Write a duration from 0s to 7d.',
        "8: endpoints.studio.retry[2]: 5 has no unit. Write a duration from 0s to 7d, e.g. 5s.",
    ),
    (
        endpoint("events: []"),
        "8: endpoints.studio.events: An empty list would send nothing. Name the types, or take the key out to send all.",
    ),
    (
        endpoint("events: [generation.complete, 7]"),
        '8: endpoints.studio.events: "generation.complete" is not an event type. Did you mean "generation.completed"? 7 is not an event type. Known: generation.queued, generation.running, generation.completed, generation.failed, generation.unknown, watch.expired.',
    ),
    (
        endpoint("headers: {Host: x, content-type: y}"),
        '8: endpoints.studio.headers: "Host" is set by notifier itself. Take it out. "content-type" is set by notifier itself. Take it out.',
    ),
    (
        endpoint('headers: {"X Y": z}'),
        '8: endpoints.studio.headers: "X Y" is not the name of a header: letters, digits and - only.',
    ),
    (
        endpoint("headers: {X-A: b, x-a: c}"),
        '8: endpoints.studio.headers: "x-a" and "X-A" are the same header. Keep one.',
    ),
    (
        endpoint("headers: {X-A: 5}"),
        "8: endpoints.studio.headers.X-A: This is read as a number or as on/off, not as text. Quote it.",
    ),
    (
        endpoint('headers: {X-A: "a\\tb"}'),
        "8: endpoints.studio.headers.X-A: The value has a control or a non-ASCII character in it, or a blank at an end. Write plain ASCII.",
    ),
    (
        endpoint("headers: [X-A]"),
        "8: endpoints.studio.headers: A list is given where a mapping is needed. Write headers: and its keys on indented lines below it.",
    ),
    (endpoint("header: {X-A: b}"), '8: endpoints.studio.header: Unknown key "header". Did you mean "headers"?'),
    (
        GOOD.replace("https://a.example/h", "ftp://a.example/h"),
        "5: endpoints.studio.url: A URL begins with http:// or https://; ftp:// is not supported.",
    ),
    (
        GOOD.replace("https://a.example/h", "http://169.254.169.254/"),
        "5: endpoints.studio.url: This is a cloud metadata address, which is never called. Write the address of your app.",
    ),
    (
        GOOD.replace("https://a.example/h", "${LEAK}"),
        "5: endpoints.studio.url: The value of ${LEAK} is not accepted here. It must be a URL that begins with http:// or https://.",
    ),
    (
        GOOD.replace("https://a.example/h", "${MISSING}"),
        "5: endpoints.studio.url: ${MISSING}: the environment variable MISSING is not set. Set it, or write the value itself.",
    ),
    (
        GOOD.replace("https://a.example/h", "https://a.example/${KEY"),
        '5: endpoints.studio.url: "${" has no "}" after it. Write ${NAME}, or $$ for a dollar sign.',
    ),
    (
        GOOD.replace("https://a.example/h", "${A B}"),
        '5: endpoints.studio.url: "${A B}" is not the name of a variable: letters, digits and _ only. Write $$ for a dollar sign.',
    ),
    (
        GOOD.replace("https://a.example/h", "${EMPTY}"),
        "5: endpoints.studio.url: ${EMPTY}: the environment variable EMPTY is empty. Set it, or write the value itself.",
    ),
    (
        GOOD.replace(KEY, "whsec_short"),
        '5: endpoints.studio.secret: What follows "whsec_" is not base64 with its padding ("="): copy the secret whole.',
    ),
    (
        GOOD.replace(KEY, "whsec_c2hvcnQ="),
        '5: endpoints.studio.secret: A "whsec_" key is 24 to 64 bytes in base64; this one has 5.',
    ),
    (
        GOOD.replace(KEY, "hunter2"),
        '5: endpoints.studio.secret: A secret begins with "whsec_" (or "whsk_" for ed25519): "notifier secret new" makes one.',
    ),
    (
        GOOD.replace(KEY, "${LEAK}"),
        '5: Not YAML: a "," or a closing bracket is missing. Inside { } and [ ] put quotes around "${NAME}".',
    ),
    (
        GOOD.replace(KEY, "'${LEAK}'"),
        '5: endpoints.studio.secret: A secret begins with "whsec_" (or "whsk_" for ed25519): "notifier secret new" makes one.',
    ),
    (
        GOOD.replace(KEY, "{file: nothere}"),
        "5: endpoints.studio.secret: DIR/nothere cannot be read: no such file or directory.",
    ),
    (GOOD.replace(KEY, "{file: .}"), "5: endpoints.studio.secret: DIR is not a regular file."),
    (
        GOOD.replace(KEY, "{credential: hook}"),
        "5: endpoints.studio.secret: {credential: hook}: $CREDENTIALS_DIRECTORY is not set; the service manager sets it. Write LoadCredential=hook:PATH in the unit, or use {file: PATH}.",
    ),
    (
        GOOD.replace(KEY, "{credential: ../x}"),
        "5: endpoints.studio.secret: The name of a credential is letters, digits and . _ @ : - only, as in LoadCredential=.",
    ),
    (
        GOOD.replace(KEY, "{fil: x}"),
        '5: endpoints.studio.secret: A secret is text, ${NAME}, {file: PATH} or {credential: NAME}. Did you mean "file"?',
    ),
    (GOOD.replace(KEY, "[]"), "5: endpoints.studio.secret: The list is empty. Write at least one entry."),
    (
        GOOD.replace(KEY, f"[{KEY}, whsec_x]"),
        '5: endpoints.studio.secret[1]: What follows "whsec_" is not base64 with its padding ("="): copy the secret whole.',
    ),
    (
        GOOD.replace(KEY, "[" + f"{KEY}, " * 11 + "]"),
        "5: endpoints.studio.secret: 11 entries are too many. Write 10 at most.",
    ),
    (
        GOOD.replace(KEY, "whsec_REPLACE_ME"),
        "5: endpoints.studio.secret: This is the placeholder of an example. Write the real one.",
    ),
    (
        GOOD.replace(KEY, "whsec_…"),
        "5: endpoints.studio.secret: This is the placeholder of an example. Write the real one.",
    ),
    (
        GOOD + 'callbacks: {allow: [10.0.0.1/8, "app"]}\n',
        '6: callbacks.allow[0]: 10.0.0.1/8 has bits beyond its length: write "10.0.0.0/8".',
        '6: callbacks.allow[1]: \'app\' is not host:port, an address or a network: write "host:443" or "10.1.0.0/16".',
        "6: callbacks.secret: secret is missing. Write secret: ${WEBHOOK_SECRET}.",
    ),
    (
        GOOD + f"callbacks: {{secret: {KEY}, allow: app:443}}\n",
        '6: callbacks.allow: "app:443" is given where a list is needed. Write it in [brackets], or as lines with a dash.',
    ),
    (GOOD + "drop: {}\n", "6: drop.directory: directory is missing. Write directory: /var/spool/notifier/drop."),
    (
        GOOD + "drop: /spool\n",
        '6: drop: "/spool" is given where a mapping is needed. Write drop: and its keys on indented lines below it.',
    ),
    (
        GOOD + '  "\\e[2J": ${KEY}\n',
        '6: endpoints["\\x1b[2J"]: "\\x1b[2J" is not a name. Write a name of 1 to 64 characters out of a-z, 0-9, _ and -, that begins with a letter or a digit.',
        '6: endpoints["\\x1b[2J"]: ${KEY} is given where a mapping is needed. Write \\x1b[2J: and its keys on indented lines below it.',
    ),
    (
        GOOD + "drop: {directory: d, provider: lumma, notify: [studio, stdio], state: failed}\n",
        '6: drop.notify[1]: Endpoint "stdio" is not configured. Did you mean "studio"?',
        '6: drop.provider: Provider "lumma" is not configured. Did you mean "luma"?',
        "6: drop.state: A watch cannot wait for failed: one that waits for completed reports a failure too. Write completed.",
    ),
    (
        GOOD + "drop: {directory: d, state: done}\n",
        '6: drop.state: "done" is not a state. Known: queued, running, completed, dreaming.',
    ),
    (GOOD + 'drop: {directory: ""}\n', "6: drop.directory: The text is empty. Write the path of a directory."),
    (
        GOOD + "watch_files: w.yaml\n",
        '6: watch_files: "w.yaml" is given where a list is needed. Write it in [brackets], or as lines with a dash.',
    ),
    (GOOD + "watches: 5\n", '6: watches: A watch is a mapping such as {id: "…"}, or a list of them.'),
    (
        GOOD + "watches:\n  - {id: 12}\n  - {id: a, notify: stduio, state: failed, x: 1}\n",
        '7: watches[0].id: id must be text; quote it: "12".',
        '8: watches[1].notify: Endpoint "stduio" is not configured. Did you mean "studio"?',
        "8: watches[1].state: A watch cannot wait for failed: wait for completed, and a generation that fails is answered at once with generation.failed.",
        '8: watches[1].x: "x" is not a part of a watch. Known: id, provider, state, notify, callback_url, timeout, metadata.',
    ),
    (
        GOOD + 'watches: [{id: a, notify: "${LEAK}"}, {id: "${MISSING}"}]\n',
        "6: watches[0].notify: The value of ${LEAK} is not accepted here.",
        "6: watches[1].id: ${MISSING}: the environment variable MISSING is not set. Set it, or write the value itself.",
    ),
    (
        GOOD + 'watches: [{id: a, callback_url: "https://a.example/"}]\n',
        "6: watches[0].callback_url: callback_url needs a callbacks: section with a secret in the configuration, and there is none.",
    ),
    (
        STORE + "providers: {luma: {kind: x, api_key: k}}\nwatches: [{id: a, provider: lumma}]\n" + ENDPOINTS,
        '2: providers.luma.kind: "x" is not a kind of provider. Known: aimlapi-luma, aimlapi-video.',
        '3: watches[0].provider: Provider "lumma" is not configured. Did you mean "luma"?',
    ),
    (
        GOOD.replace("api_key: k-123", "api_key: k, api_key: l"),
        '3: providers.luma.api_key: "api_key" is here twice; keep one.',
    ),
    (
        GOOD.replace(KEY, "*hook"),
        "5: endpoints.studio.secret: This is not plain text to YAML. Put the secret in quotes.",
    ),
    (
        GOOD.replace("sqlite:n.db", "sqlite:~/n.db"),
        "1: store: A ~ is not expanded here. Write the whole path, or ${HOME}/ and the rest.",
    ),
    (
        GOOD + "watch_files: [~/w.yaml]\n",
        "6: watch_files[0]: A ~ is not expanded here. Write the whole path, or ${HOME}/ and the rest.",
    ),
    (
        STORE + "providers:\n  luma:\n   kind: aimlapi-luma\n    api_key: ${KEY}\n" + ENDPOINTS,
        '5: Not YAML: a ":" is here, where no key can be. Keys of one mapping begin in the same column; compare with the line above.',
    ),
    (
        STORE + 'providers:\n  luma:\n   kind: aimlapi-luma # ours:\n\n    headers: {A: "${KEY}"}\n' + ENDPOINTS,
        "6: Not YAML: this line does not fit what is above it. Keys of one mapping begin in the same column; compare with the line above.",
    ),
    (
        STORE + "providers:\n  luma:\n    kind: aimlapi-luma\n   api_key: ${KEY}\n" + ENDPOINTS,
        "5: Not YAML: this line does not fit what is above it. Keys of one mapping begin in the same column; compare with the line above.",
    ),
    (
        "  " + GOOD,
        "2: Not YAML: this line does not fit what is above it. Keys of one mapping begin in the same column; compare with the line above.",
    ),
    (
        GOOD + "watches:\n  - id: a\n     notify: studio\n",
        '8: Not YAML: a ":" is here, where no key can be. Keys of one mapping begin in the same column; compare with the line above.',
    ),
    (
        GOOD + "watches:\n  - id: a\n    notify: stu: dio\n",
        '8: Not YAML: a ":" is here, where no key can be. Put text that has ": " in it in quotes.',
    ),
    (
        provider("base_url: http: //${KEY}"),
        '8: Not YAML: a ":" is here, where no key can be. Put text that has ": " in it in quotes.',
    ),
    (
        "#\u2028a: b: c\n\n\n",
        '2: Not YAML: a ":" is here, where no key can be. Put text that has ": " in it in quotes.',
    ),
    (provider('base_url: "${KEY}" x'), "8: Not YAML: this line does not fit what is above it."),
    (
        STORE + "providers:\n  luma: {kind: aimlapi-luma,\n    api_key: ${KEY}}\n" + ENDPOINTS,
        '4: Not YAML: a "," or a closing bracket is missing; look from line 3 on. Inside { } and [ ] put quotes around "${NAME}".',
    ),
    (
        GOOD.replace(KEY, "{credential: 5}"),
        "5: endpoints.studio.secret: A secret is text, ${NAME}, {file: PATH} or {credential: NAME}.",
    ),
    (
        endpoint("headers: {Expect: 100-continue, Proxy-Authorization: x, Upgrade: y, X-Fine: z}"),
        '8: endpoints.studio.headers: "Expect" speaks of the connection, not of the message. Take it out. "Proxy-Authorization" speaks of the connection, not of the message. Take it out. "Upgrade" speaks of the connection, not of the message. Take it out.',
    ),
    *(
        (endpoint(f"proxy: '{text}'"), f"8: endpoints.studio.proxy: {sentence}")
        for text, sentence in (
            (
                "https://p.example:3128",
                "A proxy is spoken to over http. Write http://host:port, or http://user:password@host:port.",
            ),
            (
                "p.example:3128",
                "A proxy is spoken to over http. Write http://host:port, or http://user:password@host:port.",
            ),
            (
                "http://p.example",
                "A proxy has a port and nothing behind it. Write http://host:port, or http://user:password@host:port.",
            ),
            (
                "http://p.example:3128/x",
                "A proxy has a port and nothing behind it. Write http://host:port, or http://user:password@host:port.",
            ),
            (
                "http://me:hunter2-leak@p q:1",
                "What follows http:// is not host:port. Write http://host:port, or http://user:password@host:port.",
            ),
            (
                "http://:hunter2-leak@p.example:1",
                "The user before @ is empty, or holds what cannot be sent. Write http://host:port, or http://user:password@host:port; @ as %40.",
            ),
            (
                "http://169.254.169.254:80",
                "This is a cloud metadata address, which is never called. Write the address of the proxy.",
            ),
        )
    ),
    (
        provider("proxy: socks5://me:hunter2-leak@p.example:1080"),
        "8: providers.luma.proxy: A proxy is spoken to over http. Write http://host:port, or http://user:password@host:port.",
    ),
    (
        provider("proxy: 3128"),
        "8: providers.luma.proxy: This is read as a number or as on/off, not as text. Quote it.",
    ),
    (
        endpoint("proxy: ${LEAK}"),
        "8: endpoints.studio.proxy: A proxy is spoken to over http. Write http://host:port, or http://user:password@host:port.",
    ),
    (
        GOOD.replace("https://a.example/h", "http://[::ffff:169.254.169.254]/h"),
        "5: endpoints.studio.url: This is a cloud metadata address, which is never called. Write the address of your app.",
    ),
    (
        endpoint("tls: {}"),
        "8: endpoints.studio.tls: There is nothing below tls:. Write cert: and key:, or ca:, or take it out.",
    ),
    (
        endpoint("tls: client.pem"),
        '8: endpoints.studio.tls: "client.pem" is given where a mapping is needed. Write tls: and its keys on indented lines below it.',
    ),
    (
        endpoint("tls: {cert: c.pem}"),
        "8: endpoints.studio.tls.cert: A cert needs its key. Write key: PATH; it may be the same file.",
    ),
    (
        endpoint("tls: {key: c.pem}"),
        "8: endpoints.studio.tls.key: A key needs its cert. Write cert: PATH; it may be the same file.",
    ),
    (
        endpoint("tls: {certificate: c.pem}"),
        '8: endpoints.studio.tls.certificate: Unknown key "certificate". Known: cert, key, ca.',
    ),
    (
        endpoint("tls: {ca: ca.pem}").replace("https://a.example", "http://a.example"),
        "8: endpoints.studio.tls: The url is not https, so this would not act. Write https:// there, or take tls: out.",
    ),
    (
        endpoint("tls: {ca: ca.pem}"),
        "8: endpoints.studio.tls.ca: DIR/ca.pem cannot be read: no such file or directory.",
    ),
    (
        endpoint("tls: {ca: '${LEAK}.pem'}"),
        "8: endpoints.studio.tls.ca: ${LEAK}.pem cannot be read: no such file or directory.",
    ),
    (endpoint("tls: {ca: .}"), "8: endpoints.studio.tls.ca: DIR is not a regular file."),
    (
        GOOD + "x: &a 1\n",
        "6: x: Anchors (&a) are not supported; write the value out. Text that begins with & goes in quotes.",
    ),
]


@pytest.mark.parametrize(("text", "sentences"), [(t, s) for t, *s in WRONG], ids=range(len(WRONG)))
def test_a_wrong_configuration_is_told_in_these_words(tmp_path: Path, text: str, sentences: list[str]) -> None:
    """Each fault says where it is, what is wrong and what to write instead, and no other fault is reported."""
    assert faults(tmp_path, text) == sentences


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("hold: single", "long_poll"),
        ("hold_single_as: state", "long_poll_single_as"),
        ("hold_multi_as: [status]", "long_poll_multi_as"),
        ("sweep_every: 2s", "poll_every"),
        ("words: {completed: done}", "state_words"),
    ],
)
def test_a_key_that_was_renamed_is_refused_with_its_new_name(tmp_path: Path, old: str, new: str) -> None:
    """Whoever brings an older file along reads what to write; the value is right as it was."""
    name, _, value = old.partition(":")
    assert faults(tmp_path, provider(old)) == [
        f'8: providers.luma.{name}: "{name}" is now called "{new}": rename it.',
    ]
    (tmp_path / "new.yaml").write_text(provider(f"{new}:{value}"))
    load(str(tmp_path / "new.yaml"), environ=ENVIRON)


def test_the_table_of_renamed_keys_is_tested_whole() -> None:
    """A key that is renamed later belongs in the test above too, and its old name can be no key again."""
    assert {section: len(names) for section, names in RENAMED.items()} == {("providers", "*"): 5}
    for section, names in RENAMED.items():
        keys = SECTIONS[section].keys.keys()
        assert names.keys().isdisjoint(keys)
        assert keys >= set(names.values())


@pytest.mark.parametrize("place", ["api_key", "secret"])
@pytest.mark.parametrize(
    ("around", "says"),
    [
        ("{} ", "ends in a blank"),
        ('"{}"\n', QUOTED),
        ("'{}'", QUOTED),
        ("\u201c{}\u201d\n", QUOTED),
        ("{} \n", "ends in a blank"),
        ("{}\t\n", "ends in a tab or another blank"),
        ("{}\u00a0", "ends in a tab or another blank"),
        ("{}\n\n", "ends in an empty line"),
        ("\n{}", "begins with an empty line"),
        (" {}", "begins with a blank"),
        ("\ufeff{}\r\n", "begins with a byte order mark: save it as UTF-8 without one (no BOM)"),
        ("{}\n{}\n", "holds more than one line"),
    ],
)
def test_what_stands_in_a_file_beside_the_secret_is_named_with_the_file(
    tmp_path: Path, place: str, around: str, says: str
) -> None:
    """Nothing of the secret is shown."""
    written = {"api_key": "k-123", "secret": KEY}[place]
    (tmp_path / "s.txt").write_text(around.replace("{}", written), newline="")
    found = faults(tmp_path, GOOD.replace(written, "{file: s.txt}"))
    assert [each.partition(place)[2] for each in found] == [f": DIR/s.txt {says}. Write the secret alone, on one line."]


@pytest.mark.parametrize("ending", ["", "\n", "\r\n"])
def test_one_line_end_behind_a_secret_is_no_part_of_it(tmp_path: Path, ending: str) -> None:
    """Editors and `echo` write it."""
    (tmp_path / "s.txt").write_text(KEY + ending, newline="")
    (tmp_path / "c.yaml").write_text(GOOD.replace(KEY, "{file: s.txt}"))
    settings = load(str(tmp_path / "c.yaml"), environ=ENVIRON)
    assert [secret.reveal() for secret in settings.endpoints["studio"].secrets] == [KEY]


@pytest.mark.parametrize("word", ["on", '"${SWITCH}"'])
def test_batch_on_is_refused_where_the_api_takes_one_id_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, word: str
) -> None:
    """It would not act. What is left out, or off, is right there."""
    monkeypatch.setattr(AimlapiLuma, "capabilities", Capabilities())
    monkeypatch.setitem(ENVIRON, "SWITCH", "on")
    assert faults(tmp_path, provider(f"batch: {word}")) == [
        "8: providers.luma.batch: aimlapi-luma has no route for many IDs. Write batch: off, or take the key out."
    ]
    for right in ("", "batch: off"):
        (tmp_path / "right.yaml").write_text(provider(right))
        load(str(tmp_path / "right.yaml"), environ=ENVIRON)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        (
            {"cert": "ca", "key": "one.key"},
            "tls.key: The key in DIR/key does not belong to the certificate in DIR/cert.",
        ),
        (
            {"cert": "one.key", "key": "one.key"},
            "tls.cert: There is no certificate in PEM form in DIR/cert. It begins with -----BEGIN.",
        ),
        (
            {"cert": "one", "key": "one"},
            "tls.key: There is no private key in PEM form in DIR/key. It begins with -----BEGIN.",
        ),
        (
            {"cert": "one", "key": "locked"},
            "tls.key: The key in DIR/key needs a password. Write it without one, for notifier alone to read.",
        ),
        ({"ca": "binary"}, "tls.ca: There is no certificate in PEM form in DIR/ca. It begins with -----BEGIN."),
        ({"ca": "damaged"}, "tls.ca: The certificates in DIR/ca are damaged."),
        (
            {"cert": "damaged", "key": "one.key"},
            "tls.cert: The certificate in DIR/cert or the key in DIR/key is damaged.",
        ),
        ({"ca": "large"}, "tls.ca: DIR/ca is larger than 1 MiB."),
    ],
)
def test_files_of_tls_are_judged_when_they_are_named(
    tmp_path: Path, authority: trustme.CA, files: dict[str, str], sentence: str
) -> None:
    """`check` and a start say what is wrong with them, with the line, and not the first callback."""
    one = authority.issue_cert("notifier")
    private = serialization.load_pem_private_key(one.private_key_pem.bytes(), None)
    contents = {
        "ca": authority.cert_pem.bytes(),
        "one": one.cert_chain_pems[0].bytes(),
        "one.key": one.private_key_pem.bytes(),
        "locked": private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"pw")
        ),
        "binary": b"\x30\x82",
        "damaged": b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        "large": b" " * (1024 * 1024 + 1),
    }
    for key, content in files.items():
        (tmp_path / key).write_bytes(contents[content])
    written = ", ".join(f"{key}: {key}" for key in files)
    assert faults(tmp_path, endpoint(f"tls: {{{written}}}")) == [f"8: endpoints.studio.{sentence}"]


def test_what_speaks_of_batches_is_refused_where_there_are_none(tmp_path: Path) -> None:
    """Every accepted setting acts: with one ID a request there is nothing to cap or to join."""
    text = provider("max_ids: 10\n    max_url: 4000\n    ids_as: comma").replace("aimlapi-luma", "aimlapi-video")
    assert [line.split(": ", 2)[1] for line in faults(tmp_path, text)] == [
        "providers.luma.max_ids",
        "providers.luma.max_url",
        "providers.luma.ids_as",
    ]

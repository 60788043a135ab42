"""docs/receiving.md: what it shows can be run, and what it says of a type is so.

The libraries of npm are asked where node is, and NOTIFIER_TEST_NODE_MODULES names the `node_modules` they are in.
"""

import json
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from notifier.delivery.signature import headers as sign
from notifier.domain import operator_notice
from notifier.domain.message import CONTENT_TYPES
from notifier.domain.model import Format
from notifier.domain.settings import Secret
from notifier.schemas.build import TYPES, schema

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "receiving.md").read_text()
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
ED25519 = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="
#: One of the keys is always the receiver's.
KEYS = ([SECRET], [OTHER, SECRET], [SECRET, OTHER], [ED25519, SECRET])
#: The examples of docs/callbacks.md, which are held to the schemas: one of every type, and of both formats.
EXAMPLES = re.findall(
    r"<!-- example: (\S+) (\S+) -->\n```json\n(.*?)```", (DOCS / "callbacks.md").read_text(), re.DOTALL
)


def snippet(name: str) -> str:
    """The code block that stands under `<!-- snippet: NAME -->`."""
    found = re.search(rf"<!-- snippet: {re.escape(name)} -->\n```\w+\n(.*?)```", PAGE, re.DOTALL)
    assert found, f"the page has no snippet {name}"
    return found[1]


def messages() -> Iterator[tuple[bytes, dict[str, str]]]:
    """Body and headers of every example, signed now, by all the sets of keys in turn."""
    assert {type_ for type_, _, _ in EXAMPLES} == set(TYPES)
    for number, (_, format_, text) in enumerate(EXAMPLES):
        event = json.loads(text)
        event["data"]["added"] = "café 😀 \u2028"
        body = json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()
        for keys in KEYS:
            yield body, signed(body, keys, message=f"msg_{number}") | {"content-type": CONTENT_TYPES[Format(format_)]}


def signed(body: bytes, keys: list[str], message: str = "msg_1") -> dict[str, str]:
    at = int(time.time())  # noqa: TID251  these libraries compare with the machine's clock
    return dict(sign(message, at, body, [Secret(key) for key in keys]))


def test_the_python_of_the_page_verifies_every_type_in_both_formats() -> None:
    """And takes nothing that is signed by another key, was changed, or cannot be decoded."""
    code = compile(snippet("verify.py"), "verify.py", "exec")

    def event(body: bytes, headers: dict[str, str]) -> Any:
        names: dict[str, Any] = {"body": body, "headers": headers, "secret": SECRET}
        exec(code, names)
        return names["event"]

    for body, headers in messages():
        assert event(body, headers) == json.loads(body)
    assert event(b"{}", signed(b"{}", [OTHER])) is None
    assert event(b"{} ", signed(b"{}", [SECRET])) is None
    assert event(b"\xff", signed(b"\xff", [SECRET])) is None
    assert event(b"{}", signed(b"{}", [SECRET]) | {"webhook-signature": "v1"}) is None


@pytest.fixture
def node_folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A folder where node finds the packages of npm that the test names."""
    named = os.environ.get("NOTIFIER_TEST_NODE_MODULES")
    if shutil.which("node") is None:
        pytest.skip("node is not installed")
    for package in request.param:
        if not named or not (Path(named) / package).is_dir():
            pytest.skip(f"NOTIFIER_TEST_NODE_MODULES names no directory that holds npm's {package}")
    assert named
    (tmp_path / "node_modules").symlink_to(Path(named).resolve())
    return tmp_path


def answers_of_node(folder: Path, code: str, answer: str, questions: list[tuple[bytes, dict[str, str]]]) -> list[Any]:
    """What `answer`, an expression, is behind `code` for each body and its headers; None if anything was thrown."""
    imports, _, call = code.partition("\n\n")
    program = f"""
        import {{ readFileSync }} from "node:fs";
        {imports}
        const secret = {json.dumps(SECRET)};
        const answers = JSON.parse(readFileSync(0)).map(([text, headers]) => {{
            const body = Buffer.from(text, "latin1");
            try {{ {call}\n return {answer}; }} catch {{ return null; }}
        }});
        process.stdout.write(JSON.stringify(answers));
    """
    (folder / "page.mjs").write_text(program)
    asked = json.dumps([(body.decode("latin-1"), headers) for body, headers in questions]).encode()
    done = subprocess.run(["node", folder / "page.mjs"], input=asked, capture_output=True, check=True)
    answers: list[Any] = json.loads(done.stdout)
    return answers


@pytest.mark.parametrize("node_folder", [("standardwebhooks",)], indirect=True, ids=["npm"])
def test_the_javascript_of_the_page_verifies_every_type_in_both_formats(node_folder: Path) -> None:
    """And takes nothing that is signed by another key or was changed."""
    good = list(messages())
    bad = [(b"{}", signed(b"{}", [OTHER])), (b"{} ", signed(b"{}", [SECRET]))]
    answers = answers_of_node(node_folder, snippet("verify.mjs"), "event", good + bad)
    assert answers == [json.loads(body) for body, _ in good] + [None, None]


@pytest.mark.parametrize("node_folder", [("cloudevents",)], indirect=True, ids=["npm"])
def test_a_library_of_cloudevents_reads_what_we_send(node_folder: Path) -> None:
    """With our content type as it is, attributes and data are what the body says."""
    sent = [(body, headers) for body, headers in messages() if "cloudevents" in headers["content-type"]]
    answers = answers_of_node(node_folder, snippet("cloudevents.mjs"), "cloudEvent.validate() && cloudEvent", sent)
    assert len(answers) == 2 * len(KEYS)
    for (body, _), answer in zip(sent, answers, strict=True):
        assert answer == json.loads(body)


@contextmanager
def express(folder: Path) -> Iterator[str]:
    """Express as the page has it, and where it listens."""
    (folder / "express.mjs").write_text(snippet("express.mjs"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environ = {**os.environ, "STUDIO_SECRET": SECRET, "PORT": str(port)}
    with subprocess.Popen(["node", folder / "express.mjs"], env=environ, stdout=subprocess.DEVNULL) as process:
        try:
            until_it_answers(port, process)
            yield f"http://127.0.0.1:{port}/hooks"
        finally:
            process.terminate()


def until_it_answers(port: int, process: subprocess.Popen[bytes]) -> None:
    """Until something listens; the test's time limit is the deadline."""
    while process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            time.sleep(0.02)
        else:
            return
    raise AssertionError("the receiver ended by itself")


@pytest.mark.parametrize("node_folder", [("express", "standardwebhooks")], indirect=True, ids=["npm"])
def test_the_express_of_the_page_takes_every_type_in_both_formats(node_folder: Path) -> None:
    """Bodies of 100 kB too; what is unsigned, changed or empty is answered 401."""
    with express(node_folder) as url, httpx.Client() as client:
        assert {client.post(url, content=body, headers=headers).status_code for body, headers in messages()} == {204}
        large = json.dumps({"type": "a", "data": {"text": "x" * 102_400}}).encode()
        as_json = {"content-type": CONTENT_TYPES[Format.STANDARD]}
        assert client.post(url, content=large, headers=signed(large, [SECRET]) | as_json).status_code == 204
        for body, headers in ((b"{} ", signed(b"{}", [SECRET])), (b"{}", {}), (b"", signed(b"", [OTHER]))):
            assert client.post(url, content=body, headers=headers | as_json).status_code == 401


def test_the_page_names_the_fields_of_every_type_without_a_generation() -> None:
    """Each of them, with the fields that its schema has, and no other type."""
    section = PAGE.partition("## Types without a generation\n")[2].partition("\n## ")[0]
    rows = [row.split("|") for row in section.splitlines() if row.startswith("| `")]
    said = {type_: re.findall(r"`(\w+)`", row[2]) for row in rows for type_ in re.findall(r"`([\w.]+)`", row[1])}
    data = {type_: schema(type_, Format.STANDARD)["properties"]["data"] for type_ in operator_notice.TYPES}
    assert said == {type_: [*fields["properties"]] for type_, fields in data.items()}


def test_the_page_has_a_verify_call_for_each_library_of_standard_webhooks() -> None:
    """The nine, by the name of the package."""
    section = PAGE.partition("## One verify call per language\n")[2].partition("\n## ")[0]
    for language, package in (
        ("Python", "pip install standardwebhooks"),
        ("JavaScript, TypeScript", "npm install standardwebhooks"),
        ("Go", "github.com/standard-webhooks/standard-webhooks/libraries/go"),
        ("Rust", "cargo add standardwebhooks"),
        ("Java, Kotlin", "com.standardwebhooks:standardwebhooks"),
        ("Ruby", "gem install standardwebhooks"),
        ("PHP", "standard-webhooks/standard-webhooks"),
        ("C#", "StandardWebhooks.StandardWebhooks"),
        ("Elixir", "standard_webhooks"),
    ):
        part = section.partition(f"**{language}**")[2].partition("\n**")[0]
        assert package in part
        assert part.count("```") == 2

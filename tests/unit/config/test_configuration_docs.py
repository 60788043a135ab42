"""The example and the reference say all that the program accepts, and nothing else."""

import re
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml
from jsonschema import Draft202012Validator

from notifier.config import load
from notifier.config.keys import SECTIONS
from notifier.config.manual import reference, schema
from notifier.domain.settings import Secret, TlsSettings

ROOT = Path(__file__).resolve().parents[3]
EXAMPLE = ROOT / "config.example.yaml"
#: The example with an ID in place of the one that nobody has.
REAL = EXAMPLE.read_text().replace("YOUR-GENERATION-ID", "755f9bbb-d99b-4880-992b-f05244ddba61")
KEY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ENVIRON = {"AIMLAPI_KEY": "k-123", "STUDIO_SECRET": KEY, "CALLBACK_SECRET": KEY, "APP_TOKEN": "t-123"}
FILES = {"cert": "client.pem", "key": "client.key", "ca": "ca.pem"}
KEYS = sorted({(path, name) for path, section in SECTIONS.items() for name in section.keys}, key=str)


def uncommented() -> str:
    """The example with every commented key uncommented, but only the first of two equal ones."""
    lines: list[str] = []
    for line in REAL.splitlines():
        key = re.match(r"( *)# (( *)(- )?[a-z_]+:( .*)?)$", line)
        lines.append(f"{key[1]}{key[2]}" if key else line)
    apart = (
        "    secret: [",
        "    proxy:",
        "    state_words:",
        "    tls:",
        *(f"      {key}:" for key in ("cert", "key", "ca")),
    )
    return "\n".join(line for line in lines if not line.startswith(apart)) + "\n"


def test_the_example_loads_as_it_is() -> None:
    """A newcomer copies it, sets two variables and runs it."""
    settings = load(str(EXAMPLE), environ={name: ENVIRON[name] for name in ("AIMLAPI_KEY", "STUDIO_SECRET")})
    assert (list(settings.providers), list(settings.endpoints)) == (["luma"], ["studio"])


def test_the_example_loads_with_every_comment_taken_in(tmp_path: Path) -> None:
    """Its commented keys are right too, and what it calls a default is the default."""
    (tmp_path / "all.yaml").write_text(uncommented())
    every = load(str(tmp_path / "all.yaml"), environ=ENVIRON)
    plain = load(str(EXAMPLE), environ=ENVIRON)
    assert every.providers == plain.providers
    assert (every.endpoints["studio"].retry, every.endpoints["studio"].timeout) == (
        plain.endpoints["studio"].retry,
        plain.endpoints["studio"].timeout,
    )
    assert every.callbacks is not None
    assert every.drop is not None
    assert (len(every.watches), len(every.watch_files)) == (1, 1)


@pytest.mark.parametrize("heading", ["watches", "drop", "callbacks", "api"])
def test_a_heading_taken_in_alone_says_what_else_to_take_in(tmp_path: Path, heading: str) -> None:
    """Alone it counts as not there, so its line names the key below it; with that key it acts."""
    lines = REAL.splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith(f"# {heading}:"))
    named = re.fullmatch(rf'# {heading}: +# take the "# " away from (.+:) too', lines[at])
    assert named
    assert lines[at + 1].removeprefix("#").strip().startswith(named[1])
    lines[at : at + 2] = (line.removeprefix("# ") for line in lines[at : at + 2])
    (tmp_path / "c.yaml").write_text("\n".join(lines))
    assert getattr(load(str(tmp_path / "c.yaml"), environ=ENVIRON), heading)


def test_the_second_secret_of_the_example_takes_the_place_of_the_first(tmp_path: Path) -> None:
    """Both lines at once are refused, so the example says which one goes."""
    lines = EXAMPLE.read_text().splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("    # secret: ["))
    assert "instead of the line above" in lines[at]
    assert lines[at - 1].startswith("    secret:")
    lines[at - 1 : at + 1] = [lines[at].replace("# ", "", 1)]
    (tmp_path / "c.yaml").write_text("\n".join(lines))
    for name in ("new.key", "old.key"):
        (tmp_path / name).write_text(KEY)
    assert len(load(str(tmp_path / "c.yaml"), environ=ENVIRON).endpoints["studio"].secrets) == 2


def test_tls_and_proxies_of_the_example_load_where_they_fit(tmp_path: Path) -> None:
    """They are tested apart from the rest: they need an https url, files and a proxy."""
    authority = trustme.CA()
    client = authority.issue_cert("notifier")
    client.private_key_pem.write_to_path(tmp_path / "client.key")
    client.cert_chain_pems[0].write_to_path(tmp_path / "client.pem")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    text = EXAMPLE.read_text().replace("http://127.0.0.1:8787/hooks", "https://app.example.com/hooks")
    text = re.sub(r"^    # ( *)(proxy|tls|cert|key|ca):", r"    \1\2:", text, flags=re.MULTILINE)
    (tmp_path / "c.yaml").write_text(text)
    settings = load(str(tmp_path / "c.yaml"), environ={**ENVIRON, "PROXY": "http://me:pw@proxy.example.com:3128"})
    studio = settings.endpoints["studio"]
    assert studio.tls == TlsSettings(**{key: str(tmp_path / name) for key, name in FILES.items()})
    assert studio.proxy == settings.providers["luma"].proxy == Secret("http://me:pw@proxy.example.com:3128")


def test_the_reference_says_where_one_stands_for_a_list_of_one() -> None:
    """`notify: studio` is accepted, so "a list" alone would be half the truth."""
    for name in ("secret", "events", "notify"):
        assert re.search(rf"^\| `{name}` \|.*\| one or a list (of|out of) ", reference(), re.MULTILINE), name
    assert re.search(r"^\| `retry` \|.*\| a list of ", reference(), re.MULTILINE)


@pytest.mark.parametrize(("path", "name"), KEYS)
def test_every_key_is_in_the_example_and_in_the_reference(path: tuple[str, ...], name: str) -> None:
    """No setting is known to the program alone."""
    assert re.search(rf"^ *(# +)?{name}:", EXAMPLE.read_text(), re.MULTILINE), path
    assert f"| `{name}` |" in reference()


@pytest.mark.parametrize("text", [EXAMPLE.read_text(), uncommented()], ids=["as it is", "every comment taken in"])
def test_the_schema_takes_the_example(text: str) -> None:
    """What a newcomer copies is right to an editor too, with its variables as they are written."""
    Draft202012Validator(schema()).validate(yaml.safe_load(text))


@pytest.mark.parametrize(
    "keys",
    [
        {"max_ids": "12", "rate": " 5 / s", "timeout": "1.5 h", "batch": "oFF", "long_poll": False},
        {"max_ids": "${N}", "rate": "${N}", "batch": "${N}", "long_poll": "${N}", "state_words": "${N}"},
        {"long_poll_single_as": "state", "long_poll_multi_as": ["state"], "state_words": {"failed": "x"}},
    ],
)
def test_the_schema_takes_every_spelling_that_the_program_takes(keys: dict[str, Any]) -> None:
    """A number in quotes, a word in capital letters, a variable in place of anything, one value in place of a list."""
    luma = {"kind": "aimlapi-luma", "api_key": {"file": "key"}, **keys}
    Draft202012Validator(schema()).validate(yaml.safe_load(EXAMPLE.read_text()) | {"providers": {"luma": luma}})


@pytest.mark.parametrize(
    "wrong",
    [
        {"store": None},
        {"store": 5},
        {"endpoint": {}},
        {"providers": {"Luma": {"kind": "aimlapi-luma", "api_key": "k"}}},
        {"providers": {"luma": {"kind": "aimlapi-luma"}}},
        {"providers": {"luma": {"kind": "luma", "api_key": "k"}}},
        {"providers": {"luma": {"kind": "aimlapi-luma", "api_key": {"path": "k"}}}},
        {"providers": {"luma": {"kind": "aimlapi-luma", "api_key": "k", "sweep_every": "1s"}}},
        {"providers": {"luma": {"kind": "aimlapi-luma", "api_key": "k", "poll_every": 1}}},
        {"providers": {"luma": {"kind": "aimlapi-luma", "api_key": "k", "max_ids": 1001}}},
        {"endpoints": {"studio": {"url": "http://127.0.0.1/", "secret": []}}},
        {"endpoints": {"studio": {"url": "http://127.0.0.1/", "secret": KEY, "events": ["generation.done"]}}},
        {"endpoints": {"studio": {"url": "http://127.0.0.1/", "secret": KEY, "retry": "5s"}}},
        {"endpoints": {"studio": {"url": "http://127.0.0.1/", "secret": KEY, "tls": {"pem": "x"}}}},
        {"drop": {"notify": "studio"}},
    ],
    ids=str,
)
def test_the_schema_refuses_what_is_wrong(wrong: dict[str, Any]) -> None:
    """Missing and unknown keys, and values of another kind, out of bounds or not among the words, wherever they are."""
    assert not Draft202012Validator(schema()).is_valid(yaml.safe_load(EXAMPLE.read_text()) | wrong)


def test_the_schema_says_of_each_key_what_the_reference_says() -> None:
    """An editor shows it where the key is written."""
    made = schema()
    for section in SECTIONS.values():
        properties = made["$defs"].get(section.declared.__name__, made)["properties"]
        assert properties.keys() == section.keys.keys()
        for each in properties.values():
            assert f"| {each['description']} |".replace("| |", "|") in reference()


def test_the_reference_is_what_the_program_prints() -> None:
    """Write it anew with `python -m notifier.config > docs/configuration.md`."""
    assert (ROOT / "docs" / "configuration.md").read_text() == reference()

"""What is read from a right configuration, where its secrets come from, and what a reload may change."""

import os
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import pytest

from notifier.config import ConfigFile, known, known_to_drop, load, needs_restart
from notifier.config.secret_sources import Origin
from notifier.domain.errors import ConfigError
from notifier.domain.model import State
from notifier.domain.settings import DEFAULT_RETRY, ApiSettings, ProviderSettings, Secret, Settings
from notifier.intake.parse import parse_drop

KEY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
SMALL = f"""\
store: sqlite:n.db
providers:
  luma: {{kind: aimlapi-luma, api_key: k-123}}
endpoints:
  studio: {{url: HTTPS://A.example:443, secret: {KEY}}}
"""


def written(directory: Path, text: str, name: str = "c.yaml") -> str:
    file = directory / name
    file.write_text(text)
    return str(file)


def loaded(directory: Path, text: str, environ: Mapping[str, str] | None = None) -> Settings:
    return load(written(directory, text), environ=environ or {})


def test_the_least_configuration_gets_every_default(tmp_path: Path) -> None:
    """What is not written has the default of its record, and the base URL of its kind."""
    settings = loaded(tmp_path, SMALL)
    assert settings.store == str(tmp_path / "n.db")
    expected = ProviderSettings(
        name=settings.providers["luma"].name,
        kind="aimlapi-luma",
        base_url="https://api.aimlapi.com",
        api_key=Secret("k-123"),
    )
    assert settings.providers == {"luma": expected}
    studio = settings.endpoints["studio"]
    assert (studio.url, studio.secrets, studio.destination) == ("https://a.example/", (Secret(KEY),), "studio")
    assert (studio.retry, studio.events, studio.rate, studio.headers) == (DEFAULT_RETRY, None, None, {})
    assert (settings.callbacks, settings.watches, settings.watch_files, settings.drop) == (None, (), (), None)


def test_every_setting_reaches_its_record(tmp_path: Path) -> None:
    """No key is accepted and then forgotten."""
    text = f"""\
store: sqlite:/var/lib/n.db
providers:
  luma: {{kind: aimlapi-luma, api_key: k, base_url: "http://127.0.0.1:9/x/", max_ids: 7, max_url: 900, ids_as: comma,
         rate: 300/m, in_flight: 3, timeout: 2h, batch: off, poll_every: 250ms, request_timeout: 40s}}
endpoints:
  studio: {{url: "http://127.0.0.1:8000/h", secret: [{KEY}, {OTHER}], events: [generation.failed], concurrency: 2,
           rate: 10/s, timeout: 3s, format: cloudevents, headers: {{X-Tenant: "7"}}, retry: [0s, 1m]}}
operator: studio
callbacks: {{secret: {KEY}, allow: ["app.internal:8443"], format: cloudevents}}
watches: [{{id: a, timeout: 1h}}, {{id: b, state: dreaming}}]
watch_files: [watches.d/*.yaml, /abs/*.yaml]
drop: {{directory: ../drop, provider: luma, notify: studio, state: dreaming}}
"""
    settings = loaded(tmp_path, text)
    luma, studio = settings.providers["luma"], settings.endpoints["studio"]
    assert (luma.base_url, luma.max_ids, luma.max_url, luma.ids_as) == ("http://127.0.0.1:9/x", 7, 900, "comma")
    assert (luma.rate, luma.in_flight, luma.timeout, luma.batch) == (5.0, 3, timedelta(hours=2), False)
    assert (luma.poll_every, luma.request_timeout) == (timedelta(milliseconds=250), timedelta(seconds=40))
    assert (studio.secrets, studio.events) == ((Secret(KEY), Secret(OTHER)), frozenset({"generation.failed"}))
    assert (studio.concurrency, studio.rate, studio.timeout) == (2, 10.0, timedelta(seconds=3))
    assert (studio.format, settings.callbacks and settings.callbacks.format) == ("cloudevents", "cloudevents")
    assert (studio.headers, studio.retry) == ({"X-Tenant": Secret("7")}, (timedelta(0), timedelta(minutes=1)))
    assert settings.operator == "studio"
    assert settings.callbacks is not None
    assert (settings.callbacks.secret, settings.callbacks.allow) == (Secret(KEY), ("app.internal:8443",))
    assert [(each.generation, each.target) for each in settings.watches] == [
        ("a", State.COMPLETED),
        ("b", State.RUNNING),
    ]
    assert settings.watch_files == (str(tmp_path / "watches.d/*.yaml"), "/abs/*.yaml")
    assert settings.drop is not None
    assert settings.drop.directory == str(tmp_path.parent / "drop")
    defaults = settings.drop.defaults
    assert (defaults.provider, defaults.notify, defaults.state) == ("luma", ("studio",), State.RUNNING)


def test_sections_that_are_all_comments_are_not_there(tmp_path: Path) -> None:
    """A newcomer may comment out every line below a heading and leave the heading."""
    settings = loaded(tmp_path, SMALL + "callbacks:\nwatches:\nwatch_files:\ndrop:\n")
    assert (settings.callbacks, settings.watches, settings.watch_files, settings.drop) == (None, (), (), None)


@pytest.mark.parametrize(("word", "batch"), [("on", True), ("off", False), ("true", True), ('"off"', False)])
def test_batch_is_on_or_off_in_any_spelling(tmp_path: Path, word: str, batch: bool) -> None:  # noqa: FBT001  a table
    """YAML makes booleans of some of these words and leaves others as text; the operator need not care."""
    settings = loaded(tmp_path, SMALL.replace("k-123", f"k-123, batch: {word}"))
    assert settings.providers["luma"].batch is batch


# ---- the environment ----------------------------------------------------------------------------------------------
def test_variables_expand_anywhere_in_a_value_and_keep_the_type_of_the_field(tmp_path: Path) -> None:
    """`${NAME}` may be a part of text or a whole number, and `$$` is a dollar sign."""
    text = SMALL.replace("k-123", '"a$$b${KEY}", max_ids: "${MAX}", batch: "${BATCH}"')
    settings = loaded(tmp_path, text, {"KEY": "c${X}", "MAX": "12", "BATCH": "off"})
    luma = settings.providers["luma"]
    assert (luma.api_key.reveal(), luma.max_ids, luma.batch) == ("a$bc${X}", 12, False)


def test_what_a_variable_stands_for_is_in_no_fault(tmp_path: Path) -> None:
    """It may be a secret in the wrong place, so the text as written is shown."""
    places = [
        "max_ids",
        "max_url",
        "ids_as",
        "rate",
        "in_flight",
        "timeout",
        "batch",
        "poll_every",
        "base_url",
        "kind",
    ]
    text = "store: ${LEAK}\nproviders:\n  luma:\n" + "".join(f"    {place}: ${{LEAK}}\n" for place in places)
    text += "    api_key: {file: '${LEAK}'}\nendpoints:\n  a:\n    secret: {credential: '${LEAK}'}\n"
    text += "".join(
        f"    {place}: ${{LEAK}}\n" for place in ("url", "events", "concurrency", "rate", "timeout", "retry")
    )
    text += "    headers: '${LEAK}'\ncallbacks: {secret: '${LEAK}', allow: ['${LEAK}']}\nwatch_files: '${LEAK}'\n"
    text += (
        "watches: [{id: '${LEAK}', state: '${LEAK}', notify: ['${LEAK}'], timeout: '${LEAK}', metadata: '${LEAK}'}]\n"
    )
    drop = SMALL + "drop: {directory: d, provider: '${LEAK}', notify: ['${LEAK}'], state: '${LEAK}'}\n"
    for body, least in ((text, 25), (drop, 3)):
        with pytest.raises(ConfigError) as refused:
            loaded(tmp_path, body, {"LEAK": "hunter2-leak"})
        assert len(refused.value.faults) >= least
        assert "hunter2" not in str(refused.value)


def test_a_variable_cannot_change_the_structure(tmp_path: Path) -> None:
    """What looks like YAML in a variable is text."""
    settings = loaded(tmp_path, SMALL.replace("k-123", '"${KEY}"'), {"KEY": "x},evil:{"})
    assert settings.providers["luma"].api_key == Secret("x},evil:{")


# ---- secrets ------------------------------------------------------------------------------------------------------
def test_secrets_are_read_from_files_and_credentials(tmp_path: Path) -> None:
    """One newline at the end is dropped, and paths start at the configuration file."""
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "hook").write_text(KEY + "\n")
    (tmp_path / "key").write_text("k-file\r\n")
    text = SMALL.replace("k-123", "{file: key}").replace(f"secret: {KEY}", "secret: {credential: hook}")
    settings = loaded(tmp_path, text, {"CREDENTIALS_DIRECTORY": str(credentials)})
    assert settings.providers["luma"].api_key == Secret("k-file")
    assert settings.endpoints["studio"].secrets == (Secret(KEY),)


def test_the_sources_of_secrets_are_told_without_reading_them(tmp_path: Path) -> None:
    """`check` can say which secret a reload rereads and which one needs a restart."""
    text = f"""\
providers:
  luma: {{api_key: "${{KEY}}"}}
endpoints:
  studio:
    secret: [{{file: nothere}}, {{credential: hook}}, {KEY}]
"""
    found = ConfigFile(written(tmp_path, text), environ={}).secret_sources()
    restart, reload = "a change needs a restart", "read again on reload"
    assert [(each.path, each.line, each.kind, each.name, each.renewal) for each in found] == [
        ("providers.luma.api_key", 2, Origin.ENVIRONMENT, "KEY", restart),
        ("endpoints.studio.secret[0]", 5, Origin.FILE, "nothere", reload),
        ("endpoints.studio.secret[1]", 5, Origin.CREDENTIAL, "hook", restart),
        ("endpoints.studio.secret[2]", 5, Origin.LITERAL, "", reload),
    ]
    assert [each.origin for each in found][:2] == ["environment variable KEY", "file nothere"]


def test_a_secret_by_credential_or_file_is_one_secret(tmp_path: Path) -> None:
    """`credential:` and `file:` say where the secret is; the name or path after them is no secret."""
    text = SMALL.replace(f"secret: {KEY}", "secret: {credential: hook}")
    text += "  other: {url: 'https://b.example/', secret: {file: b.key}}\n"
    found = ConfigFile(written(tmp_path, text), environ={}).secret_sources()
    assert [(each.path, each.kind) for each in found] == [
        ("providers.luma.api_key", Origin.LITERAL),
        ("endpoints.studio.secret", Origin.CREDENTIAL),
        ("endpoints.other.secret", Origin.FILE),
    ]


WRONG_WITH = [
    SMALL.replace("k-123", "{0}"),
    SMALL.replace("k-123", "[{0}]"),
    SMALL.replace("k-123", "{{file: x, {0}: y}}"),
    SMALL.replace(KEY, "{0}"),
    SMALL.replace(KEY, "[{0}, {0}]"),
    SMALL.replace(KEY, "{{secret: {0}}}"),
    SMALL.replace(KEY, KEY + ', headers: {{X-A: "{0}"}}'),
    SMALL + "callbacks: {{secret: {0}}}\n",
]


@pytest.mark.parametrize(
    "secret", ["hunter2-ä", "!hunter2 x", "&hunter2 x", "*hunter2", '"hunter2\\t"', "whsec_hunter2", "whsk_hunter2"]
)
@pytest.mark.parametrize("text", WRONG_WITH, ids=range(len(WRONG_WITH)))
@pytest.mark.parametrize("way", ["written", "environment"])
def test_no_fault_holds_a_secret(tmp_path: Path, way: str, text: str, secret: str) -> None:
    """Whatever is wrong with a secret, its text is in no sentence."""
    value = secret if way == "written" else "'${SECRET}'"
    body = text.replace("{0}", value.strip('"') if '"{0}"' in text else value).replace("{{", "{").replace("}}", "}")
    with pytest.raises(ConfigError) as refused:
        loaded(tmp_path, body + "unknown: 1\n", {"SECRET": secret.strip('"').replace("\\t", "\t")})
    assert "hunter2" not in str(refused.value)


# ---- the store alone ----------------------------------------------------------------------------------------------
def test_the_store_is_found_in_a_configuration_that_is_wrong_elsewhere(tmp_path: Path) -> None:
    """`list` and `show` work without the secrets' environment and beside a fault."""
    path = written(tmp_path, "store: sqlite:${DIR}/n.db\nproviders: {luma: {api_key: '${NOT_SET}'}}\nnonsense: 1\n")
    assert ConfigFile(path, environ={"DIR": "/srv"}).store_path() == "/srv/n.db"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("providers: {}\n", "store: store is missing. Write store: sqlite:/var/lib/notifier/notifier.db."),
        ("- 1\n", "1: The configuration is a mapping that begins with store:, providers: and endpoints:"),
        ("store: x\n", '1: store: "x" is not a store.'),
        ("store: sqlite:${X}\n", "1: store: ${X}: the environment variable X is not set."),
    ],
)
def test_a_store_that_is_not_named_is_told(tmp_path: Path, text: str, sentence: str) -> None:
    """The commands that need only the store say what is wrong with it."""
    path = written(tmp_path, text)
    with pytest.raises(ConfigError) as refused:
        ConfigFile(path, environ={}).store_path()
    assert str(refused.value).removeprefix(f"{path}:").strip().startswith(sentence)


def test_a_configuration_that_is_not_there_is_told(tmp_path: Path) -> None:
    """A missing file says where to get one; a directory in its place, that --config names another."""
    missing = (
        r"cannot be read: no such file or directory\. "
        r"Copy config\.example\.yaml there, or name another with --config FILE\."
    )
    for path, words in (
        (tmp_path / "none.yaml", missing),
        (tmp_path, r"is not a regular file\. Name another with --config FILE\."),
    ):
        with pytest.raises(ConfigError, match=rf"The configuration {words}$"):
            load(str(path), environ={})


def test_a_configuration_of_another_user_says_whom_to_run_as(tmp_path: Path) -> None:
    """Another file would not help: this one is right, and the user is wrong."""
    path = written(tmp_path, SMALL)
    Path(path).chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user reads every file")
    with pytest.raises(ConfigError, match=r"permission denied\. Run this as root or as the user that runs notifier\.$"):
        load(path, environ={})


# ---- intake and reload --------------------------------------------------------------------------------------------
def test_the_defaults_of_drop_reach_drop_files_and_nothing_else(tmp_path: Path) -> None:
    """A drop file that says less gets what `drop:` says."""
    endpoints = f"  other: {{url: 'https://b.example/', secret: {OTHER}}}\n"
    drop = "drop: {directory: d, notify: other, state: running}\n"
    settings = loaded(tmp_path, SMALL + endpoints + drop)
    (request,) = parse_drop("x.txt", b"a\n", known_to_drop(settings))
    assert (request.endpoint, request.target) == ("other", State.RUNNING)
    assert known(settings).defaults.notify == ()


def test_the_socket_for_commands_starts_at_the_configuration(tmp_path: Path) -> None:
    """Like every path; a command finds the same place without reading a secret."""
    file = tmp_path / "c.yaml"
    for written, meant in (("run/../a.sock", f"{tmp_path}/a.sock"), ("/run/a.sock", "/run/a.sock")):
        settings = loaded(tmp_path, SMALL + f"api: {{listen: {written}}}\n")
        assert settings.api == ApiSettings(listen=meant)
        file.write_text(SMALL + "api: {listen: '${PLACE}'}\n")
        assert ConfigFile(str(file), environ={"PLACE": written}).listen_path() == meant
    for nothing in ("", "api:\n", "api: {}\n"):
        assert loaded(tmp_path, SMALL + nothing).api in (None, ApiSettings())
        file.write_text(SMALL + nothing)
        assert ConfigFile(str(file), environ={}).listen_path() is None


def test_a_reload_refuses_another_store_drop_directory_or_socket(tmp_path: Path) -> None:
    """A running daemon holds both open; everything else it can take over."""
    old = loaded(tmp_path, SMALL + "drop: {directory: /a}\n")
    same = loaded(tmp_path, SMALL.replace("k-123", "k-456") + "drop: {directory: /a, state: running}\n")
    new = loaded(tmp_path, SMALL.replace("n.db", "m.db") + "api: {listen: /b}\n")
    assert needs_restart(old, same) == []
    assert needs_restart(old, new) == [
        f"store: needs a restart to change from {tmp_path}/n.db to {tmp_path}/m.db.",
        "drop.directory: needs a restart to change from /a to none.",
        "api.listen: needs a restart to change from its usual place to /b.",
    ]


def test_words_are_read_in_the_form_in_which_they_are_compared(tmp_path: Path) -> None:
    """One or a list; text, numbers, and what YAML reads as a boolean, in every way that an API may write it."""
    text = SMALL.replace(
        "api_key: k-123", "api_key: k-123, state_words: {completed: [All-Done, 2, yes], failed: wentWrong}"
    )
    assert loaded(tmp_path, text).providers["luma"].state_words == {
        "all_done": State.COMPLETED,
        "2": State.COMPLETED,
        **dict.fromkeys(("true", "yes", "on"), State.COMPLETED),
        "went_wrong": State.FAILED,
    }

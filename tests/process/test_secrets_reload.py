"""Secrets in files that change while the daemon runs: what SIGHUP reads again, and how it acts."""

import base64
import signal

from notifier.delivery.signature import callback_secret
from notifier.domain.settings import Secret
from tests.support.process_rig import KEY, SECRET, Receiver, Stage, Upstream, some_ids

OLD = "whsec_" + base64.b64encode(b"o" * 32).decode()
MASTER = "whsec_" + base64.b64encode(b"m" * 32).decode()


def test_every_secret_in_a_file_is_read_again_by_sighup(stage: Stage, upstream: Upstream, receiver: Receiver) -> None:
    """The provider's key, an endpoint's secret and header, the callbacks' master: the new ones act from then on."""
    ids = some_ids(4)
    upstream.begin("api", dict.fromkeys(ids, "completed"))
    origin = receiver.url
    receiver.begin("app")
    receiver.begin("mine", secrets=[callback_secret(Secret(MASTER), origin).reveal()])
    files = {"key": KEY, "secret": OLD, "header": "Bearer one", "master": OLD}
    for name, text in files.items():
        (stage.directory / name).write_text(text)
    stage.provider("api", upstream, api_key={"file": "key"})
    stage.endpoint("app", receiver, secret={"file": "secret"}, headers={"Authorization": {"file": "header"}})
    stage.settings["callbacks"] = {"secret": {"file": "master"}, "allow": [origin.removeprefix("http://")]}
    daemon = stage.start().ready()
    stage.put_watches("one", ids[:1], notify="app")
    stage.put_watches("mine-one", ids[:1], callback_url=receiver.hook("mine"))
    (before,) = receiver.wait("app", entries=1)
    (mine,) = receiver.wait("mine", entries=1)
    assert (before["verified"], before["authorization"], mine["verified"]) == (False, "Bearer one", False)

    for name, text in {
        "key": "sk-of-somebody-else",
        "secret": SECRET,
        "header": "Bearer two",
        "master": MASTER,
    }.items():
        (stage.directory / name).write_text(text)
    stage.put_watches("two", ids[1:2], notify="app")
    assert receiver.wait("app", entries=2)[1]["authorization"] == "Bearer one"  # not before the reload
    daemon.signal(signal.SIGHUP)
    daemon.log.wait("config.reloaded")
    stage.put_watches("three", ids[2:3], notify="app")
    daemon.log.wait("provider.paused", "401")
    (stage.directory / "key").write_text(KEY)
    daemon.signal(signal.SIGHUP)
    stage.put_watches("mine-three", ids[2:3], callback_url=receiver.hook("mine"))
    after = receiver.wait("app", entries=3)[2]
    assert (after["verified"], after["authorization"]) == (True, "Bearer two")
    assert receiver.wait("mine", entries=2)[1]["verified"] is True


def test_check_says_of_every_secret_what_renews_it(stage: Stage, upstream: Upstream, receiver: Receiver) -> None:
    """A line for each: a file and a text are read again on reload, a variable and a credential need a restart."""
    upstream.begin("api", {})
    receiver.begin("app")
    (stage.directory / "key").write_text(KEY)
    (stage.directory / "secret").write_text(SECRET)
    stage.provider("api", upstream, api_key={"file": "key"}, proxy="${PROXY}")
    headers = {"Authorization": {"credential": "token"}, "X-Tenant": "7"}
    stage.endpoint("app", receiver, secret=["${SECRET}", {"file": "secret"}], headers=headers, proxy={"file": "proxy"})
    (stage.directory / "proxy").write_text("http://me:hunter2@127.0.0.1:9")
    (stage.directory / "token").write_text("Bearer t")
    stage.settings["callbacks"] = {"secret": {"file": "secret"}}
    stage.write()
    environ = {"PROXY": "http://127.0.0.1:9", "SECRET": SECRET, "CREDENTIALS_DIRECTORY": str(stage.directory)}
    said = stage.command("check", "--config", "{config}", environ=environ).stdout
    for line in (
        "providers.api.api_key: file key; read again on reload",
        "providers.api.proxy: environment variable PROXY; a change needs a restart",
        "endpoints.app.secret[0]: environment variable SECRET; a change needs a restart",
        "endpoints.app.secret[1]: file secret; read again on reload",
        "endpoints.app.headers.Authorization: credential token; a change needs a restart",
        "endpoints.app.headers.X-Tenant: text in the configuration; read again on reload",
        "endpoints.app.proxy: file proxy; read again on reload",
        "callbacks.secret: file secret; read again on reload",
    ):
        assert f"  {line}\n" in said, said
    assert "hunter2" not in said

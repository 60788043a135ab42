"""Receivers' libraries that are not ours, each held to the same: they take what we sign, and we take what they sign.

npm's `standardwebhooks` is asked where node is, and NOTIFIER_TEST_NODE_MODULES names the `node_modules` it is in.
"""

import base64
import json
import os
import shutil
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import pytest
import standardwebhooks
import svix.webhooks

from notifier.delivery.signature import headers as sign
from notifier.delivery.signature import new_secret
from notifier.domain.settings import Secret
from notifier.verify import InvalidSignature, verify

V1_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
V2_SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
ED25519 = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="
V1_ID, V1_AT, V1_BODY = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, '{"test": 2432232314}'
VECTORS = [
    (V1_SECRET, V1_ID, V1_AT, V1_BODY, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
    (
        V2_SECRET,
        "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
        1649367553,
        '{"email":"test@example.com","username":"test_user"}',
        "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=",
    ),
    (V1_SECRET, V1_ID, V1_AT, "", "v1,v48jdbgvh29KJz2Qc+ghw8G6vG3nAKnujWBg8oM/62A="),
    (V1_SECRET, V1_ID, V1_AT, '{"p":"café 😀"}', "v1,tjc7UqLYoCTizHmMU3kDqkr6hRtYSPI9zvLT/PDSiWs="),
    (V2_SECRET, V1_ID, V1_AT, V1_BODY, "v1,78nXHjpFP0tVJQW5D0SBwmVyyW87BV/rL6MgfM/Bw44="),
]
BODIES = ['{"a":1}', '{"p":"café 😀 \u2028"}', '{"long":"' + "x" * 20_000 + '"}']


class Judge(Protocol):
    def signature(self, secret: str, id_: str, at: int, body: str) -> str: ...

    def accepts(self, secret: str, headers: dict[str, str], body: str) -> bool: ...


class OfPython:
    """PyPI's `standardwebhooks`, or `svix`, which speaks alike."""

    def __init__(self, library: Any) -> None:
        self._library = library

    def signature(self, secret: str, id_: str, at: int, body: str) -> str:
        return str(self._library.Webhook(secret).sign(id_, datetime.fromtimestamp(at, UTC), body))

    def accepts(self, secret: str, headers: dict[str, str], body: str) -> bool:
        try:
            self._library.Webhook(secret).verify(body, headers)
        except self._library.WebhookVerificationError:
            return False
        return True


class OfNode:
    """npm's `standardwebhooks`, one process a question."""

    SCRIPT = """
        const { createRequire } = require("node:module");
        const [modules, text] = process.argv.slice(1);
        const { Webhook, WebhookVerificationError } = createRequire(modules + "/")("standardwebhooks");
        const { secret, id, at, body, headers } = JSON.parse(text);
        const webhook = new Webhook(secret);
        let answer = true;
        if (id !== undefined) {
            answer = webhook.sign(id, new Date(at * 1000), body);
        } else {
            try { webhook.verify(body, headers); } catch (error) {
                if (!(error instanceof WebhookVerificationError)) throw error;
                answer = false;
            }
        }
        process.stdout.write(JSON.stringify(answer));
    """

    def __init__(self, node: str, modules: Path) -> None:
        self._node, self._modules = node, modules

    def signature(self, secret: str, id_: str, at: int, body: str) -> str:
        return str(self._ask(secret=secret, id=id_, at=at, body=body))

    def accepts(self, secret: str, headers: dict[str, str], body: str) -> bool:
        return bool(self._ask(secret=secret, headers=headers, body=body))

    def _ask(self, **question: Any) -> Any:
        command = [self._node, "-e", self.SCRIPT, str(self._modules), json.dumps(question)]
        return json.loads(subprocess.run(command, capture_output=True, check=True).stdout)


@pytest.fixture(params=["PyPI standardwebhooks", "PyPI svix", "npm standardwebhooks"])
def judge(request: pytest.FixtureRequest) -> Judge:
    if request.param.startswith("PyPI"):
        return OfPython(standardwebhooks if request.param.endswith("standardwebhooks") else svix.webhooks)
    node, named = shutil.which("node"), os.environ.get("NOTIFIER_TEST_NODE_MODULES")
    if node is None:
        pytest.skip("node is not installed")
    if not named or not (Path(named) / "standardwebhooks").is_dir():
        pytest.skip("NOTIFIER_TEST_NODE_MODULES names no directory that holds npm's standardwebhooks")
    return OfNode(node, Path(named).resolve())


def now() -> int:
    return int(time.time())  # noqa: TID251  these libraries compare with the machine's clock


def signed(*secrets: str, body: str, at: int) -> dict[str, str]:
    return dict(sign("msg_1", at, body.encode(), [Secret(text) for text in secrets]))


@pytest.mark.parametrize(("secret", "id_", "at", "body", "expected"), VECTORS)
def test_the_judge_makes_the_published_signatures(  # so that it is known to judge
    judge: Judge, secret: str, id_: str, at: int, body: str, expected: str
) -> None:
    """The same vectors that ours are held to."""
    assert judge.signature(secret, id_, at, body) == expected


@pytest.mark.parametrize("size", [24, 32, 64])
@pytest.mark.parametrize("body", BODIES, ids=["ascii", "unicode", "long"])
def test_the_judge_accepts_what_we_sign(judge: Judge, size: int, body: str) -> None:
    """With keys of every length that is allowed, and not with another key or another body."""
    secret = new_secret(bytes(range(size)))
    headers = signed(secret, body=body, at=now())
    assert judge.accepts(secret, headers, body)
    assert not judge.accepts(V1_SECRET, headers, body)
    assert not judge.accepts(secret, headers, body + " ")


def test_the_judge_accepts_while_keys_and_versions_change_over(judge: Judge) -> None:
    """Among signatures by another key and of a version it does not know, it finds its own, in any place."""
    for order in ([ED25519, V2_SECRET, V1_SECRET], [V1_SECRET, V2_SECRET, ED25519]):
        assert judge.accepts(V1_SECRET, signed(*order, body=V1_BODY, at=now()), V1_BODY)
    assert not judge.accepts(V1_SECRET, signed(V2_SECRET, ED25519, body=V1_BODY, at=now()), V1_BODY)


def test_the_judge_and_we_hold_the_same_times_too_old(judge: Judge) -> None:
    """Five minutes either way; ten are too much for both."""
    for shift, fine in ((-240, True), (240, True), (-600, False), (600, False)):
        headers = signed(V1_SECRET, body=V1_BODY, at=now() + shift)
        assert judge.accepts(V1_SECRET, headers, V1_BODY) is fine
        assert ours_accepts(V1_SECRET, headers, V1_BODY) is fine


@pytest.mark.parametrize("size", [24, 32, 64])
@pytest.mark.parametrize("body", BODIES, ids=["ascii", "unicode", "long"])
def test_we_accept_what_the_judge_signs(judge: Judge, size: int, body: str) -> None:
    """The other way round."""
    secret, at = "whsec_" + base64.b64encode(bytes(range(size))).decode(), now()
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(at),
        "webhook-signature": judge.signature(secret, "msg_1", at, body),
    }
    assert ours_accepts(secret, headers, body)
    assert not ours_accepts(V1_SECRET, headers, body)
    assert not ours_accepts(secret, headers, body + " ")


def ours_accepts(secret: str, headers: dict[str, str], body: str) -> bool:
    try:
        verify(body.encode(), headers, secret)
    except InvalidSignature:
        return False
    return True

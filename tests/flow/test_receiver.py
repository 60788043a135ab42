"""The verifying receiver over real loopback HTTP, and `notifier listen`."""

import base64
import hashlib
import hmac
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import anyio
import httpx
import orjson
import pytest
from anyio.streams.buffered import BufferedByteReceiveStream

from notifier.domain.errors import NotifierError
from notifier.domain.times import iso
from notifier.emulator.receiver import Received, Receiver, ReceiverSettings, new_secret, serve_receiver
from notifier.runtime.clock import SystemClock

_CLOCK = SystemClock()
_SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()


def _event(id_: str = "gen-1", **more: Any) -> bytes:
    content = {"generation_id": id_, "observed_at": iso(_CLOCK.now()), **more}
    return orjson.dumps({"type": "generation.completed", "timestamp": iso(_CLOCK.now()), "data": content})


def _signed(body: bytes, message: str, secret: str = _SECRET, *, age: int = 0) -> dict[str, str]:
    """Headers by Standard Webhooks, made here by hand: another hand than the one that verifies."""
    at = str(int(_CLOCK.now().timestamp()) - age)
    key = base64.b64decode(secret.removeprefix("whsec_"))
    mac = hmac.new(key, f"{message}.{at}.".encode() + body, hashlib.sha256).digest()
    signature = "v1," + base64.b64encode(mac).decode()
    return {"webhook-id": message, "webhook-timestamp": at, "webhook-signature": signature}


@asynccontextmanager
async def _served(**settings: Any) -> AsyncIterator[tuple[Receiver, httpx.AsyncClient]]:
    chosen = ReceiverSettings(**{"secrets": (_SECRET,), **settings})
    async with serve_receiver(chosen) as receiver, httpx.AsyncClient(base_url=receiver.url) as client:
        yield receiver, client


async def _post(client: httpx.AsyncClient, message: str, body: bytes | None = None, **how: Any) -> int:
    body = _event() if body is None else body
    return (await client.post("/hooks/any", content=body, headers=_signed(body, message, **how))).status_code


async def test_a_signed_callback_is_verified_and_kept() -> None:
    """A good signature is answered 204; type, generation and lag are read from what was signed."""
    async with _served() as (receiver, client):
        assert await _post(client, "msg_1") == 204
        (received,) = await receiver.wait_for(1)
        assert received.verified
        assert (received.type, received.generation_id, received.message_id) == (
            "generation.completed",
            "gen-1",
            "msg_1",
        )
        assert received.path == "/hooks/any"
        assert received.lag is not None
        assert received.lag > -1


@pytest.mark.parametrize(
    ("how", "why"),
    [({"secret": new_secret()}, "signature"), ({"age": 3600}, "too old"), ({"age": -3600}, "future")],
)
async def test_a_bad_signature_is_401_with_its_reason(how: dict[str, Any], why: str) -> None:
    """Another key, an old message and one from the future are refused, shown, and are no callbacks."""
    async with _served() as (receiver, client):
        assert await _post(client, "msg_1", **how) == 401
        (received,) = await receiver.wait_for_posts(1)
        assert received.refused is not None
        assert why in received.refused
        assert received.event == {}
        assert not receiver.callbacks


@pytest.mark.parametrize(
    "headers", [{}, {"webhook-id": b"\xff", "webhook-timestamp": b"1", "webhook-signature": b"v1,"}]
)
async def test_nonsense_is_401(headers: dict[str, Any]) -> None:
    """A POST without the headers, or with bytes in them that are no text, is refused like any other."""
    async with _served() as (receiver, client):
        assert (await client.post("/", content=b"x", headers=headers)).status_code == 401
        assert receiver.post_count == 1


async def test_header_bytes_that_are_no_text_are_401_by_a_fitting_time_too() -> None:
    """A `webhook-id` that is no text is refused even where everything before it holds."""
    async with _served() as (_, client):
        headers: dict[str, Any] = {**_signed(b"x", "msg_1"), "webhook-id": b"\xff"}
        assert (await client.post("/", content=b"x", headers=headers)).status_code == 401


async def test_one_of_several_secrets_is_enough() -> None:
    """While a key is rotated both the new and the old one verify."""
    old = new_secret()
    async with _served(secrets=(_SECRET, old)) as (_, client):
        assert await _post(client, "msg_1") == 204
        assert await _post(client, "msg_2", secret=old) == 204


async def test_a_repeat_is_seen_as_one() -> None:
    """The same `webhook-id` again is answered 2xx, counted as seen twice, and is one callback."""
    async with _served() as (receiver, client):
        for message in ("msg_1", "msg_1", "msg_2"):
            assert await _post(client, message) == 204
        assert [received.seen for received in receiver.posts] == [1, 2, 1]
        assert [received.message_id for received in await receiver.wait_for(2)] == ["msg_1", "msg_2"]


async def test_a_callback_that_was_answered_badly_does_not_count_yet() -> None:
    """What was answered 500 becomes a callback when it comes again and is answered 2xx."""
    async with _served(fail=1.0) as (receiver, client):
        assert await _post(client, "msg_1") == 500
        assert not receiver.callbacks
        receiver.settings = ReceiverSettings(secrets=(_SECRET,))
        assert await _post(client, "msg_1") == 204
        (received,) = receiver.callbacks
        assert received.seen == 2


async def _failed(seed: int) -> list[int]:
    async with _served(fail=0.3, seed=seed) as (_, client):
        return [await _post(client, f"msg_{number}") for number in range(40)]


async def test_which_ones_fail_is_a_function_of_the_seed() -> None:
    """About as many as set are answered 500, the same ones for one seed and others for another."""
    statuses = await _failed(1)
    assert statuses == await _failed(1)
    assert statuses != await _failed(2)
    assert 4 <= statuses.count(500) <= 20


@pytest.mark.parametrize("status", [200, 302, 410, 503])
async def test_the_answer_may_be_any_status(status: int) -> None:
    """A set status is what verified callbacks get; a bad signature is 401 all the same."""
    async with _served(status=status) as (receiver, client):
        assert await _post(client, "msg_1") == status
        assert await _post(client, "msg_2", secret=new_secret()) == 401
        assert receiver.callback_count == (1 if status == 200 else 0)


async def test_a_delayed_answer_has_been_received_before() -> None:
    """The POST counts while its answer is still held back, and the end of the receiver lets the answer go."""
    statuses: list[int] = []
    async with anyio.create_task_group() as group, httpx.AsyncClient() as client:
        answered = anyio.Event()
        async with serve_receiver(ReceiverSettings(secrets=(_SECRET,), delay=3600)) as receiver:
            body = _event()
            url = receiver.url

            async def post() -> None:
                statuses.append((await client.post(url, content=body, headers=_signed(body, "msg_1"))).status_code)
                answered.set()

            group.start_soon(post)
            await receiver.wait_for(1)
            assert not statuses
        await answered.wait()
    assert statuses == [204]


async def test_callbacks_can_be_read_as_they_come() -> None:
    """`async for` gives what is there already and then what arrives."""
    async with _served() as (receiver, client):
        await _post(client, "msg_1")
        got: list[Received] = []
        async with anyio.create_task_group() as group:

            async def read() -> None:
                async for received in receiver:
                    got.append(received)
                    if len(got) == 2:
                        return

            group.start_soon(read)
            await _post(client, "msg_2")
        assert [received.message_id for received in got] == ["msg_1", "msg_2"]


async def test_nothing_is_kept_where_it_is_not_wanted() -> None:
    """A receiver that runs for days counts and calls back, and keeps no message."""
    seen: list[str] = []
    settings = ReceiverSettings(secrets=(_SECRET,), keep=False)
    async with serve_receiver(settings, on_post=lambda received: seen.append(received.message_id)) as receiver:
        async with httpx.AsyncClient(base_url=receiver.url) as client:
            await _post(client, "msg_1")
        assert await receiver.wait_for(1) == []
        assert seen == ["msg_1"]


async def test_without_a_secret_it_makes_one() -> None:
    """A receiver without a secret has one of its own that verifies, another one each time."""
    async with _served(secrets=()) as (receiver, client):
        assert await _post(client, "msg_1", secret=receiver.secrets[0]) == 204
        assert Receiver(ReceiverSettings()).secrets != receiver.secrets


@pytest.mark.parametrize(
    "wrong", [{"fail": 2.0}, {"delay": -1.0}, {"status": 99}, {"secrets": ("hunter2",)}, {"secrets": ("whsec_!",)}]
)
def test_settings_without_sense_are_refused(wrong: dict[str, Any]) -> None:
    """A wrong key, share, delay or status is refused at once; the sentence does not repeat the key."""
    with pytest.raises(ValueError, match=r"\w") as refused:
        ReceiverSettings(**wrong)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("observed", [None, 5, "yesterday", "2026-11-22T05:14:00", []])
async def test_an_event_need_not_say_when_it_was_observed(observed: Any) -> None:
    """A missing or senseless `observed_at` gives no lag, and no error."""
    async with _served() as (receiver, client):
        assert await _post(client, "msg_1", orjson.dumps({"type": 5, "data": {"observed_at": observed}})) == 204
        assert await _post(client, "msg_2", b'{"data": []}') == 204
        assert [received.lag for received in receiver.posts] == [None, None]


@asynccontextmanager
async def _listening(*words: str, **environ: str) -> AsyncIterator[tuple[Any, BufferedByteReceiveStream]]:
    command = [sys.executable, "-m", "notifier", "listen", "--port", "0", *words]
    env = {**{name: value for name, value in os.environ.items() if name != "NOTIFIER_SECRET"}, **environ}
    async with await anyio.open_process(command, stderr=None, env=env) as process:
        assert process.stdout is not None
        try:
            yield process, BufferedByteReceiveStream(process.stdout)
        finally:
            if process.returncode is None:
                process.kill()


async def _line(out: BufferedByteReceiveStream) -> str:
    return (await out.receive_until(b"\n", 4096)).decode()


async def test_the_command_prints_one_line_for_each_callback() -> None:
    """`notifier listen` shows type, ID and lag, a repeat, and why one is not verified; nothing moves the cursor."""
    async with _listening(NOTIFIER_SECRET=_SECRET) as (process, out):
        told = await _line(out)
        assert _SECRET not in told
        async with httpx.AsyncClient(base_url=told.split()[2].rstrip(".")) as client:
            body = _event("gen\x1b[2J\n\u202e1")
            for _ in range(2):
                assert await _post(client, "msg_1", body) == 204
            assert await _post(client, "msg_2", secret=new_secret()) == 401
        first, again, refused = [await _line(out) for _ in range(3)]
        assert "generation.completed" in first
        assert "gen\\x1b[2J\\n\\u202e1" in first
        assert " verified" in first
        assert "lag " in first
        assert "again (2nd time)" in again
        assert "NOT verified: No signature fits" in refused
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0


async def test_the_command_makes_a_secret_and_says_what_to_configure() -> None:
    """Without a secret, it prints a new one within the lines to paste, and verifies with it; Ctrl-C ends it with 0."""
    async with _listening() as (process, out):
        title, *lines = [await _line(out) for _ in range(5)]
        assert "new secret" in title
        url, secret = (line.split(": ")[1].strip() for line in lines[2:])
        async with httpx.AsyncClient(base_url=url) as client:
            assert await _post(client, "msg_1", secret=secret) == 204
        process.send_signal(signal.SIGINT)
        assert await process.wait() == 0


async def test_the_command_writes_json() -> None:
    """With --json standard output holds one object a callback and nothing else."""
    command = ["listen", "--port", "0", "--secret", _SECRET, "--json", "--fail", "1"]
    async with await anyio.open_process([sys.executable, "-m", "notifier", *command]) as process:
        assert process.stderr is not None
        assert process.stdout is not None
        told = await _line(BufferedByteReceiveStream(process.stderr))
        async with httpx.AsyncClient(base_url=told.split()[2].rstrip(".")) as client:
            assert await _post(client, "msg_1") == 500
        line = orjson.loads(await _line(BufferedByteReceiveStream(process.stdout)))
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
    assert line["verified"] is True
    assert (line["webhook_id"], line["generation_id"], line["seen"], line["status"]) == ("msg_1", "gen-1", 1, 500)


async def test_a_wrong_secret_stops_the_command() -> None:
    """A secret that cannot be a key is refused on the command line with exit code 2."""
    command = [sys.executable, "-m", "notifier", "listen", "--secret", "hunter2"]
    ended = await anyio.run_process(command, check=False)
    assert ended.returncode == 2
    assert b"whsec_" in ended.stderr


async def test_a_port_in_use_is_said() -> None:
    """A second receiver on one port ends with exit code 1 and a sentence that names the port."""
    async with serve_receiver() as receiver:
        port = receiver.url.rpartition(":")[2]
        command = [sys.executable, "-m", "notifier", "listen", "--port", port]
        ended = await anyio.run_process(command, check=False)
    assert ended.returncode == 1
    assert f"Cannot listen on 127.0.0.1:{port}".encode() in ended.stderr
    assert ended.stderr.count(port.encode()) == 1
    assert b"Traceback" not in ended.stderr


@pytest.mark.parametrize("host", ["192.0.2.1", "no.such.invalid"])
async def test_a_wrong_host_is_said(host: str) -> None:
    """It is the host that has to be changed, and the address is named once."""
    with pytest.raises(NotifierError, match="Choose another host") as refused:
        async with serve_receiver(host=host):
            pass
    assert str(refused.value).count(host) == 1


async def test_a_lag_is_from_the_observation_to_the_post() -> None:
    """An event observed an hour ago has a lag of about an hour."""
    async with _served() as (receiver, client):
        body = orjson.dumps({"type": "x", "data": {"observed_at": iso(_CLOCK.now() - timedelta(hours=1))}})
        await _post(client, "msg_1", body)
        (received,) = receiver.callbacks
        assert received.lag is not None
        assert 3599 < received.lag < 3700

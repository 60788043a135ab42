"""What we stand on in aiohttp is there: a new version that drops one of these is told by name."""

import asyncio
from collections.abc import Iterable

import aiohttp
import pytest
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ConnectionKey

from notifier.net.aiohttp_hooks import Connector, Protocol, Request
from tests.support.peers import OK, answering, exchange, post, serving, wired


def missing(thing: object, names: Iterable[str]) -> list[str]:
    return [name for name in names if not hasattr(thing, name)]


async def test_what_we_stand_on_in_aiohttp_is_there() -> None:
    """Methods that it calls and we override, and what it keeps in attributes that are no part of its interface."""
    loop = asyncio.get_running_loop()
    async with aiohttp.TCPConnector() as connector, aiohttp.ClientSession() as session:
        parts: dict[object, tuple[str, ...]] = {
            ResponseHandler(loop): (
                *("connection_made", "data_received", "feed_data", "set_exception", "set_response_params"),
                *("_exception", "_parser", "_should_close", "transport", "exception", "should_close"),
            ),
            connector: (
                "_get",
                "_release",
                "_conns",
                "_factory",
                "_loop",
                "_update_proxy_auth_header_and_build_proxy_req",
            ),
            aiohttp.ClientRequest: ("send", "write_bytes", "body"),
            aiohttp.ClientResponse: ("start", "close"),
            ConnectionKey: ("host", "port", "proxy"),
            session: ("_retry_connection",),
        }
        gone = {repr(thing): names for thing, all_ in parts.items() if (names := missing(thing, all_))}
    assert not gone, f"aiohttp {aiohttp.__version__} has dropped hooks that notifier.aiohttp_hooks relies on: {gone}"


async def test_aiohttp_calls_each_hook(monkeypatch: pytest.MonkeyPatch) -> None:
    """A method that is still there and no longer called would be as bad."""
    called = set()
    hooks = {
        Protocol: ("connection_made", "data_received", "feed_data", "set_response_params", "ready", "written"),
        Connector: ("_get", "_release"),
        Request: ("send", "write_bytes"),
    }
    for kind, names in hooks.items():
        for name in names:

            def noting(*args: object, _name: str = name, _real: object = getattr(kind, name), **more: object) -> object:
                called.add(_name)
                return _real(*args, **more)  # type: ignore[operator]  # each is a function

            monkeypatch.setattr(kind, name, noting)
    async with serving(answering(OK)) as server, wired() as transport:
        await exchange(transport, post(server.url()))
    expected = {name for names in hooks.values() for name in names}
    assert called == expected, f"aiohttp {aiohttp.__version__} no longer calls {expected - called}"

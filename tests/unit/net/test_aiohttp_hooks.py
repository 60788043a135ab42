"""The private parts of aiohttp that are used are there and are called: if a new version drops one, its name is told."""

import ast
import asyncio
import inspect
from collections.abc import Iterable
from pathlib import Path

import aiohttp
import pytest
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ConnectionKey
from yarl import URL

import notifier
from notifier.domain.settings import Secret
from notifier.net import aiohttp_hooks
from notifier.net.aiohttp_hooks import Connector, Protocol, Request, _Tunnel
from tests.support.peers import OK, answering, exchange, post, serving, wired

#: What is used of each part, but for the public methods that everybody uses.
USED: dict[str, tuple[str, ...]] = {
    "ResponseHandler": (
        *("connection_made", "connection_lost", "data_received", "feed_data", "set_exception", "set_response_params"),
        *("_exception", "_loop", "_parser", "_should_close", "transport", "exception", "should_close"),
    ),
    "TCPConnector": (
        *("_get", "_release", "_conns", "_factory", "_loop", "_update_proxy_auth_header_and_build_proxy_req"),
    ),
    "ClientRequest": ("send", "write_bytes", "update_auto_headers", "_skip_auto_headers", "body", "response_class"),
    "ClientResponse": ("start", "close"),
    "ConnectionKey": ("host", "port", "proxy"),
    "ClientSession": ("_retry_connection",),
}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def missing(thing: object, names: Iterable[str]) -> list[str]:
    return [name for name in names if not hasattr(thing, name)]


async def test_what_we_use_of_aiohttp_is_there() -> None:
    """Methods that it calls and we override, and what it keeps in attributes that are no part of its interface."""
    loop = asyncio.get_running_loop()
    async with aiohttp.TCPConnector() as connector, aiohttp.ClientSession() as session:
        request = aiohttp.ClientRequest("GET", URL("http://a.example/"), loop=loop)
        things: dict[str, object] = {
            "ResponseHandler": ResponseHandler(loop),
            "TCPConnector": connector,
            "ClientRequest": request,
            "ClientResponse": aiohttp.ClientResponse,
            "ConnectionKey": ConnectionKey,
            "ClientSession": session,
        }
        gone = {part: names for part, used in USED.items() if (names := missing(things[part], used))}
    assert not gone, f"aiohttp {aiohttp.__version__} has dropped hooks that notifier.net.aiohttp_hooks uses: {gone}"


def private_names(tree: ast.AST) -> set[str]:
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__")
    }


def own_names(tree: ast.AST) -> set[str]:
    """Attributes and methods that a module gives its classes itself."""
    assigned = {
        target.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for outer in (node.targets if isinstance(node, ast.Assign) else [node.target])
        for target in ast.walk(outer)
        if isinstance(target, ast.Attribute)
    }
    return assigned | {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def imports_aiohttp(tree: ast.AST) -> bool:
    named = [node.names[0].name for node in ast.walk(tree) if isinstance(node, ast.Import)]
    named += [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    return any(name.partition(".")[0] == "aiohttp" for name in named)


def of_aiohttp(names: Iterable[str]) -> set[str]:
    """Those that aiohttp's own source has as attributes: `self._x`, or a method `_x`."""
    source = "\n".join(path.read_text() for path in Path(aiohttp.__file__).parent.glob("*.py"))
    return {name for name in names if f"self.{name}" in source or f"def {name}(" in source}


def test_every_private_name_that_we_use_is_listed() -> None:
    """So that the test above misses none."""
    used = private_names(ast.parse(inspect.getsource(aiohttp_hooks)))
    listed = {name for names in USED.values() for name in names if name.startswith("_")} - {"_skip_auto_headers"}
    ours = own_names(ast.parse(inspect.getsource(aiohttp_hooks)))
    assert used & listed == listed
    assert used - ours - listed == set()


def test_no_other_module_uses_a_private_name_of_aiohttp() -> None:
    """A module that imports aiohttp has no private attribute but its own, and subclasses none of aiohttp's actors."""
    actors = (aiohttp.ClientSession, aiohttp.ClientRequest, aiohttp.ClientResponse, aiohttp.TCPConnector)
    for path in Path(notifier.__file__).parent.rglob("*.py"):
        tree = ast.parse(path.read_text())
        if path.name == "aiohttp_hooks.py" or not imports_aiohttp(tree):
            continue
        assert not of_aiohttp(private_names(tree) - own_names(tree)), path
        bases = {ast.unparse(base) for node in ast.walk(tree) if isinstance(node, ast.ClassDef) for base in node.bases}
        assert not bases & {f"aiohttp.{each.__name__}" for each in actors}, path


async def test_aiohttp_calls_each_hook(monkeypatch: pytest.MonkeyPatch) -> None:
    """A method that is still there and no longer called would be as bad."""
    called = set()
    hooks = {
        Protocol: ("connection_made", "connection_lost", "data_received", "feed_data", "set_exception"),
        Connector: ("_get", "_release", "_update_proxy_auth_header_and_build_proxy_req"),
        Request: ("send", "write_bytes", "update_auto_headers"),
        _Tunnel: ("start",),
    }
    ours = {Protocol: ("set_response_params", "ready", "written")}
    for kind, names in (*hooks.items(), *ours.items()):
        for name in names:

            def noting(*args: object, _name: str = name, _real: object = getattr(kind, name), **more: object) -> object:
                called.add(_name)
                return _real(*args, **more)  # type: ignore[operator]  # each is a function

            monkeypatch.setattr(kind, name, noting)
    async with serving(answering(OK)) as server, wired() as transport:
        await exchange(transport, post(server.url()))
    async with serving(answering(b"HTTP/1.1 no\r\n\r\n")) as server, wired() as transport:
        with pytest.raises(Exception, match="first line"):
            await exchange(transport, post(server.url()))
    async with serving(answering(b"HTTP/1.1 502 no\r\n\r\n")) as server, wired() as transport:
        proxy = Secret(f"http://127.0.0.1:{server.port}")
        with pytest.raises(Exception, match="proxy"):
            await exchange(transport, post("https://a.example/", extensions={"proxy": proxy}))
    expected = {name for names in (*hooks.values(), *ours.values()) for name in names}
    assert called == expected, f"aiohttp {aiohttp.__version__} no longer calls {expected - called}"

"""Commands use the faster transport and event loop where the extra ``fast`` is installed."""

from importlib.util import find_spec
from typing import Any

import pytest

from wonder_customers import Monri
from wonder_customers.cli import runtime
from wonder_customers.transports.httpx import HttpxTransport

ACCOUNT = Monri("key", "token", base_url="http://127.0.0.1:1")


async def loop_and_transport() -> tuple[str, Any]:
    from asyncio import get_running_loop

    async with runtime.open_session(ACCOUNT, max_connections=40) as session:
        transport: Any = session._shared.transport
    assert transport._closed
    return type(get_running_loop()).__module__, transport


def test_extra_fast_is_used_where_installed() -> None:
    module = pytest.importorskip("wonder_customers.transports.aiohttp", reason="the extra `fast` is not installed")
    loop, transport = runtime.run(loop_and_transport)
    assert isinstance(transport, module.AiohttpTransport)
    assert loop.startswith("uvloop") == (find_spec("uvloop") is not None)


def test_defaults_are_used_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "find_spec", lambda name: None)
    loop, transport = runtime.run(loop_and_transport)
    assert isinstance(transport, HttpxTransport)
    assert loop.startswith("asyncio")

"""Commands run on uvloop where it is installed, and on asyncio otherwise."""

from importlib.util import find_spec
from typing import Any

import pytest

from wonder_customers import CustomerSession, Monri
from wonder_customers.cli import runtime
from wonder_customers.transports.asyncio import AsyncioTransport

ACCOUNT = Monri("key", "token", base_url="http://127.0.0.1:1")


async def loop_and_transport() -> tuple[str, Any]:
    from asyncio import get_running_loop

    async with CustomerSession(ACCOUNT, max_connections=40) as session:
        transport: Any = session._shared.transport
    assert transport._closed
    return type(get_running_loop()).__module__, transport


def test_uvloop_is_used_where_installed() -> None:
    loop, transport = runtime.run(loop_and_transport)
    assert isinstance(transport, AsyncioTransport)
    assert loop.startswith("uvloop") == (find_spec("uvloop") is not None)


def test_asyncio_is_used_without_uvloop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "find_spec", lambda name: None)
    loop, transport = runtime.run(loop_and_transport)
    assert isinstance(transport, AsyncioTransport)
    assert loop.startswith("asyncio")

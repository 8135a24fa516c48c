"""Mocks and tracers that replace methods of httpx or httpcore receive the calls of `HttpxTransport`."""

import functools
from typing import Any

import httpcore
import httpx
import pytest
import respx
from transports.sending import forever, send, signed_request

from raw_sockets import RawServer, dead_port
from wonder_customers.transports.httpx import HttpxTransport
from wonder_customers.wire import HttpResponse


async def body_of_response(transport: HttpxTransport, port: int) -> bytes:
    _, response = await send(transport, signed_request(port))
    assert isinstance(response, HttpResponse), response
    return response.body


async def test_respx_responds_instead_of_the_gateway() -> None:
    transport = HttpxTransport()
    with dead_port() as port, respx.mock:
        respx.get(f"http://127.0.0.1:{port}/v1/customers").respond(json={"by": "respx"})
        assert await body_of_response(transport, port) == b'{"by":"respx"}'
    await transport.aclose()


async def test_replaced_method_of_httpx_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    async def handle(self: httpx.AsyncHTTPTransport, request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"by": request.url.raw_path.decode()})

    monkeypatch.setattr(httpx.AsyncHTTPTransport, "handle_async_request", handle)
    with dead_port() as port:
        assert await body_of_response(HttpxTransport(), port) == b'{"by":"/v1/customers?a=%2F"}'


class Wrapped:
    """A wrapper as tracers use it: an object with all attributes of the wrapped method."""

    def __init__(self, method: Any, seen: list[str]) -> None:
        functools.update_wrapper(self, method)
        self.method, self.seen = method, seen
        self.__globals__ = method.__globals__

    def __get__(self, instance: Any, owner: type) -> Any:
        return self if instance is None else functools.partial(self, instance)

    async def __call__(self, *arguments: Any) -> Any:
        self.seen.append(type(arguments[1]).__module__.partition(".")[0])
        return await self.method(*arguments)


@pytest.mark.parametrize("kind", [httpx.AsyncHTTPTransport, httpcore.AsyncHTTPConnection])
async def test_tracer_sees_all_requests_while_it_is_installed(monkeypatch: pytest.MonkeyPatch, kind: type[Any]) -> None:
    transport = HttpxTransport()
    seen: list[str] = []
    with RawServer(forever) as server:
        assert await body_of_response(transport, server.port) == b"{}"
        with monkeypatch.context() as patch:
            patch.setattr(kind, "handle_async_request", Wrapped(kind.handle_async_request, seen))
            for _ in range(2):
                assert await body_of_response(transport, server.port) == b"{}"
        assert await body_of_response(transport, server.port) == b"{}"
        assert len(seen) == 2
        assert transport.open_connections == 1
        await transport.aclose()

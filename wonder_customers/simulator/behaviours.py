"""The behaviour of each kind of fault: how the fault proxy handles a request and its response."""

import asyncio
import zlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Any

from wonder_customers.simulator.proxy_http import ClientConnection, GatewayConnection, ProxiedRequest, ProxiedResponse

if TYPE_CHECKING:
    from wonder_customers.simulator.fault_proxy import FaultProxy

_BOMB_SIZE = 1 << 30
_BOMB_CHECKSUM = 0x5B64C2B0
"""The CRC-32 of `_BOMB_SIZE` zero bytes."""


@dataclass(slots=True)
class FaultContext:
    """A request with its connections, and the fault that applies, if any."""

    proxy: "FaultProxy"
    client: ClientConnection
    upstream: GatewayConnection
    head: ProxiedRequest
    applied: bool = True
    parameters: dict[str, Any] = field(default_factory=dict)
    fault: str | None = None
    _request: ProxiedRequest | None = field(default=None, init=False)

    @property
    def body(self) -> bytes:
        """The body of the request, if it has been read."""
        return b"" if self._request is None else self._request.body

    async def request(self) -> ProxiedRequest:
        """Return the whole request."""
        if self._request is None:
            self._request = replace(self.head, body=await self.client.read_body())
        return self._request

    async def response(self) -> ProxiedResponse:
        """Deliver the request and return its response, or return a substitute if the request must not be applied."""
        request = await self.request()
        if self.applied:
            return await self.upstream.deliver(request, self.fault)
        return simulator_response(200, b'{"message":"substitute response of the simulator"}')

    async def send(self, response: ProxiedResponse) -> bool:
        """Write a complete response, and return True."""
        await self.client.write(self.client.serialise(response, head_only=self.head.method == b"HEAD"))
        return True


Behaviour = Callable[[FaultContext], Awaitable[bool]]
"""A function that handles a request, and returns whether the connection can be used for another request."""


def simulator_response(status: int, body: bytes, *headers: tuple[bytes, bytes]) -> ProxiedResponse:
    """Return a JSON response that is not from a gateway."""
    length = (b"Content-Length", b"%d" % len(body))
    return ProxiedResponse(status, ((b"Content-Type", b"application/json"), length, *headers), body)


async def relay(context: FaultContext) -> bool:
    """Send the response to the request."""
    return await context.send(await context.response())


async def refuse(context: FaultContext) -> bool:
    """Refuse new connections, and reset this connection."""
    context.proxy.refuse(context.parameters["seconds"])
    return await accept_rst(context)


async def blackhole(context: FaultContext) -> bool:
    """Stop reading, and never respond."""
    context.client.pause()
    await asyncio.get_running_loop().create_future()
    return False


async def accept_rst(context: FaultContext) -> bool:
    """Reset the connection. The gateway receives nothing."""
    context.client.reset()
    return False


async def read_close(context: FaultContext) -> bool:
    """Read the whole request, then close without a response."""
    await context.response()
    return False


async def read_hang(context: FaultContext) -> bool:
    """Read the whole request and never respond."""
    await context.response()
    await context.client.wait_closed()
    return False


async def headers_rst(context: FaultContext) -> bool:
    """Send the status line and headers, then reset."""
    response = await context.response()
    await context.client.write(response.head())
    context.client.reset()
    return False


async def truncated_body(context: FaultContext) -> bool:
    """Send half of the announced body, then close."""
    response = await context.response()
    await context.client.write(response.head() + response.body[: len(response.body) // 2])
    return False


async def drip(context: FaultContext) -> bool:
    """Send the response one byte at a time."""
    data = context.client.serialise(await context.response())
    for position in range(len(data)):
        await context.client.write(data[position : position + 1])
        await asyncio.sleep(context.parameters["interval"])
    return True


async def wrong_length(context: FaultContext) -> bool:
    """Send a wrong Content-Length."""
    response = await context.response()
    difference = context.parameters["difference"]
    length = max(0, len(response.body) + difference)
    context.client.serialise(response)
    wrong = response.with_headers((b"Content-Length", b"%d" % length))
    await context.client.write(wrong.head() + response.body)
    return bool(difference < 0)


async def bad_chunk(context: FaultContext) -> bool:
    """Send a chunked body with an invalid chunk size."""
    response = (await context.response()).without(b"content-length").with_headers((b"Transfer-Encoding", b"chunked"))
    await context.client.write(response.head() + b"XYZ\r\n" + response.body + b"\r\n0\r\n\r\n")
    return False


async def gzip_bomb(context: FaultContext) -> bool:
    """Send about one megabyte of gzip data that expands to one gigabyte."""
    bomb = _bomb()
    length = (b"Content-Length", b"%d" % len(bomb))
    response = (await context.response()).with_headers((b"Content-Encoding", b"gzip"), length)
    return await context.send(replace(response, body=bomb))


@cache
def _bomb() -> bytes:
    """Return one gigabyte of zeros as gzip data."""
    piece_size = 1 << 24
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    piece = packer.compress(bytes(piece_size)) + packer.flush(zlib.Z_FULL_FLUSH)
    header = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff"
    end = b"\x03\x00" + _BOMB_CHECKSUM.to_bytes(4, "little") + _BOMB_SIZE.to_bytes(4, "little")
    return header + piece * (_BOMB_SIZE // piece_size) + end


async def huge_headers(context: FaultContext) -> bool:
    """Add response headers whose values have `size` bytes in total."""
    size = context.parameters["size"]
    padding = [(b"X-Padding-%d" % start, b"x" * min(1000, size - start)) for start in range(0, size, 1000)]
    return await context.send((await context.response()).with_headers(*padding))


async def rate_limited(context: FaultContext) -> bool:
    """Respond with status 429 without delivering the request."""
    await context.request()
    retry_after = context.parameters["retry_after"]
    headers = [] if retry_after is None else [(b"Retry-After", str(retry_after).encode("latin-1"))]
    return await context.send(simulator_response(429, b'{"message":"Too Many Requests"}', *headers))


async def server_error(context: FaultContext) -> bool:
    """Respond with an HTML error page, as a proxy does."""
    await context.response()
    status = context.parameters["status"]
    error = simulator_response(status, b"<html><body><h1>%d</h1></body></html>" % status)
    return await context.send(error.with_headers((b"Content-Type", b"text/html")))


async def zombie(context: FaultContext) -> bool:
    """Close the connection without a response, and deliver the request to the gateway later."""
    request = await context.request()
    context.proxy.spawn(context.proxy.deliver_later(request, context.parameters["delay"]))
    return False


async def duplicate(context: FaultContext) -> bool:
    """Deliver the request twice, and send the first response."""
    response = await context.response()
    await context.response()
    return await context.send(response)


async def half_close_idle(context: FaultContext) -> bool:
    """Respond without announcing that the connection is closed, then close the connection."""
    await relay(context)
    return False


async def stale_rst(context: FaultContext) -> bool:
    """Respond normally, then reset the connection when its next request arrives."""
    await relay(context)
    following = await context.client.next_head()
    if following is not None:
        context.proxy.count(following)
        await context.client.read_body()
        context.client.reset()
    return False

"""What each fault does to one context: a request that came in and its answer."""

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, Protocol

from wonder_customers.simulator.proxy_http import ClientConnection, GatewayConnection, ProxiedRequest, ProxiedResponse

_BOMB_SIZE = 1 << 30
_BOMB_CHECKSUM = 0x5B64C2B0
"""The CRC-32 of `_BOMB_SIZE` zero bytes."""


class ProxyControl(Protocol):
    """What the faults need of the proxy that took the connection."""

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something that outlives the connection."""

    def refuse(self, seconds: float | None) -> None:
        """Close the listening socket for some time, None for until further notice."""

    async def deliver_later(self, message: ProxiedRequest, delay: float) -> None:
        """Have the gateways handle a request after some time."""

    def count(self, message: ProxiedRequest) -> None:
        """Count a request that came in."""


@dataclass(slots=True)
class FaultContext:
    """One request of a client, of which at first only the head was read."""

    proxy: ProxyControl
    client: ClientConnection
    upstream: GatewayConnection
    head: ProxiedRequest
    applied: bool
    parameters: dict[str, Any]
    _message: ProxiedRequest | None = field(default=None, init=False)

    async def message(self) -> ProxiedRequest:
        """The request, read to its end."""
        if self._message is None:
            self._message = replace(self.head, body=await self.client.read_body())
        return self._message

    async def answer(self) -> ProxiedResponse:
        """The gateway's answer, or a made-up success when the gateway is not to see the request."""
        message = await self.message()
        if self.applied:
            return await self.upstream.deliver(message)
        return made_up(200, b'{"message":"this answer was made up by the simulator"}')

    async def send(self, answer: ProxiedResponse) -> bool:
        """Write an answer in good order and keep the connection."""
        await self.client.write(self.client.serialise(answer, head_only=self.head.method == b"HEAD"))
        return True


Behaviour = Callable[[FaultContext], Awaitable[bool]]
"""Handles an context; tells whether the connection can take another request."""


def made_up(status: int, body: bytes, *headers: tuple[bytes, bytes]) -> ProxiedResponse:
    """An answer that no gateway gave."""
    length = (b"Content-Length", b"%d" % len(body))
    return ProxiedResponse(status, ((b"Content-Type", b"application/json"), length, *headers), body)


async def relay(context: FaultContext) -> bool:
    """No fault: the request is delivered and the answer given back."""
    return await context.send(await context.answer())


async def refuse(context: FaultContext) -> bool:
    """Refuse all connections from now on, and reset the one that asked for it."""
    context.proxy.refuse(context.parameters["seconds"])
    return await accept_rst(context)


async def blackhole(context: FaultContext) -> bool:
    """Read nothing more and never answer."""
    context.client.ignore()
    await asyncio.get_running_loop().create_future()
    return False


async def accept_rst(context: FaultContext) -> bool:
    """Reset the connection before (more of) the request is read."""
    context.client.reset()
    return False


async def read_close(context: FaultContext) -> bool:
    """Read the whole request, then close without an answer."""
    await context.answer()
    return False


async def read_hang(context: FaultContext) -> bool:
    """Read the whole request and never answer."""
    await context.answer()
    await context.client.gone()
    return False


async def headers_rst(context: FaultContext) -> bool:
    """Send the status line and the headers, then reset."""
    answer = await context.answer()
    await context.client.write(answer.head())
    context.client.reset()
    return False


async def truncated_body(context: FaultContext) -> bool:
    """Promise the whole body, send half of it, close."""
    answer = await context.answer()
    await context.client.write(answer.head() + answer.body[: len(answer.body) // 2])
    return False


async def drip(context: FaultContext) -> bool:
    """Send the answer one byte at a time."""
    data = context.client.serialise(await context.answer())
    for position in range(len(data)):
        await context.client.write(data[position : position + 1])
        await asyncio.sleep(context.parameters["interval"])
    return True


async def wrong_length(context: FaultContext) -> bool:
    """Promise more bytes than there are, then close; or fewer, and keep the connection."""
    answer = await context.answer()
    difference = context.parameters["difference"]
    length = max(0, len(answer.body) + difference)
    context.client.serialise(answer)
    wrong = answer.with_headers((b"Content-Length", b"%d" % length))
    await context.client.write(wrong.head() + answer.body)
    return bool(difference < 0)


async def bad_chunk(context: FaultContext) -> bool:
    """Send a chunked body whose chunk size is no number."""
    answer = (await context.answer()).without(b"content-length").with_headers((b"Transfer-Encoding", b"chunked"))
    await context.client.write(answer.head() + b"XYZ\r\n" + answer.body + b"\r\n0\r\n\r\n")
    return False


async def gzip_bomb(context: FaultContext) -> bool:
    """Send a megabyte that unpacks to a gigabyte, whatever encoding was asked for."""
    bomb = _bomb()
    length = (b"Content-Length", b"%d" % len(bomb))
    answer = (await context.answer()).with_headers((b"Content-Encoding", b"gzip"), length)
    return await context.send(replace(answer, body=bomb))


@cache
def _bomb() -> bytes:
    """A gigabyte of zeros in gzip form, put together from one packed piece that is repeated."""
    piece_size = 1 << 24
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    piece = packer.compress(bytes(piece_size)) + packer.flush(zlib.Z_FULL_FLUSH)
    header = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff"
    end = b"\x03\x00" + _BOMB_CHECKSUM.to_bytes(4, "little") + _BOMB_SIZE.to_bytes(4, "little")
    return header + piece * (_BOMB_SIZE // piece_size) + end


async def huge_headers(context: FaultContext) -> bool:
    """Add headers without measure."""
    size = context.parameters["size"]
    padding = [(b"X-Padding-%d" % start, b"x" * min(1000, size - start)) for start in range(0, size, 1000)]
    return await context.send((await context.answer()).with_headers(*padding))


async def rate_limited(context: FaultContext) -> bool:
    """ProxiedResponse 429; the gateway does not see the request."""
    await context.message()
    retry_after = context.parameters["retry_after"]
    headers = [] if retry_after is None else [(b"Retry-After", str(retry_after).encode("latin-1"))]
    return await context.send(made_up(429, b'{"message":"Too Many Requests"}', *headers))


async def server_error(context: FaultContext) -> bool:
    """ProxiedResponse 5xx, as a proxy does, in HTML."""
    await context.answer()
    status = context.parameters["status"]
    error = made_up(status, b"<html><body><h1>%d</h1></body></html>" % status)
    return await context.send(error.with_headers((b"Content-Type", b"text/html")))


async def zombie(context: FaultContext) -> bool:
    """Close at once; the gateway gets the request when the client has long given up."""
    message = await context.message()
    context.proxy.spawn(context.proxy.deliver_later(message, context.parameters["delay"]))
    return False


async def duplicate(context: FaultContext) -> bool:
    """Deliver the request twice; the client gets the first answer."""
    answer = await context.answer()
    await context.answer()
    return await context.send(answer)


async def half_close_idle(context: FaultContext) -> bool:
    """ProxiedResponse as if the connection stayed open, and close it."""
    await relay(context)
    return False


async def stale_rst(context: FaultContext) -> bool:
    """ProxiedResponse in good order; read the next request of the connection and reset it."""
    await relay(context)
    following = await context.client.next_head()
    if following is not None:
        context.proxy.count(following)
        await context.client.read_body()
        context.client.reset()
    return False

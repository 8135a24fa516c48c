"""What each fault does to one exchange: a request that came in and its answer."""

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, Protocol

from wonder_customers.simulator.wire import Answer, Client, Message, Upstream

_BOMB_SIZE = 1 << 30
_BOMB_CHECKSUM = 0x5B64C2B0
"""The CRC-32 of `_BOMB_SIZE` zero bytes."""


class Listener(Protocol):
    """What the faults need of the front that took the connection."""

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something that outlives the connection."""

    def refuse(self, seconds: float | None) -> None:
        """Close the listening socket for some time, None for until further notice."""

    async def deliver_later(self, message: Message, delay: float) -> None:
        """Have the gateways handle a request after some time."""

    def count(self, message: Message) -> None:
        """Count a request that came in."""


@dataclass(slots=True)
class Exchange:
    """One request of a client, of which at first only the head was read."""

    listener: Listener
    client: Client
    upstream: Upstream
    head: Message
    applied: bool
    parameters: dict[str, Any]
    _message: Message | None = field(default=None, init=False)

    async def message(self) -> Message:
        """The request, read to its end."""
        if self._message is None:
            self._message = replace(self.head, body=await self.client.read_body())
        return self._message

    async def answer(self) -> Answer:
        """The gateway's answer, or a made-up success when the gateway is not to see the request."""
        message = await self.message()
        if self.applied:
            return await self.upstream.deliver(message)
        return made_up(200, b'{"message":"this answer was made up by the simulator"}')

    async def send(self, answer: Answer) -> bool:
        """Write an answer in good order and keep the connection."""
        await self.client.write(self.client.serialise(answer, head_only=self.head.method == b"HEAD"))
        return True


Behaviour = Callable[[Exchange], Awaitable[bool]]
"""Handles an exchange; tells whether the connection can take another request."""


def made_up(status: int, body: bytes, *headers: tuple[bytes, bytes]) -> Answer:
    """An answer that no gateway gave."""
    length = (b"Content-Length", b"%d" % len(body))
    return Answer(status, ((b"Content-Type", b"application/json"), length, *headers), body)


async def relay(exchange: Exchange) -> bool:
    """No fault: the request is delivered and the answer given back."""
    return await exchange.send(await exchange.answer())


async def refuse(exchange: Exchange) -> bool:
    """Refuse all connections from now on, and reset the one that asked for it."""
    exchange.listener.refuse(exchange.parameters["seconds"])
    return await accept_rst(exchange)


async def blackhole(exchange: Exchange) -> bool:
    """Read nothing more and never answer."""
    exchange.client.ignore()
    await asyncio.get_running_loop().create_future()
    return False


async def accept_rst(exchange: Exchange) -> bool:
    """Reset the connection before (more of) the request is read."""
    exchange.client.reset()
    return False


async def read_close(exchange: Exchange) -> bool:
    """Read the whole request, then close without an answer."""
    await exchange.answer()
    return False


async def read_hang(exchange: Exchange) -> bool:
    """Read the whole request and never answer."""
    await exchange.answer()
    await exchange.client.gone()
    return False


async def headers_rst(exchange: Exchange) -> bool:
    """Send the status line and the headers, then reset."""
    answer = await exchange.answer()
    await exchange.client.write(answer.head())
    exchange.client.reset()
    return False


async def truncated_body(exchange: Exchange) -> bool:
    """Promise the whole body, send half of it, close."""
    answer = await exchange.answer()
    await exchange.client.write(answer.head() + answer.body[: len(answer.body) // 2])
    return False


async def drip(exchange: Exchange) -> bool:
    """Send the answer one byte at a time."""
    data = exchange.client.serialise(await exchange.answer())
    for position in range(len(data)):
        await exchange.client.write(data[position : position + 1])
        await asyncio.sleep(exchange.parameters["interval"])
    return True


async def wrong_length(exchange: Exchange) -> bool:
    """Promise more bytes than there are, then close; or fewer, and keep the connection."""
    answer = await exchange.answer()
    difference = exchange.parameters["difference"]
    length = max(0, len(answer.body) + difference)
    exchange.client.serialise(answer)
    wrong = answer.with_headers((b"Content-Length", b"%d" % length))
    await exchange.client.write(wrong.head() + answer.body)
    return bool(difference < 0)


async def bad_chunk(exchange: Exchange) -> bool:
    """Send a chunked body whose chunk size is no number."""
    answer = (await exchange.answer()).without(b"content-length").with_headers((b"Transfer-Encoding", b"chunked"))
    await exchange.client.write(answer.head() + b"XYZ\r\n" + answer.body + b"\r\n0\r\n\r\n")
    return False


async def gzip_bomb(exchange: Exchange) -> bool:
    """Send a megabyte that unpacks to a gigabyte, whatever encoding was asked for."""
    bomb = _bomb()
    length = (b"Content-Length", b"%d" % len(bomb))
    answer = (await exchange.answer()).with_headers((b"Content-Encoding", b"gzip"), length)
    return await exchange.send(replace(answer, body=bomb))


@cache
def _bomb() -> bytes:
    """A gigabyte of zeros in gzip form, put together from one packed piece that is repeated."""
    piece_size = 1 << 24
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    piece = packer.compress(bytes(piece_size)) + packer.flush(zlib.Z_FULL_FLUSH)
    header = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff"
    end = b"\x03\x00" + _BOMB_CHECKSUM.to_bytes(4, "little") + _BOMB_SIZE.to_bytes(4, "little")
    return header + piece * (_BOMB_SIZE // piece_size) + end


async def huge_headers(exchange: Exchange) -> bool:
    """Add headers without measure."""
    size = exchange.parameters["size"]
    padding = [(b"X-Padding-%d" % start, b"x" * min(1000, size - start)) for start in range(0, size, 1000)]
    return await exchange.send((await exchange.answer()).with_headers(*padding))


async def rate_limited(exchange: Exchange) -> bool:
    """Answer 429; the gateway does not see the request."""
    await exchange.message()
    retry_after = exchange.parameters["retry_after"]
    headers = [] if retry_after is None else [(b"Retry-After", str(retry_after).encode("latin-1"))]
    return await exchange.send(made_up(429, b'{"message":"Too Many Requests"}', *headers))


async def server_error(exchange: Exchange) -> bool:
    """Answer 5xx, as a proxy does, in HTML."""
    await exchange.answer()
    status = exchange.parameters["status"]
    error = made_up(status, b"<html><body><h1>%d</h1></body></html>" % status)
    return await exchange.send(error.with_headers((b"Content-Type", b"text/html")))


async def zombie(exchange: Exchange) -> bool:
    """Close at once; the gateway gets the request when the client has long given up."""
    message = await exchange.message()
    exchange.listener.spawn(exchange.listener.deliver_later(message, exchange.parameters["delay"]))
    return False


async def duplicate(exchange: Exchange) -> bool:
    """Deliver the request twice; the client gets the first answer."""
    answer = await exchange.answer()
    await exchange.answer()
    return await exchange.send(answer)


async def half_close_idle(exchange: Exchange) -> bool:
    """Answer as if the connection stayed open, and close it."""
    await relay(exchange)
    return False


async def stale_rst(exchange: Exchange) -> bool:
    """Answer in good order; read the next request of the connection and reset it."""
    await relay(exchange)
    following = await exchange.client.next_head()
    if following is not None:
        exchange.listener.count(following)
        await exchange.client.read_body()
        exchange.client.reset()
    return False

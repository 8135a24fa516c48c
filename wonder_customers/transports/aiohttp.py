"""The fast transport: lanes over aiohttp's connections, on asyncio only.

It uses aiohttp's connector, its connection and its parser in C, and leaves out its client: that is where cookies,
redirects, decompression, the environment's proxies and the silent second sending of GETs live. The request's bytes are
written here, so this knows by itself whether any have left.
"""

import asyncio
import ssl
from functools import partial
from typing import Any, Final, cast

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.streams import EofStream, StreamReader
from attrs import define
from yarl import URL

from wonder_customers import _border
from wonder_customers._wire import Flight, Origin, Outgoing, Timeouts, WireFailure, WireReply
from wonder_customers.errors import ConfigurationError
from wonder_customers.transports._lanes import KEEP_ALIVE, REPLY_LIMIT, Lanes
from wonder_customers.transports._tls import default_context

__all__ = ["AiohttpTransport"]

_LONGEST_LINE: Final = 65_536
"""Bytes of a status line or a header that are read at most."""

_WORDS: Final[tuple[tuple[type[Exception], str], ...]] = (
    (TimeoutError, "no answer in time"),
    (aiohttp.ServerDisconnectedError, "the connection ended before an answer"),
    (aiohttp.ClientPayloadError, "the connection ended, or the answer was no HTTP"),
    (HttpProcessingError, "the connection ended, or the answer was no HTTP"),
    (Exception, "the connection broke while waiting for the answer"),
)
_BROKEN = (aiohttp.ClientError, HttpProcessingError, EofStream, OSError)
"""What aiohttp raises when there is no whole answer; time-outs are an OSError."""


class _Wire(ResponseHandler):
    """aiohttp's side of a connection, which also remembers whether a byte of the answer came.

    Attributes:
        heard: A byte has come since the last request went out.
    """

    heard: bool = False

    def data_received(self, data: bytes) -> None:
        """Give the parser the head by itself: a broken body in the same packet would make it forget the status."""
        if not self.heard:
            self.heard = True
            end = data.find(b"\r\n\r\n") + 4
            if 4 <= end < len(data):
                super().data_received(data[:end])
                data = data[end:]
        super().data_received(data)
        body, error = self._payload, self.exception()
        if error is not None and body is not None and not body.is_eof():
            # aiohttp tells whoever waits for a head, but leaves whoever waits for the body waiting.
            body.set_exception(error)

    def resume_reading(self, *flags: Any, **named: Any) -> None:
        """Go on after a pause: aiohttp asks for it after every piece, and would run the parser once more each time."""
        if self._reading_paused:
            super().resume_reading(*flags, **named)  # its flags differ between aiohttp's versions


class _Connector(aiohttp.TCPConnector):
    """aiohttp's connector, whose connections are `_Wire`. Those in use are counted by the lanes, so it has no limit."""

    def __init__(self) -> None:
        super().__init__(limit=0, keepalive_timeout=KEEP_ALIVE)
        self._factory: Any = partial(_Wire, loop=asyncio.get_running_loop())


@define(eq=False)
class _Lane:
    """One connection at most, for one request at a time."""

    origin: Origin
    connection: Connection | None = None
    wire: _Wire | None = None
    idle_since: float = 0.0
    served: bool = False


class AiohttpTransport(Lanes[_Lane]):
    """Lanes over aiohttp: for asyncio, and many times as fast as the default.

    Close it when the sessions that use it have ended; it can be opened again on no other event loop.

    Args:
        max_connections: Lanes at most, over all gateways; further requests wait within their deadline.
        ssl_context: For those who pin certificates or trust a private authority. TLS 1.2 is the least.

    Raises:
        ConfigurationError: `max_connections` is no positive whole number.
    """

    def __init__(self, *, max_connections: int = 32, ssl_context: ssl.SSLContext | None = None) -> None:
        super().__init__(max_connections)
        self._context = ssl_context
        self._connector: _Connector | None = None
        self._doors: dict[Origin, aiohttp.ClientRequest] = {}

    async def send(self, outgoing: Outgoing, flight: Flight) -> WireReply:
        """Send one request once, on a lane of its own.

        Raises:
            ConfigurationError: This is not asyncio, or another event loop than that of the first request.
        """
        _border.check(outgoing.origin.host)
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            raise ConfigurationError("AiohttpTransport runs on asyncio only. Nothing was sent.") from None
        return await super().send(outgoing, flight)

    def _new(self, origin: Origin) -> _Lane:
        return _Lane(origin)

    def _usable(self, lane: _Lane) -> bool:
        wire = lane.wire
        # aiohttp wants a connection closed that has something to say while nobody asked.
        return wire is not None and wire.is_connected() and not wire.should_close

    async def _close(self, lane: _Lane) -> None:
        connection, lane.connection, lane.wire = lane.connection, None, None
        if connection is not None:
            if connection.transport is not None:
                # What is still in its buffers must not go out any more, and no TLS farewell be waited for.
                connection.transport.abort()
            connection.close()

    async def aclose(self) -> None:
        """Close every idle lane; busy ones close when their request ends."""
        await super().aclose()
        if self._connector is not None and not self._open:
            await self._connector.close()

    async def _roundtrip(self, lane: _Lane, outgoing: Outgoing, flight: Flight) -> WireReply:
        request = _bytes(outgoing)
        wire = lane.wire
        if wire is None:  # not `or`: aiohttp's connection is falsy while it has nothing to read
            wire = await self._connect(lane, outgoing.timeouts)
        if wire.transport is None or wire.transport.is_closing():
            raise WireFailure("no connection: it ended before it was used")
        wire.heard = False
        flight.sent = True
        try:
            wire.transport.write(request)
            await self._written(wire, outgoing.timeouts)
            wire.read_timeout = outgoing.timeouts.read
            wire.start_timeout()
            return await _reply(wire, flight)
        except _BROKEN as error:
            flight.stale = lane.served and not wire.heard and not isinstance(error, TimeoutError)
            words = next(words for kind, words in _WORDS if isinstance(error, kind))
            failure = WireFailure(f"{words} ({type(error).__name__})")
        # Raised out here, so that aiohttp's error, which holds the request's facts, does not hang on to ours.
        raise failure

    async def _written(self, wire: _Wire, timeouts: Timeouts) -> None:
        if wire.writing_paused:
            async with asyncio.timeout(timeouts.write):
                await wire._drain_helper()  # noqa: SLF001 - aiohttp's own writer waits with it

    async def _connect(self, lane: _Lane, timeouts: Timeouts) -> _Wire:
        connector, door = self._door(lane.origin)
        limits = aiohttp.ClientTimeout(connect=timeouts.connect, sock_connect=timeouts.connect)
        try:
            lane.connection = await connector.connect(door, [], limits)
        except _BROKEN as error:
            why = "no connection in time" if isinstance(error, TimeoutError) else "no connection"
            failure = WireFailure(f"{why} ({type(error).__name__})")
        else:
            wire = lane.wire = cast("_Wire", lane.connection.protocol)
            # Once for all answers of this connection: nothing in it belongs to a single request.
            wire.set_response_params(
                read_until_eof=True,
                auto_decompress=False,
                max_line_size=_LONGEST_LINE,
                max_field_size=_LONGEST_LINE,
            )
            return wire
        raise failure

    def _door(self, origin: Origin) -> tuple[_Connector, aiohttp.ClientRequest]:
        """The connector, and the request by which it knows where to connect; only its address is ever used."""
        if self._connector is None:
            self._connector = _Connector()
        door = self._doors.get(origin)
        if door is None:
            context: Any = (self._context or default_context()) if origin.scheme == "https" else True
            loop = asyncio.get_running_loop()
            door = self._doors[origin] = aiohttp.ClientRequest("GET", URL(str(origin)), loop=loop, ssl=context)
        return self._connector, door


def _bytes(outgoing: Outgoing) -> bytes:
    """The whole request.

    Raises:
        WireFailure: The request line or a header cannot stand in HTTP.
    """
    lines = [f"{outgoing.method} {outgoing.target} HTTP/1.1".encode("ascii")]
    lines += [b"%b: %b" % header for header in outgoing.headers]
    head = b"\r\n".join(lines)
    breaks = len(lines) - 1
    if head.count(b"\n") != breaks or head.count(b"\r") != breaks or b"\0" in head or lines[0].count(b" ") != 2:
        raise WireFailure("the request could not be put into HTTP")
    return b"%b\r\n\r\n%b" % (head, outgoing.body)


async def _reply(wire: _Wire, flight: Flight) -> WireReply:
    while True:
        message, payload = await wire.read()
        # An interim answer, such as 103, comes before the answer.
        if not 100 <= message.code < 200 or message.code == 101:
            break
    flight.status = message.code
    # A header that comes twice counts by its last value, as on the default transport.
    flight.headers = headers = {
        name.decode("latin-1").lower(): value.decode("latin-1") for name, value in message.raw_headers
    }
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise aiohttp.ClientPayloadError
    return WireReply(message.code, headers, await _body(payload))


async def _body(payload: StreamReader) -> bytes:
    """The body's bytes as sent.

    Raises:
        aiohttp.ClientPayloadError: It ended too early or is too large.
    """
    parts: list[bytes] = []
    size = 0
    while not payload.at_eof():
        part = await payload.readany()
        parts.append(part)
        size += len(part)
        if size > REPLY_LIMIT:
            raise aiohttp.ClientPayloadError
    return parts[0] if len(parts) == 1 else b"".join(parts)

"""The fast transport: lanes over aiohttp's connections, on asyncio only.

It uses aiohttp's connector, its connection and its parser in C, and leaves out its client: that is where cookies,
redirects, decompression, the environment's proxies and the silent second sending of GETs live. The request's bytes are
written here, so this knows by itself whether any have left.
"""

import asyncio
import ssl
from collections.abc import Mapping
from functools import partial
from math import inf
from time import monotonic
from typing import Any, Final, cast

from attrs import define

from wonder_customers.errors import ConfigurationError, needed
from wonder_customers.transports import loopback_guard
from wonder_customers.transports._alarm import Alarm, Place
from wonder_customers.transports._request import written
from wonder_customers.transports.pool import KEEP_ALIVE, REPLY_LIMIT, Bell, Lanes
from wonder_customers.transports.tls import default_context, verified
from wonder_customers.wire import HttpResponse, Origin, SignedRequest, Transmission, TransportError, TransportTimeout

with needed("fast", "aiohttp", by=__name__):
    import aiohttp
    from aiohttp.client_proto import ResponseHandler
    from aiohttp.connector import Connection
    from aiohttp.http_exceptions import HttpProcessingError
    from aiohttp.streams import EofStream, StreamReader
    from yarl import URL

__all__ = ["AiohttpTransport"]

_LONGEST_LINE: Final = 65_536
"""Bytes of a status line or a header that are read at most."""

_BLANK_LINE: Final = b"\r\n\r\n"

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
        patience: Seconds it waits for the next piece.
        until: When the answer must be whole.
        due: When the next piece must be here.
        whole: How many bytes had come when the last answer was whole; -1 where something else came with them.
    """

    heard: bool = False
    patience: float = inf
    until: float = inf
    due: float = inf
    whole: int = -1
    _came: int = 0
    _head: int = 0
    _last: bytes = b""

    def ask(self, patience: float, until: float) -> None:
        """A request goes out now."""
        self.patience, self.until, self.heard = patience, until, False
        self._came, self._head, self._last = 0, 0, b""

    def answered(self, body: bytes, headers: Mapping[str, str]) -> None:
        """The answer is whole. If more has come, this is no connection for another request.

        aiohttp's parser keeps the beginning of a message, tells nobody, and would take it for the next answer's.
        """
        if "transfer-encoding" in headers:
            ended = self._last.endswith(_BLANK_LINE)
        else:
            ended = self._came == self._head + len(body)
        self.whole = self._came if ended else -1

    @property
    def silent(self) -> bool:
        """Nothing came after the last answer."""
        return self._came == self.whole

    def be_patient(self) -> None:
        """Wait anew for the next piece."""
        self.due = min(monotonic() + self.patience, self.until)

    def too_late(self) -> None:
        """End the wait for an answer."""
        error = TimeoutError()
        self.set_exception(error)
        if self._payload is not None:
            self._payload.set_exception(error)

    def data_received(self, data: bytes) -> None:
        """Give the parser the head by itself: a broken body in the same packet would make it forget the status."""
        self.be_patient()
        self._came += len(data)
        if not self._head:
            end = (self._last + data).find(_BLANK_LINE) + len(_BLANK_LINE)
            if end >= len(_BLANK_LINE):
                self._head = self._came - len(self._last) - len(data) + end
        self._last = data[-4:] if len(data) >= 4 else (self._last + data)[-4:]
        if not self.heard:
            self.heard = True
            if 0 < self._head < len(data):
                super().data_received(data[: self._head])
                data = data[self._head :]
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
        ssl_context: For those who pin certificates or trust a private authority. It must check certificates and host
            names; TLS 1.2 is the least.

    Raises:
        ConfigurationError: `max_connections` is no positive whole number, or `ssl_context` does not check.
    """

    def __init__(self, *, max_connections: int = 32, ssl_context: ssl.SSLContext | None = None) -> None:
        super().__init__(max_connections)
        self._context = None if ssl_context is None else verified(ssl_context)
        self._connector: _Connector | None = None
        self._doors: dict[Origin, aiohttp.ClientRequest] = {}
        self._alarm: Alarm | None = None

    def _here(self) -> object:
        try:
            return asyncio.get_running_loop()
        except RuntimeError:
            raise ConfigurationError("AiohttpTransport runs on asyncio only. Nothing was sent.") from None

    def _bell(self) -> Place:
        return Place()

    async def _hear(self, bell: Bell, until: float) -> None:
        place, alarm = cast("Place", bell), self._ringing()
        place.due = until
        alarm.watch(place)
        try:
            await place.answer
        finally:
            alarm.forget(place)

    def _ringing(self) -> Alarm:
        if self._alarm is None:
            self._alarm = Alarm()
        return self._alarm

    def _new(self, origin: Origin) -> _Lane:
        return _Lane(origin)

    def _usable(self, lane: _Lane) -> bool:
        wire = lane.wire
        # aiohttp wants a connection closed that has something to say while nobody asked.
        return wire is not None and wire.silent and wire.is_connected() and not wire.should_close

    async def _close(self, lane: _Lane) -> None:
        connection, lane.connection, lane.wire = lane.connection, None, None
        if connection is not None:
            if connection.transport is not None:
                # What is still in its buffers must not go out any more, and no TLS farewell be waited for.
                connection.transport.abort()
            connection.close()
        if self._closed:
            await self._end()

    async def aclose(self) -> None:
        """Close every idle lane; busy ones close when their request ends."""
        await super().aclose()
        await self._end()

    async def _end(self) -> None:
        """Let go of what all lanes share, if there is none left."""
        if self._open:
            return
        if self._alarm is not None:
            self._alarm.stop()
        connector, self._connector = self._connector, None
        if connector is not None:
            await connector.close()

    async def _roundtrip(
        self, lane: _Lane, signed_request: SignedRequest, transmission: Transmission, until: float
    ) -> HttpResponse:
        request, timeouts = written(signed_request), signed_request.timeouts
        wire, alarm = lane.wire, self._ringing()
        if wire is None:  # not `or`: aiohttp's connection is falsy while it has nothing to read
            wire = await self._connect(lane, timeouts.connect, until)
        if wire.transport is None or wire.transport.is_closing():
            raise TransportError("no connection: it ended before it was used")
        wire.ask(timeouts.read, until)
        transmission.sent = True
        try:
            wire.transport.write(request)
            if wire.writing_paused:
                async with asyncio.timeout(min(timeouts.write, until - monotonic())):
                    await wire._drain_helper()  # noqa: SLF001 - aiohttp's own writer waits with it
            wire.be_patient()
            alarm.watch(wire)
            return await _reply(wire, transmission)
        except _BROKEN as error:
            transmission.stale = lane.served and not wire.heard and not isinstance(error, TimeoutError)
            failure = _failure(next(words for kind, words in _WORDS if isinstance(error, kind)), error, until)
        finally:
            alarm.forget(wire)
        # Raised out here, so that aiohttp's error, which holds the request's facts, does not hang on to ours.
        raise failure

    async def _connect(self, lane: _Lane, patience: float, until: float) -> _Wire:
        loopback_guard.check(lane.origin.host)
        connector, door = self._door(lane.origin)
        try:
            # aiohttp's own limits are rounded up to whole seconds, and there is none where no time is left.
            async with asyncio.timeout(min(patience, until - monotonic())):
                lane.connection = await connector.connect(door, [], aiohttp.ClientTimeout())
        except _BROKEN as error:
            failure = _failure(
                "no connection in time" if isinstance(error, TimeoutError) else "no connection", error, until
            )
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
            context: Any = verified(self._context or default_context()) if origin.scheme == "https" else True
            loop = asyncio.get_running_loop()
            door = self._doors[origin] = aiohttp.ClientRequest("GET", URL(str(origin)), loop=loop, ssl=context)
        return self._connector, door


def _failure(words: str, error: Exception, until: float) -> TransportError:
    late = isinstance(error, TimeoutError) and monotonic() >= until
    return (TransportTimeout if late else TransportError)(f"{words} ({type(error).__name__})")


async def _reply(wire: _Wire, transmission: Transmission) -> HttpResponse:
    """The whole answer.

    Raises:
        aiohttp.ClientPayloadError: Its body is compressed, although that was not asked for, too large or too short.
    """
    while True:
        message, payload = await wire.read()
        if message.code == 101:
            # No other protocol was asked for: this is no answer.
            raise aiohttp.ClientPayloadError
        # An interim answer, such as 103, comes before the answer.
        if not 100 <= message.code < 200:
            break
    transmission.status = message.code
    # A header that comes twice counts by its last value, as on the default transport.
    transmission.headers = headers = {
        name.decode("latin-1").lower(): value.decode("latin-1") for name, value in message.raw_headers
    }
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise aiohttp.ClientPayloadError
    # Most bodies came with their head and are there by now.
    body = payload.read_nowait() if payload.is_eof() else await _awaited(payload)
    if len(body) > REPLY_LIMIT:
        raise aiohttp.ClientPayloadError
    wire.answered(body, headers)
    return HttpResponse(message.code, headers, body)


async def _awaited(payload: StreamReader) -> bytes:
    parts: list[bytes] = []
    size = 0
    while size <= REPLY_LIMIT and not payload.at_eof():
        part = await payload.readany()
        parts.append(part)
        size += len(part)
    return b"".join(parts)

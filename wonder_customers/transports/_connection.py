"""One HTTP/1.1 connection on asyncio, parsed by httptools, and the timer for the deadlines of all of them."""

import asyncio
import socket
from collections.abc import Callable
from math import inf
from time import monotonic
from typing import Final, Protocol, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from wonder_customers.transports.messages import (
    MAX_BODY,
    MAX_HEAD,
    decode_body,
    normalize_headers,
    serialize_request,
    too_large,
)
from wonder_customers.transports.network import is_readable
from wonder_customers.wire import HttpResponse, Origin, SignedRequest, Transmission, TransportError, TransportTimeout

__all__ = ["Connection", "DeadlineTimer"]

_TICK: Final = 0.005
"""Shortest time between two runs of the deadline timer, in seconds. A wait may end later by that much."""


class _Expiring(Protocol):
    """Something with a deadline: `due`, on the monotonic clock."""

    due: float

    def expire(self, now: float) -> None:
        """End the wait, or move `due`."""


class DeadlineTimer:
    """One timer for all deadlines of a transport. A timer per request would cost as much as sending it."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._handle: asyncio.TimerHandle | None = None
        self._next = inf
        self.watched: set[_Expiring] = set()

    def schedule(self, due: float) -> None:
        """Run at `due` at the latest."""
        if due < self._next:
            self.stop()
            self._next = due
            self._handle = self._loop.call_later(max(due - monotonic(), _TICK), self._run)

    def stop(self) -> None:
        """Cancel the timer."""
        self._next = inf
        if self._handle is not None:
            self._handle.cancel()

    def _run(self) -> None:
        self._next, now = inf, monotonic()
        for it in [it for it in self.watched if it.due <= now]:
            it.expire(now)
        self.schedule(min((it.due for it in self.watched), default=inf))


class Connection(asyncio.Protocol):
    """An HTTP/1.1 connection. The methods whose names begin with ``on_`` are called by the parser."""

    def __init__(self, origin: Origin, timer: DeadlineTimer, on_unusable: Callable[["Connection"], None]) -> None:
        self._loop, self._timer, self._on_unusable = asyncio.get_running_loop(), timer, on_unusable
        self.origin = origin
        self.created = monotonic()
        self.idle_since = 0.0
        self.served = False
        self.due = inf
        self.socket: socket.socket | None = None
        self.transport: asyncio.Transport | None = None
        self._parser = HttpResponseParser(self)
        self._response: asyncio.Future[None] | None = None
        self._reusable = True
        self.lost: asyncio.Future[None] = self._loop.create_future()

    def begin(
        self, signed_request: SignedRequest, transmission: Transmission, deadline: float
    ) -> "asyncio.Future[None]":
        """Send a request; the future is done when its response is complete or failed."""
        data = serialize_request(signed_request)
        assert self.transport is not None  # noqa: S101 - connected before
        self._transmission, self._deadline, self._timeouts = transmission, deadline, signed_request.timeouts
        self._fields: list[tuple[bytes, bytes]] = []
        self._body: list[bytes] = []
        self._size = self._received = self._unsent = 0
        self._complete = self._until_closed = self._interim = False
        self._error: TransportError | None = None
        self._response = self._loop.create_future()
        transmission.sent = True
        self.transport.write(data)
        self._extend(signed_request.timeouts.write if self._unsent else signed_request.timeouts.read)
        return self._response

    def result(self) -> HttpResponse:
        """Return the response to the last request.

        Raises:
            TransportError: There is none.
        """
        if self._error is not None:
            raise self._error
        headers = self._transmission.headers
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        if "content-encoding" in headers:
            body = decode_body(headers["content-encoding"], body)
        return HttpResponse(cast("int", self._transmission.status), headers, body)

    def is_reusable(self) -> bool:
        """Return whether another request can be sent."""
        if not self._reusable or self.transport is None or self.transport.is_closing():
            return False
        # The event loop reports the end of a connection late if the program has blocked it.
        return monotonic() - self.idle_since < 1 or self.socket is None or not is_readable(self.socket)

    def abort(self) -> None:
        """Close the connection at once: drop unsent data, and do not wait for the end of TLS."""
        self._reusable, self._response = False, None
        if self.transport is not None:
            self.transport.abort()

    def expire(self, now: float) -> None:
        """Handle a deadline that has passed."""
        if self._response is None:
            self._on_unusable(self)
        elif self._unsent and now < self._deadline and self._has_sent_more():
            self._extend(self._timeouts.write)
        else:
            self._fail("the request could not be sent in time" if self._unsent else "no response in time", late=True)

    def _has_sent_more(self) -> bool:
        before, self._unsent = self._unsent, cast("asyncio.Transport", self.transport).get_write_buffer_size()
        return self._unsent < before

    def _extend(self, seconds: float) -> None:
        self.due = min(monotonic() + seconds, self._deadline)
        self._timer.schedule(self.due)

    def _fail(self, message: str, *, late: bool = False, retryable: bool = True) -> None:
        """End the request with an error, unless its response is complete."""
        if not self._complete and self._error is None:
            kind = TransportTimeout if late and monotonic() >= self._deadline else TransportError
            self._error = kind(message, retryable=retryable)
        self._finish()

    def _finish(self) -> None:
        response, self._response, self.due = self._response, None, inf
        if self._error is not None or self._unsent:
            self._reusable = False
        if response is not None and not response.done():
            response.set_result(None)

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's transports do not inherit from asyncio's

    def pause_writing(self) -> None:
        self._unsent = cast("asyncio.Transport", self.transport).get_write_buffer_size()

    def resume_writing(self) -> None:
        self._unsent = 0
        if self._response is not None:
            self._extend(self._timeouts.read)

    def data_received(self, data: bytes) -> None:
        if self._response is None:
            # No request asked for these bytes, and they must not be taken for the response to the next one.
            self._on_unusable(self)
            self.abort()
            return
        self._received += len(data)
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade):
            self._reusable = False
            self._fail("the response is not valid HTTP")
            return
        if self._complete or self._error is not None:
            self._finish()
        elif self._transmission.status is None and self._received > MAX_HEAD:
            self._fail("the response headers are too large", retryable=False)
        elif not self._unsent:
            self._extend(self._timeouts.read)

    def eof_received(self) -> None:
        self._end("the connection was closed")

    def connection_lost(self, error: Exception | None) -> None:
        self._end("the connection was closed" if error is None else f"the connection broke ({type(error).__name__})")
        self._timer.watched.discard(self)
        self.lost.set_result(None)

    def _end(self, what: str) -> None:
        self._reusable = False
        if self._response is None:
            self._on_unusable(self)
        elif self._until_closed:
            self._complete = True
            self._finish()
        else:
            self._transmission.stale = self.served and not self._received
            part = "a" if self._transmission.status is None else "the complete"
            self._fail(f"{what} before {part} response arrived")

    # HttpResponseParser

    def on_message_begin(self) -> None:
        if self._complete:
            self._reusable = False  # more than one response
        else:
            self._fields.clear()

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields.append((name, value))

    def on_headers_complete(self) -> None:
        if self._complete:
            return
        status = self._parser.get_status_code()
        self._interim = status < 200
        if status == 101:
            self._error = TransportError("the gateway switched to another protocol")
        elif not self._interim:
            self._transmission.status, self._transmission.headers = status, normalize_headers(self._fields)
            headers = self._transmission.headers
            self._until_closed = "content-length" not in headers and "chunked" not in headers.get(
                "transfer-encoding", ""
            )

    def on_body(self, data: bytes) -> None:
        if self._complete:
            return
        self._size += len(data)
        if self._size <= MAX_BODY:
            self._body.append(data)
        elif self._error is None:
            self._error = too_large()

    def on_message_complete(self) -> None:
        if not self._interim and not self._complete:
            self._complete = True
            self._reusable = self._reusable and self._parser.should_keep_alive()

"""One connection straight on h11, which is what httpcore parses with.

httpcore's connection takes locks and reports each step, for a pool that shares it out. A lane has its connection for
itself, and its sockets know what went over them, so half of the cost of a request falls away.
"""

import ssl
from contextlib import suppress
from functools import cache
from typing import Any, Final

import h11
import httpcore

from wonder_customers.transports._request import written
from wonder_customers.transports._sockets import Backend, Socket, Watch
from wonder_customers.transports.pool import REPLY_LIMIT
from wonder_customers.wire import HttpResponse, Origin, SignedRequest, Transmission

__all__ = ["Line"]

_LONGEST_HEAD: Final = 100 * 1024
"""Bytes of an answer's head that are read at most, as in httpcore."""

_AT_A_TIME: Final = 65_536

_END: Final = h11.EndOfMessage()


@cache
def _asked(method: str) -> h11.Request:
    # The answer's end depends on the method alone, and h11 would take longer to write a request than all the rest.
    return h11.Request(method=method, target="/", headers=[("Host", "")])


class Line:
    """A connection to `origin`, opened by the first request; one request at a time.

    Its errors are httpcore's.
    """

    def __init__(self, origin: Origin, context: ssl.SSLContext) -> None:
        self._origin = origin
        self._context = context
        self._backend = Backend()
        self._socket: Socket | None = None
        self._closed = False
        self._state = h11.Connection(h11.CLIENT, max_incomplete_event_size=_LONGEST_HEAD)

    def stands(self) -> bool:
        """Whether it can take another request: what the gateway said after its answer would be read as the next one."""
        if self._closed or self._socket is None or self._state.our_state is not h11.IDLE:
            return False
        return not self._state.trailing_data[0] and not self._socket.readable()

    async def aclose(self) -> None:
        """Close the connection."""
        self._closed = True
        if self._socket is not None:
            await self._socket.aclose()

    async def exchange(self, signed_request: SignedRequest, watch: Watch) -> HttpResponse:
        """Send a request and read its whole answer."""
        self._backend.watch = watch
        timeouts = signed_request.timeouts
        if self._socket is None:
            self._socket = await self._connected(timeouts.connect)
        request = written(signed_request)
        self._ask(signed_request.method)
        # The gateway may have answered before it closed: what it said is worth reading.
        with suppress(httpcore.WriteError):
            await self._socket.write(request, timeouts.write)
        reply = await self._read(self._socket, timeouts.read, watch.transmission)
        if self._state.our_state is h11.DONE and self._state.their_state is h11.DONE:
            self._state.start_next_cycle()
        else:
            await self.aclose()
        return reply

    async def _connected(self, within: float) -> Socket:
        stream = await self._backend.connect_tcp(self._origin.host, self._origin.port, within)
        if self._origin.scheme == "https":
            self._context.set_alpn_protocols(["http/1.1"])
            return await stream.start_tls(self._context, self._origin.host, within)
        return stream

    def _ask(self, method: str) -> None:
        """Tell h11 that a whole request went out: it reads the answer by what was asked."""
        self._state.send(_asked(method))
        self._state.send(_END)

    async def _read(self, socket: Socket, patience: float, transmission: Transmission) -> HttpResponse:
        parts: list[bytes] = []
        size = 0
        while True:
            event = await self._event(socket, patience)
            if isinstance(event, h11.Data):
                parts.append(bytes(event.data))
                size += len(event.data)
                if size > REPLY_LIMIT:
                    raise httpcore.RemoteProtocolError("too large")
            elif isinstance(event, h11.Response):
                transmission.sent, transmission.status = True, event.status_code
                transmission.headers = told(event.headers)
                refuse_compression(transmission)
            elif not isinstance(event, h11.InformationalResponse):
                break
        assert transmission.status is not None  # noqa: S101 - h11 ends no answer that it did not begin
        return HttpResponse(transmission.status, transmission.headers, parts[0] if len(parts) == 1 else b"".join(parts))

    async def _event(self, socket: Socket, patience: float) -> Any:
        while True:
            try:
                event = self._state.next_event()
            except h11.RemoteProtocolError as error:
                raise httpcore.RemoteProtocolError from error
            if event is not h11.NEED_DATA:
                return event
            data = await socket.read(_AT_A_TIME, patience)
            if not data and self._state.their_state is h11.SEND_RESPONSE:
                raise httpcore.RemoteProtocolError("disconnected without an answer")
            self._state.receive_data(data)


def told(headers: Any) -> dict[str, str]:
    """Header names in lower case, and the last value of each."""
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in headers}


def refuse_compression(transmission: Transmission) -> None:
    """Refuse a body that is compressed although that was not asked for.

    Raises:
        httpcore.RemoteProtocolError: It is.
    """
    if transmission.headers.get("content-encoding", "identity").lower() != "identity":
        raise httpcore.RemoteProtocolError("unasked compression")

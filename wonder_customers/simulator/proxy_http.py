"""HTTP/1.1 connections on asyncio streams, for faults that a web framework cannot produce."""

import asyncio
import socket
import struct
from dataclasses import dataclass, replace

import h11

Headers = tuple[tuple[bytes, bytes], ...]

MAX_BODY_BYTES = 1_000_000
"""Maximum size of a request body in bytes."""

INJECTED_FAULT = "x-simulator-injected-fault"
"""The header in which the fault proxy sends the name of the injected fault to the gateways."""

_CHUNK = 65536
_NOT_RELAYED = frozenset(
    {INJECTED_FAULT.encode(), b"connection", b"content-length", b"expect", b"keep-alive", b"transfer-encoding"}
)


class RequestTooLargeError(Exception):
    """The body of a request is larger than `MAX_BODY_BYTES`."""


def bound_socket(host: str, port: int) -> socket.socket:
    """Return a TCP socket that is bound but does not listen yet. Raise `OSError` if this fails."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio disables Nagle's algorithm only if the socket's protocol is given explicitly.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        raise OSError(error.errno, f"cannot listen on {host} port {port}: {error.strerror}") from None
    return bound


@dataclass(frozen=True, slots=True)
class ProxiedRequest:
    """A request as sent by the client."""

    method: bytes
    target: bytes
    headers: Headers
    body: bytes = b""

    @property
    def path(self) -> str:
        """The path as sent, without the query."""
        return self.target.partition(b"?")[0].decode("latin-1")

    def header(self, name: bytes) -> str | None:
        """Return the first value of a header, or None. `name` must be in lower case."""
        values = (value for key, value in self.headers if key.lower() == name)
        found = next(values, None)
        return None if found is None else found.decode("latin-1")


@dataclass(frozen=True, slots=True)
class ProxiedResponse:
    """A response before it is written to the client."""

    status: int
    headers: Headers
    body: bytes
    reason: bytes = b""

    def with_headers(self, *headers: tuple[bytes, bytes]) -> "ProxiedResponse":
        """Return a copy in which these headers replace those with the same names."""
        names = {name.lower() for name, _ in headers}
        kept = tuple(header for header in self.headers if header[0].lower() not in names)
        return replace(self, headers=kept + headers)

    def without(self, name: bytes) -> "ProxiedResponse":
        """Return a copy without one header. `name` must be in lower case."""
        return replace(self, headers=tuple(header for header in self.headers if header[0].lower() != name))

    def head(self) -> bytes:
        """Return the status line and headers, including the empty line."""
        lines = [b"HTTP/1.1 %d %s" % (self.status, self.reason)]
        lines += [b"%s: %s" % header for header in self.headers]
        return b"\r\n".join(lines) + b"\r\n\r\n"


class ClientConnection:
    """A connection of a client. Requests are parsed, and any bytes can be sent."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._http = h11.Connection(h11.SERVER)

    async def next_head(self) -> ProxiedRequest | None:
        """Return the next request without its body; None if there is none."""
        if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
            self._http.start_next_cycle()
        elif self._http.our_state is not h11.IDLE:
            return None
        event = await self._next_event()
        if not isinstance(event, h11.Request):
            return None
        return ProxiedRequest(event.method, event.target, tuple(event.headers.raw_items()))

    async def read_body(self) -> bytes:
        """Read the body of the current request.

        Raises:
            ConnectionAbortedError, h11.ProtocolError: The body is incomplete or not valid HTTP.
            RequestTooLargeError: The body is larger than `MAX_BODY_BYTES`.
        """
        if self._http.they_are_waiting_for_100_continue:
            interim = self._http.send(h11.InformationalResponse(status_code=100, headers=[], reason=b"Continue"))
            await self.write(interim or b"")
        body = bytearray()
        while not isinstance(event := await self._next_event(), h11.EndOfMessage):
            if not isinstance(event, h11.Data):
                raise ConnectionAbortedError("the client closed the connection before the end of its request")
            body += event.data
            if len(body) > MAX_BODY_BYTES:
                raise RequestTooLargeError(f"the request body is larger than {MAX_BODY_BYTES} bytes")
        return bytes(body)

    async def _next_event(self) -> object:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            self._http.receive_data(await self._reader.read(_CHUNK))
        return event

    def serialise(self, response: ProxiedResponse, *, head_only: bool = False) -> bytes:
        """Return the bytes of a response, and mark it as sent."""
        head = h11.Response(status_code=response.status, headers=list(response.headers), reason=response.reason)
        return _message(self._http, head, b"" if head_only else response.body)

    async def write(self, data: bytes) -> None:
        """Send raw bytes."""
        self._writer.write(data)
        await self._writer.drain()

    async def wait_closed(self) -> None:
        """Wait until the client closes the connection."""
        while await self._reader.read(_CHUNK):
            pass

    def pause(self) -> None:
        """Stop reading, so that the network's buffers fill up."""
        self._writer.transport.pause_reading()  # type: ignore[attr-defined]  # all socket transports have it

    def reset(self) -> None:
        """Close the connection with a reset (RST)."""
        raw = self._writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    async def close(self) -> None:
        """Close the connection (FIN) after all data is sent."""
        self._writer.close()
        await self._writer.wait_closed()

    def abort(self) -> None:
        """Close the connection immediately."""
        self._writer.transport.abort()


class GatewayConnection:
    """A keep-alive connection to the simulated gateways."""

    def __init__(self, address: tuple[str, int], scheme: str) -> None:
        self._address = address
        self._scheme = scheme
        self._http = h11.Connection(h11.CLIENT)
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def deliver(self, message: ProxiedRequest, fault: str | None = None) -> ProxiedResponse:
        """Send a request, and return the response. Raise `OSError` or `h11.ProtocolError` if it is not complete."""
        if self._streams is None:
            self._streams = await asyncio.open_connection(*self._address)
        reader, writer = self._streams
        request = h11.Request(method=message.method, target=message.target, headers=self._headers(message, fault))
        writer.write(_message(self._http, request, message.body))
        response = await self._read(reader)
        self._http.start_next_cycle()
        return response

    def _headers(self, message: ProxiedRequest, fault: str | None) -> list[tuple[bytes, bytes]]:
        headers = [header for header in message.headers if header[0].lower() not in _NOT_RELAYED]
        if message.header(b"host") is None:
            headers.append((b"Host", b"%s:%d" % (self._address[0].encode(), self._address[1])))
        headers.append((b"X-Forwarded-Proto", self._scheme.encode()))
        headers.append((b"Content-Length", b"%d" % len(message.body)))
        if fault is not None:
            headers.append((INJECTED_FAULT.encode(), fault.encode()))
        return headers

    async def _read(self, reader: asyncio.StreamReader) -> ProxiedResponse:
        head, parts = None, []
        while not isinstance(event := self._http.next_event(), h11.EndOfMessage):
            if event is h11.NEED_DATA:
                self._http.receive_data(await reader.read(_CHUNK))
            elif isinstance(event, h11.Response):
                head = event
            elif isinstance(event, h11.Data):
                parts.append(bytes(event.data))
        if head is None:
            raise ConnectionResetError("the gateways sent no response")
        return ProxiedResponse(head.status_code, tuple(head.headers.raw_items()), b"".join(parts), bytes(head.reason))

    def close(self) -> None:
        """Close the connection."""
        if self._streams is not None:
            self._streams[1].transport.abort()


def _message(connection: h11.Connection, head: h11.Request | h11.Response, body: bytes) -> bytes:
    """Return the bytes of a complete message, and mark it as sent."""
    events = (head, h11.Data(data=body), h11.EndOfMessage()) if body else (head, h11.EndOfMessage())
    return b"".join(connection.send(event) or b"" for event in events)

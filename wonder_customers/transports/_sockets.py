"""Sockets for httpcore that say what went over them, and that ask less of the event loop.

httpcore's own ones send a request's head and body apart, each inside a time limit of its own, and wait for the answer
inside a third. Here a request that fits into the socket's buffer goes out in one piece when the answer is waited for.
"""

import select
import ssl
from collections.abc import Iterable
from math import inf
from time import monotonic
from typing import Any, Final

import anyio
import httpcore
from anyio.abc import ByteStream, SocketAttribute
from anyio.streams.tls import TLSAttribute, TLSStream
from attrs import define

from wonder_customers.transports import loopback_guard
from wonder_customers.wire import Transmission

_AT_ONCE: Final = 16_384
"""Bytes that the buffer of a socket with nothing under way takes without a wait."""


@define(eq=False)
class Watch:
    """What was seen of one request.

    Attributes:
        flight: Where `sent` is written.
        until: When its time is up, on the monotonic clock. No wait of these sockets is longer.
        seen: Anything at all was seen: these sockets, or a trace, are at work.
        heard: A byte of the answer, or its whole head, came.
    """

    transmission: Transmission
    until: float = inf
    seen: bool = False
    heard: bool = False

    def left(self, timeout: float | None) -> float:
        """Seconds for a phase that may take `timeout`."""
        left = self.until - monotonic()
        return left if timeout is None or left < timeout else timeout


class Backend(httpcore.AsyncNetworkBackend):
    """Opens the sockets of one lane.

    Attributes:
        watch: Of the request under way.
    """

    def __init__(self) -> None:
        self.watch = Watch(Transmission())

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's interface, here and below
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> "Socket":
        """A connection."""
        self.watch.seen = True
        # Here and nowhere before, so that a test which patches what lies above the sockets is not kept from it.
        loopback_guard.check(host)
        try:
            with anyio.fail_after(self.watch.left(timeout)):
                return Socket(self, await anyio.connect_tcp(host, port, local_host=local_address))
        except TimeoutError as error:
            raise httpcore.ConnectTimeout from error
        except (OSError, anyio.BrokenResourceError) as error:
            raise httpcore.ConnectError from error


class Socket(httpcore.AsyncNetworkStream):
    """One connection's bytes."""

    def __init__(self, backend: Backend, stream: ByteStream) -> None:
        self._backend = backend
        self._stream = stream
        self._held = b""
        self._raw = stream.extra(SocketAttribute.raw_socket, None)  # noqa: S610 - no Django here

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        """Hold small pieces until the answer is waited for; send large ones."""
        self._backend.watch.seen = True
        self._held += buffer
        if len(self._held) <= _AT_ONCE:
            return
        with anyio.move_on_after(self._backend.watch.left(timeout)) as scope:
            try:
                await self._send()
            except (anyio.BrokenResourceError, anyio.ClosedResourceError, OSError) as error:
                raise httpcore.WriteError from error
        if scope.cancelled_caught:
            raise httpcore.WriteTimeout

    async def _send(self) -> None:
        piece, self._held = self._held, b""
        # Before the first byte can leave, so that no cancellation comes in between.
        self._backend.watch.transmission.sent = True
        await self._stream.send(piece)

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        """The next bytes of the answer; none when it has ended."""
        got = b""
        with anyio.move_on_after(self._backend.watch.left(timeout)) as scope:
            try:
                await self._send_what_is_held()
                got = await self._stream.receive(max_bytes)
            except anyio.EndOfStream:
                return b""
            except (anyio.BrokenResourceError, anyio.ClosedResourceError, OSError) as error:
                raise httpcore.ReadError from error
        if scope.cancelled_caught:
            raise httpcore.ReadTimeout
        self._backend.watch.heard = True
        return got

    async def _send_what_is_held(self) -> None:
        if self._held:
            try:
                await self._send()
            except (anyio.BrokenResourceError, OSError):
                # The gateway may have answered before it closed: what it said is worth reading.
                return

    async def aclose(self) -> None:
        """Close the connection."""
        await self._stream.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> "Socket":
        """The same connection inside TLS."""
        inside = None
        try:
            with anyio.fail_after(self._backend.watch.left(timeout)):
                inside = await TLSStream.wrap(
                    self._stream, hostname=server_hostname, ssl_context=ssl_context, standard_compatible=False
                )
        except TimeoutError as error:
            raise httpcore.ConnectTimeout from error
        except (ssl.SSLError, OSError, anyio.BrokenResourceError, anyio.EndOfStream) as error:
            raise httpcore.ConnectError from error
        finally:
            if inside is None:
                await anyio.aclose_forcefully(self._stream)
        return Socket(self._backend, inside)

    def get_extra_info(self, info: str) -> Any:
        """What httpcore asks about a connection."""
        if info == "ssl_object":
            return self._stream.extra(TLSAttribute.ssl_object, None)  # noqa: S610
        if info == "socket":
            return self._raw
        if info == "is_readable":
            return self.readable()
        return None

    def readable(self) -> bool:
        """Whether there is something to read: on an idle connection, that it has ended or speaks unasked."""
        return self._raw is None or _readable(self._raw) or unread(self._stream)


def unread(stream: Any) -> bool:
    """Whether a stream of anyio's or trio's holds what it took from the system's socket and nobody has read.

    That must be asked while nothing is under way: where the answer is yes, a byte of it may be gone.
    """
    while stream is not None:
        # On asyncio, anyio keeps here what came faster than it was read. It tells nobody, and neither does the system.
        if getattr(getattr(stream, "_protocol", None), "read_queue", None):
            return True
        tls = getattr(stream, "_ssl_object", None)
        if tls is not None and _opens(tls):
            return True
        stream = getattr(stream, "transport_stream", None)
    return False


def _opens(tls: ssl.SSLObject) -> bool:
    """Whether there is something to read in TLS: a record that came with others is sealed, so only reading tells."""
    try:
        tls.read(1)
    except ssl.SSLWantReadError:
        return False
    except ssl.SSLError:
        return True
    return True


def _readable(raw: Any) -> bool:
    if raw.fileno() < 0:
        return True
    if not hasattr(select, "poll"):  # Windows, where select knows no limit to the numbers of sockets
        return bool(select.select([raw], [], [], 0)[0])
    poll = select.poll()
    poll.register(raw, select.POLLIN)
    return bool(poll.poll(0))

"""Host names and failed connections, for both transports."""

import asyncio
import select
import socket
import ssl
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from ipaddress import ip_address
from threading import Thread
from typing import Any, Final

import anyio
from anyio import from_thread
from anyio.lowlevel import EventLoopToken, current_token

from wonder_customers.wire import TransportError

__all__ = ["Resolver", "connection_error", "is_readable", "run_in_background"]

_AGAIN: Final = "Calling again is safe."
_CERTIFICATE: Final = {
    10: ("the server's certificate has expired", "Check this machine's clock, and report it to the gateway."),
    62: ("the server's certificate is for another host name", "Check the host name in base_url."),
    64: ("the server's certificate is for another IP address", "Check the host in base_url."),
}
"""By the codes of OpenSSL (X509_V_ERR_*)."""
_UNTRUSTED: Final = (
    "the server's certificate is not signed by a trusted authority",
    "Check base_url; a private authority is trusted with the transport's ssl_context=….",
)


class _Lookup:
    def __init__(self) -> None:
        self.done = anyio.Event()
        self.addresses: list[Any] = []
        self.error: OSError | None = None


class Resolver:
    """Resolves host names in its own threads, one for each name at a time.

    A lookup that hangs cannot be cancelled. In the event loop's default executor it would block a thread.
    """

    def __init__(self) -> None:
        self._lookups: dict[tuple[str, int], _Lookup] = {}

    async def resolve(self, host: str, port: int) -> list[Any]:
        """Return the addresses of `host`, as from `socket.getaddrinfo`.

        Raises:
            OSError: The name could not be resolved.
        """
        with suppress(ValueError):
            ip_address(host)
            return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        lookup = self._lookups.get((host, port))
        if lookup is None:
            lookup = self._lookups[host, port] = _Lookup()
            Thread(target=self._look_up, args=(lookup, host, port, current_token()), daemon=True).start()
        await lookup.done.wait()
        if lookup.error is not None:
            raise type(lookup.error)(*lookup.error.args)
        return lookup.addresses

    def _look_up(self, lookup: _Lookup, host: str, port: int, token: EventLoopToken) -> None:
        try:
            lookup.addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            lookup.error = (
                error if isinstance(error, OSError) else socket.gaierror(socket.EAI_NONAME, "not a host name")
            )
        with suppress(RuntimeError):  # the event loop has ended
            from_thread.run_sync(self._finish, lookup, host, port, token=token)

    def _finish(self, lookup: _Lookup, host: str, port: int) -> None:
        self._lookups.pop((host, port), None)
        lookup.done.set()


_background: Final[set[asyncio.Task[None]]] = set()  # the event loop keeps weak references only


def run_in_background(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run `work` in a task of the running event loop, asyncio's or trio's."""
    if running_on_asyncio():
        task = asyncio.get_running_loop().create_task(work())
        _background.add(task)
        task.add_done_callback(_background.discard)
    else:
        sys.modules["trio"].lowlevel.spawn_system_task(work)


def running_on_asyncio() -> bool:
    """Return whether the running event loop is one of asyncio."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def connection_error(error: BaseException) -> TransportError:
    """Return the error for a connection that could not be opened, with its cause and a hint."""
    for cause in _causes(error):
        match cause:
            case ssl.SSLCertVerificationError():
                reason, hint = _CERTIFICATE.get(cause.verify_code, _UNTRUSTED)
                return TransportError(f"no connection: {reason}", retryable=False, hint=hint)
            case ssl.SSLError():
                hint = (
                    f"{_AGAIN} Check that base_url is an https address and that the gateway supports TLS 1.2 or later."
                )
                return TransportError("no connection: the TLS handshake failed", hint=hint)
            case socket.gaierror():
                hint = f"{_AGAIN} Check the host name in base_url, and this machine's DNS."
                return TransportError("no connection: the host name could not be resolved", hint=hint)
            case ConnectionRefusedError():
                hint = f"{_AGAIN} Check the port in base_url, and that the gateway is running."
                return TransportError("no connection: it was refused", hint=hint)
    return TransportError(f"no connection ({type(error).__name__})")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and everything that caused it."""
    queue, seen = [error], set[int]()
    for it in queue:
        if id(it) not in seen:
            seen.add(id(it))
            yield it
            queue += [cause for cause in (it.__cause__, it.__context__) if cause is not None]
            queue += it.exceptions if isinstance(it, BaseExceptionGroup) else ()


def is_readable(sock: socket.socket) -> bool:
    """Return whether there is something to read; on an idle connection, that it has ended or got unexpected data."""
    if not hasattr(select, "poll"):  # Windows, where select() has no limit on socket numbers
        return bool(select.select([sock], [], [], 0)[0])
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))

"""Name resolution, connection errors and background tasks of the transports."""

import asyncio
import os
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

from wonder_customers._support.clock import running_loop
from wonder_customers._support.loopback import is_loopback
from wonder_customers.transports import loopback_guard
from wonder_customers.wire import TransportError

_CERTIFICATE: Final = {
    9: ("the server's certificate is not valid yet", "Check this machine's clock."),
    10: (
        "the server's certificate has expired",
        "Check this machine's clock. If the clock is correct, report the expired certificate to the gateway.",
    ),
    62: ("the server's certificate is for another host name", "Check the host name in base_url."),
    64: ("the server's certificate is for another IP address", "Check the host in base_url."),
}
"""Reasons and hints by the error codes of OpenSSL (X509_V_ERR_*)."""
_UNTRUSTED: Final = (
    "the server's certificate is not signed by a trusted authority",
    "Check base_url. Only public authorities are trusted, unless the transport has another ssl_context.",
)
_CAUSES: Final = {
    ssl.SSLError: ("the TLS handshake failed", "that base_url is an https address and the gateway supports TLS 1.2"),
    socket.gaierror: ("the host name could not be resolved", "the host name in base_url, and this machine's DNS"),
    ConnectionRefusedError: ("the connection was refused", "the port in base_url, and that the gateway is running"),
}


class Resolver:
    """Resolves host names in separate threads."""

    # A name resolution that hangs cannot be cancelled. In the thread pool of the event loop, it would block a thread
    # that the program may need.

    def __init__(self) -> None:
        self._lookups: dict[tuple[str, int], tuple[anyio.Event, list[Any]]] = {}

    async def resolve(self, host: str, port: int) -> list[Any]:
        """Return the addresses of `host`, as from `socket.getaddrinfo`. Raise `TransportError` if there are none."""
        loopback_guard.check(host)
        with suppress(ValueError):
            ip_address(host)
            return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        lookup = self._lookups.get((host, port))
        if lookup is None:
            lookup = self._lookups[host, port] = anyio.Event(), []
            try:
                Thread(target=self._look_up, args=(host, port, *lookup, current_token()), daemon=True).start()
            except RuntimeError:
                del self._lookups[host, port]
                reason = "no connection could be opened: no thread could be started to resolve the host name"
                hint = "It is safe to call again. Check the maximum number of threads of this process."
                raise TransportError(reason, hint=hint) from None
        done, addresses = lookup
        await done.wait()
        if not addresses:
            raise connection_error(socket.gaierror())
        return addresses

    def _look_up(self, host: str, port: int, done: anyio.Event, addresses: list[Any], token: EventLoopToken) -> None:
        with suppress(OSError, UnicodeError):
            addresses += socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        del self._lookups[host, port]
        with suppress(RuntimeError):  # the event loop has ended
            from_thread.run_sync(done.set, token=token)


_background: Final[set[asyncio.Task[None]]] = set()  # the event loop keeps weak references only


class BackgroundTask:
    """Runs `work` in a task of the running event loop (asyncio or trio)."""

    def __init__(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._work, self._scope, self._ended = work, anyio.CancelScope(), anyio.Event()
        if running_on_asyncio():
            task = asyncio.get_running_loop().create_task(self._run())
            _background.add(task)
            task.add_done_callback(_background.discard)
        else:
            sys.modules["trio"].lowlevel.spawn_system_task(self._run)

    async def _run(self) -> None:
        try:
            with self._scope:
                await self._work()
        finally:
            self._ended.set()

    async def stop(self) -> None:
        """Cancel the task and wait until it has ended."""
        self._scope.cancel()
        await self._ended.wait()


def running_on_asyncio() -> bool:
    """Return whether the running event loop is an asyncio event loop, such as uvloop."""
    return isinstance(running_loop(), asyncio.AbstractEventLoop)


def connection_error(error: BaseException, *, direct: bool = True) -> TransportError:
    """Return the error for a connection that could not be opened. It may lead to a proxy unless it is `direct`."""
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            reason, hint = _CERTIFICATE.get(cause.verify_code, _UNTRUSTED)
            return TransportError(f"no connection could be opened: {reason}", retryable=False, hint=hint)
        for kind, (reason, check) in _CAUSES.items():
            if isinstance(cause, kind):
                advice = check if direct else f"the proxy of the transport, if it has one, or {check}"
                hint = f"It is safe to call again. Check {advice}."
                return TransportError(f"no connection could be opened: {reason}", hint=hint)
    number = next((it.errno for it in _causes(error) if isinstance(it, OSError) and it.errno), None)
    return TransportError(f"no connection could be opened: {os.strerror(number) if number else type(error).__name__}")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and all errors that caused it."""
    queue = [error]
    for it in queue:
        yield it
        cause = it.__cause__ or it.__context__
        queue += [] if cause is None else [cause]
        queue += it.exceptions if isinstance(it, BaseExceptionGroup) else ()


def check_peer(scheme: str, sock: Any) -> None:
    """Raise `TransportError` for a connection without TLS to another machine."""
    if scheme == "https" or sock is None or sock.family not in {socket.AF_INET, socket.AF_INET6}:
        return
    # A name such as ``x.localhost`` may resolve to another machine.
    if not is_loopback(sock.getpeername()[0].partition("%")[0]):
        reason = (
            "no connection could be opened: plain http is allowed only to this machine, but the host name resolves to"
            " another machine"
        )
        raise TransportError(reason, retryable=False, hint="Use an https base_url.")


def is_readable(sock: Any) -> bool:
    """Return whether a socket is closed or has data to read."""
    if sock is None or sock.fileno() < 0:  # closed
        return True
    if not hasattr(select, "poll"):  # Windows, where select() has no limit on socket numbers
        return bool(select.select([sock], [], [], 0)[0])
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))

"""The simulator as a server that runs in its own thread."""

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from contextlib import suppress
from functools import cached_property, partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

import uvicorn
from starlette.types import ASGIApp

from wonder_customers._support.loopback import is_loopback
from wonder_customers.errors import ConfigurationError
from wonder_customers.simulator.admin import admin_routes, state_routes
from wonder_customers.simulator.app import build_app, route_resolver
from wonder_customers.simulator.conditions import Conditions
from wonder_customers.simulator.fault_proxy import FaultProxy
from wonder_customers.simulator.faults import Faults
from wonder_customers.simulator.gateway import SimulatedGateway
from wonder_customers.simulator.inspector import inspector_routes
from wonder_customers.simulator.proxy_http import bound_socket
from wonder_customers.simulator.quirks import Quirks
from wonder_customers.simulator.request_log import RequestLog
from wonder_customers.simulator.state import clear_state, export_state, import_state
from wonder_customers.simulator.store import Store

if TYPE_CHECKING:
    from wonder_customers.simulator.tls import CertificateAuthority

T = TypeVar("T")

_TIMEOUT = 10.0
"""Seconds to wait for the server to start or stop."""
_KEEP_ALIVE = 75
_LOOP_ITERATIONS = 5
"""Number of iterations of the event loop that suffice to open or close a connection."""


def _result(future: "Future[T]", what: str) -> T:
    """Return the result of a future. Raise `TimeoutError` if the server did not do `what` in time."""
    try:
        return future.result(_TIMEOUT)
    except TimeoutError as error:
        raise TimeoutError(str(error) or f"the server did not {what} within {_TIMEOUT:g} s") from None


async def _run_due_callbacks() -> None:
    for _ in range(_LOOP_ITERATIONS):
        await asyncio.sleep(0)


class _WebServer(uvicorn.Server):
    """A uvicorn server that signals when it is ready, and stops without delay."""

    def __init__(self, app: ASGIApp) -> None:
        config = uvicorn.Config(
            app,
            loop="none",
            lifespan="off",
            ws="none",
            log_config=None,
            log_level="warning",
            access_log=False,
            timeout_keep_alive=_KEEP_ALIVE,
        )
        super().__init__(config)
        self.ready = asyncio.Event()
        self._ended = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # uvicorn's implementation is slower, and misses newly accepted connections.
        loop = asyncio.get_running_loop()
        for listening in sockets or []:
            loop.remove_reader(listening)
        await _run_due_callbacks()
        for server in self.servers:
            server.close()
        state = self.server_state
        for connection in list(state.connections):
            connection.shutdown()
        if state.tasks:
            await asyncio.wait(state.tasks, timeout=1)
        for connection in list(state.connections):
            connection.transport.abort()
        await _run_due_callbacks()

    async def main_loop(self) -> None:
        """Update the Date header every second until `end` is called."""
        # uvicorn's implementation checks for the end every 0.1 s.
        while not await self.on_tick(0):
            with suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await self._ended.wait()

    def end(self) -> None:
        self.should_exit = True
        self._ended.set()


class SimulatorServer:
    """A server that simulates payment gateways. It runs between `start` and `stop`, or inside a ``with`` block.

    The server runs in its own thread, so that asyncio, trio and synchronous code can use it.

    Args:
        simulators: The classes of the simulated gateways.
        host: The loopback address to listen on.
        port: The port to listen on; 0 selects a free port, which is kept after a restart.
        db: The path of the database file; None to keep the data in memory.
        faults: Whether to enable fault injection.

    Raises:
        ConfigurationError: The host is not a loopback address, or the database file cannot be used.
    """

    def __init__(
        self,
        simulators: Iterable[type[SimulatedGateway]],
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        db: str | None = None,
        faults: bool = False,
    ) -> None:
        if not is_loopback(host):
            raise ConfigurationError(
                f"the simulator listens only on loopback addresses, such as 127.0.0.1, not on {host!r}"
            )
        self._host = host
        self._port = port
        self._fault_injection = faults
        self.store: Store = Store(db)
        self.gateways: dict[str, SimulatedGateway] = {
            made.name: made for made in (cls(self.store) for cls in simulators)
        }
        self.faults: Faults = Faults(self.gateways)
        self.conditions: Conditions = Conditions()
        self.quirks: Quirks = Quirks(quirk for gateway in self.gateways.values() for quirk in gateway.known_quirks)
        self.request_log: RequestLog = RequestLog()
        for gateway in self.gateways.values():
            gateway.conditions, gateway.request_log = self.conditions, self.request_log
            gateway.quirks = self.quirks
        self._resolve_route = route_resolver(self.gateways.values())
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._upstream: tuple[str, int] = ("", 0)
        self._proxies: list[FaultProxy] = []

    @property
    def origin(self) -> str:
        """The origin of the gateways, such as ``http://127.0.0.1:50123``.

        Raises:
            RuntimeError: `port` is 0 and the server has not been started yet.
        """
        if not self._port:
            raise RuntimeError("the port is unknown until the server has started. Call start() first.")
        return f"http://{self._authority(self._port)}"

    def export_state(self) -> dict[str, Any]:
        """Return all data of the gateways, with the simulated credentials, as a JSON object."""
        return export_state(self.store)

    def import_state(self, state: Any) -> None:
        """Replace all data of the gateways with an exported state.

        Raises:
            ValueError: The state is invalid. Nothing was changed.
        """
        import_state(self.store, state)
        for gateway in self.gateways.values():
            gateway.reload_merchants()

    def clear_state(self) -> None:
        """Delete all customers, other records and the history. Merchants and their credentials are kept."""
        clear_state(self.store)

    def environment(self, merchant: int = 1) -> dict[str, str]:
        """Return the environment variables that configure clients of all gateways for this server.

        Args:
            merchant: The number of the merchant. Missing merchants up to this number are added.

        Raises:
            ValueError: `merchant` is less than 1.
        """
        if merchant < 1:
            raise ValueError(f"merchant must be an integer from 1, not {merchant}")
        merged: dict[str, str] = {}
        for gateway in self.gateways.values():
            merged |= gateway.environment(self.origin, merchant)
        return merged

    def start(self) -> None:
        """Start the server, and return as soon as it accepts connections.

        Raises:
            OSError: The socket cannot be bound, for example because the port is in use.
            RuntimeError: The server is already running.
            TimeoutError: The server did not start in time.
        """
        if self._thread is not None:
            raise RuntimeError("the server is already running")
        listening = bound_socket(self._host, self._port)
        started: Future[None] = Future()
        work = partial(self._run, listening, started)
        self._thread = threading.Thread(target=work, name="wonder_customers simulator", daemon=True)
        self._port = listening.getsockname()[1]
        self._thread.start()
        try:
            _result(started, "start")
        except BaseException:
            self.stop()
            listening.close()
            raise

    def stop(self) -> None:
        """Stop the server if it is running, and close all connections. The state is kept.

        Raises:
            RuntimeError: The server did not stop in time.
        """
        thread, self._thread = self._thread, None
        if thread is None:
            return
        if self._loop is not None and self._stopping is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stopping.set)
        thread.join(_TIMEOUT)
        if thread.is_alive():
            raise RuntimeError(f"the server did not stop within {_TIMEOUT:g} s, so its port may still be in use")

    def restart(self) -> None:
        """Stop the server and start it again on the same port. The state is kept."""
        self.stop()
        self.start()

    def wait(self) -> None:
        """Wait until the server stops."""
        if self._thread is not None:
            self._thread.join()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    # TLS

    @cached_property
    def certificate_authority(self) -> "CertificateAuthority":
        """The certificate authority of the https origins (extra ``pytest``), which clients must trust."""
        from wonder_customers.simulator.tls import CertificateAuthority  # noqa: PLC0415 - for https origins only

        return CertificateAuthority(self._host)

    def tls(self, validity: str = "good") -> str:
        """Open an https origin for the same gateways until the server stops.

        Args:
            validity: The state of the certificate, ``good`` or ``expired``.

        Returns:
            The origin, such as ``https://127.0.0.1:50123``.

        Raises:
            ValueError: `validity` is neither ``good`` nor ``expired``.
            RuntimeError: The server is not running.
            TimeoutError: The origin was not opened in time.
        """
        context = self.certificate_authority.server_context(validity)
        loop = self._running_loop()
        listening = bound_socket(self._host, 0)
        port = listening.getsockname()[1]
        opening = asyncio.run_coroutine_threadsafe(self._open_proxy(listening, context), loop)
        try:
            _result(opening, "open an https origin")
        except TimeoutError:
            opening.cancel()
            listening.close()
            raise
        return f"https://{self._authority(port)}"

    # In the server's thread

    def _run(self, listening: socket.socket, started: "Future[None]") -> None:
        try:
            # The proxy uses add_reader, which not every event loop supports.
            with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
                runner.run(self._serve(listening, started))
        # An error before the start is raised in the thread that waits for the start.
        except BaseException as error:
            if started.done():
                raise
            started.set_exception(error)

    async def _serve(self, listening: socket.socket, started: "Future[None]") -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        app = build_app(
            self.gateways.values(),
            self.store,
            [
                *admin_routes(self.faults, self.store, proxied=self._fault_injection),
                *state_routes(self),
                *inspector_routes(self.request_log, self.gateways, self.store, faults=self._fault_injection),
            ],
        )
        web = _WebServer(app)
        behind = bound_socket("127.0.0.1", 0) if self._fault_injection else listening
        self._upstream = behind.getsockname()[:2]
        serving = asyncio.create_task(web.serve([behind]))
        ready = asyncio.create_task(web.ready.wait())
        await asyncio.wait({serving, ready}, return_when=asyncio.FIRST_COMPLETED)
        try:
            if serving.done():
                serving.result()
            if self._fault_injection:
                await self._open_proxy(listening, None)
                self.faults.connect(self._on_loop(self._proxies[0].refuse), self._on_loop(self._proxies[0].reopen))
            started.set_result(None)
            await self._stopping.wait()
        finally:
            ready.cancel()
            for proxy in self._proxies:
                await proxy.close()
            self._proxies.clear()
            web.end()
            await serving

    async def _open_proxy(self, listening: socket.socket, context: ssl.SSLContext | None) -> None:
        proxy = FaultProxy(
            listening, self._upstream, self.faults, self._resolve_route, tls=context, request_log=self.request_log
        )
        self._proxies.append(proxy)
        proxy.open()

    def _on_loop(self, function: Callable[..., None]) -> Callable[..., None]:
        """Return a function that runs `function` in the server's thread."""

        async def inside(*arguments: object) -> None:
            function(*arguments)

        def call(*arguments: object) -> None:
            if threading.current_thread() is self._thread:
                function(*arguments)
            else:
                _result(
                    asyncio.run_coroutine_threadsafe(inside(*arguments), self._running_loop()),
                    "stop or resume accepting connections",
                )

        return call

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        if self._thread is None or self._loop is None:
            raise RuntimeError("the server is not running. Call start() first.")
        return self._loop

    def _authority(self, port: int) -> str:
        return f"[{self._host}]:{port}" if ":" in self._host else f"{self._host}:{port}"

"""The simulator as a server in a thread of its own."""

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from contextlib import suppress
from functools import cached_property, partial
from types import TracebackType
from typing import Self

import uvicorn
from starlette.types import ASGIApp

from wonder_customers.simulator.admin import admin_routes
from wonder_customers.simulator.app import build_app, route_resolver
from wonder_customers.simulator.fault_proxy import FaultProxy
from wonder_customers.simulator.faults import Faults
from wonder_customers.simulator.gateway import SimulatedGateway
from wonder_customers.simulator.proxy_http import bound_socket
from wonder_customers.simulator.store import Store
from wonder_customers.simulator.tls import CertificateAuthority

_PATIENCE = 10.0
"""Seconds after which a server that does not start or stop counts as broken."""
_KEEP_ALIVE = 75
_ROUNDS = 5
"""So many rounds of the event loop a connection needs at most to be opened or closed."""


async def _rounds() -> None:
    """Let everything that is due happen: connections that were accepted or lost are known afterwards."""
    for _ in range(_ROUNDS):
        await asyncio.sleep(0)


class _WebServer(uvicorn.Server):
    """uvicorn, which tells when it is ready."""

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
        """Take connections, and tell that it is so."""
        await super().startup(sockets)
        self.ready.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close everything; uvicorn's own way takes a tenth of a second, and loses connections just accepted."""
        loop = asyncio.get_running_loop()
        for listening in sockets or []:
            loop.remove_reader(listening)
        await _rounds()
        for server in self.servers:
            server.close()
        state = self.server_state
        for connection in list(state.connections):
            connection.shutdown()
        if state.tasks:
            await asyncio.wait(state.tasks, timeout=1)
        for connection in list(state.connections):
            connection.transport.abort()
        await _rounds()

    async def main_loop(self) -> None:
        """Keep the Date header right until `end`; uvicorn's own loop would notice the end a tenth later."""
        while not await self.on_tick(0):
            with suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await self._ended.wait()

    def end(self) -> None:
        """Begin to shut down."""
        self.should_exit = True
        self._ended.set()


class SimulatorServer:
    """A server that stands in for payment gateways, between `start` and `stop` or inside a `with` block.

    It has a thread and an event loop of its own, so that asyncio, trio and plain code can all use it.

    Args:
        simulators: The gateways' `Simulator` classes.
        host: The address to listen on.
        port: The port to listen on; 0 takes a free one, and keeps it over restarts.
        db: The database file; without one the state lives in memory, as long as this object.
        faults: Whether to put the proxy that commits faults before the gateways.
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
        self._host = host
        self._port = port
        self._faulty = faults
        self.store: Store = Store(db)
        self.gateways: dict[str, SimulatedGateway] = {
            made.name: made for made in (cls(self.store) for cls in simulators)
        }
        self.faults: Faults = Faults()
        self._resolve_route = route_resolver(self.gateways.values())
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._upstream: tuple[str, int] = ("", 0)
        self._proxies: list[FaultProxy] = []

    @property
    def origin(self) -> str:
        """Where the gateways are, as `http://127.0.0.1:PORT`.

        Raises:
            RuntimeError: The server was not started yet and takes a free port.
        """
        if not self._port:
            raise RuntimeError("the server has no port before its first start")
        return f"http://{self._authority(self._port)}"

    def environment(self) -> dict[str, str]:
        """The environment variables with which clients of all gateways use this server."""
        merged: dict[str, str] = {}
        for gateway in self.gateways.values():
            merged |= gateway.environment(self.origin)
        return merged

    def start(self) -> None:
        """Start to serve; returns when connections are taken.

        Raises:
            OSError: The port is taken, or the address is not this machine's.
            RuntimeError: The server runs already.
        """
        if self._thread is not None:
            raise RuntimeError("the server runs already")
        listening = bound_socket(self._host, self._port)
        started: Future[None] = Future()
        work = partial(self._run, listening, started)
        self._thread = threading.Thread(target=work, name="wonder_customers simulator", daemon=True)
        self._port = listening.getsockname()[1]
        self._thread.start()
        try:
            started.result(_PATIENCE)
        except BaseException:
            self.stop()
            listening.close()
            raise

    def stop(self) -> None:
        """Stop serving and drop all connections, if the server runs; the state stays.

        Raises:
            RuntimeError: It does not stop.
        """
        thread, self._thread = self._thread, None
        if thread is None:
            return
        if self._loop is not None and self._stopping is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stopping.set)
        thread.join(_PATIENCE)
        if thread.is_alive():
            raise RuntimeError(f"the server did not stop within {_PATIENCE:g} s and may still hold its port")

    def restart(self) -> None:
        """Stop and start again on the same port: connections are dropped, the state is kept."""
        self.stop()
        self.start()

    def wait(self) -> None:
        """Return when the server is stopped, by another thread or by an interrupt from the keyboard."""
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
    def certificate_authority(self) -> CertificateAuthority:
        """Who issues the https origins' certificates: its `pem`, and a `client_context()` that trusts it."""
        return CertificateAuthority(self._host)

    def tls(self, validity: str = "good") -> str:
        """Open one more origin in proxy of the same gateways, with https, until the server stops.

        Args:
            validity: `good` or `expired`: of which kind the certificate is.

        Returns:
            The origin, as `https://127.0.0.1:PORT`.

        Raises:
            ValueError: `validity` is something else.
            RuntimeError: The server does not run.
        """
        context = self.certificate_authority.server_context(validity)
        loop = self._running_loop()
        listening = bound_socket(self._host, 0)
        port = listening.getsockname()[1]
        asyncio.run_coroutine_threadsafe(self._open_proxy(listening, context), loop).result(_PATIENCE)
        return f"https://{self._authority(port)}"

    # Inside the server's thread

    def _run(self, listening: socket.socket, started: "Future[None]") -> None:
        try:
            # The proxy watches its socket by itself, which not every kind of loop allows.
            with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
                runner.run(self._serve(listening, started))
        # Whatever it is, it belongs to the thread that waits for the start.
        except BaseException as error:
            if started.done():
                raise
            started.set_exception(error)

    async def _serve(self, listening: socket.socket, started: "Future[None]") -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        app = build_app(self.gateways.values(), self.store, admin_routes(self.faults, self.store, proxied=self._faulty))
        web = _WebServer(app)
        behind = bound_socket("127.0.0.1", 0) if self._faulty else listening
        self._upstream = behind.getsockname()[:2]
        serving = asyncio.create_task(web.serve([behind]))
        ready = asyncio.create_task(web.ready.wait())
        await asyncio.wait({serving, ready}, return_when=asyncio.FIRST_COMPLETED)
        try:
            if serving.done():
                serving.result()
            if self._faulty:
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
        proxy = FaultProxy(listening, self._upstream, self.faults, self._resolve_route, context)
        self._proxies.append(proxy)
        proxy.open()

    def _on_loop(self, function: Callable[..., None]) -> Callable[..., None]:
        """The function as one that any thread may call, and that has done its work when it returns."""

        async def inside(*arguments: object) -> None:
            function(*arguments)

        def call(*arguments: object) -> None:
            if threading.current_thread() is self._thread:
                function(*arguments)
            else:
                asyncio.run_coroutine_threadsafe(inside(*arguments), self._running_loop()).result(_PATIENCE)

        return call

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        if self._thread is None or self._loop is None:
            raise RuntimeError("the server does not run")
        return self._loop

    def _authority(self, port: int) -> str:
        return f"[{self._host}]:{port}" if ":" in self._host else f"{self._host}:{port}"

"""The server stops in any state, or reports that it does not."""

import asyncio
import threading
from collections.abc import Callable

import pytest

from wonder_customers import dialects
from wonder_customers.simulator import SimulatorServer, server
from wonder_customers.simulator.fault_proxy import FaultProxy
from wonder_customers.simulator.faults import Faults
from wonder_customers.simulator.proxy_http import bound_socket


def ends(work: Callable[[], None], within: float) -> bool:
    """Return whether the function ends; a blocked event loop cannot be interrupted from inside."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(within)
    return not thread.is_alive()


def test_proxy_closes_when_its_last_task_has_just_ended() -> None:
    async def nothing() -> None:
        pass

    async def close_at_once() -> None:
        front = FaultProxy(bound_socket("127.0.0.1", 0), ("127.0.0.1", 1), Faults(()), lambda path: ("", ""))
        front.open()
        front.spawn(nothing())
        await asyncio.sleep(0)
        await front.close()

    assert ends(lambda: asyncio.run(close_at_once()), within=10)


def test_stop_timeout_raises_runtime_error(monkeypatch: pytest.MonkeyPatch) -> None:
    going_on = threading.Event()

    class Busy(SimulatorServer):
        def busy(self) -> None:
            self._running_loop().call_soon_threadsafe(going_on.wait)

    it = Busy([dialects.simulator("monri")])
    it.start()
    thread = it._thread
    assert thread is not None
    it.busy()
    with monkeypatch.context() as patched:
        patched.setattr(server, "_TIMEOUT", 0.1)
        with pytest.raises(RuntimeError, match=r"did not stop within 0\.1 s, so its port may still be in use"):
            it.stop()
        it._thread = thread  # `tls` requires a server that is not stopped
        with pytest.raises(TimeoutError, match=r"the server did not open an https origin within 0\.1 s"):
            it.tls()
    going_on.set()
    thread.join(60)
    assert not thread.is_alive()

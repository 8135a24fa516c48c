"""A network without sockets in front of the simulator's application, with faults, in virtual time.

A lost request can be applied at any later moment within the confirmation window. That is the only assumption of the
library about late requests. Because time is virtual, a hundred thousand steps take minutes.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import httpx
import orjson
from attrs import define, field, frozen

from scripted_transport import WithoutConnections
from wonder_customers import RetryPolicy, dialects
from wonder_customers._core.account_state import AccountState
from wonder_customers._core.attempt import AttemptRunner
from wonder_customers._core.context import AccountContext
from wonder_customers._core.executor import Executor
from wonder_customers._core.write_locks import WriteLocks, WriteOrder
from wonder_customers._support.clock import replaced_by
from wonder_customers.retry import RetryBudget
from wonder_customers.simulator import Store, build_app
from wonder_customers.transports.httpx import HttpxTransport
from wonder_customers.wire import HttpResponse, SignedRequest, Timeouts, Transmission, TransportError

ORIGIN = "http://127.0.0.1:1"
LATEST = 0.9
"""The fraction of the confirmation window within which a late request is applied."""


@define(eq=False, slots=False)
class Network(WithoutConnections):
    """Delivers requests to the gateway, or simulates a fault.

    Attributes:
        plan: The names and parameters of the faults of the next requests, in order; without a fault, requests succeed.
        late: The requests that are applied later, with the times at which they are applied.
        cancel: Cancels the running operation, as its caller would.
    """

    transport: HttpxTransport
    confirmation_window: float
    plan: list[tuple[str, float]] = field(factory=list)
    late: list[tuple[float, SignedRequest]] = field(factory=list)
    cancel: Callable[[], None] = lambda: None
    now: float = 1000.0
    sent: list[str] = field(factory=list)

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        """Let time pass, and apply the late requests that are due."""
        end = self.now + seconds
        while due := min((it for it in self.late if it[0] <= end), key=lambda it: it[0], default=None):
            self.late.remove(due)
            self.now = max(self.now, due[0])
            await self.deliver(due[1], Transmission())
        self.now = end
        await anyio.lowlevel.checkpoint()

    async def deliver(self, signed_request: SignedRequest, transmission: Transmission) -> HttpResponse:
        return await self.transport.send(signed_request, transmission)

    async def send(self, signed_request: SignedRequest, transmission: Transmission) -> HttpResponse:
        await anyio.lowlevel.checkpoint()
        self.sent.append(signed_request.method)
        kind, fraction = self.plan.pop(0) if self.plan else ("good", 0.0)
        return await KINDS[kind](Sending(self, signed_request, transmission, fraction))


@frozen
class Sending:
    """A request that is being sent."""

    net: Network
    request: SignedRequest
    transmission: Transmission
    fraction: float

    async def deliver(self, transmission: Transmission | None = None) -> HttpResponse:
        return await self.net.deliver(self.request, transmission or self.transmission)

    def land_later(self) -> None:
        self.net.late.append((self.net.now + self.fraction * self.net.confirmation_window * LATEST, self.request))


async def good(it: Sending) -> HttpResponse:
    return await it.deliver()


async def not_sent(it: Sending) -> HttpResponse:
    raise TransportError("refused")


async def lost_before(it: Sending) -> HttpResponse:
    it.transmission.sent = True
    raise TransportError("the request was lost")


async def stale(it: Sending) -> HttpResponse:
    it.transmission.sent = it.transmission.stale = True
    raise TransportError("the connection was stale")


async def lost_after(it: Sending) -> HttpResponse:
    await it.deliver(Transmission())
    it.transmission.sent = True
    raise TransportError("the response was lost")


async def body_lost(it: Sending) -> HttpResponse:
    await it.deliver()
    raise TransportError("the body was lost")


async def late(it: Sending) -> HttpResponse:
    it.transmission.sent = True
    it.land_later()
    raise TransportError("the request is lost")


async def twice(it: Sending) -> HttpResponse:
    response = await it.deliver()
    # Paydock creates another customer for the second of two equal creates, and a client cannot prevent a proxy from
    # sending it.
    if not it.request.target.endswith("/v1/customers"):
        await it.deliver(Transmission())
    return response


def _respond(it: Sending, status: int) -> HttpResponse:
    it.transmission.sent, it.transmission.status, it.transmission.headers = True, status, {}
    return HttpResponse(status, {}, orjson.dumps({"message": "made up"}))


async def throttled(it: Sending) -> HttpResponse:
    return _respond(it, 429)


async def broken_before(it: Sending) -> HttpResponse:
    return _respond(it, 503)


async def broken_after(it: Sending) -> HttpResponse:
    await it.deliver(Transmission())
    return _respond(it, 500)


async def _cancelled(it: Sending, *, sent: bool) -> HttpResponse:
    it.transmission.sent = sent
    it.net.cancel()
    await anyio.lowlevel.checkpoint()
    raise TransportError("the caller could not be cancelled")


async def cancelled_before(it: Sending) -> HttpResponse:
    return await _cancelled(it, sent=False)


async def cancelled_after(it: Sending) -> HttpResponse:
    await it.deliver(Transmission())
    return await _cancelled(it, sent=True)


async def cancelled_late(it: Sending) -> HttpResponse:
    it.land_later()
    return await _cancelled(it, sent=True)


KINDS: dict[str, Callable[[Sending], Awaitable[HttpResponse]]] = {
    behaviour.__name__: behaviour
    for behaviour in (
        *(good, not_sent, lost_before, lost_after, late, body_lost, stale, twice),
        *(throttled, broken_before, broken_after, cancelled_before, cancelled_after, cancelled_late),
    )
}


@define(eq=False)
class World:
    """One gateway, the network to it, and an executor."""

    gateway: str
    store: Store
    network: Network
    executor: Executor
    account_context: AccountContext

    async def run(self, operation: str, *arguments: Any, subject: tuple[str, str]) -> Any:
        """Run one operation; return `CANCELLED` if it was cancelled."""
        result: list[Any] = []
        with replaced_by(self.network), anyio.CancelScope() as scope:
            self.network.cancel = scope.cancel
            steps = getattr(self.account_context.dialect, operation)(*arguments)
            result.append((await self.executor.run(self.account_context, operation, steps, subject)).record)
        return result[0] if result else CANCELLED


CANCELLED = "cancelled"
POLICY = RetryPolicy(deadline=60, confirmation_window=10)


def new_world(gateway: str) -> World:
    store = Store()
    simulator = dialects.simulator(gateway)(store)
    app = httpx.ASGITransport(build_app([simulator], store))
    network = Network(HttpxTransport(transport=app), POLICY.confirmation_window)
    account = dialects.package(gateway).ACCOUNT.from_environment(simulator.environment(ORIGIN))
    order = WriteOrder(WriteLocks())
    executor = Executor(AttemptRunner(network, order), order, draw=lambda: 0.5)
    account_context = AccountContext(account.dialect(), 1, AccountState(RetryBudget(POLICY.budget)), POLICY)
    return World(gateway, store, network, executor, account_context)


__all__ = ["CANCELLED", "KINDS", "POLICY", "Timeouts", "World", "new_world"]

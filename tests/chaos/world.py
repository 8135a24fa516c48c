"""A network without sockets: the simulator's own application behind a wire that does its worst, in virtual time.

Requests that were lost on the way may land at any later moment within the settle time, which is the one thing about
late requests that the library relies on. Because time is virtual, a hundred thousand steps take minutes.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import httpx
import orjson
from attrs import define, field

from wonder_customers import RetryPolicy, dialects
from wonder_customers._attempt import Attempts, Speaker
from wonder_customers._exchange import Exchange
from wonder_customers._turns import Turns
from wonder_customers._wire import Flight, Outgoing, Timeouts, WireFailure, WireReply
from wonder_customers.retry import RetryBudget
from wonder_customers.simulator import Store, build_app
from wonder_customers.transports.httpx import HttpxTransport

ORIGIN = "http://127.0.0.1:1"
LANDING = 0.9
"""The part of the settle time within which a late request lands."""


@define(eq=False, slots=False)
class Network:
    """Carries requests to the gateway, or does not.

    Attributes:
        plan: What happens to the next requests, in order; all is well when it is empty.
        late: Requests that are still under way, with the time of their landing.
        cancel: Cancels the operation that is running, as its caller would.
    """

    transport: HttpxTransport
    settle: float
    plan: list[tuple[str, float]] = field(factory=list)
    late: list[tuple[float, Outgoing]] = field(factory=list)
    cancel: Callable[[], None] = lambda: None
    now: float = 1000.0
    sent: list[str] = field(factory=list)

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        """Let time pass; what is due lands on the way."""
        end = self.now + seconds
        while due := min((it for it in self.late if it[0] <= end), key=lambda it: it[0], default=None):
            self.late.remove(due)
            self.now = max(self.now, due[0])
            await self.deliver(due[1], Flight())
        self.now = end
        await anyio.lowlevel.checkpoint()

    async def deliver(self, outgoing: Outgoing, flight: Flight) -> WireReply:
        return await self.transport.send(outgoing, flight)

    async def send(self, outgoing: Outgoing, flight: Flight) -> WireReply:
        await anyio.lowlevel.checkpoint()
        self.sent.append(outgoing.method)
        kind, share = self.plan.pop(0) if self.plan else ("good", 0.0)
        behaviour: Callable[[Network, Outgoing, Flight, float], Awaitable[WireReply]] = KINDS[kind]
        return await behaviour(self, outgoing, flight, share)

    async def aclose(self) -> None:
        """There is nothing to close."""


async def good(net: Network, outgoing: Outgoing, flight: Flight, share: float) -> WireReply:
    return await net.deliver(outgoing, flight)


async def not_sent(net: Network, outgoing: Outgoing, flight: Flight, share: float) -> WireReply:
    raise WireFailure("refused")


async def lost_before(net: Network, outgoing: Outgoing, flight: Flight, share: float) -> WireReply:
    flight.sent = True
    raise WireFailure("the request was lost")


async def stale(net: Network, outgoing: Outgoing, flight: Flight, share: float) -> WireReply:
    flight.sent = flight.stale = True
    raise WireFailure("the connection was stale")


async def lost_after(net: Network, outgoing: Outgoing, flight: Flight, share: float) -> WireReply:
    await net.deliver(outgoing, Flight())
    flight.sent = True
    raise WireFailure("the answer was lost")


async def body_lost(net: Network, outgoing: Outgoing, flight: Flight, share: float) -> WireReply:
    await net.deliver(outgoing, flight)
    raise WireFailure("the body was lost")


async def late(net: Network, outgoing: Outgoing, flight: Flight, share: float) -> WireReply:
    flight.sent = True
    net.late.append((net.now + share * net.settle * LANDING, outgoing))
    raise WireFailure("nobody knows where the request is")


async def twice(net: Network, outgoing: Outgoing, flight: Flight, share: float) -> WireReply:
    reply = await net.deliver(outgoing, flight)
    # Paydock takes the second of two equal creates as another customer, and no client can keep a proxy from sending it.
    if not outgoing.target.endswith("/v1/customers"):
        await net.deliver(outgoing, Flight())
    return reply


def _answer(flight: Flight, status: int) -> WireReply:
    flight.sent, flight.status, flight.headers = True, status, {}
    return WireReply(status, {}, orjson.dumps({"message": "made up"}))


async def throttled(net: Network, outgoing: Outgoing, flight: Flight, share: float) -> WireReply:
    return _answer(flight, 429)


async def broken_before(net: Network, outgoing: Outgoing, flight: Flight, share: float) -> WireReply:
    return _answer(flight, 503)


async def broken_after(net: Network, outgoing: Outgoing, flight: Flight, share: float) -> WireReply:
    await net.deliver(outgoing, Flight())
    return _answer(flight, 500)


async def _cancelled(net: Network, flight: Flight, *, sent: bool) -> WireReply:
    flight.sent = sent
    net.cancel()
    await anyio.lowlevel.checkpoint()
    raise WireFailure("the caller could not be cancelled")


async def cancelled_before(net: Network, outgoing: Outgoing, flight: Flight, share: float) -> WireReply:
    return await _cancelled(net, flight, sent=False)


async def cancelled_after(net: Network, outgoing: Outgoing, flight: Flight, share: float) -> WireReply:
    await net.deliver(outgoing, Flight())
    return await _cancelled(net, flight, sent=True)


async def cancelled_late(net: Network, outgoing: Outgoing, flight: Flight, share: float) -> WireReply:
    net.late.append((net.now + share * net.settle * LANDING, outgoing))
    return await _cancelled(net, flight, sent=True)


KINDS: dict[str, Any] = {
    behaviour.__name__: behaviour
    for behaviour in (
        good,
        not_sent,
        lost_before,
        lost_after,
        late,
        body_lost,
        stale,
        twice,
        throttled,
        broken_before,
        broken_after,
        cancelled_before,
        cancelled_after,
        cancelled_late,
    )
}


@define(eq=False)
class World:
    """One gateway, the wire to it, and an exchange."""

    gateway: str
    store: Store
    network: Network
    exchange: Exchange
    speaker: Speaker

    async def run(self, operation: str, *arguments: Any, subject: tuple[str, str]) -> Any:
        """Perform one verb; None when it was cancelled on the way."""
        result: list[Any] = []
        with anyio.CancelScope() as scope:
            self.network.cancel = scope.cancel
            steps = getattr(self.speaker.dialect, operation)(*arguments)
            result.append((await self.exchange.run(self.speaker, operation, steps, subject)).record)
        return result[0] if result else CANCELLED


CANCELLED = "cancelled"
POLICY = RetryPolicy(deadline=60, settle=10)


def new_world(gateway: str) -> World:
    store = Store()
    simulator = dialects.simulator(gateway)(store)
    app = httpx.ASGITransport(build_app([simulator], store))
    network = Network(HttpxTransport(mounted=app), POLICY.settle)
    account = dialects.package(gateway).ACCOUNT.from_environment(simulator.environment(ORIGIN))
    exchange = Exchange(
        Attempts(network, POLICY),
        POLICY,
        Turns(network.clock),
        clock=network.clock,
        sleep=network.sleep,
        draw=lambda: 0.5,
    )
    return World(gateway, store, network, exchange, Speaker(account.dialect(), 1, RetryBudget(POLICY.budget), None))


__all__ = ["CANCELLED", "KINDS", "POLICY", "Timeouts", "World", "new_world"]

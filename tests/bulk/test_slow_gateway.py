"""A bulk job's rows at a gateway that accepts one request in ten seconds, in virtual time."""

import anyio
import anyio.lowlevel
import httpx
import orjson
import pytest
from bulk.customers import draft

from wonder_customers import AdaptiveRateLimit, CustomerSession, dialects
from wonder_customers._core.waits import StopSignal
from wonder_customers._support import clock
from wonder_customers.bulk import BULK, Outcome, Row
from wonder_customers.bulk.change_filter import PendingRow
from wonder_customers.bulk.writer import RowWriter
from wonder_customers.simulator import Store, build_app
from wonder_customers.transports.httpx import HttpxTransport
from wonder_customers.wire import HttpResponse, SignedRequest, Transmission

pytestmark = pytest.mark.anyio

EVERY = 10.0


class SlowGateway(HttpxTransport):
    """Accepts a request if the last accepted one is ten seconds old, and refuses others with HTTP 429."""

    now, accepted, refused = 1000.0, -EVERY, 0

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        event = anyio.Event()
        self.timers.append((self.now + seconds, event))
        await event.wait()

    async def send(self, signed_request: SignedRequest, transmission: Transmission) -> HttpResponse:
        transmission.sent = True
        if self.now - self.accepted < EVERY:
            self.refused += 1
            transmission.status, transmission.headers = 429, {}
            return HttpResponse(429, {}, orjson.dumps({"message": "Too Many Requests"}))
        self.accepted = self.now
        return await super().send(signed_request, transmission)

    timers: list[tuple[float, anyio.Event]]


@pytest.mark.parametrize("gateway", dialects.names())
async def test_gateway_with_one_request_in_ten_seconds_gets_all_customers(gateway: str) -> None:
    rows, store = 12, Store()
    simulator = dialects.simulator(gateway)(store)
    transport = SlowGateway(transport=httpx.ASGITransport(build_app([simulator], store)))
    transport.timers = []
    account = dialects.package(gateway).ACCOUNT.from_environment(simulator.environment("http://127.0.0.1:1"))
    waiting, outcomes = iter(range(rows)), list[Outcome | None]()
    session = CustomerSession(account, retry=BULK, transport=transport, rate_limit=AdaptiveRateLimit())

    async def work(writer: RowWriter) -> None:
        for number in waiting:
            row = Row(number + 1, draft(number))
            outcomes.append(await writer.write(PendingRow(row, draft(number), f"c-{number}", None, b"")))

    with clock.replaced_by(transport):
        async with session, anyio.create_task_group() as group:
            writer = RowWriter(session, None, StopSignal(), 0.0, lambda _: None)
            for _ in range(6):
                group.start_soon(work, writer)
            while len(outcomes) < rows:
                for _ in range(40):
                    await anyio.lowlevel.checkpoint()
                if len(outcomes) < rows and transport.timers:
                    transport.timers.sort(key=lambda it: it[0])
                    transport.now, event = transport.timers.pop(0)
                    event.set()
    assert [outcome for outcome in outcomes if outcome is None or not outcome.ok] == []
    assert store.ledger(gateway) == {f"c-{number}": 1 for number in range(rows)}
    assert transport.refused <= 4 * rows

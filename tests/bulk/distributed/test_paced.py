"""Each request at a moment of its own, whether it is a row's first or a later one."""

from collections.abc import Callable
from typing import Any

import anyio
import pytest
from bulk.customers import PATIENT, QUICK, collect, draft

from wonder_customers import CustomerSession, NotSentError
from wonder_customers.bulk import Options, sync
from wonder_customers.bulk.distributed import paced as paced_module
from wonder_customers.bulk.distributed.paced import PacedTransport, PerRequest
from wonder_customers.bulk.pace import Halted
from wonder_customers.events import ConnectionStats
from wonder_customers.simulator.server import SimulatorServer
from wonder_customers.transports import select_transport

pytestmark = pytest.mark.anyio


class Counted:
    """A limiter that lets everything go, and counts."""

    taken = 0

    async def take(self, requests: int) -> None:
        self.taken += requests


class SessionEnded:
    """A limiter that lets nothing go any more."""

    async def take(self, requests: int) -> None:
        raise Halted


class Gone:
    """A limiter that does not answer."""

    async def take(self, requests: int) -> None:
        await anyio.sleep_forever()


async def test_a_moment_is_taken_for_every_request_and_none_besides(
    account: Callable[[str], Any], server: SimulatorServer
) -> None:
    counted = Counted()
    limits = PerRequest(counted)
    transport = PacedTransport(select_transport(None, 8)[0], limits)
    server.faults.add("server_error", times=5, method="POST", status=503)
    async with CustomerSession(account("paydock"), retry=QUICK, transport=transport) as session:
        options = Options(tries=PATIENT, failure_share=None)
        job = sync(session, [draft(number) for number in range(20)], options=options, limiter=limits)
        assert [outcome.ok for outcome in await collect(job)] == [True] * 20
    await transport.aclose()
    # 20 rows of two requests, and what five refusals have brought with them.
    assert counted.taken == server.faults.requests.total() > 45


@pytest.mark.parametrize(
    ("limiter", "words"), [(SessionEnded(), "somebody else has these rows"), (Gone(), "no moment within")]
)
async def test_without_a_moment_nothing_is_sent_and_it_is_said_so(
    limiter: Any,
    words: str,
    account: Callable[[str], Any],
    server: SimulatorServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(paced_module, "LONGEST", 0.05)
    transport = PacedTransport(select_transport(None, 8)[0], PerRequest(limiter))
    async with CustomerSession(account("monri"), retry=QUICK, transport=transport) as session:
        assert session.stats().connections == ConnectionStats(open=0, busy=0, idle=0, waiting=0)
        with pytest.raises(NotSentError, match=words):
            await session.get_by_reference("c-1")
    await transport.aclose()
    assert server.faults.requests.total() == 0

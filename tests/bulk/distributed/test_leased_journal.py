"""The journal of a leased partition: queries, the end of the lease, and the fence at the moment of sending."""

import math
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from anyio.lowlevel import checkpoint
from bulk.customers import QUICK, AccountFactory, draft

from wonder_customers import AdaptiveRateLimit, CustomerSession, RateLimit
from wonder_customers._core.waits import StopSignal
from wonder_customers._support import clock
from wonder_customers.bulk.distributed.coordinator import WorkerConfig
from wonder_customers.bulk.distributed.leased_journal import LeasedJournal
from wonder_customers.bulk.distributed.worker import FencedRateLimit, digests_for
from wonder_customers.bulk.journal import Journal
from wonder_customers.bulk.journal.digest import VARIABLE, Digests, key_mark, key_of
from wonder_customers.bulk.journal.entries import Entry
from wonder_customers.bulk.permits import Grant, LeasedRateLimit, PermitServer
from wonder_customers.errors import ConfigurationError, NotSentError
from wonder_customers.simulator.server import SimulatorServer
from wonder_customers.transports.httpx import HttpxTransport
from wonder_customers.wire import HttpResponse, SignedRequest, Transmission

pytestmark = pytest.mark.anyio

CONFIG = WorkerConfig("monri", "https://example.org", "j", b"mark", 1, 30.0, 0.0)


class Queries:
    """The part of a coordinator that needs no lease."""

    def __init__(self) -> None:
        self.deadlines: list[float] = []

    async def find(self, references: list[str]) -> list[Entry]:
        self.deadlines.append(anyio.current_effective_deadline())
        return []


def journal(coordinator: Any = None, *, seconds: float = 30.0) -> LeasedJournal:
    return LeasedJournal(coordinator, CONFIG, Digests(b"key"), (0, 1), clock.monotonic() + seconds)


async def test_journal_query_does_not_renew_the_lease() -> None:
    ended = journal(Queries(), seconds=-1.0)

    def query() -> None:
        with ended.reader() as find:
            assert find(["c-1"]) == {}

    await anyio.to_thread.run_sync(query)
    assert not ended.is_valid()


async def test_cancelled_job_does_not_wait_for_a_journal_query() -> None:
    """A cancellation delivered before the query starts is not delivered again, so the query must not wait for one."""
    asking, cancelled, queries = threading.Event(), threading.Event(), Queries()
    leased = journal(queries)

    def look() -> None:
        asking.set()
        assert cancelled.wait(20)
        with leased.reader() as find:
            assert find(["r-1"]) == {}

    async with anyio.create_task_group() as group:
        group.start_soon(anyio.to_thread.run_sync, look)
        with anyio.fail_after(120):
            while not asking.is_set():
                await checkpoint()
        group.cancel_scope.cancel()
        with anyio.CancelScope(shield=True):
            for _ in range(5):
                await checkpoint()
        cancelled.set()
    assert queries.deadlines == [math.inf]


class SlowConnection(HttpxTransport):
    """A transport whose connections open slowly; meanwhile, the lease ends or is renewed."""

    before_sending: Callable[[], None]

    async def send(self, signed_request: SignedRequest, transmission: Transmission) -> HttpResponse:
        self.before_sending()
        return await super().send(signed_request, transmission)


def permit_server() -> LeasedRateLimit:
    server = PermitServer(1000.0)

    async def grant(wanted: int, validity: float) -> Grant:
        return server.grant(wanted, validity)

    return LeasedRateLimit(grant)


@pytest.mark.parametrize("limit", [AdaptiveRateLimit, permit_server, lambda: RateLimit(1000)])
@pytest.mark.parametrize("ends", ["lease", "lease after a renewal", "nothing"])
async def test_no_request_is_sent_after_the_lease_has_ended(
    ends: str, limit: Callable[[], Any], account: AccountFactory, server: SimulatorServer
) -> None:
    """Invariant: no request is sent after the lease has ended, because another worker may send the same rows."""
    leased, stop = journal(), StopSignal()
    fenced = FencedRateLimit(limit(), leased)

    def before_sending() -> None:
        if ends == "lease":
            leased.until = clock.monotonic() - 0.001
            transport.transmission.valid_until = leased.until
            stopper.start_soon(stop_later)
        elif ends == "lease after a renewal":
            transport.transmission.valid_until = clock.monotonic() - 0.001

    async def stop_later() -> None:
        await anyio.sleep(0.05)
        stop.set()

    class Transport(SlowConnection):
        async def send(self, signed_request: SignedRequest, transmission: Transmission) -> HttpResponse:
            self.transmission = transmission
            return await super().send(signed_request, transmission)

    transport = Transport()
    transport.before_sending = before_sending
    session = CustomerSession(account("monri"), retry=QUICK, transport=transport, rate_limit=fenced)
    async with anyio.create_task_group() as stopper, session:
        job = session.with_options(stop=stop)
        if ends == "lease":
            with pytest.raises(NotSentError):
                await job.create(draft(1))
        else:
            await job.create(draft(1))
    await transport.aclose()
    assert server.store.ledger("monri") == ({} if ends == "lease" else {"c-1": 1})
    assert not getattr(fenced.limit, "_held", ())


@pytest.mark.parametrize("outstanding", [False, True])
async def test_run_after_a_killed_distributed_run_waits_for_its_leases(outstanding: bool, tmp_path: Path) -> None:
    """Invariant: the confirmation window starts when no worker of the killed run can send any more."""
    journal = Journal.open(tmp_path / "j", gateway="monri", endpoint="https://example.org")
    journal.begin({}, leased=15.0)
    assert journal.grace == 0.0
    if outstanding:
        journal.end("failures", {}, leased=True)
    else:
        journal.release()  # killed
    for _ in range(2):
        later = Journal.existing(tmp_path / "j")
        later.begin({})
        assert later.grace == 15.0
        later.end("finished", {})  # it has not lasted until the leases ended
    later.begin({}, leased=15.0)
    later._began -= 15.0
    later.end("finished", {})
    later.begin({})
    assert later.grace == 0.0
    later.end("finished", {})


async def test_worker_with_another_key_sends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal.open(tmp_path / "j", gateway="monri", endpoint="https://example.com")
    config = WorkerConfig("monri", "https://example.com", journal.name, key_mark(journal.digests), 1, 1.0, 0.0)
    digests_for(config)
    monkeypatch.setenv(VARIABLE, "another key, and a long one")
    with pytest.raises(ConfigurationError, match="key differs from the key of the journal"):
        digests_for(config)
    monkeypatch.delenv(VARIABLE)
    with pytest.raises(ConfigurationError, match="does not have the key of"):
        key_of(tmp_path / "elsewhere", make=False)
    assert not (tmp_path / "elsewhere.key").exists()

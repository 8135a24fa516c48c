"""Processes that write to one gateway in virtual time, and are killed and restarted. `choose` makes every decision.

A process is either an application (sessions that create, upsert, update and delete) or a bulk run with a journal. All
of them use the code of the library; only time, the network and the thread of the journal are replaced. A request that
was sent can be applied at any later moment within the confirmation window, also after its process was killed. That is
the only assumption about late requests.
"""

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import httpx
import orjson
from attrs import define, field

from wonder_customers import (
    CallError,
    CustomerDraft,
    CustomerPatch,
    CustomerSession,
    InvalidRequestError,
    Phone,
    RateLimit,
    RetryPolicy,
    dialects,
)
from wonder_customers._core import write_locks
from wonder_customers._core.waits import StopSignal
from wonder_customers._support import clock
from wonder_customers.bulk import Journal, Row
from wonder_customers.bulk.change_filter import ChangeFilter
from wonder_customers.bulk.journal.write_queue import Statement, WriteQueue
from wonder_customers.bulk.writer import RowWriter
from wonder_customers.simulator import Store, build_app
from wonder_customers.transports.httpx import HttpxTransport
from wonder_customers.wire import HttpResponse, SignedRequest, Transmission, TransportError

WINDOW = 10.0
LANDING = 0.9 * WINDOW
RATE = 4
POLICY = RetryPolicy(attempts=3, deadline=90, confirmation_window=WINDOW, transient_cost=0, throttle_cost=0)
NAME_FIELD = {"wonder": "name", "paydock": "first_name", "monri": "name"}
FAULTS = ("late", "response lost", "request lost", "503 and applied later", "429", "not sent")

Choose = Callable[[Sequence[str]], int]
"""Returns the index of one of the options."""


@define(eq=False)
class Paused:
    """A request that is about to be sent."""

    process: "Process"
    label: str
    fate: str = ""
    released: anyio.Event = field(factory=anyio.Event)


@define(eq=False)
class Process:
    """A process: its tasks end when `scope` is cancelled."""

    name: str
    scope: anyio.CancelScope = field(factory=anyio.CancelScope)
    running: int = 0


class InlineQueue(WriteQueue):
    """Writes a journal in the calling task. Rows without a waiter are lost if the process is killed before a commit."""

    def __init__(self, journal: Journal) -> None:
        super().__init__(journal.writer.connect, journal.name)
        self._connection = self.connect()
        self._queued: list[Statement] = []

    def post(self, row: Statement) -> None:
        self._queued.append(row)

    async def commit(self, rows: Sequence[Statement]) -> None:
        self._queued += rows
        self.flush()

    def flush(self) -> None:
        for sql, parameters in self._queued:
            self._connection.execute(sql, parameters)
        self._queued.clear()

    def close(self) -> None:
        self._connection.close()


class Gateway:
    """A simulated gateway in this process. Each `Machine` that shares it writes another customer."""

    def __init__(self, name: str) -> None:
        self.name, self.store = name, Store()
        simulator = dialects.simulator(name)(self.store)
        self.transport = HttpxTransport(transport=httpx.ASGITransport(build_app([simulator], self.store)))
        environment = simulator.environment("http://127.0.0.1:1")
        self.account: Any = dialects.package(name).ACCOUNT.from_environment(environment)


@define(eq=False)
class Machine:
    """The machine, the network and the gateway.

    Attributes:
        reference: The reference of the customer, which no other machine at `gateway` writes.
        faults: The number of requests that may still fail.
        kills: The number of processes that may still be killed.
        states: The names that the gateway may have for the current reference; None if the customer may be missing.
        trace: A description of the events, for messages.
    """

    gateway: Gateway
    reference: str
    choose: Choose
    journal: Path
    faults: int
    kills: int
    now: float = 1000.0
    wall: float = 1.7e9
    trace: list[str] = field(factory=list)
    states: set[str | None] = field(factory=lambda: {None})
    names: dict[bytes, str] = field(factory=dict)
    id: str | None = None
    confirmed_by_journal: bool = False
    steps: int = 0
    deletions: int = 0
    _paused: list[Paused] = field(factory=list)
    _timers: list[tuple[float, anyio.Event]] = field(factory=list)
    _landings: list[tuple[float, SignedRequest]] = field(factory=list)
    _sending: int = 0
    _left: dict[str, list[float]] = field(factory=dict)
    _written: int = 0
    _active: list[tuple[str | None, set[str | None]]] = field(factory=list)

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        event = anyio.Event()
        self._timers.append((self.now + seconds, event))
        await event.wait()

    async def settle(self) -> None:
        """Let all tasks run until they wait for time or for the result of a request."""
        calm = 0
        while calm < 8 or self._sending:
            calm += 1
            await anyio.lowlevel.checkpoint()

    async def advance(self) -> bool:
        """Go to the next moment at which something happens; return False if there is none."""
        moments = [it[0] for it in (*self._timers, *self._landings)]
        if not moments:
            return False
        self.now = max(self.now, min(moments))
        while self._landings and min(it[0] for it in self._landings) <= self.now:
            await self.land(min(range(len(self._landings)), key=lambda it: self._landings[it][0]))
        due = [it for it in self._timers if it[0] <= self.now]
        self._timers = [it for it in self._timers if it[0] > self.now]
        for _, event in due:
            event.set()
        return True

    async def pass_time(self, seconds: float) -> None:
        end = self.now + seconds
        while self._landings and min(it[0] for it in self._landings) <= end:
            await self.advance()
        self.now = end

    async def land(self, place: int) -> None:
        _, request = self._landings.pop(place)
        self.trace.append(f"{self.now:.2f} the gateway applies a late {request.method}")
        await self.gateway.transport.send(request, Transmission())

    # The network, for the transport of each process

    async def send(self, process: Process, request: SignedRequest, transmission: Transmission) -> HttpResponse:
        paused = Paused(process, f"{process.name}: {request.method}")
        self._paused.append(paused)
        try:
            await paused.released.wait()
            await transmission.leave()
            return await self._behave(paused.fate, process, request, transmission)
        finally:
            if paused in self._paused:
                self._paused.remove(paused)
            self._sending -= paused.fate != ""

    async def _behave(
        self, fate: str, process: Process, request: SignedRequest, transmission: Transmission
    ) -> HttpResponse:
        if fate == "not sent":
            raise TransportError("refused")
        self._left.setdefault(process.name, []).append(self.now)
        transmission.sent = True
        if fate == "429":
            return self._respond(transmission, 429)
        if fate in {"late", "503 and applied later"}:
            self._landings.append((self.now + LANDING, request))
        if fate == "503 and applied later":
            return self._respond(transmission, 503)
        if fate in {"late", "request lost"}:
            raise TransportError("no response")
        response = await self.gateway.transport.send(request, transmission if fate == "delivered" else Transmission())
        if fate == "response lost":
            raise TransportError("the response was lost")
        return response

    def _respond(self, transmission: Transmission, status: int) -> HttpResponse:
        transmission.status, transmission.headers = status, {}
        return HttpResponse(status, {}, orjson.dumps({"message": "fault"}))

    def decide(self, options: Sequence[str]) -> str:
        self.steps += 1
        chosen = options[self.choose(options)]
        self.trace.append(f"{self.now:.2f} {chosen}")
        return chosen

    async def run(self, process: Process) -> None:
        """Run a process until all its tasks have ended or it is killed."""
        await self.settle()
        while process.running:
            options = [f"{it.label} delivered" for it in self._paused]
            if self.faults:
                options += [f"{it.label} {fate}" for it in self._paused for fate in FAULTS]
            options += [f"land {place}" for place in range(len(self._landings))] if options else []
            if self.kills and self._paused:
                options += ["kill before sending", "kill after sending"]
            if not options:
                assert await self.advance(), f"{process.name} does not end"
            else:
                await self._act(self.decide(options), process)
            await self.settle()

    async def _act(self, action: str, process: Process) -> None:
        if action.startswith("land"):
            await self.land(int(action[5:]))
        elif action.startswith("kill"):
            self.kills -= 1
            for it in self._paused if action.endswith("after sending") else []:
                self._release(it, "late")
            self._paused.clear()
            await self.settle()
            process.scope.cancel()
        else:
            paused = next(it for it in self._paused if action.startswith(it.label))
            self._paused.remove(paused)
            self._release(paused, action[len(paused.label) + 1 :])
            self.faults -= paused.fate != "delivered"

    def _release(self, paused: Paused, fate: str) -> None:
        paused.fate = fate
        self._sending += 1
        paused.released.set()

    async def live(self, name: str, *tasks: Callable[[CustomerSession[Any]], Awaitable[None]]) -> None:
        """Run the tasks in a new process, which may be killed."""
        process, network = Process(name), self

        class ProcessTransport:
            async def send(self, signed_request: SignedRequest, transmission: Transmission) -> HttpResponse:
                return await network.send(process, signed_request, transmission)

            async def aclose(self) -> None:
                """Do nothing."""

        async def run(task: Callable[[CustomerSession[Any]], Awaitable[None]], transport: ProcessTransport) -> None:
            session = CustomerSession(self.gateway.account, retry=POLICY, transport=transport, rate_limit=limit)
            session._shared.executor.draw = lambda: 0.5
            try:
                async with session:
                    await task(session)
            finally:
                process.running -= 1

        # A new process remembers neither locks nor unconfirmed writes.
        write_locks.UNCONFIRMED_WRITES.clear()
        write_locks._BY_LOOP.clear()
        limit, transport = RateLimit(RATE), ProcessTransport()
        with clock.replaced_by(self):
            async with anyio.create_task_group() as group:
                process.scope, process.running = group.cancel_scope, len(tasks)
                for task in tasks:
                    group.start_soon(run, task, transport)
                group.start_soon(self.run, process)
        self._timers.clear()
        self._paused.clear()

    # What processes do

    def draft(self, name: str) -> CustomerDraft:
        return CustomerDraft(self.reference, name, phone=Phone("+44", "7911123456"))

    def new_name(self) -> str:
        self._written += 1
        return f"Name {self._written}"

    def application(self, operation: str) -> Callable[[CustomerSession[Any]], Awaitable[None]]:
        """Return a task that writes once and records the possible names. Overlapping writes have no order."""
        name = None if operation == "delete" else self.new_name()

        async def write(session: CustomerSession[Any]) -> None:
            before = set(self.states)
            self.states |= {name}
            self.deletions += name is None
            self.confirmed_by_journal = False
            overlapping = {other for other, _ in self._active}
            for _, others in self._active:
                others.add(name)
            self._active.append((name, overlapping))
            try:
                if name is None:
                    assert self.id is not None
                    await session.delete(self.id)
                elif operation == "update" and self.id is not None:
                    await session.update(self.id, CustomerPatch(name=name))
                elif operation == "create":
                    self.id = (await session.create(self.draft(name))).id
                else:
                    self.id = (await session.upsert(self.draft(name))).id
            except CallError as error:
                if operation == "upsert" and isinstance(error, InvalidRequestError):
                    raise  # an upsert never writes to a deleted customer
                if error.applied == "no" and not overlapping:
                    self.states = before
            else:
                self.states = {name} | overlapping
            finally:
                self._active.remove((name, overlapping))

        return write

    def bulk(self, name: str, *, resume: bool) -> Callable[[CustomerSession[Any]], Awaitable[None]]:
        """Return a task that processes one row like a bulk job."""

        async def run(session: CustomerSession[Any]) -> None:
            journal = Journal.open(
                self.journal, gateway=self.gateway.name, endpoint=self.gateway.account.base_url, clock=lambda: self.wall
            )
            writer = journal.writer = InlineQueue(journal)
            journal.begin({}, resume=resume and journal.last_run() is not None)
            try:
                await self._row(session.with_options(retry=POLICY), journal, name)
                journal.writer.flush()
                journal.end("finished", {})
            finally:
                writer.close()
                journal.release()

        return run

    async def _row(self, session: CustomerSession[Any], journal: Journal, name: str) -> None:
        confirm_after = self.now + WINDOW + journal.grace
        writer = RowWriter(session, journal, StopSignal(), confirm_after, lambda _: None)
        draft, before = self.draft(name), set(self.states)
        self.names[journal.digests.payload(session.payload(draft))] = name
        with ChangeFilter(session, journal) as change_filter:
            outcomes, pending = change_filter.split([Row(1, draft)])
        await journal.announce([row.announcement for row in pending if not row.unconfirmed])
        if not pending:
            return  # confirmed before; another process may have changed the customer since
        self.states |= {name}
        for row in pending:
            outcome = await writer.write(row)
            assert outcome is not None
            outcomes.append(outcome)
        self.trace.append(f"{self.now:.2f} the bulk run reports {outcomes[0].status} {outcomes[0].applied}")
        if outcomes[0].ok:
            self.states, self.confirmed_by_journal = {name}, True
        elif outcomes[0].applied == "no" and before | {name} == self.states:
            self.states = before

    # Invariants

    async def check(self) -> None:
        """Check the invariants after everything that was late has been applied."""
        await self.pass_time(WINDOW)
        history = self.gateway.store.history(self.gateway.name, self.reference)
        created = sum(entry["action"] == "created" for entry in history)
        latest = {entry["body"].get("uuid") or entry["body"]["_id"]: entry["body"] for entry in history}
        live = [body for body in latest.values() if not body.get("deleted") and not body.get("archived")]
        assert created <= 1 + self.deletions, f"{created} customers were created"
        assert len(live) <= 1, f"{len(live)} customers have the reference"
        held = live[0][NAME_FIELD[self.gateway.name]] if live else None
        assert held in self.states, f"the gateway has {held}, which is not one of {self.states}"
        if self.journal.exists() and self.confirmed_by_journal:
            journal = Journal.existing(self.journal)
            with journal.reader() as find:
                entry = find([self.reference])[self.reference]
            assert entry.state != "done" or self.names[entry.payload or b""] == held, "the journal confirms another row"
        for process, times in self._left.items():
            ordered = sorted(times)
            too_early = [it for it, later in zip(ordered, ordered[RATE:], strict=False) if later - it < 1.0]
            assert not too_early, f"{process} exceeded the rate"

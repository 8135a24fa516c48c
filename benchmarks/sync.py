"""The speed and memory of a bulk job, and the rate that it finds.

``python -m benchmarks sync`` measures them. ``python -m benchmarks.sync kills --rows 100000`` takes long: it runs a job
at every gateway with 2 % faults and three SIGKILLs, and fails unless each customer exists exactly once.
"""

import gc
import resource
import tempfile
import time
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import orjson
from bulk.limited_gateway import LimitedWonder
from bulk.test_killed_job import run_with_kills
from wonder_customers_cli import COLLECT_AFTER

from benchmarks._findings import Figure, Findings, Target
from benchmarks._processes import in_new_process, run_case
from wonder_customers import AdaptiveRateLimit, CustomerSession, Monri
from wonder_customers.bulk import Journal, Options, sources, sync
from wonder_customers.bulk.journal import connect
from wonder_customers.bulk.journal.entries import Change
from wonder_customers.dialects import names, package, simulator
from wonder_customers.records import CustomerDraft, Phone
from wonder_customers.simulator.server import SimulatorServer
from wonder_customers.wire import HttpResponse, SignedRequest, Transmission

HEADER = "Customer ID,Full Name,E-mail,Phone Number,City,Country,Street\n"  # recognised by synonyms
ACCOUNT = Monri("token", "key")
FIELDS = '{"email":"+","name":"+","phone":"+"}'
ID = "0f8fad5b-d9cb-469f-a165-70867728950e"


def _source(path: Path, rows: int) -> Path:
    with path.open("w") as file:
        file.write(HEADER)
        for number in range(rows):
            phone = f"+385 91 234 {number % 10_000:04}"
            file.write(f"c-{number},Ada Nr {number},ada{number}@example.com,{phone},Zagreb,Croatia,Ilica {number}\n")
    return path


def _journal(folder: Path) -> Journal:
    return Journal.open(folder / "journal", gateway="monri", endpoint=ACCOUNT.base_url)


def written_journal(folder: Path, source: Path) -> Journal:
    """Write a journal with two entries per row, as a run does: sending and done."""
    journal = _journal(folder)

    async def write_rows() -> None:
        changes: list[Change] = []
        for row in sources.read(source):
            raw = journal.digests.row(row.raw_values or b"")
            confirmed = (row.reference, row.number, raw, raw, FIELDS)
            changes += [("sending", confirmed), ("done", (*confirmed, "created", ID, 1))]
            if len(changes) >= 400:
                await journal.merge(changes)
                changes = []
        await journal.merge(changes)

    async def write() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(journal.serve)
            try:
                await write_rows()
            finally:
                journal.stop()

    journal.begin({})
    anyio.run(write)
    journal.end("finished", {})
    with closing(connect(journal.path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").close()
    return journal


async def _run(source: Path, journal: Journal, transport: Any = None) -> None:
    async with CustomerSession(ACCOUNT, transport=transport) as session:
        job = sync(session, sources.read(source), journal=journal, options=Options(failure_share=None))
        async with job:
            async for outcome in job:
                assert outcome.ok, outcome


class Instant:
    """A transport that responds immediately: no customer exists, and a created customer is returned as it was sent."""

    async def send(self, signed_request: SignedRequest, transmission: Transmission) -> HttpResponse:
        """Respond as Monri does."""
        transmission.sent = True
        if signed_request.method == "GET":
            transmission.status = 404
            return HttpResponse(404, {}, b'{"status":"error","message":"customer not found"}')
        transmission.status = 201
        body = {
            **orjson.loads(signed_request.body),
            "uuid": ID,
            "status": "approved",
        }
        return HttpResponse(201, {}, orjson.dumps(body))

    async def aclose(self) -> None:
        """Do nothing."""


def _once(case: str, rows: int) -> tuple[float, float]:
    """Return the rows per second of CPU time and the peak memory in MB of one run in this process.

    The garbage collector has the setting of the command line.
    """
    gc.set_threshold(COLLECT_AFTER)
    with tempfile.TemporaryDirectory() as name:
        source = _source(Path(name) / "c.csv", rows)
        journal = written_journal(Path(name), source) if case == "unchanged" else _journal(Path(name))
        began = time.process_time()
        anyio.run(_run, source, journal, Instant() if case == "sent" else None)
        seconds = time.process_time() - began
    return rows / seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


async def _filled(account: Any, rows: int) -> None:
    phone = Phone("+385", "912345678")
    drafts = (CustomerDraft(f"c-{number}", "Ada", email="a@example.com", phone=phone) for number in range(rows))
    async with CustomerSession(account, rate_limit=AdaptiveRateLimit()) as session, sync(session, drafts) as job:
        async for outcome in job:
            assert outcome.ok, outcome


def _limit(rows: int) -> tuple[float, float]:
    """Return the requests per second in the second half of a run, and the fraction of all requests that was refused."""
    with SimulatorServer([LimitedWonder]) as server:
        anyio.run(_filled, package("wonder").ACCOUNT.from_environment(server.environment()), rows)
    half = LimitedWonder.taken[rows // 2 :]
    return len(half) / (half[-1] - half[0]), LimitedWonder.refused / (rows + LimitedWonder.refused)


def measure(*, quick: bool) -> Findings:
    """Measure runs in fresh processes, and one against a gateway with a limit."""
    small, large = (4000, 40_000) if quick else (100_000, 1_000_000)
    found = {
        (case, rows): in_new_process("sync", case, rows)
        for case, sizes in {"unchanged": (small, large), "sent": (small // 10, large // 10)}.items()
        for rows in sizes
    }
    rate, refused = _limit(800 if quick else 8000)
    figures = [Figure(f"{rows:,} rows {case}", "speed", it[0], "rows/CPU s") for (case, rows), it in found.items()]
    figures += [Figure(f"{rows:,} rows {case}", "peak memory", peak, "MB") for (case, rows), (_, peak) in found.items()]
    figures.append(Figure("a gateway that takes 200 requests/s", "rate found", rate, "requests/s"))
    figures.append(Figure("a gateway that takes 200 requests/s", "refused", 100 * refused, "%"))
    growth = found["unchanged", large][1] / found["unchanged", small][1]
    targets = (
        Target("50,000 unchanged rows/CPU s", found["unchanged", large][0], least=50_000),
        Target("memory at most 10 % higher for ten times the rows", growth, most=1.1),
        Target("under 200 MB", max(peak for _, peak in found.values()), most=200),
        Target("within 10 % of 200 requests/s", rate, least=180, most=220),
        Target("under 2 % refused", 100 * refused, most=2),
    )
    notes = ("Unchanged rows are read, mapped, digested and compared with the journal; nothing is sent.",)
    return Findings(__doc__ or "", tuple(figures), targets, notes)


def kills(rows: int) -> None:
    """Kill a job three times at random moments, for every gateway."""
    for gateway in names():
        with (
            SimulatorServer([simulator(name) for name in names()], faults=True) as server,
            tempfile.TemporaryDirectory() as folder,
        ):
            account, began = package(gateway).ACCOUNT.from_environment(server.environment()), time.monotonic()
            run_with_kills(gateway, rows, 3, 0.02, server, Path(folder), lambda _, found=account: found)
            print(f"{gateway}: {rows:,} rows, 3 kills, each customer once, {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    run_case({"unchanged": partial(_once, "unchanged"), "sent": partial(_once, "sent"), "kills": kills})

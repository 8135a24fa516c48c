"""How long do jobs of a million, a hundred million and a billion customers take, and how large is the journal?

``python -m benchmarks capacity`` measures jobs of 10,000 to a million rows on this machine, and runs jobs that are too
large for it in virtual time: workers take partitions, share a gateway's limit, die at random and are replaced. The
simulation is compared with the measured jobs.
"""

import heapq
import random
import tempfile
import time
from collections.abc import Mapping
from contextlib import closing
from math import ceil
from pathlib import Path
from statistics import median

import anyio
from attrs import frozen

from benchmarks._findings import Figure, Findings, Target
from benchmarks._processes import in_new_process, run_case
from benchmarks.sync import ACCOUNT, Instant, _run, _source, written_journal
from wonder_customers.bulk import Index, Journal, Source
from wonder_customers.bulk.distributed.leases import Leases
from wonder_customers.bulk.distributed.partition import SIZE, Partition
from wonder_customers.bulk.journal import connect

CUSTOMERS = (1_000_000, 100_000_000, 1_000_000_000)
LIMITS = (25, 100, 1000)
RESTART = 5.0
"""Seconds from the death of a worker until its partition is continued. Local Ray takes one to two."""
SETTLE = 10.0
"""Seconds before an unconfirmed row is sent again."""
DEATHS = 1 / 86_400
"""Deaths per worker and second: one per day."""


@frozen
class Speeds:
    """The speed of one machine.

    Attributes:
        index: Rows per second of the index pass.
        unchanged: Rows per second that are compared with the journal and found unchanged.
        sent: Rows per second that one worker sends without a rate limit and with immediate responses.
        journal: Bytes of the journal per row.
        partitions: Bytes of the file of partitions per row.
    """

    index: float
    unchanged: float
    sent: float
    journal: float
    partitions: float


@frozen
class Outlook:
    """The course of a job.

    Attributes:
        seconds: Seconds from the first request to the last.
        index: Seconds of the index pass.
        deaths: Workers that died and were replaced.
        journal: Bytes of the journal.
        partitions: Bytes of the file of partitions.
    """

    seconds: float
    index: float
    deaths: int
    journal: float
    partitions: float


def simulate(
    customers: int,
    limit: float,
    speeds: Speeds,
    *,
    workers: int = 8,
    requests: int = 2,
    changed: float = 1.0,
    deaths: float = DEATHS,
) -> Outlook:
    """Run a job in virtual time, partition by partition.

    Args:
        customers: The number of rows.
        limit: Requests per second of all workers together.
        speeds: The speeds of a worker.
        workers: The number of workers.
        requests: Requests per row: 1 for a native upsert (Wonder), 2 otherwise.
        changed: The fraction of rows that have to be sent.
        deaths: Deaths per worker and second.
    """
    dice, died = random.Random(7), 0
    partitions, left = ceil(customers / SIZE), customers
    # Busy workers share the limit evenly; none is faster than its machine.
    each = min(limit / requests / workers, speeds.sent)
    free = [0.0] * workers
    for _ in range(partitions):
        rows = min(SIZE, left)
        left -= rows
        now, done = heapq.heappop(free), 0.0
        while True:
            fresh = rows - done
            took = done / speeds.unchanged + fresh * (1 - changed) / speeds.unchanged + fresh * changed / each
            death = dice.expovariate(deaths) if deaths else took
            if death >= took:
                break
            # Confirmed rows stay confirmed; rows in progress wait for the confirmation window.
            died, now, done = died + 1, now + death + RESTART + SETTLE, done + fresh * death / took
        heapq.heappush(free, now + took)
    return Outlook(max(free), customers / speeds.index, died, customers * speeds.journal, customers * speeds.partitions)


def _finish(partitions: Path) -> None:
    """Report a result for every partition, as workers do."""
    progress = {
        "rows": {"read": SIZE},
        "counts": {"created": SIZE},
        "latencies": dict.fromkeys(map(str, range(20, 40)), 50),
    }
    with closing(Leases(partitions)) as leases:
        while (taken := leases.take()) is not None:
            key = (Partition.from_json(taken[0]).place, taken[1])
            leases.finish(key, {"progress": progress, "failures": [], "place": key[0]}, complete=True)
    with closing(connect(partitions)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").close()


def _job(rows: int, *, warm: bool = False) -> dict[str, float]:
    """Measure a job whose rows are all confirmed, and the size of its files."""
    if not warm:
        # Work done once per process is not counted per row.
        _job(1000, warm=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = _source(folder / "c.csv", rows)
        began = time.perf_counter()
        Leases.create(folder / "p", Index(Source(str(source))), {})
        indexed = time.perf_counter()
        _finish(folder / "p")
        begun = time.perf_counter()
        journal = written_journal(folder, source)
        written = time.perf_counter()
        anyio.run(_run, source, journal)
        ended = time.perf_counter()
        return {
            "index": indexed - began,
            "unchanged": ended - written,
            "journaled": written - begun,
            "journal": journal.path.stat().st_size,
            "partitions": (folder / "p").stat().st_size,
        }


def _sent(rows: int) -> dict[str, float]:
    """Measure a job that sends every row to a gateway that responds immediately."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = _source(folder / "c.csv", rows)
        journal = Journal.open(folder / "journal", gateway="monri", endpoint=ACCOUNT.base_url)
        began = time.perf_counter()
        anyio.run(_run, source, journal, Instant())
        return {"sent": time.perf_counter() - began, "journal": journal.path.stat().st_size}


def _off(simulated: float, measured: float) -> float:
    """Return the deviation of a simulated figure from a measured one, in per cent."""
    return 100 * abs(simulated / measured - 1)


def measure(*, quick: bool) -> Findings:
    """Measure small jobs, and simulate large ones."""
    sizes = (2_000, 10_000) if quick else (10_000, 100_000, 1_000_000)
    points = {rows: in_new_process("capacity", "job", rows) for rows in sizes}
    sending = {rows: in_new_process("capacity", "sent", rows) for rows in (sizes[0], 3 * sizes[0])}
    middle = sizes[len(sizes) // 2]
    # The speeds come from the middle job; the largest one checks them.
    speeds = Speeds(
        middle / points[middle]["index"],
        middle / points[middle]["unchanged"],
        median(rows / found["sent"] for rows, found in sending.items()),
        points[middle]["journal"] / middle,
        points[middle]["partitions"] / middle,
    )
    figures = [
        Figure(f"{rows:,} rows", what, value, unit)
        for rows, found in points.items()
        for what, value, unit in (
            ("index pass", rows / found["index"], "rows/s"),
            ("unchanged", rows / found["unchanged"], "rows/s"),
            ("journal", found["journal"] / rows, "bytes/row"),
            ("partitions", found["partitions"] / rows, "bytes/row"),
        )
    ]
    figures += [Figure(f"{rows:,} rows", "sent", rows / it["sent"], "rows/s") for rows, it in sending.items()]
    for customers in CUSTOMERS[:1] if quick else CUSTOMERS:
        figures += _outlook(customers, speeds)
    largest = sizes[-1]
    one = simulate(largest, 1e9, speeds, workers=1, changed=0.0, deaths=0.0)
    writing = 3 * sizes[0]
    sent = simulate(writing, 1e9, speeds, workers=1, deaths=0.0)
    targets = (
        Target("time of the largest unchanged job, % off", _off(one.seconds, points[largest]["unchanged"]), most=25),
        Target("its index pass, % off", _off(one.index, points[largest]["index"]), most=25),
        Target("its journal, % off", _off(one.journal, points[largest]["journal"]), most=10),
        Target("time of a job that sends, % off", _off(sent.seconds, sending[writing]["sent"]), most=25),
    )
    notes = (
        "Simulated: 8 workers, one death per worker and day, 2 requests per customer (Paydock, Monri; Wonder needs 1).",
        "The journal's rows have references like c-123456, digests and a UUID.",
    )
    return Findings(__doc__ or "", tuple(figures), targets, notes)


def _outlook(customers: int, speeds: Speeds) -> list[Figure]:
    case = f"{customers:,} customers"
    first = {limit: simulate(customers, limit, speeds) for limit in LIMITS}
    found = first[LIMITS[0]]
    nightly = simulate(customers, LIMITS[1], speeds, changed=0.01)
    hours = [Figure(case, f"at {limit}/s", outlook.seconds / 3600, "h") for limit, outlook in first.items()]
    return [
        Figure(case, "index pass", found.index / 3600, "h"),
        *hours,
        Figure(case, "1 % changed, at 100/s", nightly.seconds / 3600, "h"),
        Figure(case, "journal", found.journal / 1e9, "GB"),
        Figure(case, "partitions", found.partitions / 1e9, "GB"),
        Figure(case, "deaths at 25/s", found.deaths, ""),
    ]


def table(results: Mapping[str, list[Mapping[str, object]]]) -> str:
    """Return the table of the documentation page, from the saved results."""
    values = {(it["case"], it["contender"]): float(str(it["value"])) for it in results["figures"]}
    columns = ("index pass", *(f"at {limit}/s" for limit in LIMITS), "1 % changed, at 100/s", "journal", "partitions")
    lines = ["| customers | " + " | ".join(columns) + " |", "|---|" + "---|" * len(columns)]
    for customers in CUSTOMERS:
        case = f"{customers:,} customers"
        cells = [_formatted(name, values[case, name]) for name in columns]
        lines.append(f"| {customers:,} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def checks(results: Mapping[str, list[Mapping[str, object]]]) -> str:
    """Return the table of the deviations of the simulation."""
    lines = ["| simulated quantity | deviation from the measurement |", "|---|---|"]
    lines += [
        f"| {str(it['description']).partition(',')[0]} | {float(str(it['value'])):.2g} % |" for it in results["targets"]
    ]
    return "\n".join(lines) + "\n"


def _formatted(name: str, value: float) -> str:
    if name in {"journal", "partitions"}:
        return f"{_short(value)} GB" if value >= 1 else f"{_short(1000 * value)} MB"
    for unit, size in (("days", 24.0), ("h", 1.0), ("min", 1 / 60)):
        if value >= 2 * size:
            return f"{_short(value / size)} {unit}"
    return f"{_short(3600 * value)} s"


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


if __name__ == "__main__":
    run_case({"job": _job, "sent": _sent})

"""Customers that every gateway accepts, as CSV lines and as drafts, and jobs that send them with short waits."""

import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from wonder_customers import AdaptiveRateLimit, CustomerSession, RateLimiter, RetryPolicy
from wonder_customers.bulk import Job, Journal, Options, Outcome, sources, sync
from wonder_customers.bulk.sources.reader import RowReader
from wonder_customers.records import CustomerDraft, Phone
from wonder_customers.simulator.server import SimulatorServer

AccountFactory = Callable[[str], Any]
"""The type of the fixture `account`."""

EARLIER_FORMAT = """
ALTER TABLE rows RENAME TO new;
CREATE TABLE rows (
    reference TEXT PRIMARY KEY, number INTEGER NOT NULL, run INTEGER NOT NULL, state TEXT NOT NULL, result TEXT,
    raw BLOB, payload BLOB, id TEXT, attempts INTEGER NOT NULL, code TEXT, at REAL NOT NULL
) WITHOUT ROWID;
INSERT INTO rows SELECT reference, number, run, state, result, raw, payload, id, attempts, code, at FROM new;
DROP TABLE new;
"""
"""Makes the journal one of version 0.1.0, which has no record of the fields."""

QUICK = RetryPolicy(
    attempts=8,
    deadline=120.0,
    connect_timeout=20.0,
    read_timeout=20.0,
    write_timeout=20.0,
    base=0.02,
    throttle_base=0.02,
    cap=0.2,
    confirmation_window=0.4,
    transient_cost=0,
    throttle_cost=0,
)
"""The policy of bulk jobs: waits between attempts are short, timeouts are long enough for a busy machine."""
OPTIONS = Options(retry=QUICK, failure_share=None)

HEADER = "reference,name,email,phone"


def line(number: int, version: str = "1") -> str:
    """Return one row of a CSV file that every gateway accepts."""
    return f"c-{number},Ada Nr {number} v{version},ada.{number}@example.com,+385 91 234 {number % 10_000:04}"


def write_csv(path: Path, rows: int, version: str = "1") -> Path:
    """Write a CSV file of `rows` customers."""
    path.write_text("\n".join([HEADER, *(line(number, version) for number in range(rows))]) + "\n", encoding="utf-8")
    return path


def draft(number: int, version: str = "1") -> CustomerDraft:
    """Return the draft of a row made by `line`."""
    phone = Phone.parse(f"+385 91 234 {number % 10_000:04}")
    return CustomerDraft(f"c-{number}", f"Ada Nr {number} v{version}", email=f"ada.{number}@example.com", phone=phone)


def drafts(rows: int, version: str = "1") -> list[CustomerDraft]:
    """Return the drafts of the rows of a file made by `write_csv`."""
    return [draft(number, version) for number in range(rows)]


def once(rows: int) -> dict[str, int]:
    """Return the ledger of a gateway at which each row of a file made by `write_csv` was created once."""
    return {f"c-{number}": 1 for number in range(rows)}


async def collect(job: Job) -> list[Outcome]:
    """Run a job and return its outcomes."""
    async with job:
        return [outcome async for outcome in job]


def open_journal(path: Path, account: Any, gateway: str) -> Journal:
    """Open the journal of jobs for `account`."""
    return Journal.open(path, gateway=gateway, endpoint=account.base_url)


async def run_job(
    account: Any, rows: Any, journal: Journal | None = None, *, rate_limit: RateLimiter | None = None, **options: Any
) -> tuple[Job, list[Outcome]]:
    """Run a job in a session of its own; return it with its outcomes."""
    async with CustomerSession(account, rate_limit=rate_limit or AdaptiveRateLimit()) as session:
        chosen = Options(**{"retry": QUICK, "failure_share": None, **options})
        job = sync(session, rows, journal=journal, options=chosen)
        return job, await collect(job)


class Jobs:
    """Runs jobs of one source and one journal at one gateway."""

    def __init__(self, gateway: str, server: SimulatorServer, account: Any, folder: Path) -> None:
        self.gateway, self.server, self.account = gateway, server, account
        self.source, self.journal = folder / "c.csv", open_journal(folder / "j", account, gateway)

    def rows(self) -> RowReader:
        """Read the source."""
        return sources.read(self.source)

    async def run(self, rows: Any = None, **options: Any) -> tuple[Job, list[Outcome]]:
        """Run a job of `rows`, by default of the source; return it with its outcomes."""
        return await run_job(self.account, self.rows() if rows is None else rows, self.journal, **options)

    def ledger(self) -> dict[str, int]:
        """Return how often each customer was created."""
        return self.server.store.ledger(self.gateway)

    def requests(self) -> int:
        """Return the number of requests that the simulator received."""
        return self.server.faults.requests.total()

    def last_run(self) -> Any:
        """Return the last run in the journal, which must have one."""
        found = self.journal.last_run()
        assert found is not None
        return found

    def session(self) -> CustomerSession[Any]:
        """Return a session of the account."""
        return CustomerSession(self.account, retry=QUICK)


async def send(session: CustomerSession[Any], rows: Any, journal: Journal | None = None) -> None:
    """Run a job in which every row succeeds."""
    outcomes = await collect(sync(session, rows, journal=journal, options=OPTIONS))
    assert all(outcome.ok for outcome in outcomes), outcomes


def count_statuses(outcomes: list[Outcome]) -> dict[str, int]:
    """Return the number of outcomes of each status."""
    return dict(Counter(outcome.status for outcome in outcomes))


def journal_rows(journal: Path) -> list[Any]:
    """Return the rows of a journal without their times."""
    query = "SELECT reference, number, run, state, result, raw, payload, attempts, code FROM rows ORDER BY reference"
    with closing(sqlite3.connect(journal)) as connection:
        return connection.execute(query).fetchall()

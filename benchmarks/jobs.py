"""The rate of a bulk job compared with plain session calls."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

from benchmarks._canned import canned_server
from benchmarks._contenders import LIBRARY, ON_HTTPX, account, draft
from benchmarks._findings import ROUNDS, Findings, Target, summed_up
from benchmarks._loop import on_any_core, run
from wonder_customers import CustomerSession
from wonder_customers.bulk import BULK, Journal, Options, sync
from wonder_customers.records import CustomerDraft

_WORKERS = 16
"""The default number of workers of a job, and the number of tasks that make the bare calls."""

BARE, JOB, JOURNALLED = "bare calls", "sync", "sync with a journal"
_LEAST = {JOB: 0.9, JOURNALLED: 0.8}
"""The lowest accepted rate of a job as a fraction of the rate of bare calls."""
Session = CustomerSession[Any]
Way = Callable[[Session, list[CustomerDraft]], Awaitable[None]]


async def _bare(session: Session, drafts: list[CustomerDraft]) -> None:
    rest = iter(drafts)

    async def work() -> None:
        for it in rest:
            await session.upsert(it)

    await asyncio.gather(*(work() for _ in range(_WORKERS)))


async def _job(session: Session, drafts: list[CustomerDraft], journal: Journal | None = None) -> None:
    done = 0
    async with sync(session, drafts, journal=journal, options=Options(workers=_WORKERS)) as job:
        async for outcome in job:
            assert outcome.ok, outcome
            done += 1
    assert done == len(drafts)


async def _journalled(session: Session, drafts: list[CustomerDraft]) -> None:
    with TemporaryDirectory() as folder:
        journal = Journal.open(Path(folder) / "journal", gateway="monri", endpoint=session.account.base_url)
        await _job(session, drafts, journal)


_WAYS: dict[str, Way] = {BARE: _bare, JOB: _job, JOURNALLED: _journalled}


async def _rounds(port: int, transport: Any, rows: int, rounds: int) -> dict[str, list[float]]:
    seen: dict[str, list[float]] = {way: [] for way in _WAYS}
    first = 0
    async with CustomerSession(account(port), retry=BULK, transport=transport) as session:
        await _bare(session, [draft(f"warm-{number}") for number in range(200)])
        for _ in range(rounds):
            for name, way in _WAYS.items():
                drafts = [draft(f"00000000-0000-4000-8000-{first + number:012d}") for number in range(rows)]
                first += rows
                began = perf_counter()
                await way(session, drafts)
                seen[name].append(rows / (perf_counter() - began))
    if transport is not None:
        await transport.aclose()
    return seen


async def _both(port: int, rows: int, rounds: int) -> dict[str, dict[str, list[float]]]:
    from wonder_customers.transports.httpx import HttpxTransport  # noqa: PLC0415 - the default does not load it

    return {
        LIBRARY: await _rounds(port, None, rows, rounds),
        ON_HTTPX: await _rounds(port, HttpxTransport(), rows, rounds),
    }


def measure(*, quick: bool) -> Findings:
    """Measure upserts from ready drafts: by bare calls, by a job, and by a job with a journal."""
    with canned_server() as port, on_any_core():
        seen = run(_both(port, *((200, 1) if quick else (3000, ROUNDS))))
    figures = tuple(figure for case, rounds in seen.items() for figure in summed_up(case, "rows/s", rounds))
    found = Findings(__doc__ or "", figures)
    targets = tuple(
        Target(f"{way} ≥ {least} of bare calls, {case}", found.value(case, way) / found.value(case, BARE), least=least)
        for case in seen
        for way, least in _LEAST.items()
    )
    note = "The journal writes in a thread of its own, so these may use every core; the canned server uses one of them."
    return Findings(found.question, figures, targets, (note,))

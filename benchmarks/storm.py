"""How long do calls take while other calls are cancelled continuously?"""

import asyncio
from contextlib import AsyncExitStack
from statistics import median, quantiles
from time import perf_counter

from benchmarks._canned import canned_server
from benchmarks._contenders import AIOHTTP, CONTENDERS, HTTPX, LIBRARY, ON_HTTPX, Operations
from benchmarks._findings import ROUNDS, Findings, Target, summed_up
from benchmarks._loop import run

_STORMED = (LIBRARY, ON_HTTPX, HTTPX, AIOHTTP)
_ID = "00000000-0000-4000-8000-000000000001"


async def _healthy(operations: Operations, seconds: float, *, storm: bool) -> tuple[float, float, float]:
    """Return the median and the 99th percentile of consecutive calls in ms, and the ratio of failed ones."""
    took: list[float] = []
    failed = 0
    end = perf_counter() + seconds

    async def cancelled() -> None:
        while perf_counter() < end:
            task = asyncio.ensure_future(operations.get(_ID))
            await asyncio.sleep(0.001)
            task.cancel()
            await asyncio.wait([task])

    others = [asyncio.create_task(cancelled()) for _ in range(16 if storm else 0)]
    while perf_counter() < end:
        began = perf_counter()
        try:
            async with asyncio.timeout(1):
                await operations.get(_ID)
        except Exception:  # noqa: BLE001 - any failure of a contender counts
            failed += 1
        took.append((perf_counter() - began) * 1000)
    await asyncio.gather(*others)
    return median(took), quantiles(took, n=100)[98] if len(took) > 1 else took[0], failed / len(took)


async def _rounds(port: int, seconds: float, rounds: int) -> dict[str, dict[str, list[float]]]:
    cases = ("calm, p50", "calm, p99", "storm, p50", "storm, p99", "storm, failed")
    seen: dict[str, dict[str, list[float]]] = {case: {name: [] for name in _STORMED} for case in cases}
    for _ in range(rounds):
        for name in _STORMED:
            # Opened again in every round, because the cancellations may have broken a pool.
            async with AsyncExitStack() as stack:
                operations = await stack.enter_async_context(CONTENDERS[name](port))
                calm = await _healthy(operations, seconds / 2, storm=False)
                storm = await _healthy(operations, seconds, storm=True)
            for case, value in zip(cases, (*calm[:2], *storm[:2], storm[2] * 100), strict=True):
                seen[case][name].append(value)
    return seen


def measure(*, quick: bool) -> Findings:
    """Measure one task while sixteen others cancel their calls after a millisecond."""
    with canned_server() as port:
        seen = run(_rounds(port, *((0.2, 1) if quick else (1.0, ROUNDS))))
    figures = [
        figure for case, rounds in seen.items() for figure in summed_up(case, "%" if "failed" in case else "ms", rounds)
    ]
    found = Findings(__doc__ or "", tuple(figures))
    targets = tuple(
        Target(f"no healthy call fails in the storm, {name} (%)", found.value("storm, failed", name), most=0.0)
        for name in (LIBRARY, ON_HTTPX)
    )
    note = "A call that takes more than a second counts as failed."
    return Findings(found.question, found.figures, targets, (note,))

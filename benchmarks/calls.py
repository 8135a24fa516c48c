"""How many calls a second does one core make, at 1 to 512 at a time?"""

import asyncio
from contextlib import AsyncExitStack
from itertools import count
from time import perf_counter

from benchmarks._canned import canned_server
from benchmarks._contenders import (
    AIOHTTP,
    BARE,
    CONTENDERS,
    HTTPX,
    LIBRARY,
    ON_HTTPX,
    STRIPE,
    Opener,
    Operations,
)
from benchmarks._findings import ROUNDS, Figure, Findings, Target, summed_up
from benchmarks._loop import loop_name, run

CROWDS = (1, 8, 32, 128, 512)
OPERATIONS = ("get", "upsert")


async def rate(operations: Operations, operation: str, crowd: int, seconds: float) -> float:
    """Calls a second that `crowd` tasks make together."""
    call, numbers, done = getattr(operations, operation), count(), 0
    end = perf_counter() + seconds

    async def work() -> None:
        nonlocal done
        while perf_counter() < end:
            await call(f"00000000-0000-4000-8000-{next(numbers):012d}")
            done += 1

    began = perf_counter()
    await asyncio.gather(*(work() for _ in range(crowd)))
    return done / (perf_counter() - began)


async def _case(port: int, operation: str, crowd: int, *, rounds: int, seconds: float) -> list[Figure]:
    async with AsyncExitStack() as stack:
        opened = {name: await _warm(stack, opener, port, operation, crowd) for name, opener in CONTENDERS.items()}
        seen: dict[str, list[float]] = {name: [] for name in opened}
        for _ in range(rounds):
            for name, operations in opened.items():
                seen[name].append(await rate(operations, operation, crowd, seconds))
        return summed_up(f"{operation}, {crowd} at a time", "calls/s", seen)


async def _warm(stack: AsyncExitStack, opener: Opener, port: int, operation: str, crowd: int) -> Operations:
    operations = await stack.enter_async_context(opener(port))
    await rate(operations, operation, crowd, 0.05)
    return operations


def measure(*, quick: bool) -> Findings:
    """Measure all contenders against one canned server."""
    rounds, seconds = (1, 0.1) if quick else (ROUNDS, 0.4)
    figures: list[Figure] = []
    with canned_server() as port:
        for operation in OPERATIONS:
            for crowd in CROWDS:
                figures += run(_case(port, operation, crowd, rounds=rounds, seconds=seconds))
    found = Findings(__doc__ or "", tuple(figures))
    ceiling = max(found.value(f"get, {crowd} at a time", BARE) for crowd in CROWDS)
    notes = (
        f"All on {loop_name()}; the client has one core, the canned server another.",
        f"The canned server answered {ceiling:,.0f} requests a second at most, to the bare socket.",
    )
    return Findings(found.question, found.figures, _targets(found), notes)


def _targets(found: Findings) -> tuple[Target, ...]:
    def times(mine: str, theirs: str, crowd: int) -> float:
        case = f"upsert, {crowd} at a time"
        return found.value(case, mine) / found.value(case, theirs)

    return (
        *(
            Target(f"default ≥ {least:g} × httpx at {crowd}", times(LIBRARY, HTTPX, crowd), least=least)
            for crowd, least in ((1, 1.2), (32, 4.0), (128, 5.0), (512, 5.0))
        ),
        *(
            Target(f"aiohttp transport ≥ {least:g} × httpx at {crowd}", times(ON_HTTPX, HTTPX, crowd), least=least)
            for crowd, least in ((32, 15.0), (128, 25.0))
        ),
        *(
            Target(f"aiohttp transport ≥ 0.8 × aiohttp at {crowd}", times(ON_HTTPX, AIOHTTP, crowd), least=0.8)
            for crowd in (32, 128)
        ),
        Target("aiohttp transport ≥ 10 × stripe-python at 32", times(ON_HTTPX, STRIPE, 32), least=10.0),
        Target(
            "µs per call at 512 ≤ 1.5 × that at 32, default",
            found.value("upsert, 32 at a time", LIBRARY) / found.value("upsert, 512 at a time", LIBRARY),
            most=1.5,
        ),
    )

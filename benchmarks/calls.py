"""How many calls a second does one core make, with 1 to 512 calls in progress?"""

import asyncio
import ssl
from collections.abc import Mapping
from contextlib import AsyncExitStack
from itertools import count
from time import perf_counter

from benchmarks._canned import canned_server, canned_tls_server
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

CONCURRENCY = (1, 8, 32, 128, 512)
TARGETED = (32, 128)
"""The numbers of calls in progress that the targets compare. A quick run measures only these."""
OPERATIONS = ("get", "upsert")

_OVER_TLS: Mapping[str, Opener] = {name: CONTENDERS[name] for name in (LIBRARY, ON_HTTPX, HTTPX, AIOHTTP, BARE)}
"""stripe-python has no option for a TLS context."""


async def rate(operations: Operations, operation: str, concurrency: int, seconds: float) -> float:
    """Return the calls per second of `concurrency` tasks together."""
    call, numbers, done = getattr(operations, operation), count(), 0
    end = perf_counter() + seconds

    async def work() -> None:
        nonlocal done
        while perf_counter() < end:
            await call(f"00000000-0000-4000-8000-{next(numbers):012d}")
            done += 1

    began = perf_counter()
    await asyncio.gather(*(work() for _ in range(concurrency)))
    return done / (perf_counter() - began)


async def _case(
    port: int,
    operation: str,
    concurrency: int,
    context: ssl.SSLContext | None = None,
    *,
    rounds: int,
    seconds: float,
) -> list[Figure]:
    contenders = CONTENDERS if context is None else _OVER_TLS
    async with AsyncExitStack() as stack:
        opened = {}
        for name, opener in contenders.items():
            opened[name] = await stack.enter_async_context(opener(port, *([] if context is None else [context])))
            await rate(opened[name], operation, concurrency, 0.05)  # the first calls of a process import modules
        seen: dict[str, list[float]] = {name: [] for name in opened}
        for _ in range(rounds):
            for name, operations in opened.items():
                # Each library closes idle connections after another time. Opening them is not part of the measurement.
                await rate(operations, operation, concurrency, 0.05)
                seen[name].append(await rate(operations, operation, concurrency, seconds))
        return summed_up(_name(operation, concurrency, tls=context is not None), "calls/s", seen)


def _name(operation: str, concurrency: int, *, tls: bool = False) -> str:
    return f"{operation}, {concurrency} at a time{', TLS 1.3' if tls else ''}"


def measure(*, quick: bool) -> Findings:
    """Measure all contenders against one canned server, without TLS and over TLS 1.3."""
    rounds, seconds, concurrencies = (1, 0.1, TARGETED) if quick else (ROUNDS, 0.4, CONCURRENCY)
    figures: list[Figure] = []
    with canned_server() as port:
        for operation in OPERATIONS:
            for concurrency in concurrencies:
                figures += run(_case(port, operation, concurrency, rounds=rounds, seconds=seconds))
    with canned_tls_server() as (port, context):
        for concurrency in TARGETED:
            figures += run(_case(port, "get", concurrency, context, rounds=rounds, seconds=seconds))
    found = Findings(__doc__ or "", tuple(figures))
    most = max(found.value(_name("get", concurrency), BARE) for concurrency in concurrencies)
    notes = (
        f"All on {loop_name()}. The client uses one core, the canned server another.",
        f"The canned server sent at most {most:,.0f} responses per second, to the bare socket.",
    )
    return Findings(found.question, found.figures, _targets(found), notes)


def _targets(found: Findings) -> tuple[Target, ...]:
    def target(
        theirs: str, operation: str, concurrency: int, least: float, *, mine: str = LIBRARY, tls: bool = False
    ) -> Target:
        case = _name(operation, concurrency, tls=tls)
        ratio = found.value(case, mine) / found.value(case, theirs)
        return Target(f"{case}: {mine} ≥ {least:g} × {theirs}", ratio, least=least)

    return (
        target(AIOHTTP, "get", 32, 1.0),
        target(AIOHTTP, "get", 128, 1.3),
        target(AIOHTTP, "upsert", 32, 0.95),
        target(AIOHTTP, "upsert", 128, 1.3),
        target(AIOHTTP, "get", 32, 1.0, tls=True),
        target(HTTPX, "get", 32, 12.0),
        target(HTTPX, "get", 128, 20.0),
        target(BARE, "get", 128, 0.16),
        target(STRIPE, "upsert", 32, 10.0),
        target(HTTPX, "get", 32, 2.0, mine=ON_HTTPX),
    )

"""What do an import, a session and a view cost?"""

import asyncio
import subprocess
import sys
import tracemalloc
from collections.abc import Callable

from benchmarks._contenders import account
from benchmarks._findings import ROUNDS, Findings, Target, alternate, microseconds, summed_up
from wonder_customers import CustomerSession, Monri

_IMPORT = "from time import process_time; began = process_time(); import {}; print(process_time() - began)"
_MANY = 200


def _importing(names: str) -> Callable[[], float]:
    def once() -> float:
        done = subprocess.run(
            [sys.executable, "-c", _IMPORT.format(names)], capture_output=True, text=True, check=True, timeout=60
        )
        return float(done.stdout) * 1000

    return once


def _bytes_each(make: Callable[[int], object]) -> Callable[[], float]:
    def measure() -> float:
        make(0)
        tracemalloc.start()
        kept = [make(number) for number in range(1, _MANY + 1)]
        size, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert len(kept) == _MANY
        return size / _MANY

    return measure


async def _memory(rounds: int) -> dict[str, list[float]]:
    accounts = [Monri(f"key{number}", f"token{number}", base_url="http://127.0.0.1:1") for number in range(_MANY + 1)]
    async with CustomerSession(account(1)) as session:
        return alternate(
            {
                "a session": _bytes_each(lambda number: CustomerSession(accounts[number])),
                "a view": _bytes_each(lambda number: session.for_account(accounts[number])),
            },
            rounds,
        )


def measure(*, quick: bool) -> Findings:
    """Measure in fresh processes (imports) and here (sessions and views)."""
    rounds = 1 if quick else ROUNDS
    imports = alternate(
        {
            "wonder_customers": _importing("wonder_customers"),
            "httpx and cattrs": _importing("httpx, cattrs"),
            "stripe": _importing("stripe"),
        },
        rounds,
    )
    one = account(1)
    making = alternate({"a session": microseconds(lambda: CustomerSession(one), 0.01 if quick else 0.2)}, rounds)
    memory = asyncio.run(_memory(rounds))
    figures = (
        *summed_up("import, CPU", "ms", imports),
        *summed_up("create", "µs", making),
        *summed_up("memory", "bytes", memory),
    )
    found = Findings(__doc__ or "", figures)
    ratio = found.value("import, CPU", "wonder_customers") / found.value("import, CPU", "httpx and cattrs")
    return Findings(
        found.question,
        figures,
        (
            Target("import ≤ 1.5 × that of httpx and cattrs", ratio, most=1.5),
            Target("a view < 2,000 bytes", found.value("memory", "a view"), most=2000.0),
        ),
    )

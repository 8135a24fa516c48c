"""Cases of benchmarks that run in new processes, so that their memory and their caches are their own."""

import argparse
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any

import orjson


def in_new_process(benchmark: str, case: str, rows: int) -> Any:
    """Return the result of a case of a benchmark."""
    command = [sys.executable, "-m", f"benchmarks.{benchmark}", case, "--rows", str(rows)]
    return orjson.loads(subprocess.run(command, capture_output=True, check=True).stdout)


def run_case(cases: Mapping[str, Callable[[int], object]]) -> None:
    """Run the case given on the command line, and print its result."""
    parser = argparse.ArgumentParser()
    parser.add_argument("case", choices=cases)
    parser.add_argument("--rows", type=int, default=100_000)
    chosen = parser.parse_args()
    print(orjson.dumps(cases[chosen.case](chosen.rows)).decode())

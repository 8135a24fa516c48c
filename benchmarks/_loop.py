"""The event loop and the processor core of all contenders."""

import asyncio
import os
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

T = TypeVar("T")


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run on uvloop where it is installed and ``BENCHMARKS_LOOP`` does not say ``asyncio``."""
    with asyncio.Runner(loop_factory=_factory()) as runner:
        return runner.run(coroutine)


def _factory() -> Any:
    if os.environ.get("BENCHMARKS_LOOP") == "asyncio":
        return None
    try:
        import uvloop  # noqa: PLC0415 - it does not exist on Windows
    except ImportError:
        return None
    return uvloop.new_event_loop


def loop_name() -> str:
    """Return the name of the event loop that `run` uses."""
    return "asyncio" if _factory() is None else "uvloop"


def on_core(number: int) -> None:
    """Use only the first core (0) or the last one (-1), where the system supports it."""
    # Of all cores of the machine, because a child process inherits the single core of its parent.
    if hasattr(os, "sched_setaffinity"):
        with suppress(OSError):
            os.sched_setaffinity(0, {range(os.cpu_count() or 1)[number]})


@contextmanager
def on_any_core() -> Iterator[None]:
    """Allow the threads of this process to use all cores inside the block."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    with suppress(OSError):
        os.sched_setaffinity(0, set(range(os.cpu_count() or 1)))
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)

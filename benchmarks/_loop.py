"""The event loop that all contenders share, and the core they run on."""

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
    """What `run` runs on."""
    return "asyncio" if _factory() is None else "uvloop"


def on_core(number: int) -> None:
    """Stay on the first core (0) or the last (-1); nothing happens where the system cannot."""
    # Counted over the whole machine: a child process inherits its parent's one core and must get off it.
    if hasattr(os, "sched_setaffinity"):
        with suppress(OSError):
            os.sched_setaffinity(0, {range(os.cpu_count() or 1)[number]})


@contextmanager
def on_any_core() -> Iterator[None]:
    """Let threads of this process run beside each other for a while."""
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

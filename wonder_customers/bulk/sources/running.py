"""The queries that run in this process, so that a signal can end them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["end_queries", "ended_by_signal"]

_ends: list[Callable[[], object]] = []


@contextmanager
def ended_by_signal(end: Callable[[], object]) -> Iterator[None]:
    """Let `end_queries` call `end`, in another thread, until the end of the block."""
    _ends.append(end)
    try:
        yield
    finally:
        _ends.remove(end)


def end_queries() -> bool:
    """End all queries and remove their temporary files; return whether there were any."""
    found = list(_ends)
    for end in found:
        end()
    return bool(found)

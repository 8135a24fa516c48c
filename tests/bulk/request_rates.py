"""Rates of recorded requests."""

from bisect import bisect_left


def busiest_second(times: list[float]) -> int:
    """Return the maximum number of `times`, in seconds, within any second."""
    times = sorted(times)
    return max(bisect_left(times, at + 1 - 1e-9) - place for place, at in enumerate(times))

"""`no_waits`: retries without sleeping."""

from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

import anyio.lowlevel
from attrs import define, field

from wonder_customers._support import clock

__all__ = ["SkippedWaits", "no_waits"]


@define(eq=False)
class SkippedWaits:
    """Time that jumps over every wait.

    The clock moves on by what was skipped, so deadlines run out after as many retries as they would in earnest.

    Attributes:
        waits: The seconds of every wait that was skipped, in order.
    """

    waits: list[float] = field(factory=list)

    @property
    def total(self) -> float:
        """The seconds skipped so far."""
        return sum(self.waits)

    def clock(self) -> float:
        """The machine's clock, which sessions go by otherwise, and what was skipped."""
        return monotonic() + self.total

    async def sleep(self, seconds: float) -> None:
        """Return at once, after giving other tasks their turn."""
        self.waits.append(seconds)
        await anyio.lowlevel.checkpoint()


@contextmanager
def no_waits() -> Iterator[SkippedWaits]:
    """Let no session of this process sleep between its attempts; what they would have waited is in `waits`."""
    skipped = SkippedWaits()
    with clock.replaced_by(skipped):
        yield skipped

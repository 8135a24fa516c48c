"""`no_waits`, a context manager that skips the waits between retries."""

from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

import anyio.lowlevel
from attrs import define, field

from wonder_customers._support import clock

__all__ = ["SkippedWaits", "no_waits"]


@define(eq=False)
class SkippedWaits:
    """A clock that skips waits.

    The clock advances by the skipped time, so deadlines expire after the same number of retries as with real waits.

    Attributes:
        waits: The skipped waits in seconds, in order.
    """

    waits: list[float] = field(factory=list)

    @property
    def total(self) -> float:
        """The sum of the skipped waits in seconds."""
        return sum(self.waits)

    def clock(self) -> float:
        """Return the time of the monotonic clock plus the skipped time, in seconds."""
        return monotonic() + self.total

    async def sleep(self, seconds: float) -> None:
        """Run a checkpoint and record the wait, without waiting."""
        await anyio.lowlevel.checkpoint()
        self.waits.append(seconds)


@contextmanager
def no_waits() -> Iterator[SkippedWaits]:
    """Skip the waits of all sessions of this process in the block. The attribute `waits` lists the skipped waits."""
    skipped = SkippedWaits()
    with clock.replaced_by(skipped):
        yield skipped

"""The clock and the sleep function of a session, and the signal that ends its waits when a job is stopped."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import anyio
from attrs import define, field

from wonder_customers._support import clock as system_clock
from wonder_customers.errors import CallError

__all__ = ["StopSignal", "Waits"]


@define(eq=False)
class StopSignal:
    """Ends the waits of the calls of a job when the job is stopped, and reports the results of requests to the job.

    Requests in progress are completed. A call whose wait is ended raises the error of its last request, or
    `NotSentError` if it has not sent a request.

    Attributes:
        is_set: Whether `set` was called.
        ends: Functions that end the current waits.
        observe: Called with the evidence and the error of each request; None if the results are not observed.
    """

    is_set: bool = False
    ends: set[Callable[[], object]] = field(factory=set)
    observe: Callable[[Any, CallError], None] | None = None

    def set(self) -> None:
        """End all current waits. Later waits end as soon as they begin."""
        self.is_set = True
        for end in list(self.ends):
            end()

    @contextmanager
    def interrupting(self) -> Iterator[None]:
        """Cancel the body of the ``with`` block when the signal is set, or at once if it is set already."""
        with anyio.CancelScope() as scope:
            self.ends.add(scope.cancel)
            try:
                if self.is_set:
                    scope.cancel()
                yield
            finally:
                self.ends.discard(scope.cancel)


@define(eq=False)
class Waits:
    """The clock and the sleep function of a session.

    Attributes:
        clock: A function that returns seconds on a monotonic clock, for deadlines and waits.
        sleep: An async function that waits for a number of seconds.
    """

    clock: Callable[[], float] = system_clock.monotonic
    sleep: Callable[[float], Any] = system_clock.sleep

"""The signal that ends the waits of calls."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import anyio
from attrs import define, field

from wonder_customers.errors import CallError


@define(eq=False)
class StopSignal:
    """A signal that ends the waits of calls, such as the calls of a job that is stopped.

    Requests in progress are completed. Calls that wait raise a `CallError`.

    Attributes:
        is_set: Whether `set` was called.
        ends: Functions that end the current waits.
        observe: Called with the evidence and the error of each attempt, and whether it had a permit; None for no calls.
    """

    is_set: bool = False
    ends: set[Callable[[], object]] = field(factory=set)
    observe: Callable[[Any, CallError, bool], None] | None = None

    def set(self) -> None:
        """End all current waits. Later waits end as soon as they begin."""
        self.is_set = True
        for end in list(self.ends):
            end()

    @contextmanager
    def interrupting(self) -> Iterator[None]:
        """Cancel the body of the ``with`` block when the signal is set."""
        with anyio.CancelScope() as scope:
            self.ends.add(scope.cancel)
            try:
                if self.is_set:
                    scope.cancel()
                yield
            finally:
                self.ends.discard(scope.cancel)

"""A bulk job as its caller has it: begun once, gone through, ended in order, whoever does the work."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream

from wonder_customers.bulk.capacity import Capacity
from wonder_customers.bulk.rows import Outcome
from wonder_customers.bulk.stats import JobStats
from wonder_customers.bulk.stop_reasons import AttemptResult, Stop, raise_stop
from wonder_customers.errors import BulkError

__all__ = ["Job"]


class Job(AsyncIterator[Outcome], ABC):
    """A bulk job. Iterate over it for the outcomes, in the order in which rows end.

    Where an error may end the loop, or ``break`` does, iterate inside ``async with``: only then is the job ended in
    order before the program goes on. `sync`, `run_partition` and `sync_on_ray` make one.

    Args:
        workers: Rows under way at a time at most.
        journal: The journal's name, for messages; None without one.

    Attributes:
        tally: The counts and curves so far.
        capacity: What was found out about the gateway.
        stopped: Why the job ended before the end of its source; None while it runs and when it finished.
    """

    _outcomes: MemoryObjectReceiveStream[list[Outcome]]
    _stack: AsyncExitStack

    def __init__(self, workers: int, journal: str | None) -> None:
        self.capacity = Capacity(workers)
        self.tally = JobStats(self.capacity)
        self.stopped: Stop | None = None
        self._named = journal
        self._used = self._closed = self._bare = False
        self.clock: Iterator[Outcome] = iter(())

    @abstractmethod
    def stop(self) -> None:
        """Take no more rows, let those under way end, and end. The second call changes nothing."""

    @property
    @abstractmethod
    def begun(self) -> bool:
        """Whether it got so far that rows could be read: it has the journal, if there is one."""

    @property
    @abstractmethod
    def fraction(self) -> float | None:
        """How much of the source is done, from 0 to 1; None where nobody knows."""

    @property
    @abstractmethod
    def rate(self) -> float | None:
        """Requests per second that may go out now, None for any number."""

    @property
    @abstractmethod
    def rows_read(self) -> int:
        """Rows of the source that were read."""

    @property
    @abstractmethod
    def passed_over(self) -> int:
        """Rows that were read and are no part of this run (``only="failed"``)."""

    @property
    def unfinished(self) -> int:
        """Rows that were read and have no outcome; 0 when the job finished, or the counts do not add up."""
        return self.rows_read - self.passed_over - self.tally.rows

    @property
    def end_state(self) -> AttemptResult:
        """How it ended, in one word."""
        return "finished" if self.stopped is None else self.stopped.end_state

    @abstractmethod
    async def _begin(self, stack: AsyncExitStack) -> MemoryObjectReceiveStream[list[Outcome]]:
        """Begin the work in tasks that `stack` ends, and mark the job as `_used` when it cannot begin again.

        Returns:
            Where the outcomes come out; it ends with the work.
        """

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Outcome:
        if not self._used:
            await self.__aenter__()
            self._bare = True
        if self._closed:
            raise StopAsyncIteration
        # Most of a million outcomes come from a batch that is here already, so this is the short way.
        for outcome in self.clock:
            return outcome
        try:
            async for batch in self._outcomes:
                self.clock = iter(batch)
                return next(self.clock)
        except anyio.get_cancelled_exc_class() as error:
            if self._bare:
                await self.__aexit__(type(error), error, error.__traceback__)
            raise
        await self.__aexit__(None, None, None)
        raise_stop(self.stopped, self.tally.rows, self._named)
        raise StopAsyncIteration

    async def __aenter__(self) -> Self:
        if self._used:
            raise BulkError("a job runs once: make a new one. Nothing was sent.")
        async with AsyncExitStack() as stack:
            self._outcomes = await self._begin(stack)
            stack.push_async_exit(self._leave)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._closed:
            return
        self._closed = True
        try:
            await self._stack.__aexit__(kind, error, trace)
        except BaseExceptionGroup as group:
            # One error comes out as it is, the caller's own as any other, not wrapped by the machinery around it.
            alone = _alone(group)
            if alone is None:
                raise
        else:
            return
        if alone is not error:
            raise alone

    async def _leave(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None:
            # Left before the end: the rows under way end in order, and nobody hears of them.
            if self._outcomes.statistics().open_send_streams:
                self.stop()
            async for _ in self._outcomes:
                pass
        elif self.stopped is None:
            self.stopped = Stop("interrupted", "it was cancelled")


def _alone(group: BaseExceptionGroup[BaseException]) -> BaseException | None:
    """The one error in a group, however deep it is; None when there are more."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        if len(error.exceptions) > 1:
            return None
        error = error.exceptions[0]
    return error

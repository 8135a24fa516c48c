"""The executor of operations, with the only retry loop of the package."""

import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import chain
from math import inf
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from attrs import define, evolve

from wonder_customers._core.attempt import AttemptRunner
from wonder_customers._core.context import (
    UNCONFIRMED,
    AccountContext,
    AttemptResult,
    CallContext,
    Key,
    age_of,
    as_unconfirmed,
    write_keys,
)
from wonder_customers._core.write_locks import WriteOrder
from wonder_customers._support import clock
from wonder_customers.dialects.base import Call, LockCustomer, Operation, Steps
from wonder_customers.errors import (
    AmbiguousReferenceError,
    CallError,
    ConflictError,
    GatewayError,
    InvalidResponseError,
    NotFoundError,
    NotSentError,
    SessionClosedError,
)
from wonder_customers.records import Customer, Response
from wonder_customers.retry import Decision, Evidence, Raise, Resolve, Retry, RetryState, decide, lookup_schedule
from wonder_customers.wire import Replay

if TYPE_CHECKING:  # loaded only when there are observers
    from wonder_customers._core.observers import ObserverGroup
    from wonder_customers.events import Reason

T = TypeVar("T")

_NO_RESPONSE: Final[Response[Any]] = Response(None, 0, {})

_CLOCK_TOLERANCE: Final = 10.0
"""The greatest expected difference in seconds between the clocks of a gateway's servers."""

_RESPONDED: Final = frozenset({Evidence.BODY_LOST, Evidence.UNREADABLE, Evidence.REJECTED})
"""The evidence of a response, after which a write is looked up at once, and not sent again."""

_NOT_RETRIED: Final = {
    "budget": "; the request was not retried, because the retry budget of this account is used up",
    "deadline": "; the request was not retried, because the wait would exceed the deadline",
}

_CLOSED: Final = "; the request was not retried, because the session was closed"


@define(eq=False)
class _FailedRequest:
    """A request whose attempts have failed so far."""

    context: CallContext
    call: Call[Any]
    keys: Sequence[Key]  # of its locks
    result: AttemptResult  # of the last attempt
    attempts: int = 0
    throttled: int = 0  # attempts that ended with HTTP 429
    cost: int = 0  # retry tokens taken
    unconfirmed: bool = False  # whether one of the attempts may have been applied
    resent: bool = False  # whether the write was sent once more after a lookup did not find it

    def add(self, result: AttemptResult) -> None:
        """Record another failed attempt."""
        self.result = result
        self.attempts += 1
        self.throttled += result.evidence is Evidence.THROTTLED
        self.unconfirmed |= result.evidence in UNCONFIRMED


@define(eq=False)
class Executor:
    """Runs the operations of one session."""

    runner: AttemptRunner
    order: WriteOrder
    draw: Callable[[], float] = random.random  # from 0 to 1
    observers: "ObserverGroup | None" = None

    async def run(
        self,
        account_context: AccountContext,
        operation: str,
        steps: Steps[T],
        subject: tuple[str, str] | None,
        record: object = None,
    ) -> Response[T]:
        """Run an operation. `subject` is the customer to lock: ``("reference", …)`` or ``("id", …)``."""
        start = clock.monotonic()
        call_context = CallContext(account_context, operation, start, start + account_context.policy.deadline, record)
        call_context.begin(self.observers)
        try:
            if subject is not None:
                await self.order.lock_subject(call_context, subject)
            call_context.locks_before = self.order.locks.released
            response = await self._walk(call_context, steps, subject)
        except CallError as error:
            ended = self._ended(call_context, error, subject)
            raise ended from ended.__cause__
        except BaseException as error:
            call_context.fail(error, call_context.applied)
            raise
        else:
            call_context.succeed(response)
            return response
        finally:
            for key in call_context.held:
                self.order.locks.release(key)

    def _ended(self, call_context: CallContext, error: CallError, subject: tuple[str, str] | None) -> CallError:
        """Report and return the error of the operation."""
        if call_context.unconfirmed and error.applied == "no":
            # A write of this operation is unconfirmed, although the request that failed was not applied.
            error = as_unconfirmed(error, dict([subject] if subject is not None else []))
            call_context.complete(error)
        if error.applied == "unknown" and type(error) in {GatewayError, InvalidResponseError}:
            error.hint = f"Before you repeat the call, read the customer. {error.hint}"
        # Inner frames contain the request.
        cause = error.__cause__
        if cause is not None:
            cause.__traceback__ = None
        error.__traceback__ = None
        call_context.fail(error, error.applied)
        return error

    async def _walk(
        self, call_context: CallContext, steps: Steps[T], subject: tuple[str, str] | None = None
    ) -> Response[T]:
        """Perform the steps of an operation."""
        last = _NO_RESPONSE
        try:
            step = next(steps)
            reads_first = subject is not None and isinstance(step, Call) and step.replay is Replay.READ
            if reads_first and self.order.locks.unconfirmed:
                # An operation that reads before it writes must wait until no earlier write can still be applied.
                await self.order.wait_for_unconfirmed(call_context, call_context.held, None)
            while True:
                try:
                    if isinstance(step, LockCustomer):
                        value: Any = await self.order.lock_customer(call_context, step)
                    else:
                        value = last = await self.perform(call_context, step)
                except CallError as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(value)
        except StopIteration as end:
            if end.value is not last.record:
                self.order.link(call_context.account_context, end.value)  # a customer that a search has found
            elif call_context.requests == 1:
                return last  # the response of the only request
            counts = (call_context.requests, call_context.elapsed(), last.recovered, call_context.late_attempt)
            return Response(end.value, last.status, last.headers, last.request_id, *counts)
        except CallError as error:
            call_context.complete(error)
            raise

    async def perform(self, call_context: CallContext, call: Call[T]) -> Response[T]:
        """Send a request, with its retries and lookups, and return the response."""
        is_write = call.replay is not Replay.READ
        keys: Sequence[Key] = write_keys(call_context, call) if is_write else ()
        if keys:
            found = await self._prepare_write(call_context, call, keys)
            if found is not None:
                return found
        failed: _FailedRequest | None = None
        while True:
            try:
                number = 1 if failed is None else failed.attempts + 1
                result = await self.runner.run(call_context, call, keys, number, self.perform)
            except SessionClosedError:
                if failed is not None:
                    raise self._failure(failed, _CLOSED) from None
                if call_context.applied == "no":
                    raise
                # A `CallError`, because an earlier request of the operation was or may have been applied.
                closed = NotSentError("the request was not sent: the session was closed", hint="Open a new session.")
                raise closed from None
            response = result.response
            if response is None:
                failed = failed or _FailedRequest(call_context, call, keys, result)
                failed.add(result)
                response = await self._recover(failed)
            if response is not None:
                budget = call_context.account_context.account.budget
                if budget.tokens < budget.size:
                    budget.give_back(0 if failed is None else failed.cost)
                if is_write:
                    call_context.mark_confirmed()
                self.order.link(call_context.account_context, response.record)
                return response

    async def _recover(self, failed: _FailedRequest) -> Response[Any] | None:
        """Look up a write, wait until the request may be sent again, or raise the error."""
        result = failed.result
        if failed.unconfirmed and failed.call.not_found_is_success and isinstance(result.error, NotFoundError):
            # An earlier attempt has deleted the customer.
            return Response(None, result.error.status, {}, result.request_id, recovered=True)
        decision = self._decide(failed, result.evidence)
        absent = False
        if isinstance(decision, Resolve):
            found = await self._resolve(failed)
            if found is not None:
                return found
            if result.evidence in _RESPONDED:
                raise self._failure(failed)
            absent = True
            decision = self._decide(failed, Evidence.ABSENT)
        if isinstance(decision, Retry) and not self.runner.closed:
            account = failed.context.account_context.account
            account.counts.retries += 1
            account.budget.take(decision.cost)
            reason: Reason = "throttled" if result.evidence is Evidence.THROTTLED else "retry"
            if await failed.context.pause(reason, decision.after) and not self.runner.closed:
                failed.cost += decision.cost
                failed.resent |= absent
                return None
        raise self._failure(failed, self._note(decision))

    def _note(self, decision: Decision) -> str:
        """Return the note about retries for an error message."""
        if isinstance(decision, Raise):
            return _NOT_RETRIED.get(decision.because, "")
        return _CLOSED if self.runner.closed else "; the request was not retried, because the stop signal was set"

    def _decide(self, failed: _FailedRequest, evidence: Evidence) -> Decision:
        if evidence is Evidence.RESPONSE:
            return Raise()  # a refusal is final, such as the 404 before each create of an upsert
        context, call = failed.context, failed.call
        state = RetryState(
            evidence,
            call.replay,
            failed.attempts,
            context.remaining(),
            context.account_context.account.budget.tokens,
            draw=self.draw(),
            findable=call.lookup is not None,
            retry_after=failed.result.retry_after,
            unconfirmed=failed.unconfirmed,
            resent=failed.resent,
            throttled=failed.throttled,
        )
        return decide(context.account_context.policy, state)

    async def _prepare_write(self, call_context: CallContext, call: Call[T], keys: Sequence[Key]) -> Response[T] | None:
        """Wait until a write may be sent, or return an earlier write's response."""
        for key in keys:
            if key not in call_context.held:
                await self.order.lock(call_context, key)
        if call_context.account_context.dialect.search_is_late and call_context.operation == Operation.UPSERT:
            await self._wait_for_search(call_context, call, self.order.locks.unconfirmed.known(keys[0]))
        if not self.order.locks.unconfirmed:
            return None
        waited = await self.order.wait_for_unconfirmed(call_context, self.order.locks.with_linked(keys), call)
        if not waited or call.replay is not Replay.LOOKUP:
            return None
        # An unconfirmed write may have created the customer.
        found = await self._look_up(call_context, call, certain=False)
        if found is not None:
            call_context.mark_confirmed()
        return found

    async def _wait_for_search(self, call_context: CallContext, call: Call[Any], id: str | None) -> None:
        """Raise `ConflictError` if a customer that the search of an upsert did not find still exists.

        The error is raised as soon as the search finds the customer, or after the window.
        """
        context = call_context.account_context
        if id is None or call.lookup is None or call.replay is not Replay.LOOKUP:
            return
        try:
            held = (await self._walk(call_context, context.dialect.get(id))).record
        except NotFoundError as error:
            if error.certain:
                return
        else:
            if held.deleted or held.reference != call.reference:
                return
        for wait in lookup_schedule(context.policy.confirmation_window):
            if wait >= call_context.remaining() or not await call_context.pause("confirmation", wait):
                break
            with suppress(NotFoundError):
                await self._walk(call_context, call.lookup())
                break
        reason = f"the customer {id} has this reference, but the gateway's search does not find it yet"
        raise call_context.complete(ConflictError(reason, ids=(id,), reference=call.reference))

    # Lookups

    async def _resolve(self, failed: _FailedRequest) -> Response[Any] | None:
        """Look up the effect of a write, several times if necessary."""
        context, result = failed.context, failed.result
        waits = lookup_schedule(context.account_context.policy.confirmation_window)
        at_once = result.evidence in _RESPONDED
        minimum = 0.0 if at_once else result.retry_after or 0.0
        for planned in chain((0.0,), waits) if at_once else waits:
            wait, minimum = max(planned, minimum), 0.0
            if wait >= context.remaining():
                raise self._failure(failed)
            if not await context.pause("confirmation" if wait else None, wait) or self.runner.closed:
                raise self._failure(failed, self._lookup_note())
            found = await self._look_up_after(failed)
            if found is not None:
                if failed.call.replay is Replay.LOOKUP:
                    # Only for creates: another attempt at an update, even of an earlier call, may still be in progress.
                    self.order.locks.unconfirmed.confirm(failed.keys)
                return found
        return None

    async def _look_up_after(self, failed: _FailedRequest) -> Response[Any] | None:
        """Look up the write once, after a failed attempt."""
        certain, oldest = failed.result.evidence is Evidence.BODY_LOST, failed.context.elapsed() + _CLOCK_TOLERANCE
        try:
            return await self._look_up(failed.context, failed.call, certain=certain, oldest=oldest)
        except SessionClosedError:
            raise self._failure(failed, self._lookup_note()) from None
        except CallError as error:
            if isinstance(error, AmbiguousReferenceError) or (isinstance(error, ConflictError) and not error.status):
                raise  # what the lookup found, and not a refusal of the lookup
            raise self._failure(failed, self._lookup_note()) from error

    def _lookup_note(self) -> str:
        """Return the note about a closed session for the error of a write that was not looked up."""
        return "; the lookup was not completed, because the session was closed" if self.runner.closed else ""

    async def _look_up(
        self, call_context: CallContext, call: Call[T], *, certain: bool, oldest: float = inf
    ) -> Response[T] | None:
        """Look up the record of a write."""
        assert call.lookup is not None  # noqa: S101 - the decision resolves only writes with a lookup
        with call_context.looking_up() as found:
            try:
                response = await self._walk(call_context, call.lookup())
            except NotFoundError:
                return None
            except AmbiguousReferenceError as error:
                if certain:
                    error.applied = "yes"
                raise
            if not certain and call.mismatches is not None:  # certain: the write was applied
                differing, held = call.mismatches(response.record), cast("Customer", response.record)
                if differing or age_of(held, response.headers) > oldest:
                    fields = ", ".join(differing)
                    how = f"differs in these fields: {fields}" if differing else "was created before this call"
                    reason = f"a customer with this reference exists ({held.id}), but {how}"
                    raise call_context.complete(ConflictError(reason, ids=(held.id,), reference=call.reference))
            found.append(response)
            return evolve(response, recovered=True)

    def _failure(self, failed: _FailedRequest, note: str = "") -> CallError:
        """Complete and return the error that ends a call."""
        call, error = failed.call, failed.result.error
        if note:
            error.reason += note
            error.args = (error.reason,)
        if call.replay is Replay.READ:
            error.applied = "no"
        elif failed.unconfirmed and error.applied != "yes":
            error = as_unconfirmed(error, {})
        error.attempts = failed.attempts
        error.reference = error.reference or call.reference
        error.id = error.id or call.id
        return failed.context.complete(error)

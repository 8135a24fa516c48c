"""The executor: the one loop that sends again, and the one place that sleeps.

Each attempt ends with evidence from what the transport saw. `wonder_customers.retry.decide` says what follows: the same
bytes again, a look at what the write has left, or the failure.
"""

import random
from collections.abc import Callable, Iterator
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeVar, cast

import anyio
from attrs import define, evolve, field

from wonder_customers._core.attempt import AccountContext, AttemptResult, AttemptRunner
from wonder_customers._core.context import UNCONFIRMED, CallContext, Counts, as_unconfirmed, keys
from wonder_customers._core.write_locks import Key, WriteLocks
from wonder_customers._support import clock as system_clock
from wonder_customers.dialects.base import AccessToken, Call, LockReference, Steps
from wonder_customers.errors import (
    AmbiguousReferenceError,
    AuthenticationError,
    CallError,
    ConflictError,
    DeadlineExceededError,
    NotFoundError,
)
from wonder_customers.records import Customer, Response
from wonder_customers.retry import (
    Decision,
    Evidence,
    Resolve,
    Retry,
    RetryPolicy,
    RetryState,
    decide,
    lookup_schedule,
)
from wonder_customers.secret import Secret
from wonder_customers.wire import Replay, Transmission

if TYPE_CHECKING:  # loaded only where somebody watches
    from wonder_customers._core.observers import ObserverGroup

T = TypeVar("T")

_NOTHING_YET: Response[Any] = Response(None, 0, {})


@define(eq=False)
class _Progress:
    """How far one call has come."""

    keys: list[Key]
    attempts: int = 0
    sent: int = 0
    spent: int = 0
    unconfirmed: bool = False
    resent: bool = False


@define(eq=False)
class Executor:
    """Sends the calls of one session.

    Attributes:
        attempts: Makes single attempts.
        policy: When to send again.
        turns: The order of writes.
        clock: Seconds that only grow; deadlines and waits are measured with it.
        sleep: Waits.
        draw: A random number from 0 to 1.
        counts: What it has done.
        observers: The observers; None where there are none.
    """

    attempts: AttemptRunner
    policy: RetryPolicy
    turns: WriteLocks
    clock: Callable[[], float] = system_clock.monotonic
    sleep: Callable[[float], Any] = system_clock.sleep
    draw: Callable[[], float] = random.random
    counts: Counts = field(factory=Counts)
    observers: "ObserverGroup | None" = None

    async def run(
        self, account_context: AccountContext, operation: str, steps: Steps[T], subject: tuple[str, str] | None
    ) -> Response[T]:
        """Perform an operation: all its calls, inside one deadline, in its customer's turn.

        Args:
            account_context: The account.
            operation: The verb, for errors.
            steps: The operation's calls.
            subject: What a write is about, ``("reference", …)`` or ``("id", …)``; None for reads and for creates
                without a reference.

        Raises:
            CallError: As the last call ended.
        """
        start = self.clock()
        context = CallContext(account_context, operation, start, start + self.policy.deadline, self.turns.finished)
        context.begin(self.counts, self.observers)
        try:
            if subject is not None:
                await self._hold(context, *subject)
            reply = await self._walk(context, steps, subject)
        except CallError as error:
            if context.unconfirmed and error.applied == "no":
                # A write of this verb is in doubt, whatever the look after it has said of itself.
                unknown = self._told(context, as_unconfirmed(error, dict([subject] if subject is not None else [])))
                context.fail(self.counts, unknown, unknown.applied, self.clock())
                raise unknown from error
            context.fail(self.counts, error, error.applied, self.clock())
            raise
        except BaseException as error:
            context.fail(self.counts, error, context.applied, self.clock())
            raise
        else:
            context.succeed(self.counts, reply)
            return reply
        finally:
            for key in context.held:
                self.turns.give_back(key)
            steps.close()

    async def _walk(self, context: CallContext, steps: Steps[T], subject: tuple[str, str] | None = None) -> Response[T]:
        """Drive a generator of calls to its end; failures are thrown into it, so that it can go another way."""
        last = _NOTHING_YET
        try:
            step = next(steps)
            if subject is not None and isinstance(step, Call) and step.replay is Replay.READ:
                # A write that begins with a look must not look while an earlier one may still land.
                await self._wait_out(context, [(context.account_context.merchant, *subject)], None)
            while True:
                try:
                    if isinstance(step, LockReference):
                        answer: Any = await self._hold(context, "reference", step.reference)
                    else:
                        answer = last = await self.perform(context, step)
                except CallError as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(answer)
        except StopIteration as end:
            took = self.clock() - context.started
            return Response(
                end.value, last.status, last.headers, last.request_id, context.requests, took, last.recovered
            )
        except CallError as error:
            self._told(context, error)
            raise

    async def _hold(self, context: CallContext, name: str, value: str) -> bool:
        """Take the customer's turn for the rest of the trip; True when another write ended since the trip began."""
        key = (context.account_context.merchant, name, value)
        if key not in context.held:
            if not self.turns.take_at_once(key):
                context.wait("lock", context.deadline - self.clock())
                if not await self.turns.take(key, context.deadline - self.clock()):
                    reason = "it was not sent: an earlier write for this customer took all the time"
                    raise self._told(context, DeadlineExceededError(reason))
            context.held.add(key)
        return self.turns.finished != context.turns_before

    async def perform(self, context: CallContext, call: Call[T]) -> Response[T]:
        """One call: attempts, waits and looks until it has a result or a failure."""
        budget, now = context.account_context.budget, _Progress(keys(context, call))
        if now.keys and await self._wait_out(context, now.keys, call) and call.replay is Replay.LOOKUP:
            found = await self._look(context, call, certain=False)
            if found is not None:
                return found
        while True:
            now.attempts += 1
            usual = not call.signed or context.account_context.bearer is None
            attempt_result = await (
                self._sent(context, call, now, None) if usual else self._attempt(context, call, now)
            )
            if now.unconfirmed and call.not_found_is_success and isinstance(attempt_result.error, NotFoundError):
                attempt_result.reply = Response(
                    None, attempt_result.error.status, {}, attempt_result.request_id, recovered=True
                )
            if attempt_result.reply is not None:
                budget.give_back(now.spent)
                context.mark_confirmed(call)
                return attempt_result.reply
            now.unconfirmed = now.unconfirmed or attempt_result.evidence in UNCONFIRMED
            verdict = self._decide(context, call, now, attempt_result)
            if isinstance(verdict, Resolve):
                found = await self._resolve(context, call, now, attempt_result)
                if found is not None:
                    budget.give_back(now.spent)
                    context.mark_confirmed(call)
                    return found
                if attempt_result.evidence not in UNCONFIRMED:
                    raise self._failure(context, call, now, attempt_result)
                attempt_result.evidence = Evidence.ABSENT
                verdict = self._decide(context, call, now, attempt_result)
            if not isinstance(verdict, Retry) or not budget.take(verdict.cost):
                raise self._failure(context, call, now, attempt_result)
            now.resent = now.resent or attempt_result.evidence is Evidence.ABSENT
            now.spent += verdict.cost
            self.counts.retries += 1
            context.wait("throttled" if attempt_result.evidence is Evidence.THROTTLED else "retry", verdict.after)
            await self.sleep(verdict.after)

    def _decide(self, context: CallContext, call: Call[Any], now: _Progress, attempt_result: AttemptResult) -> Decision:
        situation = RetryState(
            attempt_result.evidence,
            call.replay,
            now.attempts,
            context.deadline - self.clock(),
            context.account_context.budget.tokens,
            retry_after=attempt_result.asked_wait,
            draw=self.draw(),
            findable=call.lookup is not None,
            unconfirmed=now.unconfirmed,
            resent=now.resent,
        )
        return decide(self.policy, situation)

    async def _attempt(self, context: CallContext, call: Call[Any], now: _Progress) -> AttemptResult:
        """One attempt with a bearer token; if the gateway no longer takes it, a second one with a fresh token."""
        try:
            bearer = await self._bearer(context)
            attempt_result = await self._sent(context, call, now, bearer)
            if (
                bearer is not None
                and isinstance(attempt_result.error, AuthenticationError)
                and context.account_context.bearer is not None
            ):
                context.account_context.bearer.drop(bearer)
                attempt_result = await self._sent(context, call, now, await self._bearer(context))
        except CallError as error:
            return AttemptResult(Evidence.ANSWERED, error=error)
        return attempt_result

    async def _bearer(self, context: CallContext) -> Secret | None:
        keeper, dialect = context.account_context.bearer, context.account_context.dialect
        if keeper is None:
            return None

        async def fetch() -> AccessToken:
            call = dialect.token_call()
            assert call is not None  # noqa: S101 - a keeper exists only where the dialect asks for one
            return (await self.perform(context, call)).record

        token: Secret | None = None
        with anyio.move_on_after(context.deadline - self.clock()):
            token = await keeper.get(fetch)
        if token is None:
            raise DeadlineExceededError("it was not sent: fetching the bearer token took all the time")
        return token

    async def _sent(
        self, context: CallContext, call: Call[Any], now: _Progress, bearer: Secret | None
    ) -> AttemptResult:
        """Send once, and remember a write that may still land, however this ends."""
        transmission, began = Transmission(), self.clock()
        now.sent += 1
        self.counts.attempts += 1
        context.begin_attempt(call, now.sent)
        try:
            attempt_result = await self.attempts.make(
                context.account_context, call, transmission, context.deadline - began, bearer
            )
        except BaseException as error:
            self._doubt(context, call, now.keys, transmission)
            context.break_attempt(call, transmission, error, self.clock() - began)
            raise
        if attempt_result.evidence in UNCONFIRMED:
            self._doubt(context, call, now.keys, transmission)
        if attempt_result.reply is None:
            attempt_result.error.request_id = attempt_result.request_id
        context.end_attempt(call, transmission, attempt_result, self.clock() - began)
        if attempt_result.drift:
            context.report_drift(self.counts, attempt_result.drift)
        return attempt_result

    def _doubt(self, context: CallContext, call: Call[Any], keys: list[Key], transmission: Transmission) -> None:
        """Remember that a write may still land, if this is one and may have left."""
        if call.replay is not Replay.READ and transmission.sent:
            context.unconfirmed = True
            if keys:
                self.turns.doubt(keys, call.request.body, self.policy.confirmation_window)

    async def _wait_out(self, context: CallContext, keys: list[Key], call: Call[Any] | None) -> bool:
        """Wait until no earlier write for the same customer can land any more; True when there was one.

        The very bytes that are in doubt may go out again at once where sending them twice leaves the same state.
        """
        repeatable = call is not None and call.replay in {Replay.IDEMPOTENT, Replay.NATURAL_UPSERT}
        wait = self.turns.wait(keys, call.request.body if call is not None and repeatable else None)
        if wait <= 0:
            return False
        if wait >= context.deadline - self.clock():
            reason = f"it was not sent: an earlier write for this customer may still land within {wait:.1f} s"
            raise self._told(context, DeadlineExceededError(reason))
        context.wait("unconfirmed", wait)
        await self.sleep(wait)
        return True

    async def _resolve(
        self, context: CallContext, call: Call[T], now: _Progress, attempt_result: AttemptResult
    ) -> Response[T] | None:
        """Look what a write has left, again and again until the settle time is over; None when it is not there."""
        at_once = attempt_result.evidence in {Evidence.BODY_LOST, Evidence.TAKEN}
        waits: Iterator[float] = lookup_schedule(self.policy.confirmation_window)
        for wait in chain((0.0,), waits) if at_once else waits:
            if wait >= context.deadline - self.clock():
                raise self._failure(context, call, now, attempt_result)
            if wait:
                context.wait("confirmation", wait)
            await self.sleep(wait)
            try:
                found = await self._look(context, call, certain=attempt_result.evidence is Evidence.BODY_LOST)
            except (AmbiguousReferenceError, ConflictError):
                raise
            except CallError as error:
                raise self._failure(context, call, now, attempt_result) from error
            if found is not None:
                if call.replay is Replay.LOOKUP or not now.unconfirmed:
                    # Of several attempts at an update, an earlier one may be under way still.
                    self.turns.landed(now.keys)
                return found
        return None

    async def _look(self, context: CallContext, call: Call[T], *, certain: bool) -> Response[T] | None:
        """The record that a write has left, None when there is none.

        Args:
            context: The verb.
            call: The write.
            certain: The gateway has said that it applied the write: whatever is there is what it made of it.

        Raises:
            ConflictError: There is one, but it is not what this write meant.
            AmbiguousReferenceError: There are several.
        """
        self.counts.lookups += 1
        context.look()
        try:
            found = await self._seek(context, call, certain=certain)
        except BaseException as error:
            context.end_look(error=error)
            raise
        context.end_look(found=found is not None)
        return found

    async def _seek(self, context: CallContext, call: Call[T], *, certain: bool) -> Response[T] | None:
        assert call.lookup is not None  # noqa: S101 - the decision resolves only what can be found
        try:
            reply = await self._walk(context, call.lookup())
        except NotFoundError:
            return None
        except AmbiguousReferenceError as error:
            error.applied = "unknown"
            raise
        differing = () if certain or call.mismatches is None else call.mismatches(reply.record)
        if differing:
            held = cast("Customer", reply.record).id
            reason = f"a customer with this reference is there ({held}), but not with this {', '.join(differing)}"
            raise self._told(context, ConflictError(reason, ids=(held,), reference=call.reference))
        return evolve(reply, recovered=True)

    def _failure(
        self, context: CallContext, call: Call[Any], now: _Progress, attempt_result: AttemptResult
    ) -> CallError:
        """The error that ends a call, with what is known about all of its attempts."""
        error = attempt_result.error
        if call.replay is Replay.READ:
            error.applied = "no"
        elif now.unconfirmed and error.applied != "yes":
            error = as_unconfirmed(error, {}, once=call.replay in {Replay.LOOKUP, Replay.NONE})
        error.attempts = now.attempts
        error.reference = error.reference or call.reference
        error.id = error.id or call.id
        return self._told(context, error)

    def _told(self, context: CallContext, error: CallError) -> CallError:
        return context.tell(error, self.clock())

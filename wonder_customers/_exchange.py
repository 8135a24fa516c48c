"""The exchange: the one loop that sends again, and the one place that sleeps.

Each attempt ends with evidence from what the transport saw. `wonder_customers.retry.decide` says what follows: the same
bytes again, a look at what the write has left, or the failure.
"""

import random
from collections.abc import Callable, Iterator
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeVar, cast

import anyio
from attrs import define, evolve, field

from wonder_customers import _waiting
from wonder_customers._attempt import Attempts, Ending, Speaker
from wonder_customers._trip import IN_DOUBT, Counts, Trip, in_doubt, keys
from wonder_customers._turns import Key, Turns
from wonder_customers._wire import Flight, Replay
from wonder_customers.dialects.base import AccessToken, Call, Hold, Steps
from wonder_customers.errors import (
    Ambiguous,
    CallFailed,
    DeadlineExceeded,
    Duplicate,
    NotFound,
    Unauthorized,
)
from wonder_customers.records import Customer, Reply
from wonder_customers.retry import (
    Evidence,
    Resolve,
    Retry,
    RetryPolicy,
    Situation,
    Verdict,
    decide,
    settle_times,
)
from wonder_customers.secret import Secret

if TYPE_CHECKING:  # loaded only where somebody watches
    from wonder_customers._watch import Watch

T = TypeVar("T")

_NOTHING_YET: Reply[Any] = Reply(None, 0, {})


@define(eq=False)
class _Progress:
    """How far one call has come."""

    keys: list[Key]
    attempts: int = 0
    sent: int = 0
    spent: int = 0
    doubtful: bool = False
    resent: bool = False


@define(eq=False)
class Exchange:
    """Sends the calls of one session.

    Attributes:
        attempts: Makes single attempts.
        policy: When to send again.
        turns: The order of writes.
        clock: Seconds that only grow; deadlines and waits are measured with it.
        sleep: Waits.
        draw: A random number from 0 to 1.
        counts: What it has done.
        watch: The observers; None where there are none.
    """

    attempts: Attempts
    policy: RetryPolicy
    turns: Turns
    clock: Callable[[], float] = _waiting.clock
    sleep: Callable[[float], Any] = _waiting.sleep
    draw: Callable[[], float] = random.random
    counts: Counts = field(factory=Counts)
    watch: "Watch | None" = None

    async def run(self, speaker: Speaker, operation: str, steps: Steps[T], subject: tuple[str, str] | None) -> Reply[T]:
        """Perform an operation: all its calls, inside one deadline, in its customer's turn.

        Args:
            speaker: Who it is made for.
            operation: The verb, for errors.
            steps: The operation's calls.
            subject: What a write is about, ``("reference", …)`` or ``("id", …)``; None for reads and for creates
                without a reference.

        Raises:
            CallFailed: As the last call ended.
        """
        start = self.clock()
        trip = Trip(speaker, operation, start, start + self.policy.deadline, self.turns.finished)
        trip.begin(self.counts, self.watch)
        try:
            if subject is not None:
                await self._hold(trip, *subject)
            reply = await self._walk(trip, steps, subject)
        except CallFailed as error:
            if trip.doubtful and error.applied == "no":
                # A write of this verb is in doubt, whatever the look after it has said of itself.
                unknown = self._told(trip, in_doubt(error, dict([subject] if subject is not None else [])))
                trip.fail(self.counts, unknown, unknown.applied, self.clock())
                raise unknown from error
            trip.fail(self.counts, error, error.applied, self.clock())
            raise
        except BaseException as error:
            trip.fail(self.counts, error, trip.applied, self.clock())
            raise
        else:
            trip.succeed(self.counts, reply)
            return reply
        finally:
            for key in trip.held:
                self.turns.give_back(key)
            steps.close()

    async def _walk(self, trip: Trip, steps: Steps[T], subject: tuple[str, str] | None = None) -> Reply[T]:
        """Drive a generator of calls to its end; failures are thrown into it, so that it can go another way."""
        last = _NOTHING_YET
        try:
            step = next(steps)
            if subject is not None and isinstance(step, Call) and step.replay is Replay.READ:
                # A write that begins with a look must not look while an earlier one may still land.
                await self._wait_out(trip, [(trip.speaker.merchant, *subject)], None)
            while True:
                try:
                    if isinstance(step, Hold):
                        answer: Any = await self._hold(trip, "reference", step.reference)
                    else:
                        answer = last = await self.perform(trip, step)
                except CallFailed as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(answer)
        except StopIteration as end:
            took = self.clock() - trip.started
            return Reply(end.value, last.status, last.headers, last.request_id, trip.requests, took, last.adopted)
        except CallFailed as error:
            self._told(trip, error)
            raise

    async def _hold(self, trip: Trip, name: str, value: str) -> bool:
        """Take the customer's turn for the rest of the trip; True when another write ended since the trip began."""
        key = (trip.speaker.merchant, name, value)
        if key not in trip.held:
            if not self.turns.take_at_once(key):
                trip.wait("turn", trip.deadline - self.clock())
                if not await self.turns.take(key, trip.deadline - self.clock()):
                    why = "it was not sent: an earlier write for this customer took all the time"
                    raise self._told(trip, DeadlineExceeded(why))
            trip.held.add(key)
        return self.turns.finished != trip.turns_before

    async def perform(self, trip: Trip, call: Call[T]) -> Reply[T]:
        """One call: attempts, waits and looks until it has a result or a failure."""
        budget, now = trip.speaker.budget, _Progress(keys(trip, call))
        if now.keys and await self._wait_out(trip, now.keys, call) and call.replay is Replay.LOOKUP:
            found = await self._look(trip, call, certain=False)
            if found is not None:
                return found
        while True:
            now.attempts += 1
            usual = not call.signed or trip.speaker.bearer is None
            ending = await (self._sent(trip, call, now, None) if usual else self._attempt(trip, call, now))
            if now.doubtful and call.gone_is_done and isinstance(ending.error, NotFound):
                ending.reply = Reply(None, ending.error.status, {}, ending.request_id, adopted=True)
            if ending.reply is not None:
                budget.give_back(now.spent)
                trip.settle(call)
                return ending.reply
            now.doubtful = now.doubtful or ending.evidence in IN_DOUBT
            verdict = self._decide(trip, call, now, ending)
            if isinstance(verdict, Resolve):
                found = await self._resolve(trip, call, now, ending)
                if found is not None:
                    budget.give_back(now.spent)
                    trip.settle(call)
                    return found
                if ending.evidence not in IN_DOUBT:
                    raise self._failure(trip, call, now, ending)
                ending.evidence = Evidence.ABSENT
                verdict = self._decide(trip, call, now, ending)
            if not isinstance(verdict, Retry) or not budget.take(verdict.cost):
                raise self._failure(trip, call, now, ending)
            now.resent = now.resent or ending.evidence is Evidence.ABSENT
            now.spent += verdict.cost
            self.counts.retries += 1
            trip.wait("throttled" if ending.evidence is Evidence.THROTTLED else "retry", verdict.after)
            await self.sleep(verdict.after)

    def _decide(self, trip: Trip, call: Call[Any], now: _Progress, ending: Ending) -> Verdict:
        situation = Situation(
            ending.evidence,
            call.replay,
            now.attempts,
            trip.deadline - self.clock(),
            trip.speaker.budget.tokens,
            retry_after=ending.asked_wait,
            draw=self.draw(),
            findable=call.find is not None,
            doubtful=now.doubtful,
            resent=now.resent,
        )
        return decide(self.policy, situation)

    async def _attempt(self, trip: Trip, call: Call[Any], now: _Progress) -> Ending:
        """One attempt with a bearer token; if the gateway no longer takes it, a second one with a fresh token."""
        try:
            bearer = await self._bearer(trip)
            ending = await self._sent(trip, call, now, bearer)
            if bearer is not None and isinstance(ending.error, Unauthorized) and trip.speaker.bearer is not None:
                trip.speaker.bearer.drop(bearer)
                ending = await self._sent(trip, call, now, await self._bearer(trip))
        except CallFailed as error:
            return Ending(Evidence.ANSWERED, error=error)
        return ending

    async def _bearer(self, trip: Trip) -> Secret | None:
        keeper, dialect = trip.speaker.bearer, trip.speaker.dialect
        if keeper is None:
            return None

        async def fetch() -> AccessToken:
            call = dialect.token_call()
            assert call is not None  # noqa: S101 - a keeper exists only where the dialect asks for one
            return (await self.perform(trip, call)).record

        token: Secret | None = None
        with anyio.move_on_after(trip.deadline - self.clock()):
            token = await keeper.get(fetch)
        if token is None:
            raise DeadlineExceeded("it was not sent: fetching the bearer token took all the time")
        return token

    async def _sent(self, trip: Trip, call: Call[Any], now: _Progress, bearer: Secret | None) -> Ending:
        """Send once, and remember a write that may still land, however this ends."""
        flight, began = Flight(), self.clock()
        now.sent += 1
        self.counts.attempts += 1
        trip.begin_attempt(call, now.sent)
        try:
            ending = await self.attempts.make(trip.speaker, call, flight, trip.deadline - began, bearer)
        except BaseException as error:
            self._doubt(trip, call, now.keys, flight)
            trip.break_attempt(call, flight, error, self.clock() - began)
            raise
        if ending.evidence in IN_DOUBT:
            self._doubt(trip, call, now.keys, flight)
        if ending.reply is None:
            ending.error.request_id = ending.request_id
        trip.end_attempt(call, flight, ending, self.clock() - began)
        return ending

    def _doubt(self, trip: Trip, call: Call[Any], keys: list[Key], flight: Flight) -> None:
        """Remember that a write may still land, if this is one and may have left."""
        if call.replay is not Replay.READ and flight.sent:
            trip.doubtful = True
            if keys:
                self.turns.doubt(keys, call.request.body, self.policy.settle)

    async def _wait_out(self, trip: Trip, keys: list[Key], call: Call[Any] | None) -> bool:
        """Wait until no earlier write for the same customer can land any more; True when there was one.

        The very bytes that are in doubt may go out again at once where sending them twice leaves the same state.
        """
        repeatable = call is not None and call.replay in {Replay.IDEMPOTENT, Replay.NATURAL_UPSERT}
        wait = self.turns.wait(keys, call.request.body if call is not None and repeatable else None)
        if wait <= 0:
            return False
        if wait >= trip.deadline - self.clock():
            why = f"it was not sent: an earlier write for this customer may still land within {wait:.1f} s"
            raise self._told(trip, DeadlineExceeded(why))
        trip.wait("doubt", wait)
        await self.sleep(wait)
        return True

    async def _resolve(self, trip: Trip, call: Call[T], now: _Progress, ending: Ending) -> Reply[T] | None:
        """Look what a write has left, again and again until the settle time is over; None when it is not there."""
        at_once = ending.evidence in {Evidence.BODY_LOST, Evidence.TAKEN}
        waits: Iterator[float] = settle_times(self.policy.settle)
        for wait in chain((0.0,), waits) if at_once else waits:
            if wait >= trip.deadline - self.clock():
                raise self._failure(trip, call, now, ending)
            if wait:
                trip.wait("settle", wait)
            await self.sleep(wait)
            try:
                found = await self._look(trip, call, certain=ending.evidence is Evidence.BODY_LOST)
            except (Ambiguous, Duplicate):
                raise
            except CallFailed as error:
                raise self._failure(trip, call, now, ending) from error
            if found is not None:
                if call.replay is Replay.LOOKUP or not now.doubtful:
                    # Of several attempts at an update, an earlier one may be under way still.
                    self.turns.landed(now.keys)
                return found
        return None

    async def _look(self, trip: Trip, call: Call[T], *, certain: bool) -> Reply[T] | None:
        """The record that a write has left, None when there is none.

        Args:
            trip: The verb.
            call: The write.
            certain: The gateway has said that it applied the write: whatever is there is what it made of it.

        Raises:
            Duplicate: There is one, but it is not what this write meant.
            Ambiguous: There are several.
        """
        self.counts.looks += 1
        trip.look()
        try:
            found = await self._seek(trip, call, certain=certain)
        except BaseException as error:
            trip.end_look(error=error)
            raise
        trip.end_look(found=found is not None)
        return found

    async def _seek(self, trip: Trip, call: Call[T], *, certain: bool) -> Reply[T] | None:
        assert call.find is not None  # noqa: S101 - the decision resolves only what can be found
        try:
            reply = await self._walk(trip, call.find())
        except NotFound:
            return None
        except Ambiguous as error:
            error.applied = "unknown"
            raise
        differing = () if certain or call.conflicts is None else call.conflicts(reply.record)
        if differing:
            held = cast("Customer", reply.record).id
            why = f"a customer with this reference is there ({held}), but not with this {', '.join(differing)}"
            raise self._told(trip, Duplicate(why, ids=(held,), reference=call.reference))
        return evolve(reply, adopted=True)

    def _failure(self, trip: Trip, call: Call[Any], now: _Progress, ending: Ending) -> CallFailed:
        """The error that ends a call, with what is known about all of its attempts."""
        error = ending.error
        if call.replay is Replay.READ:
            error.applied = "no"
        elif now.doubtful and error.applied != "yes":
            error = in_doubt(error, {}, once=call.replay in {Replay.LOOKUP, Replay.NONE})
        error.attempts = now.attempts
        error.reference = error.reference or call.reference
        error.id = error.id or call.id
        return self._told(trip, error)

    def _told(self, trip: Trip, error: CallFailed) -> CallFailed:
        return trip.tell(error, self.clock())

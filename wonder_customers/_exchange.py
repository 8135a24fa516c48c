"""The exchange: the one loop that sends again, and the one place that sleeps.

Each attempt ends with evidence from what the transport saw. `wonder_customers.retry.decide` says what follows: the same
bytes again, a look at what the write has left, or the failure.
"""

import random
from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from typing import Any, TypeVar, cast

import anyio
from attrs import define, evolve, field

from wonder_customers import _waiting
from wonder_customers._attempt import Attempts, Ending, Speaker
from wonder_customers._turns import Key, Turns
from wonder_customers._wire import Flight, Replay
from wonder_customers.dialects.base import AccessToken, Call, Hold, Steps
from wonder_customers.errors import (
    Ambiguous,
    AttemptRecord,
    CallFailed,
    DeadlineExceeded,
    Duplicate,
    NoAnswer,
    NotFound,
    NotSent,
    OutcomeUnknown,
    Unauthorized,
    Unavailable,
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

T = TypeVar("T")

_IN_DOUBT = frozenset({Evidence.UNKNOWN, Evidence.STALE})

_NOTHING_YET: Reply[Any] = Reply(None, 0, {})


@define(eq=False)
class Trip:
    """One verb from start to end: its deadline and everything that was seen on the way."""

    speaker: Speaker
    operation: str
    started: float
    deadline: float
    turns_before: int
    requests: int = 0
    doubtful: bool = False
    history: list[AttemptRecord] = field(factory=list)
    held: set[Key] = field(factory=set)


@define(eq=False)
class _Progress:
    """How far one call has come."""

    attempts: int = 0
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
    """

    attempts: Attempts
    policy: RetryPolicy
    turns: Turns
    clock: Callable[[], float] = _waiting.clock
    sleep: Callable[[float], Any] = _waiting.sleep
    draw: Callable[[], float] = random.random

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
        try:
            if subject is not None:
                await self._hold(trip, *subject)
            return await self._walk(trip, steps, subject)
        except CallFailed as error:
            if trip.doubtful and error.applied == "no":
                # A write of this verb is in doubt, whatever the look after it has said of itself.
                raise self._told(trip, _in_doubt(error, dict([subject] if subject is not None else []))) from error
            raise
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
            self._tell(trip, error)
            raise

    async def _hold(self, trip: Trip, name: str, value: str) -> bool:
        """Take the customer's turn for the rest of the trip; True when another write ended since the trip began."""
        key = (trip.speaker.merchant, name, value)
        if key not in trip.held:
            if not await self.turns.take(key, trip.deadline - self.clock()):
                why = "it was not sent: an earlier write for this customer took all the time"
                raise self._told(trip, DeadlineExceeded(why))
            trip.held.add(key)
        return self.turns.finished != trip.turns_before

    async def perform(self, trip: Trip, call: Call[T]) -> Reply[T]:
        """One call: attempts, waits and looks until it has a result or a failure."""
        budget, now = trip.speaker.budget, _Progress()
        keys = _keys(trip, call)
        if keys and await self._wait_out(trip, keys, call) and call.replay is Replay.LOOKUP:
            found = await self._look(trip, call, certain=False)
            if found is not None:
                return found
        while True:
            now.attempts += 1
            ending = await self._attempt(trip, call, keys)
            if now.doubtful and call.gone_is_done and isinstance(ending.error, NotFound):
                ending.reply = Reply(None, ending.error.status, {}, ending.request_id, adopted=True)
            if ending.reply is not None:
                budget.give_back(now.spent)
                trip.doubtful = trip.doubtful and call.replay is Replay.READ
                return ending.reply
            now.doubtful = now.doubtful or ending.evidence in _IN_DOUBT
            verdict = self._decide(trip, call, now, ending)
            if isinstance(verdict, Resolve):
                found = await self._resolve(trip, call, now, ending)
                if found is not None:
                    budget.give_back(now.spent)
                    trip.doubtful = False
                    return found
                if ending.evidence not in _IN_DOUBT:
                    raise self._failure(trip, call, now, ending)
                ending.evidence = Evidence.ABSENT
                verdict = self._decide(trip, call, now, ending)
            if not isinstance(verdict, Retry) or not budget.take(verdict.cost):
                raise self._failure(trip, call, now, ending)
            now.resent = now.resent or ending.evidence is Evidence.ABSENT
            now.spent += verdict.cost
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

    async def _attempt(self, trip: Trip, call: Call[Any], keys: list[Key]) -> Ending:
        """One attempt; with a bearer token that the gateway no longer takes, a second one with a fresh token."""
        try:
            bearer = await self._bearer(trip) if call.signed else None
            ending = await self._sent(trip, call, keys, bearer)
            if bearer is not None and isinstance(ending.error, Unauthorized) and trip.speaker.bearer is not None:
                trip.speaker.bearer.drop(bearer)
                ending = await self._sent(trip, call, keys, await self._bearer(trip))
        except CallFailed as error:
            return Ending(Evidence.ANSWERED, error=error)
        return ending

    async def _bearer(self, trip: Trip) -> str | None:
        keeper, dialect = trip.speaker.bearer, trip.speaker.dialect
        if keeper is None:
            return None

        async def fetch() -> AccessToken:
            call = dialect.token_call()
            assert call is not None  # noqa: S101 - a keeper exists only where the dialect asks for one
            return (await self.perform(trip, call)).record

        token: str | None = None
        with anyio.move_on_after(trip.deadline - self.clock()):
            token = await keeper.get(fetch)
        if token is None:
            raise DeadlineExceeded("it was not sent: fetching the bearer token took all the time")
        return token

    async def _sent(self, trip: Trip, call: Call[Any], keys: list[Key], bearer: str | None) -> Ending:
        """Send once, and remember a write that may still land, however this ends."""
        flight, began, ending = Flight(), self.clock(), None
        trip.requests += 1
        try:
            ending = await self.attempts.make(trip.speaker, call, flight, trip.deadline - began, bearer)
        finally:
            known = ending is not None and ending.evidence not in _IN_DOUBT
            if call.replay is not Replay.READ and flight.sent and not known:
                trip.doubtful = True
            if keys and flight.sent and not known:
                self.turns.doubt(keys, call.request.body, self.policy.settle)
        took = self.clock() - began
        cause = ending.error.why if ending.reply is None else "answered"
        trip.history.append(AttemptRecord(_outcome(flight, ending), cause, took, ending.request_id))
        if ending.reply is None:
            ending.error.request_id = ending.request_id
        return ending

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
        await self.sleep(wait)
        return True

    async def _resolve(self, trip: Trip, call: Call[T], now: _Progress, ending: Ending) -> Reply[T] | None:
        """Look what a write has left, again and again until the settle time is over; None when it is not there."""
        at_once = ending.evidence in {Evidence.BODY_LOST, Evidence.TAKEN}
        waits: Iterator[float] = settle_times(self.policy.settle)
        for wait in chain((0.0,), waits) if at_once else waits:
            if wait >= trip.deadline - self.clock():
                raise self._failure(trip, call, now, ending)
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
                    self.turns.landed(_keys(trip, call))
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
            raise self._told(trip, Duplicate(why, ids=(held,), applied="unknown", reference=call.reference))
        return evolve(reply, adopted=True)

    def _failure(self, trip: Trip, call: Call[Any], now: _Progress, ending: Ending) -> CallFailed:
        """The error that ends a call, with what is known about all of its attempts."""
        error = ending.error
        if call.replay is Replay.READ:
            error.applied = "no"
        elif now.doubtful and error.applied != "yes":
            error = _in_doubt(error, {}, once=call.replay in {Replay.LOOKUP, Replay.NONE})
        error.attempts = now.attempts
        error.reference = error.reference or call.reference
        error.id = error.id or call.id
        return self._told(trip, error)

    def _told(self, trip: Trip, error: CallFailed) -> CallFailed:
        self._tell(trip, error)
        return error

    def _tell(self, trip: Trip, error: CallFailed) -> None:
        """Fill in what every error tells."""
        error.attempts = error.attempts or trip.requests
        error.gateway = error.gateway or trip.speaker.dialect.gateway
        error.operation = error.operation or trip.operation
        error.history = tuple(trip.history)
        error.elapsed = self.clock() - trip.started


def _in_doubt(error: CallFailed, subject: Mapping[str, str], *, once: bool = False) -> CallFailed:
    """`error`, when a write before it or with it may have been applied.

    Args:
        error: What ended the call.
        subject: What the verb is about, where `error` does not say so itself.
        once: The write is one that must not be repeated, so that a fault of the gateway's own leaves it unknown too.
    """
    error.applied = "unknown"
    silent = isinstance(error, (NotSent, NoAnswer, DeadlineExceeded))
    if not silent and not (once and isinstance(error, Unavailable)):
        return error
    unknown = OutcomeUnknown(
        error.why,
        applied="unknown",
        attempts=error.attempts,
        request_id=error.request_id,
        reference=error.reference or subject.get("reference"),
        id=error.id or subject.get("id"),
    )
    unknown.__cause__ = error
    return unknown


def _keys(trip: Trip, call: Call[Any]) -> list[Key]:
    """What a write is about, as keys of turns; empty for reads."""
    if call.replay is Replay.READ:
        return []
    named = (("reference", call.reference), ("id", call.id))
    return [(trip.speaker.merchant, name, value) for name, value in named if value is not None]


def _outcome(flight: Flight, ending: Ending) -> str:
    if flight.status is not None:
        return "body lost" if ending.evidence is Evidence.BODY_LOST else f"HTTP {flight.status}"
    return "no answer" if flight.sent else "not sent"

"""One verb on its way, and what its errors tell of it."""

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from attrs import define, field

from wonder_customers._core.attempt import AccountContext, AttemptResult
from wonder_customers._core.write_locks import Key
from wonder_customers.dialects.base import Call
from wonder_customers.dialects.drift import Drift
from wonder_customers.errors import (
    AttemptRecord,
    CallError,
    DeadlineExceededError,
    GatewayUnavailableError,
    NoResponseError,
    NotSentError,
    OutcomeUnknownError,
)
from wonder_customers.records import Applied, Response
from wonder_customers.retry import Evidence
from wonder_customers.wire import Replay, Transmission

if TYPE_CHECKING:  # loaded only where somebody watches
    from wonder_customers._core.observers import CallObserver, ObserverGroup
    from wonder_customers.events import Outcome, Reason

UNCONFIRMED: Final = frozenset({Evidence.UNKNOWN, Evidence.STALE})
"""A write that ended so may have been applied."""


@define(eq=False)
class Counts:
    """What a session's executor has done; see `wonder_customers.events.Stats`."""

    started: int = 0
    succeeded: int = 0
    failed: dict[str, int] = field(factory=dict)
    attempts: int = 0
    retries: int = 0
    lookups: int = 0
    drift: dict[str, int] = field(factory=dict)


@define(eq=False)
class CallContext:
    """One verb from start to end: its deadline and everything that was seen on the way.

    Attributes:
        speaker: Who it is made for.
        operation: The verb.
        started: When it began.
        deadline: When it has to end.
        turns_before: How many turns had ended when it began.
        requests: How many it has started.
        wrote: A write of it was answered well, or found to be there.
        doubtful: A write of it may have been applied, and nothing has told yet.
        history: One record per request.
        held: The turns it holds.
        watched: Tells the observers; None where nobody watches.
    """

    account_context: AccountContext
    operation: str
    started: float
    deadline: float
    turns_before: int
    requests: int = 0
    wrote: bool = False
    unconfirmed: bool = False
    history: list[AttemptRecord] = field(factory=list)
    held: set[Key] = field(factory=set)
    watched: "CallObserver | None" = None

    @property
    def applied(self) -> Applied:
        """What is known of its writes, where no error of the library tells it."""
        return "unknown" if self.unconfirmed else "yes" if self.wrote else "no"

    def tell(self, error: CallError, now: float) -> CallError:
        """Fill in what every error tells."""
        error.attempts = error.attempts or self.requests
        error.gateway = error.gateway or self.account_context.dialect.gateway
        error.operation = error.operation or self.operation
        error.history = tuple(self.history)
        error.elapsed = now - self.started
        return error

    def mark_confirmed(self, call: Call[Any]) -> None:
        """`call` was answered well, or what it meant is there."""
        if call.replay is not Replay.READ:
            self.unconfirmed, self.wrote = False, True

    def begin(self, counts: Counts, observers: "ObserverGroup | None") -> None:
        """It begins."""
        counts.started += 1
        if observers is not None:
            dialect = self.account_context.dialect
            self.watched = observers.call(dialect.gateway, self.operation, dialect.origin)

    def succeed(self, counts: Counts, reply: Response[Any]) -> None:
        """It returns its result."""
        counts.succeeded += 1
        if self.watched is not None:
            self.watched.ended(None, self.applied, self.requests, reply.elapsed, recovered=reply.recovered)

    def fail(self, counts: Counts, error: BaseException, applied: Applied, now: float) -> None:
        """It raises."""
        name = name_of(error)
        counts.failed[name] = counts.failed.get(name, 0) + 1
        if self.watched is not None:
            self.watched.ended(name, applied, self.requests, now - self.started, recovered=False)

    def begin_attempt(self, call: Call[Any], number: int) -> None:
        """A request is about to go out, the same one for the `number`-th time."""
        self.requests += 1
        if self.watched is not None:
            self.watched.attempt(call.request, number, self.requests)

    def end_attempt(
        self, call: Call[Any], transmission: Transmission, attempt_result: AttemptResult, took: float
    ) -> None:
        """It has ended."""
        outcome, error = (
            how_far(transmission, attempt_result),
            None if attempt_result.reply is not None else attempt_result.error,
        )
        seen = f"HTTP {transmission.status}" if outcome == "response" else outcome
        cause = "complete response" if error is None else error.reason
        self.history.append(AttemptRecord(seen, cause, took, attempt_result.request_id))
        if self.watched is not None:
            name = None if error is None else name_of(error)
            self.watched.attempted(
                outcome, transmission.status, done_by(call, transmission, attempt_result), name, took
            )

    def report_drift(self, counts: Counts, found: tuple[Drift, ...]) -> None:
        """Count the fields of a response that differ from the gateway's documents, and notify the observers."""
        gateway = self.account_context.dialect.gateway
        for it, count in Counter(found).items():
            name = f"{gateway}.{it.field}"
            counts.drift[name] = counts.drift.get(name, 0) + count
            if self.watched is not None:
                self.watched.response_drift(it, count)

    def break_attempt(self, call: Call[Any], transmission: Transmission, error: BaseException, took: float) -> None:
        """It was broken off."""
        if self.watched is not None:
            facts = how_far(transmission, None), transmission.status, done_by(call, transmission, None)
            self.watched.attempted(*facts, name_of(error), took)

    def wait(self, reason: "Reason", seconds: float) -> None:
        """It waits."""
        if self.watched is not None:
            self.watched.waiting(reason, seconds, self.account_context.budget.tokens)

    def look(self) -> None:
        """It looks what a write has left."""
        if self.watched is not None:
            self.watched.looking()

    def end_look(self, *, found: bool = False, error: BaseException | None = None) -> None:
        """The look has ended."""
        if self.watched is not None:
            self.watched.looked(None if error is None else name_of(error), found=found)


def name_of(error: BaseException) -> str:
    """The name by which an error is counted and told: its class, which holds no datum."""
    # A cancellation has another class on each event loop, and none of them is an Exception.
    told = isinstance(error, (Exception, KeyboardInterrupt, SystemExit))
    return type(error).__name__ if told else "Cancelled"


def keys(context: CallContext, call: Call[Any]) -> list[Key]:
    """What a write is about, as keys of turns; empty for reads."""
    if call.replay is Replay.READ:
        return []
    named = (("reference", call.reference), ("id", call.id))
    return [(context.account_context.merchant, name, value) for name, value in named if value is not None]


def as_unconfirmed(error: CallError, subject: Mapping[str, str], *, once: bool = False) -> CallError:
    """`error`, when a write before it or with it may have been applied.

    Args:
        error: What ended the call.
        subject: What the verb is about, where `error` does not say so itself.
        once: The write is one that must not be repeated, so that a fault of the gateway's own leaves it unknown too.
    """
    error.applied = "unknown"
    silent = isinstance(error, (NotSentError, NoResponseError, DeadlineExceededError))
    if not silent and not (once and isinstance(error, GatewayUnavailableError)):
        return error
    unknown = OutcomeUnknownError(
        error.reason,
        applied="unknown",
        attempts=error.attempts,
        request_id=error.request_id,
        reference=error.reference or subject.get("reference"),
        id=error.id or subject.get("id"),
    )
    unknown.__cause__ = error
    return unknown


def how_far(transmission: Transmission, attempt_result: AttemptResult | None) -> "Outcome":
    """How far an attempt came; without an `AttemptResult` it was broken off."""
    if transmission.status is None:
        return "no response" if transmission.sent else "not sent"
    if attempt_result is None or attempt_result.evidence is Evidence.BODY_LOST:
        return "body lost"
    silent = attempt_result.reply is None and isinstance(attempt_result.error, (NoResponseError, DeadlineExceededError))
    return "body lost" if silent else "response"


def done_by(call: Call[Any], transmission: Transmission, attempt_result: AttemptResult | None) -> Applied:
    """What one attempt by itself has done; without an `AttemptResult` it was broken off."""
    if call.replay is Replay.READ or not transmission.sent:
        return "no"
    if attempt_result is None or attempt_result.evidence in UNCONFIRMED:
        return "unknown"
    return "yes" if attempt_result.reply is not None else attempt_result.error.applied

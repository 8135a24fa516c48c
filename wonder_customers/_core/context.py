"""The contexts of accounts and operations, and the results of attempts."""

from collections import Counter
from collections.abc import Hashable, Mapping
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import starmap
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

from attrs import define, field

from wonder_customers._core.account_state import AccountState
from wonder_customers._core.credentials import TRANSIENT, Signer
from wonder_customers._core.redaction import Redactor, secret_words
from wonder_customers._core.waits import StopSignal
from wonder_customers._support import clock
from wonder_customers._support.http_dates import parse_http_date
from wonder_customers.dialects.base import Call, Dialect
from wonder_customers.dialects.drift import Drift
from wonder_customers.errors import (
    AttemptRecord,
    CallError,
    ConfigurationError,
    DeadlineExceededError,
    NoResponseError,
    NotSentError,
    OutcomeUnknownError,
)
from wonder_customers.records import Applied, Customer, Response
from wonder_customers.retry import Evidence, RetryPolicy
from wonder_customers.secret import Secret
from wonder_customers.wire import Header, HttpRequest, Replay, Timeouts, Transmission

if TYPE_CHECKING:  # loaded only when there are observers
    from wonder_customers._core.observers import CallObserver, ObserverGroup
    from wonder_customers.events import Outcome, Reason

Key = tuple[Hashable, str, str]
"""The key of a customer; see `customer_key`."""

_CLOCK_TOLERANCE: Final = timedelta(days=1)
"""The assumed difference of two clocks, including times without their zone."""
UNCONFIRMED: Final = frozenset({Evidence.UNKNOWN, Evidence.STALE, Evidence.UNREADABLE})
"""The evidence after which a write may have been applied."""


_COMMON: Final[tuple[Header, ...]] = (
    (b"Accept", b"application/json"),
    (b"Accept-Encoding", b"identity"),
    (b"Content-Type", b"application/json"),
)


@define(eq=False)
class AccountContext:
    """An account, with the settings of its session or view."""

    dialect: Dialect
    merchant: Hashable  # part of the keys of customers
    account: AccountState  # shared by the views of the account
    policy: RetryPolicy = field(factory=RetryPolicy)
    secrets: tuple[Secret, ...] = ()
    stop: StopSignal | None = None
    additional_headers: tuple[Header, ...] = field(default=(), repr=False)  # their values may be secrets
    source: Any = None  # the account itself
    owner: Hashable = None  # the merchant and the origin of its gateway
    headers: tuple[Header, ...] = field(init=False, repr=False)
    hidden: tuple[Secret, ...] = field(init=False)  # the texts that messages must not contain
    signer: Signer = field(init=False)
    timeouts: Timeouts = field(init=False)
    _longest: float = field(init=False)

    def __attrs_post_init__(self) -> None:
        host = str(self.dialect.origin).partition("://")[2]
        self.headers = ((b"Host", host.encode("ascii")), *_COMMON, *self.additional_headers)
        self.hidden = (*self.secrets, *secret_words(self.additional_headers))
        self.signer = Signer(self.dialect, self.secrets, self.source)
        self.timeouts, self._longest = _time_limits(self.policy)

    def timeouts_within(self, remaining: float) -> Timeouts:
        """Return the time limits of an attempt that may take `remaining` seconds in total."""
        timeouts = self.timeouts
        if remaining >= self._longest:
            return timeouts
        return Timeouts(*(min(limit, remaining) for limit in (timeouts.connect, timeouts.read, timeouts.write)))


@lru_cache  # views with equal policies share the object
def _time_limits(policy: RetryPolicy) -> tuple[Timeouts, float]:
    """Return the time limits of an attempt, and the longest limit."""
    limits = (policy.connect_timeout, policy.read_timeout, policy.write_timeout)
    return Timeouts(*limits), max(limits)


_OWNERS: Final[WeakKeyDictionary[CallError, Hashable]] = WeakKeyDictionary()
"""The `AccountContext.owner` of errors. It is not an attribute, because errors can be pickled."""


NO_ERROR: Final = NotSentError("no attempt was made")
"""The value of `AttemptResult.error` after success."""


@define(eq=False)
class AttemptResult:
    """The result of an attempt: a response or an error."""

    evidence: Evidence
    response: Response[Any] | None = None
    error: CallError = NO_ERROR
    retry_after: float | None = None  # seconds
    request_id: str | None = None
    drift: tuple[Drift, ...] = ()


@define(eq=False)
class CallContext:
    """The state of one operation from its start to its end."""

    account_context: AccountContext
    operation: str
    started: float  # on the monotonic clock, as is the deadline
    deadline: float
    record: object = None  # the argument of the operation, whose values are redacted
    secrets: tuple[Secret, ...] = ()  # fetched so far
    locks_before: int = 0  # an earlier value of `WriteLocks.released`
    requests: int = 0  # started so far
    wrote: bool = False  # whether a write was applied
    unconfirmed: bool = False  # whether a write may have been applied
    late_attempt: bool = False  # see `Response.late_attempt`
    # Request, transmission, result, cause and duration in seconds.
    ended: list[tuple[HttpRequest, Transmission, AttemptResult, str, float]] = field(factory=list)
    held: list[Key] = field(factory=list)  # locks
    observer: "CallObserver | None" = None

    @property
    def applied(self) -> Applied:
        """Whether the writes of the operation were applied, as far as this is known now."""
        return "unknown" if self.unconfirmed else "yes" if self.wrote else "no"

    def remaining(self) -> float:
        """Return the seconds left before the deadline."""
        return self.deadline - clock.monotonic()

    def elapsed(self) -> float:
        """Return the seconds since the start of the operation."""
        return clock.monotonic() - self.started

    async def pause(self, reason: "Reason | None", seconds: float) -> bool:
        """Wait for `seconds`. Return False if the stop signal is set."""
        stop = self.account_context.stop
        with self.waiting(reason, seconds), self.interruptible():
            await clock.sleep(seconds)
        return stop is None or not stop.is_set

    def interruptible(self) -> AbstractContextManager[None]:
        """Return a context manager whose body the stop signal cancels."""
        stop = self.account_context.stop
        return nullcontext() if stop is None else stop.interrupting()

    def not_sent(self, reason: str) -> CallError:
        """Return the error for a request that was not sent."""
        stop = self.account_context.stop
        if stop is not None and stop.is_set:
            return NotSentError("the request was not sent: the stop signal was set", hint="It is safe to call again.")
        return DeadlineExceededError(f"the request was not sent: {reason}")

    def add_secrets(self, secrets: tuple[Secret, ...]) -> None:
        """Add credentials to `secrets`."""
        # Replaced credentials stay, because later messages may contain them.
        self.secrets += tuple(it for it in secrets if it not in self.secrets)

    def complete(self, error: CallError) -> CallError:
        """Add the operation's details to `error`, and return `error`."""
        error.attempts = error.attempts or self.requests
        error.gateway = error.gateway or self.account_context.dialect.gateway
        error.operation = error.operation or self.operation
        error.history = tuple(starmap(self._record, self.ended))
        error.elapsed = self.elapsed()
        _OWNERS[error] = self.account_context.owner
        return error

    def mark_confirmed(self) -> None:
        """Record the success of a write."""
        self.late_attempt |= self.unconfirmed
        self.unconfirmed, self.wrote = False, True

    def begin(self, observers: "ObserverGroup | None") -> None:
        """Count and report the start of the operation."""
        self.account_context.account.counts.started += 1
        if observers is not None:
            dialect = self.account_context.dialect
            self.observer = observers.call(dialect.gateway, self.operation, dialect.origin)

    def succeed(self, response: Response[Any]) -> None:
        """Count and report the success of the operation."""
        self.account_context.account.counts.succeeded += 1
        if self.observer is not None:
            self.observer.ended(None, self.applied, self.requests, response.elapsed, recovered=response.recovered)

    def fail(self, error: BaseException, applied: Applied) -> None:
        """Count and report that the operation failed or was cancelled."""
        name = error_name(error)
        failed = self.account_context.account.counts.failed
        failed[name] = failed.get(name, 0) + 1
        if self.observer is not None:
            self.observer.ended(name, applied, self.requests, self.elapsed(), recovered=False)

    def begin_attempt(self, call: Call[Any], number: int) -> None:
        """Count and report the start of a request."""
        self.requests += 1
        if self.observer is not None:
            self.observer.attempt(call.request, number, self.requests)

    def end_attempt(self, call: Call[Any], transmission: Transmission, result: AttemptResult, elapsed: float) -> None:
        """Record and report the end of a request."""
        error = None if result.response is not None else result.error
        cause = "complete response" if error is None else error.reason
        self.ended.append((call.request, transmission, result, cause, elapsed))
        if self.observer is not None:
            name = None if error is None else error_name(error)
            outcome, applied = outcome_of(transmission, result), _applied_by(call, transmission, result)
            request_id = self._redacted_id(call.request, result)
            self.observer.attempted(outcome, transmission.status, applied, name, elapsed, request_id=request_id)

    def _record(
        self, request: HttpRequest, transmission: Transmission, result: AttemptResult, cause: str, elapsed: float
    ) -> AttemptRecord:
        outcome = outcome_of(transmission, result)
        shown = f"HTTP {transmission.status}" if outcome == "response" else outcome
        return AttemptRecord(shown, cause, elapsed, self._redacted_id(request, result))

    def redactor(self, request: HttpRequest) -> Redactor:
        """Return the redactor for the response to `request`."""
        # The gateway may repeat values of the whole call, such as the stored name in the response to a lookup.
        secrets = (*self.account_context.hidden, *self.secrets)
        return Redactor(request, secrets, self.record, (it[0] for it in self.ended))

    def _redacted_id(self, request: HttpRequest, result: AttemptResult) -> str | None:
        if result.response is None or result.request_id is None:
            return result.request_id  # the ids of errors are redacted already
        return self.redactor(request).redact_id(result.request_id)

    def break_attempt(self, call: Call[Any], transmission: Transmission, error: BaseException, elapsed: float) -> None:
        """Report that a request was cancelled or ended with an unexpected error."""
        if self.observer is not None:
            outcome, applied = outcome_of(transmission, None), _applied_by(call, transmission, None)
            self.observer.attempted(outcome, transmission.status, applied, error_name(error), elapsed)

    def report_drift(self, found: tuple[Drift, ...]) -> None:
        """Count and report the fields of a response that differ from the gateway's documentation."""
        gateway, drift = self.account_context.dialect.gateway, self.account_context.account.counts.drift
        for it, count in Counter(found).items():
            name = f"{gateway}.{it.field}"
            drift[name] = drift.get(name, 0) + count
            if self.observer is not None:
                self.observer.response_drift(it, count)

    def waiting(self, reason: "Reason | None", seconds: float) -> AbstractContextManager[None]:
        """Return a context manager that reports its body as a wait."""
        if self.observer is None or reason is None:
            return nullcontext()
        return self.observer.waiting(reason, seconds, self.account_context.account.budget.tokens)

    def looking_up(self) -> AbstractContextManager[list[Any]]:
        """Return a context manager that counts and reports its body as a lookup. The body adds what it finds."""
        self.account_context.account.counts.lookups += 1
        return nullcontext([]) if self.observer is None else self.observer.looking_up(error_name)


def check_owner(error: CallError, account_context: AccountContext) -> None:
    """Raise `ConfigurationError` if `error` is known to be the error of another account's call."""
    gateway, owner = account_context.dialect.gateway, account_context.owner
    if not isinstance(error, CallError):
        raise ConfigurationError(f"expected the CallError of a write, not {type(error).__name__}")
    if error.gateway not in {"", gateway}:
        whose = f"a call to {error.gateway}, but this session or view uses {gateway}"
    elif _OWNERS.get(error, owner) != owner:
        whose = f"a call of another {gateway} account"
    else:
        return
    raise ConfigurationError(
        f"the error was raised by {whose}. Nothing was sent. Call `resolve` on the session or view that made the call."
    )


def error_name(error: BaseException) -> str:
    """Return the name of an error for events and counters."""
    named = isinstance(error, (Exception, KeyboardInterrupt, SystemExit))
    return type(error).__name__ if named else "Cancelled"


def customer_key(merchant: Hashable, by: str, value: str) -> Key:
    """Return the key of a customer for its locks. `by` is ``reference`` or ``id``."""
    return merchant, by, value.casefold() if by == "id" else value


def write_keys(call_context: CallContext, call: Call[Any]) -> list[Key]:
    """Return the keys of the locks for a write, the reference first."""
    merchant = call_context.account_context.merchant
    keys: list[Key] = [] if call.reference is None else [(merchant, "reference", call.reference)]
    return keys if call.id is None else [*keys, customer_key(merchant, "id", call.id)]


def age_of(customer: Customer, headers: Mapping[str, str]) -> float:
    """Return a customer's age in seconds by the gateway's clock; 0 if it is unknown.

    Without the gateway's clock, it is the smallest age by the clock of this machine.
    """
    now, created = parse_http_date(headers.get("date", "")), customer.created_at
    if created is None or created.tzinfo is None:
        return 0.0
    if now is None or now.tzinfo is None:
        now = datetime.now(UTC) - _CLOCK_TOLERANCE
    return (now - created).total_seconds()


def as_unconfirmed(error: CallError, subject: Mapping[str, str]) -> CallError:
    """Return the error of a call whose write may have been applied."""
    error.applied = "unknown"
    if not isinstance(error, (*TRANSIENT, DeadlineExceededError)):
        return error
    unknown = OutcomeUnknownError(
        error.reason,
        applied="unknown",
        attempts=error.attempts,
        request_id=error.request_id,
        reference=error.reference or subject.get("reference"),
        id=error.id or subject.get("id"),
        rate_limit_headers=error.rate_limit_headers,
    )
    unknown.__cause__ = error
    return unknown


def outcome_of(transmission: Transmission, result: AttemptResult | None) -> "Outcome":
    """Return how an attempt ended."""
    if transmission.status is None:
        return "no response" if transmission.sent else "not sent"
    if result is None or result.evidence is Evidence.BODY_LOST:
        return "body lost"
    lost = result.response is None and isinstance(result.error, (NoResponseError, DeadlineExceededError))
    return "body lost" if lost else "response"


def _applied_by(call: Call[Any], transmission: Transmission, result: AttemptResult | None) -> Applied:
    """Return whether one attempt was applied."""
    if call.replay is Replay.READ or not transmission.sent:
        return "no"
    if result is None or result.evidence in UNCONFIRMED:
        return "unknown"
    return "yes" if result.response is not None else result.error.applied

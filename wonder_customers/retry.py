"""The retry policy, and the decision about what follows a failed attempt.

The decision is a pure function: it performs no I/O and reads neither a clock nor a random number.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from enum import Enum
from math import isfinite
from typing import Any, Final, Literal

from attrs import Attribute, Factory, define, evolve, field, frozen

from wonder_customers._support.http_dates import parse_http_date
from wonder_customers.errors import ConfigurationError
from wonder_customers.wire import Replay


@frozen
class _Range:
    """A validator that accepts only numbers (integers if `whole`) from `low` to `high`."""

    low: float
    high: float
    whole: bool = False

    def __call__(self, policy: object, attribute: "Attribute[Any]", value: float) -> None:
        kind = int if self.whole else (int, float)
        if isinstance(value, bool) or not isinstance(value, kind) or not self.low <= value <= self.high:
            what = "an integer" if self.whole else "a number"
            limits = f"{what} from {self.low} to {self.high}"
            raise ConfigurationError(f"RetryPolicy({attribute.name}=…) must be {limits}, not {value!r:.50}")


_SHORT, _DAY = 0.001, 86_400.0

_CONFIRMATION_WINDOW: Final = 10.0


def _default_confirmation_window(policy: "RetryPolicy") -> float:
    deadline: Any = policy.deadline
    usable = isinstance(deadline, (int, float)) and not isinstance(deadline, bool)
    return min(_CONFIRMATION_WINDOW, deadline / 2) if usable else _CONFIRMATION_WINDOW


def _check_window(policy: "RetryPolicy", attribute: "Attribute[Any]", value: float) -> None:
    _Range(0, _DAY)(policy, attribute, value)
    if value >= policy.deadline:
        raise ConfigurationError(
            f"RetryPolicy(confirmation_window={value:g}) must be shorter than the deadline of {policy.deadline:g} s,"
            " because a write waits until the window of an earlier unconfirmed write has passed"
        )


@frozen(kw_only=True)
class RetryPolicy:
    """How often, and for how long, a call is attempted. Times are in seconds.

    Attributes:
        attempts: Maximum number of attempts at one request. Lookups are not counted. Attempts refused with HTTP 429 are
            not counted unless `attempts` is 1.
        deadline: Time limit of the whole call, including waits, lookups and all attempts.
        connect_timeout: Time limit for opening a connection.
        read_timeout: Time limit of each wait for a part of a response, including the first part.
        write_timeout: Time limit of each wait while a request is being sent.
        base: Upper bound of the first wait after a transient failure. Waits are random.
        throttle_base: Upper bound of the first wait after HTTP 429.
        factor: Growth of the bound from one wait to the next.
        cap: Maximum of the bound. A wait requested by a ``Retry-After`` header is not limited.
        confirmation_window: How long an unanswered write may still be applied. An unanswered create at Paydock or Monri
            is looked up for this long before it is sent once more. Other writes for the same customer may wait this
            long. The default is 10 s, or half of the deadline if that is shorter.
        budget: Retry tokens of a session for each account, which limit additional traffic during an outage. The budget
            in the policy of a view has no effect.
        transient_cost: Tokens for a retry after a transient failure (see `decide`); given back when the request
            succeeds.
        throttle_cost: Tokens for a retry after HTTP 429 without ``Retry-After``; given back when the request succeeds.
    """

    attempts: int = field(default=3, validator=_Range(1, 1000, whole=True))
    deadline: float = field(default=60.0, validator=_Range(_SHORT, _DAY))
    connect_timeout: float = field(default=5.0, validator=_Range(_SHORT, _DAY))
    read_timeout: float = field(default=30.0, validator=_Range(_SHORT, _DAY))
    write_timeout: float = field(default=10.0, validator=_Range(_SHORT, _DAY))
    base: float = field(default=0.5, validator=_Range(0, _DAY))
    throttle_base: float = field(default=1.0, validator=_Range(0, _DAY))
    factor: float = field(default=2.0, validator=_Range(1, 10))
    cap: float = field(default=8.0, validator=_Range(0, _DAY))
    confirmation_window: float = field(
        default=Factory(_default_confirmation_window, takes_self=True), validator=_check_window
    )
    budget: int = field(default=500, validator=_Range(0, 1_000_000, whole=True))
    transient_cost: int = field(default=14, validator=_Range(0, 1_000_000, whole=True))
    throttle_cost: int = field(default=5, validator=_Range(0, 1_000_000, whole=True))


def with_deadline(policy: RetryPolicy, deadline: float) -> RetryPolicy:
    """Return the policy with another deadline. A confirmation window that equals the default is computed again.

    Raises:
        ConfigurationError: The deadline is invalid, or not longer than a confirmation window that was set.
    """
    window = policy.confirmation_window
    if window == _default_confirmation_window(policy):
        window = RetryPolicy(deadline=deadline).confirmation_window
    return evolve(policy, deadline=deadline, confirmation_window=window)


@define
class RetryBudget:
    """Tokens for retries, shared by many calls.

    Attributes:
        size: Number of tokens when full.
        tokens: Number of tokens left, from 0 to `size`.
    """

    size: int
    tokens: int = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.tokens = self.size

    def take(self, cost: int) -> bool:
        """Take `cost` tokens. Return False, without taking any, if fewer are left."""
        if cost > self.tokens:
            return False
        self.tokens -= cost
        return True

    def give_back(self, cost: int) -> None:
        """Add `cost` tokens, or one token if `cost` is 0."""
        self.tokens = min(self.size, self.tokens + (cost or 1))


class Evidence(Enum):
    """What is known about an attempt that ended."""

    NOT_SENT = "not sent"
    UNKNOWN = "sent, outcome unknown"
    STALE = "sent on a kept-alive connection that was closed, no byte of a response"
    THROTTLED = "refused before processing"
    BODY_LOST = "applied, the body of the response was lost"
    UNREADABLE = "complete response that cannot be read"
    REJECTED = "rejected, possibly because the reference is taken"
    ABSENT = "looked up for the whole confirmation window and not found"
    RESPONSE = "complete response"


@frozen
class RetryState:
    """Input of the decision.

    Attributes:
        evidence: How the last attempt ended.
        replay: The effect of sending the request twice.
        attempts: Number of attempts so far, including the last attempt.
        remaining: Seconds left before the deadline.
        tokens: Tokens left in the retry budget.
        draw: A random number from 0 (included) to 1 (excluded).
        findable: Whether a read can show the effect of the write.
        retry_after: Seconds to wait according to the gateway; None if it sent no time.
        unconfirmed: Whether this or an earlier attempt at the request may have been applied.
        resent: Whether the write was sent once more after a lookup did not find it.
        throttled: The number of `attempts` that ended with HTTP 429.
    """

    evidence: Evidence
    replay: Replay
    attempts: int
    remaining: float
    tokens: int
    draw: float
    findable: bool
    retry_after: float | None = None
    unconfirmed: bool = False
    resent: bool = False
    throttled: int = 0


@frozen
class Retry:
    """Wait for `after` seconds, then send the same request again. This takes `cost` tokens."""

    after: float
    cost: int


@frozen
class Resolve:
    """Look up the effect of the write."""


StopReason = Literal["final", "attempts", "deadline", "budget"]
"""Why a call is not retried: ``final`` if a retry would not help, else the exhausted limit."""


@frozen
class Raise:
    """End the call with the error of its last attempt.

    Attributes:
        because: Why the call is not retried, for the message of the error.
    """

    because: StopReason = field(default="final", eq=False)


Decision = Retry | Resolve | Raise

_RESENDABLE = frozenset({Replay.READ, Replay.IDEMPOTENT, Replay.NATURAL_UPSERT})


def decide(policy: RetryPolicy, now: RetryState) -> Decision:  # noqa: PLR0911 - one return per row of the table
    """Decide what follows an attempt that failed.

    | evidence           | read  | update, delete | natural upsert | lookup      | neither |
    |--------------------|-------|----------------|----------------|-------------|---------|
    | not sent           | retry | retry          | retry          | retry       | retry   |
    | unknown, stale     | retry | retry          | retry          | resolve     | raise   |
    | absent             | –     | –              | –              | retry once  | –       |
    | throttled          | wait  | wait           | wait           | wait        | wait    |
    | applied, body lost | retry | resolve        | resolve        | resolve     | raise   |
    | unreadable         | raise | raise          | raise          | resolve     | raise   |
    | rejected           | raise | raise          | raise          | resolve (1) | raise   |
    | complete response  | raise | raise          | raise          | raise       | raise   |

    (1) Only after an unconfirmed attempt, which may have created the customer with this reference; else raise.

    A retry requires a remaining attempt and time before the deadline. Tokens of the budget are not required after
    a request that was not sent, a read on a stale connection, or HTTP 429 with a time.
    A read that failed on a stale connection is sent again at once. Without a lookup, "resolve" becomes "raise".
    """
    findable = now.findable and now.replay is not Replay.NONE
    lookup = findable and now.replay is Replay.LOOKUP
    match now.evidence:
        case Evidence.RESPONSE:
            return Raise()
        case Evidence.NOT_SENT:
            return _retry(policy, now, base=policy.base, cost=0)
        case Evidence.THROTTLED:
            # A gateway that sends a time controls its load itself.
            cost = policy.throttle_cost if now.retry_after is None else 0
            return _retry(policy, now, base=policy.throttle_base, cost=cost)
        case Evidence.REJECTED:
            return Resolve() if lookup and now.unconfirmed else Raise()
        case Evidence.UNREADABLE:
            # Only a create has a lookup that compares values, so that it shows whether the write was applied.
            return Resolve() if lookup else Raise()
        case Evidence.ABSENT:
            return Raise() if now.resent else _retry(policy, now, base=0.0, cost=policy.transient_cost)
        case Evidence.STALE if now.replay is Replay.READ:
            return _retry(policy, now, base=0.0, cost=0)
        case Evidence.BODY_LOST if now.replay is not Replay.READ:
            return Resolve() if findable else Raise()
        case _ if now.replay in _RESENDABLE:
            return _retry(policy, now, base=policy.base, cost=policy.transient_cost)
        case _:
            return Resolve() if lookup else Raise()


def _retry(policy: RetryPolicy, now: RetryState, *, base: float, cost: int) -> Decision:
    throttled = now.evidence is Evidence.THROTTLED
    counted = now.attempts - now.throttled if policy.attempts > 1 else now.attempts
    if counted >= policy.attempts:
        return Raise("attempts")
    after = _wait(policy, now, base=base, number=(now.throttled or now.attempts) if throttled else max(1, counted))
    if after >= now.remaining:
        return Raise("deadline")
    if cost > now.tokens:
        return Raise("budget")
    return Retry(after, cost)


def _wait(policy: RetryPolicy, now: RetryState, *, base: float, number: int) -> float:
    minimum = now.retry_after or 0.0
    if not minimum:
        return backoff(policy, number, base=base, draw=now.draw)
    # Calls that were refused together must not be repeated together. The additional wait fits before the deadline.
    spread = backoff(policy, number, base=max(base, minimum), draw=1.0)
    available = max(0.0, (now.remaining - minimum) * 0.9)
    return minimum + min(spread, available) * now.draw


def backoff(policy: RetryPolicy, attempts: int, *, base: float, draw: float) -> float:
    """Return the wait in seconds after `attempts` requests. It grows exponentially up to ``policy.cap``."""
    # The exponent is bounded, because the number of attempts of a bulk job is large enough to overflow a float.
    return min(policy.cap, base * policy.factor ** min(attempts - 1, 64)) * draw


def lookup_schedule(confirmation_window: float) -> Iterator[float]:
    """Yield the waits before lookups: 0.5, 1, 2, 4 … seconds. Their sum is `confirmation_window`."""
    wait, left = 0.5, confirmation_window
    while True:
        yield min(wait, left)
        left -= wait
        if left <= 0:
            return
        wait *= 2


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Return the seconds to wait according to a response, or None if the response has no valid time.

    A valid ``retry-after-ms`` in milliseconds has precedence over ``Retry-After`` in seconds or as an HTTP date. A
    number is invalid if it is negative or not finite. A date is compared with the ``Date`` of the response, if present.
    A date in the past means 0.

    Args:
        headers: Response headers, names in lower case.
        now: Unix time in seconds.
    """
    for name, scale in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            seconds = float(headers[name]) * scale
        except (KeyError, ValueError):
            continue
        if isfinite(seconds) and seconds >= 0:
            return seconds
    until, sent = _moment(headers.get("retry-after", "")), _moment(headers.get("date", ""))
    return None if until is None else max(0.0, (until - (sent or datetime.fromtimestamp(now, UTC))).total_seconds())


def _moment(date: str) -> datetime | None:
    moment = parse_http_date(date)
    return moment if moment is None or moment.tzinfo else moment.replace(tzinfo=UTC)

"""When to send again: a policy, a budget and one pure decision. No I/O, no clock, no randomness of its own."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum
from math import isfinite
from typing import Any

from attrs import Attribute, define, field, frozen

from wonder_customers.errors import ConfigurationError
from wonder_customers.wire import Replay

__all__ = [
    "Decision",
    "Evidence",
    "Raise",
    "Resolve",
    "Retry",
    "RetryBudget",
    "RetryPolicy",
    "RetryState",
    "decide",
]


@frozen
class _Within:
    """Refuses a setting of another type or beyond its limits; True and False are no numbers here."""

    low: float
    high: float
    whole: bool = False

    def __call__(self, policy: object, attribute: "Attribute[Any]", value: float) -> None:
        kind = int if self.whole else (int, float)
        if isinstance(value, bool) or not isinstance(value, kind) or not self.low <= value <= self.high:
            what = "a whole number" if self.whole else "a number"
            raise ConfigurationError(f"RetryPolicy({attribute.name}=…) must be {what} from {self.low} to {self.high}")


_SHORT, _DAY = 0.001, 86_400.0


@frozen(kw_only=True)
class RetryPolicy:
    """How long and how often a call is tried. Times are seconds; everything has a default.

    Attributes:
        attempts: Requests at most for one write or read (look-ups that settle an unknown outcome not counted).
        deadline: For the whole call: waits, look-ups and all attempts.
        connect_timeout: For opening a connection, TLS included.
        read_timeout: Between two pieces of an answer.
        write_timeout: Between two pieces of a request.
        base: First wait after a passing failure; the wait is drawn evenly between 0 and the doubling bound.
        throttle_base: The same after "too many requests".
        factor: Growth of the bound from one wait to the next.
        cap: The bound's limit. A gateway's own ``Retry-After`` is never cut short by it.
        settle: After a create without an answer: how long its reference must stay unknown to the gateway before the
            create is sent once more, and how long a doubtful write holds back a different one for the same customer.
        budget: Retry tokens of a session per gateway host, so that an outage does not multiply the traffic.
        transient_cost: Tokens a retry after a passing failure takes; given back when the call succeeds.
        throttle_cost: Tokens a retry after "too many requests" takes.
    """

    attempts: int = field(default=3, validator=_Within(1, 1000, whole=True))
    deadline: float = field(default=60.0, validator=_Within(_SHORT, _DAY))
    connect_timeout: float = field(default=5.0, validator=_Within(_SHORT, _DAY))
    read_timeout: float = field(default=30.0, validator=_Within(_SHORT, _DAY))
    write_timeout: float = field(default=10.0, validator=_Within(_SHORT, _DAY))
    base: float = field(default=0.5, validator=_Within(0, _DAY))
    throttle_base: float = field(default=1.0, validator=_Within(0, _DAY))
    factor: float = field(default=2.0, validator=_Within(1, 10))
    cap: float = field(default=8.0, validator=_Within(0, _DAY))
    confirmation_window: float = field(default=10.0, validator=_Within(0, _DAY))
    budget: int = field(default=500, validator=_Within(0, 1_000_000, whole=True))
    transient_cost: int = field(default=14, validator=_Within(0, 1_000_000, whole=True))
    throttle_cost: int = field(default=5, validator=_Within(0, 1_000_000, whole=True))


@define
class RetryBudget:
    """Tokens that retries share, so that many calls together cannot storm a gateway in trouble.

    Attributes:
        size: Tokens when full.
        tokens: Tokens left, always from 0 to `size`.
    """

    size: int
    tokens: int = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.tokens = self.size

    def take(self, cost: int) -> bool:
        """Take `cost` tokens; False, and nothing taken, when there are not so many."""
        if cost > self.tokens:
            return False
        self.tokens -= cost
        return True

    def give_back(self, cost: int) -> None:
        """Return what a call took, after its success; a call that took none earns one."""
        self.tokens = min(self.size, self.tokens + (cost or 1))


class Evidence(Enum):
    """How one attempt ended."""

    NOT_SENT = "not sent"
    UNKNOWN = "sent, outcome unknown"
    STALE = "sent on a connection that had gone stale, no byte of an answer"
    THROTTLED = "refused before processing"
    BODY_LOST = "applied, the answer's body was lost"
    TAKEN = "rejected, perhaps because the reference is taken"
    ABSENT = "looked up for the whole settle time, and not there"
    ANSWERED = "answered"


@frozen
class RetryState:
    """Everything the decision looks at.

    Attributes:
        evidence: How the attempt that just ended ended.
        replay: What repeating the request would do.
        attempts: Requests sent so far, this one included.
        remaining: Seconds left of the call's deadline.
        tokens: Tokens left in the gateway's budget.
        retry_after: Seconds the gateway asked to wait, None when it did not.
        draw: A random number from 0 (included) to 1 (excluded).
        findable: A read exists that shows what the write left.
        doubtful: This attempt or an earlier one of the call ended without a trustworthy answer.
        resent: The write went out once more already after it had been looked up and not found.
    """

    evidence: Evidence
    replay: Replay
    attempts: int
    remaining: float
    tokens: int
    retry_after: float | None = None
    draw: float = 1.0
    findable: bool = False
    unconfirmed: bool = False
    resent: bool = False


@frozen
class Retry:
    """Send the same bytes again after `after` seconds, for `cost` tokens."""

    after: float
    cost: int


@frozen
class Resolve:
    """Ask the gateway what the write has left."""


@frozen
class Raise:
    """End the call with the failure at hand."""


Decision = Retry | Resolve | Raise

_RESENDABLE = frozenset({Replay.READ, Replay.IDEMPOTENT, Replay.NATURAL_UPSERT})


def decide(policy: RetryPolicy, now: RetryState) -> Decision:  # noqa: PLR0911 - one return per row of the table
    """What follows an attempt that brought no result.

    | evidence           | read  | update, delete | natural upsert | look-up     | neither |
    |--------------------|-------|----------------|----------------|-------------|---------|
    | not sent           | retry | retry          | retry          | retry       | retry   |
    | unknown            | retry | retry          | retry          | resolve     | raise   |
    | absent             | –     | –              | –              | retry once  | –       |
    | throttled          | wait  | wait           | wait           | wait        | wait    |
    | applied, body lost | retry | resolve        | resolve        | resolve     | raise   |
    | taken              | raise | raise          | raise          | resolve (1) | raise   |
    | answered           | raise | raise          | raise          | raise       | raise   |

    (1) after an earlier attempt in doubt, which then may be what took it; else raise. A retry needs an attempt left,
    room before the deadline and, unless nothing was sent, tokens of the budget. A read on a stale connection goes out
    again at once. Where there is nothing to look up with, a resolve is a raise.
    """
    lookup = now.replay is Replay.LOOKUP and now.findable
    match now.evidence:
        case Evidence.ANSWERED:
            return Raise()
        case Evidence.NOT_SENT:
            return _retry(policy, now, base=policy.base, cost=0)
        case Evidence.THROTTLED:
            return _retry(policy, now, base=policy.throttle_base, cost=policy.throttle_cost)
        case Evidence.TAKEN:
            return Resolve() if lookup and now.unconfirmed else Raise()
        case Evidence.ABSENT:
            return Raise() if now.resent else _retry(policy, now, base=0.0, cost=policy.transient_cost)
        case Evidence.STALE if now.replay is Replay.READ:
            return _retry(policy, now, base=0.0, cost=0)
        case Evidence.BODY_LOST if now.replay is not Replay.READ:
            return Resolve() if now.findable else Raise()
        case _ if now.replay in _RESENDABLE:
            return _retry(policy, now, base=policy.base, cost=policy.transient_cost)
        case _:
            return Resolve() if lookup else Raise()


def _retry(policy: RetryPolicy, now: RetryState, *, base: float, cost: int) -> Decision:
    after = max(backoff(policy, now.attempts, base=base, draw=now.draw), now.retry_after or 0.0)
    if now.attempts >= policy.attempts or after >= now.remaining or cost > now.tokens:
        return Raise()
    return Retry(after, cost)


def backoff(policy: RetryPolicy, attempts: int, *, base: float, draw: float) -> float:
    """Seconds to wait after `attempts` requests: evenly drawn below ``base * factor ** (attempts - 1)``, capped."""
    # The exponent is bounded because a float overflows long before a patient bulk job runs out of attempts.
    return min(policy.cap, base * policy.factor ** min(attempts - 1, 64)) * draw


def lookup_schedule(confirmation_window: float) -> Iterator[float]:
    """The waits between the looks for a write in doubt: 0.5, 1, 2, 4 … seconds, the last look at `confirmation_window`."""
    wait, left = 0.5, confirmation_window
    while True:
        yield min(wait, left)
        left -= wait
        if left <= 0:
            return
        wait *= 2


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """The seconds a gateway asks to wait, from `headers` (names in lower case) at Unix time `now`.

    ``retry-after-ms`` in milliseconds comes first, then ``Retry-After`` in seconds or as an HTTP date. What is no
    number, negative or not finite counts as not said; a date that has passed is 0.
    """
    for name, scale in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            seconds = float(headers[name]) * scale
        except (KeyError, ValueError):
            continue
        return seconds if isfinite(seconds) and seconds >= 0 else None
    return _until(headers["retry-after"], now) if "retry-after" in headers else None


def _until(date: str, now: float) -> float | None:
    try:
        moment = parsedate_to_datetime(date)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return max(0.0, (moment - datetime.fromtimestamp(now, UTC)).total_seconds())
    except (ValueError, OverflowError, TypeError, IndexError):
        return None

"""Events that observers receive, and the statistics of `CustomerSession.stats`.

An observer is a callable that takes one event:

    def slow_calls(event: Event) -> None:
        if isinstance(event, CallEnded) and event.elapsed > 5:
            print(event.call.gateway, event.call.operation, event.elapsed)


    CustomerSession(account, observers=[slow_calls])

Observers run one after the other in the caller's task, at the moment of the event. They can read the caller's context
variables. The time that an observer takes delays the call, so observers must be fast and not block. An `Exception` of
an observer does not end the call. It is counted in `Stats.observer_failures`, and the class name of an observer's
first exception is logged as ``observer_failed`` to the logger ``wonder_customers``.

The first event of a call is `CallStarted`, and the last is `CallEnded`. Between them, waits, attempts and lookups occur
in any order and any number of times. Events in brackets may be absent or repeated:

    wait:     Waiting  WaitEnded
    attempt:  AttemptStarted  [wait]  [ResponseDrift]  AttemptEnded
    lookup:   LookupStarted  [wait]  [attempt]  LookupEnded

Each of them ends with its end event, even if the call is cancelled. Events of different calls interleave. All events of
a call refer to the same `CallStarted`, which can be used as a dictionary key.

No event contains data of a customer or an account, such as a reference, id, query, header, body or message. Routes are
templates such as ``/customers/{id}``.
"""

from collections.abc import Callable, Mapping
from typing import ClassVar, Literal, Protocol

from attrs import field, frozen

from wonder_customers.records import Applied

__all__ = [
    "AttemptEnded",
    "AttemptStarted",
    "CallEnded",
    "CallStarted",
    "ConnectionStats",
    "Event",
    "LookupEnded",
    "LookupStarted",
    "Observer",
    "Outcome",
    "Reason",
    "ResponseDrift",
    "SessionEnded",
    "SessionStarted",
    "Stats",
    "WaitEnded",
    "Waiting",
]

Outcome = Literal["not sent", "no response", "body lost", "response"]
"""How an attempt ended: nothing was sent, no response arrived, the body was lost, or a complete response arrived."""

Reason = Literal["retry", "throttled", "rate_limit", "confirmation", "unconfirmed", "lock"]
"""Why a call waits.

- ``retry``: before the same request is sent again.
- ``throttled``: before a request that exceeded the gateway's rate limit is sent again.
- ``rate_limit``: until the session's rate limit permits the next request.
- ``confirmation``: before a lookup that shows whether a write was applied.
- ``unconfirmed``: until an earlier unconfirmed write for the same customer can no longer be applied.
- ``lock``: until another write for the same customer ends.
"""


@frozen
class ConnectionStats:
    """The number of connections of a session, by state.

    Attributes:
        open: Busy and idle connections.
        busy: Requests in progress, each of which uses one connection.
        idle: Connections that are not in use.
        waiting: Requests that wait for a connection.
    """

    open: int
    busy: int
    idle: int
    waiting: int


@frozen
class Stats:
    """Statistics of a session and all of its views, or of the account of a view.

    Operations that are refused before they start are not counted.

    Attributes:
        started: Calls that started.
        succeeded: Calls that returned their result.
        failed: Calls that raised an error, by the name of its class; ``Cancelled`` for cancelled calls.
        attempts: Requests that were started, including lookups and token requests.
        retries: Number of decisions to send a request again.
        lookups: Lookups made to find out whether a write was applied.
        retry_tokens: Tokens left in the retry budget, by gateway origin such as ``https://api.paydock.com``; if several
            accounts share an origin, the lowest number.
        connections: The connections of the whole session; None if they are not known.
        waiting_for_lock: Calls that wait until another write for their customer ends.
        waiting_for_rate_limit: Requests that wait for the session's rate limit.
        views: Number of views made of the session.
        observer_failures: Number of exceptions that the observers of the session raised.
        drift: Number of response fields that differed from the gateway's documentation, by gateway and wire field, such
            as ``monri.zip_code``.
    """

    started: int
    succeeded: int
    failed: Mapping[str, int]
    attempts: int
    retries: int
    lookups: int
    retry_tokens: Mapping[str, int]
    connections: ConnectionStats | None
    waiting_for_lock: int
    waiting_for_rate_limit: int
    views: int
    observer_failures: int
    drift: Mapping[str, int] = field(factory=dict)

    @property
    def failures(self) -> int:
        """Number of calls that raised an error or were cancelled."""
        return sum(self.failed.values())

    @property
    def in_progress(self) -> int:
        """Number of calls that have started but not ended."""
        return self.started - self.succeeded - self.failures


@frozen(eq=False)
class SessionStarted:
    """The ``async with`` block of the session was entered.

    Attributes:
        stats: A function that returns the statistics of the session at any time, in any thread.
    """

    name: ClassVar[str] = "session_started"
    stats: Callable[[], Stats] = field(repr=False)


@frozen(eq=False)
class SessionEnded:
    """The ``async with`` block of the session was left.

    Attributes:
        session: The `SessionStarted` event of the session.
    """

    name: ClassVar[str] = "session_ended"
    session: SessionStarted


@frozen(eq=False)
class CallStarted:
    """An operation of the session started.

    Attributes:
        number: Unique number of the call in this process, counted from 1.
        gateway: The name of the gateway, such as ``monri``.
        operation: The operation, such as ``upsert``.
        host: The gateway's host name or address.
        port: The gateway's port.
    """

    name: ClassVar[str] = "call_started"
    number: int
    gateway: str
    operation: str
    host: str
    port: int


@frozen(eq=False)
class AttemptStarted:
    """An attempt starts. The attempt includes the waits for a connection and for the rate limit.

    Attributes:
        call: The call that sends the request.
        method: The HTTP method, such as ``GET``.
        route: The template of the path, such as ``/customers/{id}``; ``(custom)`` for `CustomerSession.request`.
        number: The number of this attempt at the same request, counted from 1.
        request: The number of the request within the call, counted from 1, including lookups and token requests.
    """

    name: ClassVar[str] = "attempt_started"
    call: CallStarted
    method: str
    route: str
    number: int
    request: int


@frozen(eq=False)
class AttemptEnded:
    """An attempt ended.

    Attributes:
        call: The call that made the attempt.
        attempt: The `AttemptStarted` event of the attempt.
        outcome: How the attempt ended.
        status: The HTTP status; None if no status arrived.
        applied: Whether the request was applied: ``no``, ``yes`` or ``unknown``. Always ``no`` for reads.
        error: The class name of the error, ``Cancelled``, or None after success.
        elapsed: Duration in seconds, including the waits for the rate limit and a connection.
        request_id: The gateway's id for the request, or the id sent with it; None if there is none.
    """

    name: ClassVar[str] = "attempt_ended"
    call: CallStarted
    attempt: AttemptStarted
    outcome: Outcome
    status: int | None
    applied: Applied
    error: str | None
    elapsed: float
    request_id: str | None = None


@frozen(eq=False)
class Waiting:
    """A call starts to wait.

    Attributes:
        call: The call that waits.
        reason: Why the call waits.
        seconds: Planned duration of the wait; for ``lock`` and ``rate_limit``, the maximum duration.
        tokens: Tokens left in the retry budget of the account.
    """

    name: ClassVar[str] = "waiting"
    call: CallStarted
    reason: Reason
    seconds: float
    tokens: int


@frozen(eq=False)
class WaitEnded:
    """A wait of a call ended.

    Attributes:
        call: The call that waited.
        wait: The `Waiting` event of the wait.
        elapsed: Duration of the wait in seconds.
    """

    name: ClassVar[str] = "wait_ended"
    call: CallStarted
    wait: Waiting
    elapsed: float


@frozen(eq=False)
class ResponseDrift:
    """A field of a response differs from the gateway's documentation.

    A value that could not be converted is in the record's `extra`.

    Attributes:
        call: The call that received the response.
        field: The gateway's name for the field, with the objects around it, such as ``payment_sources.expire_year``.
        expected: The documented type, such as ``text`` or ``time``.
        found: The type in the response, such as ``number`` or ``missing``. It is never a value.
        count: Number of occurrences in the response.
    """

    name: ClassVar[str] = "response_drift"
    call: CallStarted
    field: str
    expected: str
    found: str
    count: int


@frozen(eq=False)
class LookupStarted:
    """A call starts to look up whether its write was applied. The requests of the lookup are reported as attempts.

    Attributes:
        call: The call whose write is looked up.
    """

    name: ClassVar[str] = "lookup_started"
    call: CallStarted


@frozen(eq=False)
class LookupEnded:
    """A lookup ended.

    Attributes:
        call: The call whose write was looked up.
        lookup: The `LookupStarted` event of the lookup.
        found: Whether the lookup found the effect of the write. If not, the write may still be applied later.
        error: The class name of the error that ended the lookup, ``Cancelled``, or None.
    """

    name: ClassVar[str] = "lookup_ended"
    call: CallStarted
    lookup: LookupStarted
    found: bool
    error: str | None


@frozen(eq=False)
class CallEnded:
    """An operation of the session ended.

    Attributes:
        call: The `CallStarted` event of the operation.
        error: The class name of the raised error, ``Cancelled``, or None after success.
        applied: Whether the operation was applied: ``no``, ``yes`` or ``unknown``. Always ``no`` for reads.
        requests: Number of requests of the operation.
        recovered: As `Response.recovered`.
        elapsed: Duration in seconds, including waits.
        request_id: The `request_id` of the last `AttemptEnded`; None if there is none.
    """

    name: ClassVar[str] = "call_ended"
    call: CallStarted
    error: str | None
    applied: Applied
    requests: int
    recovered: bool
    elapsed: float
    request_id: str | None = None


Event = (
    SessionStarted
    | CallStarted
    | AttemptStarted
    | AttemptEnded
    | Waiting
    | WaitEnded
    | ResponseDrift
    | LookupStarted
    | LookupEnded
    | CallEnded
    | SessionEnded
)
"""All events. The value of the class attribute `name` is stable."""


class Observer(Protocol):
    """A callable that takes one event. Its return value is ignored."""

    def __call__(self, event: Event, /) -> object:
        """Handle `event`."""

"""What observers receive, and what `CustomerSession.stats` tells.

An observer is any callable that takes one event:

    def slow_calls(event: Event) -> None:
        if isinstance(event, CallEnded) and event.elapsed > 5:
            print(event.call.gateway, event.call.operation, event.elapsed)


    CustomerSession(account, observers=[slow_calls])

Observers are called one after the other, at the moment things happen, in the caller's own task: what the caller has set
in context variables is there, and what an observer does delays the call. So it must be quick and must not wait. What it
raises never reaches the call: the first error of each observer is logged as ``observer_failed`` with the error's class
to the logger ``wonder_customers``, and all are counted in `Stats.observer_failures`.

The events of one call come in this order; what stands in brackets may come any number of times, or not at all:

    CallStarted  [Waiting]  [AttemptStarted  AttemptEnded]  [LookupStarted  [AttemptStarted  AttemptEnded]  LookupEnded]  CallEnded

Whatever ends a call, cancellation included, its `CallEnded` comes, and an `AttemptEnded` for every `AttemptStarted`.
Events of different calls mix. Those of one call hold the same `CallStarted`, which can be a key of a dict.

No event holds anything of a customer or of the account: no reference, id, query, header, body or message, and routes
are templates such as ``/customers/{id}``.
"""

from collections.abc import Callable, Mapping
from typing import ClassVar, Literal

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
    "SessionEnded",
    "SessionStarted",
    "Stats",
    "Waiting",
]

Outcome = Literal["not sent", "no answer", "body lost", "answered"]
"""How far an attempt came: nothing was sent, nothing came back, the status came and the body did not, or all came."""

Reason = Literal["retry", "throttled", "confirmation", "unconfirmed", "lock"]
"""Why a call waits.

``retry``: before the same request goes out again. ``throttled``: the same, after "too many requests". ``confirmation_window``:
before a look at what a write without an answer has left. ``doubt``: an earlier write for the same customer may still
land. ``turn``: another write for the same customer is under way.
"""


@frozen
class ConnectionStats:
    """The connections of a session.

    Attributes:
        open: Connections that exist now.
        busy: Requests under way now; each has a connection of its own.
        idle: Connections that wait for a request.
        waiting: Requests that wait for a connection, because `max_connections` are busy.
    """

    open: int
    busy: int
    idle: int
    waiting: int


@frozen
class Stats:
    """What a session has done since it was made, and what it is doing, with all of its views.

    What is refused before anything is sent (`InvalidRecordError`, `UnsupportedOperationError`) is no call.

    Attributes:
        begun: Calls that began.
        succeeded: Calls that returned their result.
        failed: Calls that raised, by the name of the error's class; ``Cancelled`` for those that were cancelled.
        attempts: Requests that were started, look-ups and token requests included.
        retries: Waits before the same request went out again.
        looks: Looks at what a write without an answer has left.
        budget: Retry tokens left, by gateway host such as ``https://api.paydock.com``.
        connections: The connections; None when the transport does not tell.
        waiting_for_turn: Calls that wait while another write for their customer is under way.
        views: How many views `CustomerSession.for_account` has made.
        observer_failures: How often an observer raised.
    """

    begun: int
    succeeded: int
    failed: Mapping[str, int]
    attempts: int
    retries: int
    lookups: int
    budget: Mapping[str, int]
    connections: ConnectionStats | None
    waiting_for_turn: int
    views: int
    observer_failures: int

    @property
    def failures(self) -> int:
        """Calls that raised."""
        return sum(self.failed.values())

    @property
    def under_way(self) -> int:
        """Calls that have begun and not ended."""
        return self.begun - self.succeeded - self.failures


@frozen(eq=False)
class SessionStarted:
    """The session's ``async with`` block has begun.

    Attributes:
        stats: Gives the session's figures at any time, from any thread.
    """

    name: ClassVar = "session_started"
    stats: Callable[[], Stats] = field(repr=False)


@frozen(eq=False)
class SessionEnded:
    """The session's ``async with`` block has ended.

    Attributes:
        opened: How it began.
    """

    name: ClassVar = "session_ended"
    opened: SessionStarted


@frozen(eq=False)
class CallStarted:
    """A verb of the session begins.

    Attributes:
        number: Tells the call from all others of this process; counted from 1.
        gateway: The gateway's name, such as ``monri``.
        operation: The verb, such as ``upsert``.
        host: The gateway's host name or address.
        port: The gateway's port.
    """

    name: ClassVar = "call_started"
    number: int
    gateway: str
    operation: str
    host: str
    port: int


@frozen(eq=False)
class AttemptStarted:
    """One request is about to be signed and sent.

    Attributes:
        call: Of this call.
        method: ``GET``, ``POST``, …
        route: The path's template, as the gateway's documents write it.
        number: Which attempt at this same request, from 1.
        request: Which request of the call, from 1; look-ups and token requests count.
    """

    name: ClassVar = "attempt_started"
    call: CallStarted
    method: str
    route: str
    number: int
    request: int


@frozen(eq=False)
class AttemptEnded:
    """One request has ended.

    Attributes:
        call: Of this call.
        attempt: How it began.
        outcome: How far it came.
        status: The HTTP status, None when none came.
        applied: What is known of this request alone: ``no``, ``yes`` or ``unknown``; always ``no`` for reads.
        error: The class name of what it ended with, ``Cancelled``, or None when all went well.
        elapsed: Seconds, with the wait for a connection.
    """

    name: ClassVar = "attempt_ended"
    call: CallStarted
    attempt: AttemptStarted
    outcome: Outcome
    status: int | None
    applied: Applied
    error: str | None
    elapsed: float


@frozen(eq=False)
class Waiting:
    """The call waits. The wait has ended when the next event of the call comes.

    Attributes:
        call: This call.
        reason: What for.
        seconds: How long; at most so long for a ``turn``.
        tokens: Retry tokens that the gateway's host has left.
    """

    name: ClassVar = "waiting"
    call: CallStarted
    reason: Reason
    seconds: float
    tokens: int


@frozen(eq=False)
class LookupStarted:
    """A look at what a write without an answer has left; its requests follow as attempts.

    Attributes:
        call: Of this call.
    """

    name: ClassVar = "lookup_started"
    call: CallStarted


@frozen(eq=False)
class LookupEnded:
    """A look has ended.

    Attributes:
        call: Of this call.
        looking: How it began.
        found: What the write meant is there, and becomes the call's result.
        error: The class name of what the look ended with, ``Cancelled``, or None.
    """

    name: ClassVar = "lookup_ended"
    call: CallStarted
    looking: LookupStarted
    found: bool
    error: str | None


@frozen(eq=False)
class CallEnded:
    """A verb of the session has ended.

    Attributes:
        call: This call.
        error: The class name of what it raised, ``Cancelled``, or None when it returned its result.
        applied: ``no``, ``yes`` or ``unknown``; always ``no`` for reads.
        requests: How many requests it started.
        adopted: Its write got no answer, and a look found what it had left.
        elapsed: Seconds from start to end, waits included.
    """

    name: ClassVar = "call_ended"
    call: CallStarted
    error: str | None
    applied: Applied
    requests: int
    recovered: bool
    elapsed: float


Event = (
    SessionStarted
    | CallStarted
    | AttemptStarted
    | AttemptEnded
    | Waiting
    | LookupStarted
    | LookupEnded
    | CallEnded
    | SessionEnded
)
"""Everything an observer can be given. The class attribute `name` of each is stable."""

Observer = Callable[[Event], object]
"""Takes one event; what it returns is not looked at."""

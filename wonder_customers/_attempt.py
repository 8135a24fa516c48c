"""One attempt: sign, send, and say with evidence how it ended."""

import time
from collections.abc import Callable
from typing import Any, Final, TypeVar
from uuid import uuid4

import anyio
from attrs import define, field

from wonder_customers import _scrub
from wonder_customers._bearer import Bearer
from wonder_customers._wire import Flight, Header, Origin, Outgoing, Replay, Timeouts, WireFailure, WireReply
from wonder_customers.dialects.base import Call, Dialect
from wonder_customers.errors import (
    CallFailed,
    DeadlineExceeded,
    Duplicate,
    InvalidReply,
    NoAnswer,
    NotSent,
    RateLimited,
    Refused,
    Rejected,
    Unavailable,
)
from wonder_customers.records import Reply
from wonder_customers.retry import Evidence, RetryBudget, RetryPolicy, retry_after
from wonder_customers.transports import Transport

T = TypeVar("T")

_COMMON: Final[tuple[Header, ...]] = (
    (b"Accept", b"application/json"),
    (b"Accept-Encoding", b"identity"),
    (b"Content-Type", b"application/json"),
    (b"User-Agent", b"wonder-customers"),
)


@define(eq=False)
class Speaker:
    """Who a call is made for: a dialect with its credentials.

    Attributes:
        dialect: The gateway's way of speaking for the account.
        merchant: Tells one account's customers from another's, in turns.
        budget: The retry tokens of the gateway's host, shared by the whole session.
        bearer: Keeps the account's bearer token, None where it needs none.
        headers: What stands in every request.
    """

    dialect: Dialect
    merchant: int
    budget: RetryBudget
    bearer: Bearer | None
    headers: tuple[Header, ...] = field(init=False)

    def __attrs_post_init__(self) -> None:
        host = str(self.dialect.origin).partition("://")[2]
        self.headers = ((b"Host", host.encode("ascii")), *_COMMON)


@define(eq=False)
class Ending:
    """How an attempt ended: with a reply, or with the error that it would be and the evidence for what may follow.

    Attributes:
        evidence: What is known.
        reply: The record and its facts, when all went well.
        error: The failure, when not.
        asked_wait: Seconds the gateway asked to wait.
        request_id: The gateway's id for the request, else the one sent with it.
    """

    evidence: Evidence
    reply: Reply[Any] | None = None
    error: CallFailed = field(factory=lambda: NotSent("no attempt was made"))
    asked_wait: float | None = None
    request_id: str | None = None


@define(eq=False)
class Attempts:
    """Makes attempts over one transport.

    Attributes:
        transport: Carries the bytes.
        policy: The time limits.
        wall: Unix time; signatures and ``Retry-After`` dates are read with it.
    """

    transport: Transport
    policy: RetryPolicy
    wall: Callable[[], float] = time.time

    async def make(
        self, speaker: Speaker, call: Call[Any], flight: Flight, remaining: float, bearer: str | None
    ) -> Ending:
        """Send `call` once, within `remaining` seconds. `flight` is filled even when this is cancelled."""
        if remaining <= 0:
            return Ending(Evidence.NOT_SENT, error=DeadlineExceeded("the deadline passed before it could be sent"))
        mark = str(uuid4())
        outgoing = self._outgoing(speaker, call, remaining, bearer, mark)
        reply: WireReply | None = None
        words, late = f"the deadline of {self.policy.deadline:g} s passed", True
        with anyio.move_on_after(remaining):
            try:
                reply = await self.transport.send(outgoing, flight)
            except WireFailure as failure:
                words, late = str(failure), False
        if reply is None:
            ending = self._lost(call, flight, outgoing.origin, words, late=late)
        else:
            ending = self._answered(call, reply)
        ending.request_id = _request_id(flight) or mark
        _scrub_error(ending.error, call)
        return ending

    def _outgoing(self, speaker: Speaker, call: Call[Any], remaining: float, bearer: str | None, mark: str) -> Outgoing:
        policy, request = self.policy, call.request
        own = speaker.dialect.headers(request, self.wall(), uuid4().hex[:16], bearer) if call.signed else ()
        headers = [*speaker.headers, (b"X-Request-ID", mark.encode("ascii")), *own]
        if request.body:
            headers.append((b"Content-Length", str(len(request.body)).encode("ascii")))
        limits = (policy.connect_timeout, policy.read_timeout, policy.write_timeout)
        timeouts = Timeouts(*(min(limit, remaining) for limit in limits))
        return Outgoing(speaker.dialect.origin, request.method, request.target, tuple(headers), request.body, timeouts)

    def _lost(self, call: Call[Any], flight: Flight, origin: Origin, words: str, *, late: bool) -> Ending:
        """What is known when no whole answer came."""
        if not flight.sent:
            why = f"it was not sent to {origin}: {words}"
            return Ending(Evidence.NOT_SENT, error=DeadlineExceeded(why) if late else NotSent(why))
        if flight.status is None:
            why = f"it was sent and not answered: {words}"
            missing = DeadlineExceeded(why) if late else NoAnswer(why)
            return Ending(Evidence.STALE if flight.stale else Evidence.UNKNOWN, error=missing)
        if flight.status >= 300 or call.gone_is_done:
            # The status says it all: a refusal is one without its words too, and a delete has no words to lose.
            return self._answered(call, WireReply(flight.status, flight.headers, b""))
        why = f"it was answered with HTTP {flight.status}, but the body was lost: {words}"
        if call.replay is Replay.READ:
            return Ending(Evidence.UNKNOWN, error=DeadlineExceeded(why) if late else NoAnswer(why))
        return Ending(Evidence.BODY_LOST, error=InvalidReply(why, status=flight.status, applied="yes"))

    def _answered(self, call: Call[Any], reply: WireReply) -> Ending:
        try:
            record = call.decode(reply)
        except CallFailed as error:
            wait = retry_after(reply.headers, self.wall())
            if isinstance(error, Refused):
                error.retry_after = wait
            return Ending(_evidence(error), error=error, asked_wait=wait)
        return Ending(Evidence.ANSWERED, Reply(record, reply.status, reply.headers))


def _evidence(error: CallFailed) -> Evidence:
    match error:
        case RateLimited():
            return Evidence.THROTTLED
        case Unavailable():
            return Evidence.UNKNOWN
        case Duplicate() | Rejected():
            # Monri's words for a taken reference are not documented, so any rejection after a doubt may be that.
            return Evidence.TAKEN
        case _:
            return Evidence.ANSWERED


def _request_id(flight: Flight) -> str | None:
    """The id a gateway gave the request. Bounded, because it goes into messages."""
    named = flight.headers.get("x-request-id") or flight.headers.get("x-correlation-id")
    return named[:100] if named and named.isprintable() else None


def _scrub_error(error: CallFailed, call: Call[Any]) -> None:
    """Take what the request carried out of the gateway's words."""
    if not isinstance(error, Refused):
        return
    body = call.request.body
    error.why = _scrub.scrub(error.why, body)
    error.args = (error.why,)
    error.message = _scrub.scrub(error.message, body) if error.message else error.message
    if isinstance(error, Rejected):
        error.fields = {
            name: tuple(_scrub.scrub(message, body) for message in messages) for name, messages in error.fields.items()
        }

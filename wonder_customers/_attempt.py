"""One attempt: sign, send, and say with evidence how it ended."""

import os
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final, TypeVar

import anyio
from attrs import define, field

from wonder_customers._bearer import Bearer
from wonder_customers._scrub import Carried
from wonder_customers._signers import Signers
from wonder_customers._wire import Flight, Header, Origin, Outgoing, Replay, TimeIsUp, Timeouts, WireFailure, WireReply
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
from wonder_customers.secret import Secret, without_frames
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
        secrets: The account's credentials, for taking them out of the gateway's words.
        headers: What stands in every request.
    """

    dialect: Dialect
    merchant: int
    budget: RetryBudget
    bearer: Bearer | None
    secrets: tuple[Secret, ...] = ()
    headers: tuple[Header, ...] = field(init=False)

    def __attrs_post_init__(self) -> None:
        host = str(self.dialect.origin).partition("://")[2]
        self.headers = ((b"Host", host.encode("ascii")), *_COMMON)


_VARIANT: Final = dict(zip("0123456789abcdef", "89ab" * 4, strict=True))

_NO_ERROR: Final = NotSent("no attempt was made")
"""Stands where there is a reply; nobody looks at it or writes into it."""


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
    error: CallFailed = _NO_ERROR
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
    _under_way: int = 0
    _signers: Signers | None = None
    _digits: str = ""
    _timeouts: Timeouts = field(init=False)
    _longest: float = field(init=False)
    _ends_in_time: bool = field(init=False)

    def __attrs_post_init__(self) -> None:
        policy = self.policy
        limits = (policy.connect_timeout, policy.read_timeout, policy.write_timeout)
        self._timeouts, self._longest = Timeouts(*limits), max(limits)
        self._ends_in_time = getattr(self.transport, "ends_in_time", False) is True

    async def make(
        self, speaker: Speaker, call: Call[Any], flight: Flight, remaining: float, bearer: Secret | None
    ) -> Ending:
        """Send `call` once, within `remaining` seconds. `flight` is filled even when this is cancelled."""
        if remaining <= 0:
            return Ending(Evidence.NOT_SENT, error=DeadlineExceeded("the deadline passed before it could be sent"))
        unique = self._unique()
        reply: WireReply | None = None
        words: str | None = None
        self._under_way += 1
        try:
            sign = self._signing(speaker, call, unique, bearer)
            aside = call.signed and speaker.dialect.signs_slowly and self._under_way > 1
            if self._ends_in_time and not aside:
                reply = await self._sent(self._outgoing(speaker, call, remaining, unique, sign()), flight)
            else:
                with anyio.move_on_after(remaining):
                    own = await self._signed_aside(sign) if aside else sign()
                    reply = await self._sent(self._outgoing(speaker, call, remaining, unique, own), flight)
        except TimeIsUp:
            pass
        except WireFailure as failure:
            words = str(failure)
        except BaseException as error:
            # Below this, frames hold the request's bytes and the keys in plain.
            without_frames(error, keep_others=True)
            raise
        finally:
            self._under_way -= 1
        request_id = _request_id(flight) or unique
        if reply is None:
            ending = self._lost(call, flight, speaker.dialect.origin, words, request_id)
        else:
            ending = self._answered(call, reply, request_id)
        ending.request_id = request_id
        if ending.reply is None:
            carried = Carried(call.request, speaker.secrets if bearer is None else (*speaker.secrets, bearer))
            carried.out_of_error(ending.error)
            ending.request_id = carried.out_of_id(request_id)
        return ending

    async def _sent(self, outgoing: Outgoing, flight: Flight) -> WireReply:
        """What the transport answers. One of somebody's own may be no real one: then nobody knows what it has sent."""
        answer: Any = self.transport.send(outgoing, flight)
        if not hasattr(answer, "__await__"):
            flight.sent = True
            raise WireFailure(f"the transport's send is not async: it gave {type(answer).__name__} at once")
        reply = await answer
        if not isinstance(reply, WireReply):
            flight.sent = True
            raise WireFailure(f"the transport answered with {type(reply).__name__} instead of a WireReply")
        return reply

    def _unique(self) -> str:
        """A random UUID, of version 4."""
        if not self._digits:
            # For many at once: each time the system is asked, another thread may take the interpreter's lock.
            self._digits = os.urandom(1024).hex()
        mine, self._digits = self._digits[:32], self._digits[32:]
        return f"{mine[:8]}-{mine[8:12]}-4{mine[13:16]}-{_VARIANT[mine[16]]}{mine[17:20]}-{mine[20:]}"

    def _signing(
        self, speaker: Speaker, call: Call[Any], unique: str, bearer: Secret | None
    ) -> Callable[[], tuple[Header, ...]]:
        """Makes the headers that authenticate the call."""
        if not call.signed:
            return tuple
        return partial(speaker.dialect.headers, call.request, self.wall(), f"{unique[:8]}{unique[-8:]}", bearer)

    async def _signed_aside(self, sign: Callable[[], tuple[Header, ...]]) -> tuple[Header, ...]:
        self._signers = self._signers or Signers()
        return await self._signers.make(sign)

    def _outgoing(
        self, speaker: Speaker, call: Call[Any], remaining: float, unique: str, own: tuple[Header, ...]
    ) -> Outgoing:
        request, usual = call.request, self._timeouts
        length = ((b"Content-Length", b"%d" % len(request.body)),) if request.body else ()
        headers = (*speaker.headers, (b"X-Request-ID", unique.encode("ascii")), *own, *length)
        limits = (usual.connect, usual.read, usual.write)
        timeouts = usual if remaining >= self._longest else Timeouts(*(min(limit, remaining) for limit in limits))
        return Outgoing(
            speaker.dialect.origin, request.method, request.target, headers, request.body, timeouts, remaining
        )

    def _lost(self, call: Call[Any], flight: Flight, origin: Origin, words: str | None, request_id: str) -> Ending:
        """What is known when no whole answer came; without the transport's words, the deadline is what ended it."""
        late = words is None
        words = words or f"the deadline of {self.policy.deadline:g} s passed"
        if not flight.sent:
            why = f"it was not sent to {origin}: {words}"
            return Ending(Evidence.NOT_SENT, error=DeadlineExceeded(why) if late else NotSent(why))
        if flight.status is None:
            why = f"it was sent and not answered: {words}"
            missing = DeadlineExceeded(why) if late else NoAnswer(why)
            return Ending(Evidence.STALE if flight.stale else Evidence.UNKNOWN, error=missing)
        if flight.status >= 300 or call.gone_is_done:
            # The status says it all: a refusal is one without its words too, and a delete has no words to lose.
            return self._answered(call, WireReply(flight.status, flight.headers, b""), request_id)
        why = f"it was answered with HTTP {flight.status}, but the body was lost: {words}"
        if call.replay is Replay.READ:
            return Ending(Evidence.UNKNOWN, error=DeadlineExceeded(why) if late else NoAnswer(why))
        return Ending(Evidence.BODY_LOST, error=InvalidReply(why, status=flight.status, applied="yes"))

    def _answered(self, call: Call[Any], reply: WireReply, request_id: str) -> Ending:
        try:
            record = call.decode(reply)
        except CallFailed as error:
            wait = retry_after(reply.headers, self.wall())
            if isinstance(error, Refused):
                error.retry_after = wait
            return Ending(_evidence(error), error=error, asked_wait=wait)
        return Ending(Evidence.ANSWERED, Reply(record, reply.status, reply.headers, request_id))


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

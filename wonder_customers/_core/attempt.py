"""One attempt: sign, send, and say with evidence how it ended."""

import os
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final, TypeVar

import anyio
from attrs import define, field

from wonder_customers._core.access_tokens import AccessTokenCache
from wonder_customers._core.redaction import Redactor
from wonder_customers._core.signing import SignerPool
from wonder_customers.dialects import drift
from wonder_customers.dialects.base import Call, Dialect
from wonder_customers.dialects.drift import Drift
from wonder_customers.errors import (
    CallError,
    ConflictError,
    DeadlineExceededError,
    GatewayError,
    GatewayUnavailableError,
    InvalidRequestError,
    InvalidResponseError,
    NoResponseError,
    NotSentError,
    RateLimitError,
)
from wonder_customers.records import Response
from wonder_customers.retry import Evidence, RetryBudget, RetryPolicy, retry_after
from wonder_customers.secret import Secret, without_frames
from wonder_customers.wire import (
    Header,
    HttpResponse,
    Origin,
    Replay,
    SignedRequest,
    Timeouts,
    Transmission,
    Transport,
    TransportError,
    TransportTimeout,
)

T = TypeVar("T")

_COMMON: Final[tuple[Header, ...]] = (
    (b"Accept", b"application/json"),
    (b"Accept-Encoding", b"identity"),
    (b"Content-Type", b"application/json"),
    (b"User-Agent", b"wonder-customers"),
)


@define(eq=False)
class AccountContext:
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
    bearer: AccessTokenCache | None
    secrets: tuple[Secret, ...] = ()
    headers: tuple[Header, ...] = field(init=False)

    def __attrs_post_init__(self) -> None:
        host = str(self.dialect.origin).partition("://")[2]
        self.headers = ((b"Host", host.encode("ascii")), *_COMMON)


_VARIANT: Final = dict(zip("0123456789abcdef", "89ab" * 4, strict=True))

_NO_ERROR: Final = NotSentError("no attempt was made")
"""Stands where there is a reply; nobody looks at it or writes into it."""


@define(eq=False)
class AttemptResult:
    """How an attempt ended: with a reply, or with the error that it would be and the evidence for what may follow.

    Attributes:
        evidence: What is known.
        reply: The record and its facts, when all went well.
        error: The failure, when not.
        asked_wait: Seconds the gateway asked to wait.
        request_id: The gateway's id for the request, else the one sent with it.
        drift: The fields of the response that differ from the gateway's documents.
    """

    evidence: Evidence
    reply: Response[Any] | None = None
    error: CallError = _NO_ERROR
    asked_wait: float | None = None
    request_id: str | None = None
    drift: tuple[Drift, ...] = ()


@define(eq=False)
class AttemptRunner:
    """Makes attempts over one transport.

    Attributes:
        transport: Carries the bytes.
        policy: The time limits.
        wall: Unix time; signatures and ``Retry-After`` dates are read with it.
        strict: Whether a response that differs from the gateway's documents is an error.
    """

    transport: Transport | None
    policy: RetryPolicy
    wall: Callable[[], float] = time.time
    strict: bool = False
    _under_way: int = 0
    _signers: SignerPool | None = None
    _digits: str = ""
    _timeouts: Timeouts = field(init=False)
    _longest: float = field(init=False)
    _ends_in_time: bool = field(init=False, default=False)

    def __attrs_post_init__(self) -> None:
        policy = self.policy
        limits = (policy.connect_timeout, policy.read_timeout, policy.write_timeout)
        self._timeouts, self._longest = Timeouts(*limits), max(limits)
        if self.transport is not None:
            self.use(self.transport)

    def use(self, transport: Transport) -> None:
        """Send the following attempts over `transport`."""
        self.transport = transport
        self._ends_in_time = getattr(transport, "ends_in_time", False) is True

    async def make(
        self,
        account_context: AccountContext,
        call: Call[Any],
        transmission: Transmission,
        remaining: float,
        bearer: Secret | None,
    ) -> AttemptResult:
        """Send `call` once, within `remaining` seconds. `flight` is filled even when this is cancelled."""
        if remaining <= 0:
            return AttemptResult(
                Evidence.NOT_SENT, error=DeadlineExceededError("the deadline passed before it could be sent")
            )
        unique = self._unique()
        reply: HttpResponse | None = None
        failure: TransportError | None = None
        self._under_way += 1
        try:
            sign = self._signing(account_context, call, unique, bearer)
            aside = call.signed and account_context.dialect.signs_slowly and self._under_way > 1
            if self._ends_in_time and not aside:
                reply = await self._sent(self._outgoing(account_context, call, remaining, unique, sign()), transmission)
            else:
                with anyio.move_on_after(remaining):
                    own = await self._signed_aside(sign) if aside else sign()
                    reply = await self._sent(
                        self._outgoing(account_context, call, remaining, unique, own), transmission
                    )
        except TransportTimeout:
            pass
        except TransportError as error:
            failure = error
        except BaseException as error:
            # Below this, frames hold the request's bytes and the keys in plain.
            without_frames(error, keep_others=True)
            raise
        finally:
            self._under_way -= 1
        request_id = _request_id(transmission) or unique
        if reply is None:
            attempt_result = self._lost(call, transmission, account_context.dialect.origin, failure, request_id)
        else:
            attempt_result = self._answered(call, reply, request_id)
        attempt_result.request_id = request_id
        if attempt_result.reply is None:
            carried = Redactor(
                call.request, account_context.secrets if bearer is None else (*account_context.secrets, bearer)
            )
            carried.out_of_error(attempt_result.error)
            attempt_result.request_id = carried.out_of_id(request_id)
        return attempt_result

    async def _sent(self, signed_request: SignedRequest, transmission: Transmission) -> HttpResponse:
        """What the transport answers. One of somebody's own may be no real one: then nobody knows what it has sent."""
        assert self.transport is not None  # noqa: S101 - selected when the session was opened
        answer: Any = self.transport.send(signed_request, transmission)
        if not hasattr(answer, "__await__"):
            transmission.sent = True
            raise TransportError(f"the transport's send is not async: it gave {type(answer).__name__} at once")
        reply = await answer
        if not isinstance(reply, HttpResponse):
            transmission.sent = True
            raise TransportError(f"the transport answered with {type(reply).__name__} instead of a HttpResponse")
        return reply

    def _unique(self) -> str:
        """A random UUID, of version 4."""
        if not self._digits:
            # For many at once: each time the system is asked, another thread may take the interpreter's lock.
            self._digits = os.urandom(1024).hex()
        mine, self._digits = self._digits[:32], self._digits[32:]
        return f"{mine[:8]}-{mine[8:12]}-4{mine[13:16]}-{_VARIANT[mine[16]]}{mine[17:20]}-{mine[20:]}"

    def _signing(
        self, account_context: AccountContext, call: Call[Any], unique: str, bearer: Secret | None
    ) -> Callable[[], tuple[Header, ...]]:
        """Makes the headers that authenticate the call."""
        if not call.signed:
            return tuple
        return partial(account_context.dialect.headers, call.request, self.wall(), f"{unique[:8]}{unique[-8:]}", bearer)

    async def _signed_aside(self, sign: Callable[[], tuple[Header, ...]]) -> tuple[Header, ...]:
        self._signers = self._signers or SignerPool()
        return await self._signers.make(sign)

    def _outgoing(
        self, account_context: AccountContext, call: Call[Any], remaining: float, unique: str, own: tuple[Header, ...]
    ) -> SignedRequest:
        request, usual = call.request, self._timeouts
        length = ((b"Content-Length", b"%d" % len(request.body)),) if request.body else ()
        headers = (*account_context.headers, (b"X-Request-ID", unique.encode("ascii")), *own, *length)
        limits = (usual.connect, usual.read, usual.write)
        timeouts = usual if remaining >= self._longest else Timeouts(*(min(limit, remaining) for limit in limits))
        return SignedRequest(
            account_context.dialect.origin, request.method, request.target, headers, request.body, timeouts, remaining
        )

    def _lost(
        self,
        call: Call[Any],
        transmission: Transmission,
        origin: Origin,
        failure: TransportError | None,
        request_id: str,
    ) -> AttemptResult:
        """Return the result of an attempt without a complete response; without `failure`, the deadline ended it."""
        late = failure is None
        words = str(failure or f"the deadline of {self.policy.deadline:g} s passed")
        final = failure is not None and not failure.retryable
        if not transmission.sent:
            reason = f"it was not sent to {origin}: {words}"
            error: CallError = DeadlineExceededError(reason) if late else NotSentError(reason)
            if failure is not None and failure.hint is not None:
                error.hint = failure.hint
            return AttemptResult(Evidence.ANSWERED if final else Evidence.NOT_SENT, error=error)
        if transmission.status is None:
            reason = f"it was sent and not answered: {words}"
            missing = DeadlineExceededError(reason) if late else NoResponseError(reason)
            return AttemptResult(Evidence.STALE if transmission.stale else Evidence.UNKNOWN, error=missing)
        if transmission.status >= 300 or call.not_found_is_success:
            # The status says it all: a refusal is one without its words too, and a delete has no words to lose.
            return self._answered(call, HttpResponse(transmission.status, transmission.headers, b""), request_id)
        reason = f"it was answered with HTTP {transmission.status}, but the body was lost: {words}"
        if call.replay is not Replay.READ:
            error = InvalidResponseError(reason, status=transmission.status, applied="yes")
            return AttemptResult(Evidence.BODY_LOST, error=error)
        if final:
            return AttemptResult(Evidence.ANSWERED, error=InvalidResponseError(reason, status=transmission.status))
        return AttemptResult(Evidence.UNKNOWN, error=DeadlineExceededError(reason) if late else NoResponseError(reason))

    def _answered(self, call: Call[Any], reply: HttpResponse, request_id: str) -> AttemptResult:
        token = drift.start()
        found: tuple[Drift, ...] = ()
        try:
            try:
                record = call.decode(reply)
            finally:
                found = drift.stop(token)
            if found and self.strict:
                raise _drift_error(call, reply.status, found)
        except CallError as error:
            wait = retry_after(reply.headers, self.wall())
            if isinstance(error, GatewayError):
                error.retry_after = wait
            return AttemptResult(_evidence(error), error=error, asked_wait=wait, drift=found)
        response = Response(record, reply.status, reply.headers, request_id)
        return AttemptResult(Evidence.ANSWERED, response, drift=found)


def _drift_error(call: Call[Any], status: int, found: tuple[Drift, ...]) -> InvalidResponseError:
    """Return the error of a strict session for a response that differs from the gateway's documents."""
    fields = dict.fromkeys(f"{it.field}: expected {it.expected}, found {it.found}" for it in found)
    reason = f"HTTP {status} with fields that differ from the gateway's documents: {'; '.join(list(fields)[:10])}"
    return InvalidResponseError(reason, status=status, applied="no" if call.replay is Replay.READ else "yes")


def _evidence(error: CallError) -> Evidence:
    match error:
        case RateLimitError():
            return Evidence.THROTTLED
        case GatewayUnavailableError():
            return Evidence.UNKNOWN
        case ConflictError() | InvalidRequestError():
            # Monri's words for a taken reference are not documented, so any rejection after a doubt may be that.
            return Evidence.TAKEN
        case _:
            return Evidence.ANSWERED


def _request_id(transmission: Transmission) -> str | None:
    """The id a gateway gave the request. Bounded, because it goes into messages."""
    named = transmission.headers.get("x-request-id") or transmission.headers.get("x-correlation-id")
    return named[:100] if named and named.isprintable() else None

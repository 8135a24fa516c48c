"""One attempt: sign a request, send it, and classify how it ended."""

import os
import time
from collections.abc import Callable, Hashable
from functools import partial
from typing import Any, Final, TypeVar

import anyio
from attrs import define, field, frozen

from wonder_customers._core.access_tokens import AccessTokenCache
from wonder_customers._core.redaction import Redactor
from wonder_customers._core.signing import SignerPool
from wonder_customers._core.waits import StopSignal
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
    Replay,
    SignedRequest,
    Timeouts,
    Transmission,
    Transport,
    TransportError,
    TransportTimeout,
)

__all__ = ["AccountContext", "AttemptResult", "AttemptRunner"]

T = TypeVar("T")

_COMMON: Final[tuple[Header, ...]] = (
    (b"Accept", b"application/json"),
    (b"Accept-Encoding", b"identity"),
    (b"Content-Type", b"application/json"),
)


@define(eq=False)
class AccountContext:
    """The account that calls are made for, with the settings of its session or view.

    Attributes:
        dialect: The dialect of the gateway, bound to the account.
        merchant: Identifies the merchant in the order of writes.
        budget: Retry tokens of the gateway's origin, shared by the whole session.
        policy: When to send again, and the time limits.
        access_tokens: Keeps the account's access token; None when it needs none.
        secrets: The account's credentials, which are removed from messages of the gateway.
        stop: Ends the waits of the calls; None when nothing does.
        headers: Headers of every request.
        timeouts: Time limits of an attempt that has time enough.
    """

    dialect: Dialect
    merchant: Hashable
    budget: RetryBudget
    policy: RetryPolicy = field(factory=RetryPolicy)
    access_tokens: AccessTokenCache | None = None
    secrets: tuple[Secret, ...] = ()
    stop: StopSignal | None = None
    headers: tuple[Header, ...] = field(init=False)
    timeouts: Timeouts = field(init=False)
    _longest: float = field(init=False)

    def __attrs_post_init__(self) -> None:
        host = str(self.dialect.origin).partition("://")[2]
        self.headers = ((b"Host", host.encode("ascii")), *_COMMON)
        policy = self.policy
        limits = (policy.connect_timeout, policy.read_timeout, policy.write_timeout)
        self.timeouts, self._longest = Timeouts(*limits), max(limits)

    def timeouts_within(self, remaining: float) -> Timeouts:
        """Return the time limits of an attempt that may take `remaining` seconds in all."""
        usual = self.timeouts
        if remaining >= self._longest:
            return usual
        return Timeouts(*(min(limit, remaining) for limit in (usual.connect, usual.read, usual.write)))


_VARIANT: Final = dict(zip("0123456789abcdef", "89ab" * 4, strict=True))

_NO_ERROR: Final = NotSentError("no attempt was made")
"""The error of results that have a response. It is never read or changed."""


@frozen(eq=False)
class AttemptResult:
    """How an attempt ended: with a response, or with an error and the evidence for what may follow.

    Attributes:
        evidence: What is known about the attempt.
        response: The record and the facts of the response, after success.
        error: The failure, if `response` is None.
        retry_after: Seconds the gateway asked to wait.
        request_id: The gateway's id for the request, or the id that was sent with it.
        drift: The fields of the response that differ from the gateway's documents.
    """

    evidence: Evidence
    response: Response[Any] | None = None
    error: CallError = _NO_ERROR
    retry_after: float | None = None
    request_id: str | None = None
    drift: tuple[Drift, ...] = ()


@define(eq=False)
class AttemptRunner:
    """Makes attempts over one transport.

    Attributes:
        transport: Sends the requests; None until the session is opened.
        strict: Whether a response that differs from the gateway's documents is an error.
        wall: Returns Unix time, for signatures and ``Retry-After`` dates.
        user_agent: The ``User-Agent`` header; set when the session is opened.
    """

    transport: Transport | None
    strict: bool = False
    wall: Callable[[], float] = time.time
    user_agent: Header = (b"User-Agent", b"wonder-customers")
    _in_progress: int = 0
    _signers: SignerPool | None = None
    _digits: str = ""
    _ends_in_time: bool = field(init=False, default=False)

    def __attrs_post_init__(self) -> None:
        if self.transport is not None:
            self.use(self.transport)

    def use(self, transport: Transport) -> None:
        """Send the following attempts over `transport`."""
        self.transport = transport
        self._ends_in_time = getattr(transport, "ends_in_time", False) is True

    async def run(
        self,
        account_context: AccountContext,
        call: Call[Any],
        transmission: Transmission,
        remaining: float,
        bearer: Secret | None,
    ) -> AttemptResult:
        """Send `call` once.

        Args:
            account_context: The account it is made for.
            call: The request.
            transmission: Filled while the request is sent, also when this method is cancelled.
            remaining: Seconds the attempt may take.
            bearer: The access token, if the account uses one.
        """
        unique = self._unique_id()
        response: HttpResponse | None = None
        failure: TransportError | None = None
        self._in_progress += 1
        try:
            slow = call.signed and account_context.dialect.signs_slowly and self._in_progress > 1
            if self._ends_in_time and not slow:
                signed = self._signed(account_context, call, remaining, unique, bearer)
                response = await self._send(signed, transmission)
            else:
                with anyio.move_on_after(remaining):
                    make = partial(self._signed, account_context, call, remaining, unique, bearer)
                    response = await self._send(await self._in_thread(make) if slow else make(), transmission)
        except TransportTimeout:
            pass
        except TransportError as error:
            failure = error
        except BaseException as error:
            # Frames below this one hold the bytes of the request and the keys.
            without_frames(error, keep_others=True)
            raise
        finally:
            self._in_progress -= 1
        request_id = _request_id(transmission) or unique
        if response is not None:
            result = self._decoded(call, response, request_id)
        else:
            result = self._without_response(account_context, call, transmission, failure, request_id)
        return result if result.response is not None else _redacted(result, account_context, call, bearer)

    async def _send(self, signed_request: SignedRequest, transmission: Transmission) -> HttpResponse:
        """Send over the transport. A transport that violates its protocol may have sent the request."""
        assert self.transport is not None  # noqa: S101 - selected when the session was opened
        if transmission.renew is not None:
            await transmission.leave()
        sending: Any = self.transport.send(signed_request, transmission)
        if not hasattr(sending, "__await__"):
            transmission.sent = True
            raise TransportError(f"the transport's send is not async: it returned {type(sending).__name__}")
        response = await sending
        if not isinstance(response, HttpResponse):
            transmission.sent = True
            raise TransportError(f"the transport returned {type(response).__name__} instead of an HttpResponse")
        return response

    def _unique_id(self) -> str:
        """Return a random UUID of version 4."""
        if not self._digits:
            # Fetched for many at once: each system call may pass the interpreter's lock to another thread.
            self._digits = os.urandom(1024).hex()
        digits, self._digits = self._digits[:32], self._digits[32:]
        return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{_VARIANT[digits[16]]}{digits[17:20]}-{digits[20:]}"

    def _signed(
        self, account_context: AccountContext, call: Call[Any], remaining: float, unique: str, bearer: Secret | None
    ) -> SignedRequest:
        """Return the request with its headers. The last step before it is sent, because a signature holds the time."""
        request, dialect = call.request, account_context.dialect
        headers = (*account_context.headers, self.user_agent, (b"X-Request-ID", unique.encode("ascii")))
        if call.signed:
            headers += dialect.headers(request, self.wall(), f"{unique[:8]}{unique[-8:]}", bearer)
        if request.body:
            headers += ((b"Content-Length", b"%d" % len(request.body)),)
        timeouts = account_context.timeouts_within(remaining)
        return SignedRequest(dialect.origin, request.method, request.target, headers, request.body, timeouts, remaining)

    async def _in_thread(self, sign: Callable[[], SignedRequest]) -> SignedRequest:
        self._signers = self._signers or SignerPool()
        return await self._signers.make(sign)

    def _without_response(
        self,
        account_context: AccountContext,
        call: Call[Any],
        transmission: Transmission,
        failure: TransportError | None,
        request_id: str,
    ) -> AttemptResult:
        """Classify an attempt without a complete response. Without a `failure` it ended by the deadline."""
        words = str(failure or f"the deadline of {account_context.policy.deadline:g} s passed")
        final = failure is not None and not failure.retryable
        if not transmission.sent:
            reason = f"it was not sent to {account_context.dialect.origin}: {words}"
            not_sent: CallError = NotSentError(reason) if failure else DeadlineExceededError(reason)
            if failure is not None and failure.hint is not None:
                not_sent.hint = failure.hint
            evidence = Evidence.RESPONSE if final else Evidence.NOT_SENT
            return AttemptResult(evidence, error=not_sent, request_id=request_id)
        if transmission.status is None:
            reason = f"it was sent and received no response: {words}"
            missing = NoResponseError(reason) if failure else DeadlineExceededError(reason)
            evidence = Evidence.STALE if transmission.stale else Evidence.UNKNOWN
            return AttemptResult(evidence, error=missing, request_id=request_id)
        if transmission.status >= 300 or call.not_found_is_success:
            # The status is sufficient: a refusal without its message is a refusal, and a deletion has no content.
            return self._decoded(call, HttpResponse(transmission.status, transmission.headers, b""), request_id)
        reason = f"the response had HTTP {transmission.status}, but its body was lost: {words}"
        if call.replay is not Replay.READ:
            unread = InvalidResponseError(reason, status=transmission.status, applied="yes")
            return AttemptResult(Evidence.BODY_LOST, error=unread, request_id=request_id)
        if final:
            unreadable = InvalidResponseError(reason, status=transmission.status)
            return AttemptResult(Evidence.RESPONSE, error=unreadable, request_id=request_id)
        lost = NoResponseError(reason) if failure else DeadlineExceededError(reason)
        return AttemptResult(Evidence.UNKNOWN, error=lost, request_id=request_id)

    def _decoded(self, call: Call[Any], response: HttpResponse, request_id: str) -> AttemptResult:
        drift.start()
        found: tuple[Drift, ...] = ()
        try:
            try:
                record = call.decode(response)
            finally:
                found = drift.stop()
            if found and self.strict:
                raise _drift_error(call, response.status, found)
        except CallError as error:
            wait = retry_after(response.headers, self.wall())
            if isinstance(error, GatewayError):
                error.retry_after = wait
            return AttemptResult(_evidence(error), None, error, wait, request_id, found)
        facts = Response(record, response.status, response.headers, request_id)
        return AttemptResult(Evidence.RESPONSE, facts, request_id=request_id, drift=found)


def _drift_error(call: Call[Any], status: int, found: tuple[Drift, ...]) -> InvalidResponseError:
    """Return the error of a strict session for a response that differs from the gateway's documents."""
    fields = dict.fromkeys(f"{it.field}: expected {it.expected}, found {it.found}" for it in found)
    reason = f"HTTP {status} with fields that differ from the gateway's documents: {'; '.join(list(fields)[:10])}"
    return InvalidResponseError(reason, status=status, applied="no" if call.replay is Replay.READ else "yes")


def _redacted(
    result: AttemptResult, account_context: AccountContext, call: Call[Any], bearer: Secret | None
) -> AttemptResult:
    """Remove the values of the request and the credentials from a failure."""
    secrets = account_context.secrets if bearer is None else (*account_context.secrets, bearer)
    redactor = Redactor(call.request, secrets)
    redactor.redact_error(result.error)
    request_id = redactor.redact_id(result.request_id or "")
    result.error.request_id = request_id
    return AttemptResult(result.evidence, None, result.error, result.retry_after, request_id, result.drift)


def _evidence(error: CallError) -> Evidence:
    match error:
        case RateLimitError():
            return Evidence.THROTTLED
        case GatewayUnavailableError():
            return Evidence.UNKNOWN
        case ConflictError() | InvalidRequestError():
            # Monri does not document how it reports a taken reference, so after an unconfirmed create any rejection
            # may be that.
            return Evidence.REJECTED
        case _:
            return Evidence.RESPONSE


def _request_id(transmission: Transmission) -> str | None:
    """Return the gateway's id for the request. Its length is bounded, because it becomes part of messages."""
    named = transmission.headers.get("x-request-id") or transmission.headers.get("x-correlation-id")
    return named[:100] if named and named.isprintable() else None

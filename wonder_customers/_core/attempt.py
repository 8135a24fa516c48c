"""One attempt at a request, from the permit to the result."""

import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from typing import Any, Final

import anyio
import anyio.to_thread
from attrs import define, field

from wonder_customers._core.context import NO_ERROR, UNCONFIRMED, AccountContext, AttemptResult, CallContext, Key
from wonder_customers._core.credentials import Signer
from wonder_customers._core.permits import request_result, wait_for_permit
from wonder_customers._core.signing import SignerPool
from wonder_customers._core.write_locks import WriteOrder
from wonder_customers._support import clock
from wonder_customers._support.rate_limit_headers import rate_limit_headers
from wonder_customers._support.unique_ids import UniqueIds
from wonder_customers._support.wait_queue import DividedSlots
from wonder_customers.dialects import drift
from wonder_customers.dialects.base import AccessToken, Call
from wonder_customers.dialects.drift import Drift
from wonder_customers.dialects.json import with_utf8_body
from wonder_customers.dialects.responses import checked_sender
from wonder_customers.errors import (
    AuthenticationError,
    CallError,
    ConflictError,
    DeadlineExceededError,
    GatewayError,
    GatewayUnavailableError,
    InvalidRequestError,
    InvalidResponseError,
    NoResponseError,
    NotFoundError,
    NotSentError,
    PermissionDeniedError,
    RateLimitError,
    SessionClosedError,
)
from wonder_customers.rate_limit import RateLimiter
from wonder_customers.records import Response
from wonder_customers.retry import Evidence, retry_after
from wonder_customers.wire import (
    Header,
    HttpResponse,
    Replay,
    SignedRequest,
    Transmission,
    Transport,
    TransportError,
    TransportTimeout,
)

# Sends the request for an access token.
Perform = Callable[[CallContext, Call[AccessToken]], Awaitable[Response[AccessToken]]]

_WAIT_HEADERS: Final = frozenset({"retry-after", "retry-after-ms"})
_WITH_LENGTH: Final = frozenset({"POST", "PUT", "PATCH"})
"""Methods whose requests have a length even without a body: some servers refuse others with HTTP 411."""
_LARGE: Final = 128 * 1024
"""Longer response bodies, in bytes, are decoded in a thread."""


@define(eq=False)
class AttemptRunner:
    """Sends the requests of one session."""

    transport: Transport | None  # None until the session is opened
    order: WriteOrder
    strict: bool = False  # whether drift is an error
    rate_limit: RateLimiter | None = None
    # A slot is taken before a request is signed: the signature contains the time.
    slots: DividedSlots = field(factory=DividedSlots)
    wall: Callable[[], float] = time.time
    user_agent: Header = (b"User-Agent", b"wonder-customers")
    closed: bool = False
    _in_progress: int = 0
    _signers: SignerPool | None = None
    _unique_id: UniqueIds = field(factory=UniqueIds)
    _decoders: anyio.CapacityLimiter | None = None
    _ends_in_time: bool = field(init=False, default=False)

    def __attrs_post_init__(self) -> None:
        if self.transport is not None:
            self.use(self.transport)

    def use(self, transport: Transport) -> None:
        """Use `transport` for later attempts."""
        self.transport = transport
        self._ends_in_time = getattr(transport, "ends_in_time", False) is True

    def run(
        self, call_context: CallContext, call: Call[Any], keys: Sequence[Key], number: int, perform: Perform
    ) -> Coroutine[Any, Any, AttemptResult]:
        """Attempt a request with the account's credentials."""
        if call_context.account_context.account.credentials is None or not call.signed:
            return self._send(call_context, call, keys, number, call_context.account_context.signer)
        return self._send_with_fetched(call_context, call, keys, number, perform)

    async def _send_with_fetched(
        self, call_context: CallContext, call: Call[Any], keys: Sequence[Key], number: int, perform: Perform
    ) -> AttemptResult:
        try:
            signer = first = await self._signer(call_context, perform)
            # Paydock responds to unknown and expired credentials with 403.
            refusals = AuthenticationError if signer.provided is None else (AuthenticationError, PermissionDeniedError)
            call_context.add_secrets(signer.secrets)
            result = await self._send(call_context, call, keys, number, signer)
            most = call_context.account_context.policy.attempts
            # A token may expire while its request waits for a permit or a connection.
            while isinstance(result.error, refusals) and (
                signer is first or (number <= most and clock.monotonic() >= signer.until)
            ):
                renewed = await self._signer(call_context, perform, refused=signer)
                if renewed is signer:
                    break
                call_context.add_secrets(renewed.secrets)
                signer, number = renewed, number + 1
                result = await self._send(call_context, call, keys, number, signer)
        except CallError as error:
            return AttemptResult(Evidence.RESPONSE, error=error, request_id=error.request_id)
        return result

    async def _signer(self, call_context: CallContext, perform: Perform, refused: Signer | None = None) -> Signer:
        """Return the credentials for an attempt."""
        credentials, known = call_context.account_context.account.credentials, call_context.account_context.signer
        assert credentials is not None  # noqa: S101 - checked by the caller
        policy, tokens = call_context.account_context.policy, call_context.account_context.account.budget.tokens
        limits = policy.attempts if tokens >= policy.transient_cost else 1, call_context.deadline
        send, found = partial(perform, call_context), None
        with anyio.move_on_after(call_context.remaining()), call_context.interruptible():
            found = await credentials.signer(known, send, limits, refused)
        if found is None:
            raise call_context.not_sent("the credentials were not available before the deadline")
        return found

    async def _send(
        self, call_context: CallContext, call: Call[Any], keys: Sequence[Key], number: int, signer: Signer
    ) -> AttemptResult:
        """Make one attempt with `signer`."""
        if self.closed:
            self._check_open()
        account = call_context.account_context.account
        began = permitted = clock.monotonic()
        transmission, result, missing = Transmission(on_leave=self._check_open), None, None
        account.counts.attempts += 1
        call_context.begin_attempt(call, number)
        try:
            if began >= call_context.deadline:
                missing = "the deadline passed"
            elif self.rate_limit is not None or not self.slots.acquire_nowait(account):
                missing = await wait_for_permit(self.slots, self.rate_limit, call_context, transmission)
                permitted = clock.monotonic()
            if missing is None:
                try:
                    remaining = call_context.deadline - permitted
                    result = await self._sign_and_send(call_context, call, transmission, remaining, signer)
                finally:
                    self.slots.release(account)
                    if self.rate_limit is not None:
                        elapsed = clock.monotonic() - permitted
                        self.rate_limit.release(transmission, request_result(result, elapsed))
            else:
                result = AttemptResult(Evidence.NOT_SENT, error=call_context.not_sent(missing))
        except BaseException as error:
            self.order.mark_unconfirmed(call_context, call, keys, transmission)
            call_context.break_attempt(call, transmission, error, clock.monotonic() - began)
            raise
        if result.response is None and (result.evidence in UNCONFIRMED or result.error.applied == "unknown"):
            self.order.mark_unconfirmed(call_context, call, keys, transmission)
        if result.drift:
            call_context.report_drift(result.drift)
        call_context.end_attempt(call, transmission, result, clock.monotonic() - began)
        stop = call_context.account_context.stop
        if stop is not None and stop.observe is not None:
            stop.observe(result.evidence, result.error, missing is None)
        return result

    async def _sign_and_send(
        self, call_context: CallContext, call: Call[Any], transmission: Transmission, remaining: float, signer: Signer
    ) -> AttemptResult:
        account_context, unique = call_context.account_context, self._unique_id()
        response: HttpResponse | None = None
        failure: TransportError | None = None
        self._in_progress += 1
        try:
            slow = call.signed and account_context.dialect.signs_slowly and self._in_progress > 1
            if self._ends_in_time and not slow:
                signed = self._signed(account_context, call, remaining, unique, signer)
                response = await self._transmit(signed, transmission)
            else:
                with anyio.move_on_after(remaining):
                    make = partial(self._signed, account_context, call, remaining, unique, signer)
                    response = await self._transmit(await self._in_thread(make) if slow else make(), transmission)
        except TransportTimeout:
            pass
        except TransportError as error:
            failure = error
        finally:
            self._in_progress -= 1
        request_id = _request_id(transmission) or unique
        if response is not None:
            arguments, small = (call_context, call, response, request_id), len(response.body) <= _LARGE
            result = self._decoded(*arguments) if small else await self._decoded_in_thread(*arguments)
        else:
            result = self._without_response(call_context, call, transmission, failure, request_id)
        return result if result.response is not None else _redacted(result, call, call_context, transmission)

    async def _transmit(self, signed_request: SignedRequest, transmission: Transmission) -> HttpResponse:
        """Send a signed request over the transport."""
        assert self.transport is not None  # noqa: S101 - selected when the session was opened
        if transmission.renew is not None:
            await transmission.leave()
        if self.closed:  # while the request waited for a slot, a permit or its signature
            self._check_open()
        sending: Any = self.transport.send(signed_request, transmission)
        if not hasattr(sending, "__await__"):
            transmission.sent = True
            raise TransportError(f"the transport's `send` returned {type(sending).__name__} instead of an awaitable")
        response: Any = await sending
        if isinstance(response, HttpResponse):
            status: Any = response.status
            body: Any = response.body
            if isinstance(status, int) and isinstance(body, (bytes, bytearray)):
                return response
            kinds = f"{type(status).__name__} and {type(body).__name__}"
            problem = f"the status and the body of the transport's HttpResponse are {kinds}, not int and bytes"
        else:
            problem = f"the transport's `send` returned {type(response).__name__} instead of HttpResponse"
        transmission.sent = True
        raise TransportError(problem)

    def _check_open(self) -> None:
        if self.closed:
            raise SessionClosedError("the session was closed while the request was waiting. The request was not sent.")

    def _signed(
        self, account_context: AccountContext, call: Call[Any], remaining: float, unique: str, signer: Signer
    ) -> SignedRequest:
        """Return the request with all headers."""
        request, dialect = call.request, account_context.dialect
        headers = (*account_context.headers, self.user_agent, (b"X-Request-ID", unique.encode("ascii")))
        if call.signed:
            headers += signer.dialect.headers(request, self.wall(), f"{unique[:8]}{unique[-8:]}", signer.bearer)
        if request.body or request.method in _WITH_LENGTH:
            headers += ((b"Content-Length", b"%d" % len(request.body)),)
        timeouts = account_context.timeouts_within(remaining)
        return SignedRequest(dialect.origin, request.method, request.target, headers, request.body, timeouts, remaining)

    async def _in_thread(self, sign: Callable[[], SignedRequest]) -> SignedRequest:
        self._signers = self._signers or SignerPool()
        return await self._signers.make(sign)

    def _without_response(
        self,
        call_context: CallContext,
        call: Call[Any],
        transmission: Transmission,
        failure: TransportError | None,
        request_id: str,
    ) -> AttemptResult:
        """Classify an attempt without a complete response."""
        account_context, status = call_context.account_context, transmission.status
        cause = str(failure or f"the deadline of {account_context.policy.deadline:g} s passed")
        final = failure is not None and not failure.retryable
        write = call.replay is not Replay.READ
        body_lost = f"the response had HTTP status {status}, but its body could not be read: {cause}"
        error: CallError
        evidence = Evidence.UNKNOWN
        if not transmission.sent:
            reason = f"the request was not sent to {account_context.dialect.origin}: {cause}"
            error = NotSentError(reason, hint=failure.hint) if failure else DeadlineExceededError(reason)
            evidence = Evidence.RESPONSE if final else Evidence.NOT_SENT
        elif status is None:
            reason = f"the request was sent, but no complete response arrived: {cause}"
            error = NoResponseError(reason) if failure else DeadlineExceededError(reason)
            evidence = Evidence.STALE if transmission.stale else Evidence.UNKNOWN
        elif status >= 300:
            # The status is sufficient: a refusal is final without its message.
            return self._decoded(call_context, call, HttpResponse(status, transmission.headers, b""), request_id)
        elif write and status == 201:
            hint = "Read the customer or the payment tokens to see the result."
            error = InvalidResponseError(body_lost, status=status, applied="yes", hint=hint)
            evidence = Evidence.BODY_LOST
        # Another 2xx does not show that a write was applied: the body of a refusal may be lost, or the page of a proxy.
        elif final:
            error = InvalidResponseError(body_lost, status=status, applied="unknown" if write else "no")
            evidence = _evidence(error)
        else:
            error = NoResponseError(body_lost) if failure else DeadlineExceededError(body_lost)
        return AttemptResult(evidence, error=error, request_id=request_id)

    async def _decoded_in_thread(self, *arguments: Any) -> AttemptResult:
        self._decoders = self._decoders or anyio.CapacityLimiter(2)
        scope = anyio.CancelScope(shield=True)  # a cancellation takes effect afterwards
        with scope:
            result = await anyio.to_thread.run_sync(self._decoded, *arguments, limiter=self._decoders)
        return result  # noqa: RET504 - after the scope, which could suppress a cancellation

    def _decoded(
        self, call_context: CallContext, call: Call[Any], response: HttpResponse, request_id: str
    ) -> AttemptResult:
        drift.start()
        response = with_utf8_body(response)
        found: tuple[Drift, ...] = ()
        try:
            try:
                record = call.decode(response)
            finally:
                found = drift.stop()
            if found and self.strict:
                raise _drift_error(call, response.status, found)
        except CallError as error:
            wait = retry_after(response.headers, self.wall()) if _WAIT_HEADERS & response.headers.keys() else None
            if isinstance(error, GatewayError):
                error.retry_after = wait
            if isinstance(error, (NotFoundError, PermissionDeniedError)):
                error = checked_sender(error, response, deletion=call.not_found_is_success)
            return AttemptResult(_evidence(error), None, error, wait, request_id, found)
        elapsed = clock.monotonic() - call_context.started
        success = Response(record, response.status, response.headers, request_id, 1, elapsed)
        return AttemptResult(Evidence.RESPONSE, success, NO_ERROR, None, request_id, found)


def _drift_error(call: Call[Any], status: int, found: tuple[Drift, ...]) -> InvalidResponseError:
    """Return the error of a strict session for fields that differ from the documentation."""
    fields = dict.fromkeys(f"{it.field}: expected {it.expected}, found {it.found}" for it in found)
    reason = f"fields of the response differ from the gateway's documentation: {'; '.join(list(fields)[:10])}"
    return InvalidResponseError(reason, status=status, applied="no" if call.replay is Replay.READ else "yes")


def _redacted(
    result: AttemptResult, call: Call[Any], call_context: CallContext, transmission: Transmission
) -> AttemptResult:
    """Return a failed result with redacted messages."""
    redactor = call_context.redactor(call.request)
    redactor.redact_error(result.error)
    limits = rate_limit_headers(transmission.headers)
    result.error.rate_limit_headers = {name: redactor.redact_id(value) for name, value in limits.items()}
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
            # Monri does not document how it reports a duplicate reference, so any rejection after an unconfirmed
            # create may have this cause.
            return Evidence.REJECTED
        case InvalidResponseError() if error.applied == "unknown" and not error.mismatch:
            return Evidence.UNREADABLE
        case GatewayError() if error.applied == "unknown":
            return Evidence.UNREADABLE
        case _:
            return Evidence.RESPONSE


def _request_id(transmission: Transmission) -> str | None:
    found = transmission.headers.get("x-request-id") or transmission.headers.get("x-correlation-id")
    # Limited, because the id becomes part of messages.
    return found[:100] if found and found.isprintable() else None

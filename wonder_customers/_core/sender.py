"""Sends single requests: access token, connection slot, rate limit, attempt."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import anyio
from attrs import define, field

from wonder_customers._core.attempt import AttemptResult, AttemptRunner
from wonder_customers._core.context import UNCONFIRMED, CallContext, Counts
from wonder_customers._core.permits import ConnectionSlots, Permits
from wonder_customers._core.waits import Waits
from wonder_customers._core.write_locks import Key, WriteOrder
from wonder_customers.dialects.base import AccessToken, Call
from wonder_customers.errors import AuthenticationError, CallError, DeadlineExceededError, SessionClosedError
from wonder_customers.records import Response
from wonder_customers.retry import Evidence
from wonder_customers.secret import Secret
from wonder_customers.wire import Transmission

__all__ = ["Sender"]

Perform = Callable[[CallContext, Call[AccessToken]], Awaitable[Response[AccessToken]]]


@define(eq=False)
class Sender:
    """Sends the requests of one session.

    Attributes:
        runner: Makes single attempts.
        order: Remembers unconfirmed writes.
        waits: The clock and the waits.
        counts: Statistics.
        permits: Connection slots and the rate limit.
        closed: The session has ended, so nothing more is sent.
    """

    runner: AttemptRunner
    order: WriteOrder
    waits: Waits
    counts: Counts = field(factory=Counts)
    permits: Permits = field(factory=lambda: Permits(ConnectionSlots()))
    closed: bool = False

    async def attempt(
        self, call_context: CallContext, call: Call[Any], keys: Sequence[Key], number: int, perform: Perform
    ) -> AttemptResult:
        """Make one attempt. With an access token that the gateway refuses, make a second one with a new token.

        Args:
            call_context: The operation.
            call: The request.
            keys: The customer of a write.
            number: The number of the attempt, counted from 1.
            perform: Sends the request that fetches an access token.
        """
        access_tokens = call_context.account_context.access_tokens
        if access_tokens is None or not call.signed:
            return await self._send(call_context, call, keys, number, None)
        try:
            bearer = await self._access_token(call_context, perform)
            result = await self._send(call_context, call, keys, number, bearer)
            if isinstance(result.error, AuthenticationError):
                access_tokens.drop(bearer)
                renewed = await self._access_token(call_context, perform)
                result = await self._send(call_context, call, keys, number + 1, renewed)
        except CallError as error:
            return AttemptResult(Evidence.RESPONSE, error=error, request_id=error.request_id)
        return result

    async def _access_token(self, call_context: CallContext, perform: Perform) -> Secret:
        access_tokens, dialect = call_context.account_context.access_tokens, call_context.account_context.dialect
        assert access_tokens is not None  # noqa: S101 - checked by the caller

        async def fetch() -> AccessToken:
            call = dialect.token_call()
            assert call is not None  # noqa: S101 - a cache exists only where the dialect fetches tokens
            return (await perform(call_context, call)).record

        token: Secret | None = None
        with anyio.move_on_after(self.waits.remaining(call_context)), self.waits.interruptible(call_context):
            token = await access_tokens.get(fetch)
        if token is None:
            raise self.waits.not_sent(call_context, "no access token was available before the deadline")
        return token

    async def _send(
        self, call_context: CallContext, call: Call[Any], keys: Sequence[Key], number: int, bearer: Secret | None
    ) -> AttemptResult:
        """Send once, when a connection and the rate limit allow it. Remember a write that may still be applied."""
        if self.closed:
            raise SessionClosedError("the session was closed before the request was sent. Nothing was sent.")
        began = self.waits.clock()
        transmission = Transmission()
        self.counts.attempts += 1
        call_context.begin_attempt(call, number)
        try:
            result = await self._send_permitted(call_context, call, transmission, bearer)
        except BaseException as error:
            self.order.mark_unconfirmed(call_context, call, keys, transmission)
            call_context.break_attempt(call, transmission, error, self.waits.clock() - began)
            raise
        if result.evidence in UNCONFIRMED:
            self.order.mark_unconfirmed(call_context, call, keys, transmission)
        if result.drift:
            call_context.report_drift(self.counts, result.drift)
        call_context.end_attempt(call, transmission, result, self.waits.clock() - began)
        return result

    async def _send_permitted(
        self, call_context: CallContext, call: Call[Any], transmission: Transmission, bearer: Secret | None
    ) -> AttemptResult:
        permits, remaining = self.permits, self.waits.remaining(call_context)
        if remaining <= 0:
            late = DeadlineExceededError("it was not sent: the deadline passed")
            return AttemptResult(Evidence.NOT_SENT, error=late)
        if not permits.acquire_nowait():
            refused = await permits.acquire(call_context, transmission, remaining, self.counts)
            if refused is not None:
                return AttemptResult(Evidence.NOT_SENT, error=self.waits.not_sent(call_context, refused))
            remaining = self.waits.remaining(call_context)
        result: AttemptResult | None = None
        began = self.waits.clock()
        try:
            result = await self.runner.run(call_context.account_context, call, transmission, remaining, bearer)
        finally:
            permits.release(transmission, result, self.waits.clock() - began)
        return result

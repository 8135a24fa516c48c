"""Credentials that are fetched: secrets that functions of the application return, and access tokens."""

import sys
from collections.abc import Awaitable, Callable
from copy import copy
from functools import partial
from inspect import isawaitable, iscoroutine
from math import inf
from typing import Any, Final, Generic, TypeVar

import anyio
import anyio.to_thread
from attrs import define, evolve, field, frozen

from wonder_customers._support import clock
from wonder_customers.dialects.base import AccessToken, Account, Call, Dialect
from wonder_customers.dialects.provided_secrets import ProvidedSecret, provided_secrets, with_secrets
from wonder_customers.dialects.responses import as_authentication
from wonder_customers.errors import (
    AuthenticationError,
    CallError,
    ConfigurationError,
    DeadlineExceededError,
    GatewayUnavailableError,
    NoResponseError,
    NotSentError,
    RateLimitError,
)
from wonder_customers.records import Response
from wonder_customers.secret import Secret, secret

T = TypeVar("T")
SendTokenCall = Callable[[Call[AccessToken]], Awaitable[Response[AccessToken]]]
Limits = tuple[int, float]
"""The number of attempts and the deadline of a call."""

_MOST_RUNNING: Final = 4
"""Maximum number of unfinished calls to functions of one account. Each keeps its thread."""
TRANSIENT: Final = (NotSentError, NoResponseError, GatewayUnavailableError, RateLimitError)
"""Errors that another attempt may not have."""
_SIMILAR: Final = 2.0
"""Seconds between deadlines that allow about the same number of attempts."""
_MARGIN: Final = 0.1
"""The unused part of a token's lifetime: clocks differ and requests take time."""


@define(eq=False)
class SharedValue(Generic[T]):
    """A value that is fetched once for all callers, until it expires or is dropped."""

    _lock: anyio.Lock = field(factory=anyio.Lock)
    _value: T | None = None
    until: float = 0.0  # when the value expires
    _failure: CallError | None = None
    _failures: int = 0
    _limits: Limits = (0, 0.0)  # of the caller whose request failed

    async def get(self, fetch: Callable[[], Awaitable[tuple[T, float]]], limits: Limits = (1, 0.0)) -> T:
        """Return the value. `fetch` returns a new value and its lifetime, within `limits`."""
        if self._value is None or clock.monotonic() >= self.until:
            failures = self._failures
            async with self._lock:
                if self._value is None or clock.monotonic() >= self.until:
                    failure = None if self._failures == failures else self._failure
                    # The limits of another caller may have allowed fewer attempts.
                    fewer = self._limits[0] < limits[0] or self._limits[1] < limits[1] - _SIMILAR
                    if failure is not None and not (fewer and isinstance(failure, TRANSIENT)):
                        raise copy(failure)
                    self._limits = limits
                    await self._renew(fetch)
        assert self._value is not None  # noqa: S101 - it was fetched
        return self._value

    async def _renew(self, fetch: Callable[[], Awaitable[tuple[T, float]]]) -> None:
        requested = clock.monotonic()
        try:
            self._value, lifetime = await fetch()
        except DeadlineExceededError:
            raise  # only the deadline of this caller has passed; the others may have more time
        except CallError as error:
            self._failures += 1
            self._failure = copy(error)
            raise
        self.until = requested + lifetime
        self._failure = None

    def drop(self, value: T) -> None:
        """Remove `value` if it is the current value."""
        # By identity: a value that was fetched since is not removed, even if it is equal.
        if self._value is value:
            self._value = None


@frozen(eq=False)
class Signer:
    """The credentials of an attempt."""

    dialect: Dialect
    secrets: tuple[Secret, ...] = ()
    account: Account | None = None
    bearer: Secret | None = None  # the access token
    until: float = inf  # when the access token expires
    provided: "_Provided | None" = None


@define(eq=False)
class _Provided:
    """The secrets that functions returned, and the dialects with these secrets."""

    values: dict[str, Secret]
    dialects: dict[Account, Dialect] = field(factory=dict)


@define(eq=False)
class AccountCredentials:
    """The fetched credentials of one account, shared by all of its views."""

    _provided: SharedValue[_Provided] = field(factory=SharedValue)
    _tokens: SharedValue[Secret] = field(factory=SharedValue)
    _running: list[str] = field(factory=list)

    async def signer(self, known: Signer, send: SendTokenCall, limits: Limits, refused: Signer | None = None) -> Signer:
        """Return the credentials for an attempt, or `refused` if no others are available."""
        if refused is not None and refused.bearer is not None:
            self._tokens.drop(refused.bearer)
        elif refused is not None and refused.provided is not None:
            self._provided.drop(refused.provided)
        found = await self._with_provided(known)
        if found.dialect.token_call() is not None:
            bearer = await self._tokens.get(partial(self._fetch_token, known, send, found), limits)
            until = self._tokens.until
            renewed = await self._with_provided(known)  # a refused token request may have replaced the secrets
            secrets = tuple(dict.fromkeys((*found.secrets, *renewed.secrets, bearer)))
            found = evolve(renewed, bearer=bearer, secrets=secrets, until=until)
        # A new access token may be accepted even if its value is the same.
        same = refused is not None and refused.bearer is None and found.secrets == refused.secrets
        return refused if refused is not None and same else found

    async def _fetch_token(self, known: Signer, send: SendTokenCall, signer: Signer) -> tuple[Secret, float]:
        try:
            token = await _token(send, signer)
        except AuthenticationError:
            if signer.provided is None:
                raise
            self._provided.drop(signer.provided)
            renewed = await self._with_provided(known)
            if renewed.secrets == signer.secrets:
                raise
            token = await _token(send, renewed)
        return token.value, token.lifetime * (1 - _MARGIN)

    async def _with_provided(self, known: Signer) -> Signer:
        """Return the credentials without an access token."""
        account = known.account
        if account is None or not provided_secrets(account):
            return known
        provided = await self._provided.get(partial(self._ask, account, slow=known.dialect.signs_slowly))
        dialect = provided.dialects.get(account)
        if dialect is None:  # a view with another language
            dialect = provided.dialects[account] = with_secrets(account, provided.values).dialect()
        return Signer(dialect, (*known.secrets, *provided.values.values()), account, provided=provided)

    async def _ask(self, account: Account, *, slow: bool) -> tuple[_Provided, float]:
        """Call the functions, and check the secrets that they return."""
        # Not shared with later calls: on trio, the thread of a function that never returns occupies its limiter.
        limiter = anyio.CapacityLimiter(1)
        values = {name: await _ask(name, it, limiter, self._running) for name, it in provided_secrets(account).items()}

        def dialect() -> Dialect | str:
            try:
                return with_secrets(account, values).dialect()
            except ConfigurationError as error:
                return str(error)

        found = await anyio.to_thread.run_sync(dialect, limiter=limiter) if slow else dialect()
        if isinstance(found, str):
            raise _not_provided(f"a function of the account returned an invalid value: {found}")
        return _Provided(values, {account: found}), inf


async def _token(send: SendTokenCall, signer: Signer) -> AccessToken:
    call = signer.dialect.token_call()
    assert call is not None  # noqa: S101 - checked by the caller
    return (await send(evolve(call, decode=as_authentication(call.decode)))).record


async def _ask(name: str, provided: ProvidedSecret, limiter: anyio.CapacityLimiter, running: list[str]) -> Secret:
    """Call the function of a secret in a thread."""
    if len(running) >= _MOST_RUNNING:
        reason = f"the function for {name} was not called: {len(running)} earlier calls have not returned"
        raise _not_provided(reason, "Check why they do not return, and add a time limit to the function.")
    problem = None
    # A list, because trio does not accept a coroutine as the result of a thread.
    found: list[Any] = []
    try:
        call = partial(_call, name, provided.function, running, found)
        await anyio.to_thread.run_sync(call, abandon_on_cancel=True, limiter=limiter)
        value = found.pop()
        if isawaitable(value):
            value = await value
    except anyio.get_cancelled_exc_class() as error:
        found.insert(0, _ABANDONED)
        _close(found)
        if _is_cancelled():
            raise
        problem = f"raised {type(error).__name__}"
    except Exception as error:  # noqa: BLE001 - a function of the application may raise any error
        problem = f"raised {type(error).__name__}"
    else:
        if isinstance(value, str) or type(value) is Secret:
            return secret(value)
        problem = f"returned {type(value).__name__} instead of a str"
    # Without the message and traceback of the function, which may contain the secret.
    raise _not_provided(f"the function for {name} {problem}")


def _is_cancelled() -> bool:
    """Return whether the current task is cancelled, and not only a task that the function awaited."""
    if not hasattr(clock.running_loop(), "create_future"):  # trio: no task receives the cancellation of another one
        return True
    task = sys.modules["asyncio"].current_task()
    return task is None or task.cancelling() > 0 or anyio.current_effective_deadline() == -inf


_ABANDONED: Final = object()


def _call(name: str, function: Callable[[], Any], running: list[str], found: list[Any]) -> None:
    """Append the result of `function` to `found`."""
    running.append(name)
    try:
        found.append(function())
    finally:
        running.remove(name)
    if found[0] is _ABANDONED:  # the caller was cancelled
        _close(found)


def _close(found: list[Any]) -> None:
    for it in found:
        if iscoroutine(it):
            it.close()


def _not_provided(reason: str, hint: str = "Call the function yourself to see its error or value.") -> NotSentError:
    hint = f"{hint} It is safe to call the operation again."
    return NotSentError(f"the request was not sent: {reason}", hint=hint)

"""Caches of access tokens: a token is fetched once for all calls, and used until shortly before it expires."""

from collections.abc import Awaitable, Callable
from copy import copy
from typing import Final

import anyio
from attrs import define, field

from wonder_customers.dialects.base import AccessToken
from wonder_customers.errors import CallError, DeadlineExceededError
from wonder_customers.secret import Secret

__all__ = ["AccessTokenCache"]

_MARGIN: Final = 0.1
"""The last part of a token's lifetime, which is not used: clocks differ and requests take time."""


@define(eq=False)
class AccessTokenCache:
    """The access token of one account.

    Attributes:
        clock: A function that returns seconds on a monotonic clock.
    """

    clock: Callable[[], float]
    _lock: anyio.Lock = field(factory=anyio.Lock)
    _token: AccessToken | None = None
    _until: float = 0.0
    _failure: CallError | None = None
    _failures: int = 0

    async def get(self, fetch: Callable[[], Awaitable[AccessToken]]) -> Secret:
        """Return the token. If it is missing or expired, one caller awaits `fetch`, and all others await its result.

        Raises:
            CallError: The token could not be fetched.
        """
        if self._token is None or self.clock() >= self._until:
            failures = self._failures
            async with self._lock:
                if self._token is None or self.clock() >= self._until:
                    if self._failures != failures and self._failure is not None:
                        raise copy(self._failure)
                    await self._renew(fetch)
        assert self._token is not None  # noqa: S101 - it was fetched
        return self._token.value

    async def _renew(self, fetch: Callable[[], Awaitable[AccessToken]]) -> None:
        requested = self.clock()
        try:
            self._token = await fetch()
        except DeadlineExceededError:
            raise  # only the deadline of this caller has passed; the others may have more time
        except CallError as error:
            self._failures += 1
            self._failure = copy(error)
            raise
        self._until = requested + self._token.lifetime * (1 - _MARGIN)
        self._failure = None

    def drop(self, token: Secret) -> None:
        """Remove `token` if it is still the current one, because the gateway refused it."""
        if self._token is not None and self._token.value == token:
            self._token = None

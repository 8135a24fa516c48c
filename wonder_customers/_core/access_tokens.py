"""Keeps the access token of an account: fetched once for all callers, used until shortly before it expires."""

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from copy import copy
from itertools import islice
from typing import Final

import anyio
from attrs import define, field

from wonder_customers.dialects.base import AccessToken, Account
from wonder_customers.errors import CallError, DeadlineExceededError
from wonder_customers.secret import Secret

__all__ = ["AccessTokenCache", "AccessTokens"]

_MARGIN: Final = 0.1
"""The last part of a token's lifetime, which is not used: clocks differ and requests take time."""
_ACCOUNTS: Final = 1000
"""Accounts whose tokens are kept at most."""


@define(eq=False)
class AccessTokenCache:
    """The access token of one account.

    Attributes:
        clock: Returns seconds on a monotonic clock.
    """

    clock: Callable[[], float]
    _lock: anyio.Lock = field(factory=anyio.Lock)
    _token: AccessToken | None = None
    _until: float = 0.0
    _failure: CallError | None = None
    _failures: int = 0

    @property
    def expired(self) -> bool:
        """Whether the token is missing or expired."""
        return self._token is None or self.clock() >= self._until

    async def get(self, fetch: Callable[[], Awaitable[AccessToken]]) -> Secret:
        """Return the token. One caller awaits `fetch`; the others wait for its result and share its failure.

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
            raise  # the deadline is that of this caller; the others may have more time
        except CallError as error:
            self._failures += 1
            self._failure = copy(error)
            raise
        self._until = requested + self._token.lifetime * (1 - _MARGIN)
        self._failure = None

    def drop(self, token: Secret) -> None:
        """Forget `token` if it is the current one, because the gateway refused it."""
        if self._token is not None and self._token.value == token:
            self._token = None


@define(eq=False)
class AccessTokens:
    """The access tokens of a session's accounts. The number of accounts is bounded.

    Attributes:
        clock: Returns seconds on a monotonic clock.
    """

    clock: Callable[[], float]
    _caches: OrderedDict[Account, AccessTokenCache] = field(factory=OrderedDict)

    def __len__(self) -> int:
        return len(self._caches)

    def of(self, account: Account) -> AccessTokenCache:
        """Return the cache for an account."""
        found = self._caches.get(account)
        if found is None:
            # The oldest two are enough to keep the number of expired tokens from growing.
            for old in [*islice(self._caches, 2)]:
                if self._caches[old].expired:
                    del self._caches[old]
            found = self._caches[account] = AccessTokenCache(self.clock)
            if len(self._caches) > _ACCOUNTS:
                self._caches.popitem(last=False)
        self._caches.move_to_end(account)
        return found

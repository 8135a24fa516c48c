"""Keeps an account's bearer token: fetched once under concurrency, used until shortly before it expires."""

from collections.abc import Awaitable, Callable
from typing import Final

import anyio
from attrs import define, field

from wonder_customers.dialects.base import AccessToken
from wonder_customers.secret import Secret

_MARGIN: Final = 0.1
"""The part of a token's lifetime in which it is not used any more: clocks differ and requests take time."""


@define(eq=False)
class AccessTokenCache:
    """One account's bearer token.

    Attributes:
        clock: Seconds on the event loop's clock.
    """

    clock: Callable[[], float]
    _lock: anyio.Lock = field(factory=anyio.Lock)
    _token: AccessToken | None = None
    _until: float = 0.0

    async def get(self, fetch: Callable[[], Awaitable[AccessToken]]) -> Secret:
        """The token; `fetch` is awaited by one caller only, the others wait for it.

        Raises:
            CallError: The token could not be fetched.
        """
        if self._token is None or self.clock() >= self._until:
            async with self._lock:
                if self._token is None or self.clock() >= self._until:
                    asked = self.clock()
                    self._token = await fetch()
                    self._until = asked + self._token.lifetime * (1 - _MARGIN)
        return self._token.value

    def drop(self, token: Secret) -> None:
        """Forget `token` if it is still the one in use, because the gateway refused it."""
        if self._token is not None and self._token.value == token:
            self._token = None

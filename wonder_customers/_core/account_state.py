"""The state of the accounts of a session."""

import os
from collections import OrderedDict
from collections.abc import Hashable
from hashlib import blake2b
from threading import RLock
from typing import Any, Final
from weakref import ref

from attrs import define, field, fields

from wonder_customers._core.credentials import AccountCredentials
from wonder_customers._support import clock
from wonder_customers.dialects.base import Account, Dialect
from wonder_customers.dialects.provided_secrets import ProvidedSecret, provided_secrets
from wonder_customers.retry import RetryBudget
from wonder_customers.secret import Secret, secrets_of
from wonder_customers.wire import Origin

_KEY: Final = os.urandom(32)
_MOST: Final = 1000
"""Maximum number of recently used accounts whose states are kept."""
_KEPT: Final = 300.0
"""Seconds for which the state of an account is kept. A web application may create a view per request."""


def digest(*values: bytes) -> bytes:
    """Return a digest that identifies `values` in this process."""
    found = blake2b(key=_KEY, digest_size=16)
    for value in values:
        found.update(b"%d:%b" % (len(value), value))
    return found.digest()


def identity(holder: object, *more: str) -> Hashable:
    """Return a hashable value that identifies `holder`."""
    if isinstance(holder, ProvidedSecret):
        return holder
    values = (holder,) if isinstance(holder, (str, Secret)) else secrets_of(holder)
    # The functions, because the secrets that they return may change.
    provided = tuple(provided_secrets(holder).values())
    if not values and not provided:
        return holder
    texts = (it.reveal() if isinstance(it, Secret) else it for it in (*values, *more))
    found = digest(*(it.encode(errors="surrogatepass") for it in texts)).hex()
    return (found, *provided) if provided else found


@define(eq=False)
class Counts:
    """Counters of an account; see `wonder_customers.events.Stats`."""

    started: int = 0
    succeeded: int = 0
    failed: dict[str, int] = field(factory=dict)
    attempts: int = 0
    retries: int = 0
    lookups: int = 0
    waiting_for_lock: int = 0
    waiting_for_rate_limit: int = 0
    drift: dict[str, int] = field(factory=dict)

    def add(self, other: "Counts") -> None:
        """Add the counters of `other`."""
        for name in (it.name for it in fields(Counts)):
            value: Any = getattr(other, name)
            if isinstance(value, int):
                setattr(self, name, getattr(self, name) + value)
            else:
                mine = getattr(self, name)
                for key, count in list(value.items()):  # a copy: another thread may change `other`
                    mine[key] = mine.get(key, 0) + count


@define(eq=False, weakref_slot=True)
class AccountState:
    """The state shared by all views of one account."""

    budget: RetryBudget
    credentials: AccountCredentials | None = None  # None: nothing is fetched
    origin: Origin | None = None
    counts: Counts = field(factory=Counts)
    connections: int = 0  # slots in use


class _Reference(ref[AccountState]):
    """A weak reference to an account's state, with its counters. It needs less memory than ``weakref.finalize``."""

    __slots__ = ("counts", "key")
    key: Hashable
    counts: Counts


@define(eq=False)
class AccountStates:
    """The states of a session's accounts."""

    budget: int
    several: bool = False  # whether there has been more than one state at a time
    _states: dict[Hashable, "_Reference"] = field(factory=dict)
    _recent: OrderedDict[AccountState, float] = field(factory=OrderedDict)
    _removed: Counts = field(factory=Counts)  # the sums of the counters of removed states
    changing: RLock = field(factory=RLock)  # reentrant, because the garbage collector may run other code meanwhile

    def __len__(self) -> int:
        return len(self._states)

    def of(self, account: Account, dialect: Dialect) -> AccountState:
        """Return the state of an account. Create the state if necessary."""
        # The representation shows every value that is not secret, such as the scope of an access token.
        key = identity(account, repr(account))
        known = self._states.get(key)
        found = None if known is None else known()
        if found is None:
            fetched = provided_secrets(account) or dialect.token_call() is not None
            credentials = AccountCredentials() if fetched else None
            found = AccountState(RetryBudget(self.budget), credentials, dialect.origin)
            # Not with `__del__`: while it runs, another thread could use the state again.
            self._states[key] = reference = _Reference(found, self._forget)
            reference.key, reference.counts = key, found.counts
            self.several = self.several or len(self._states) > 1
        now = clock.monotonic()
        self._recent[found] = now
        self._recent.move_to_end(found)
        while len(self._recent) > _MOST or next(iter(self._recent.values())) < now - _KEPT:
            self._recent.popitem(last=False)
        return found

    def forget_views(self) -> None:
        """Stop keeping the states of accounts without views."""
        with self.changing:
            self._recent.clear()

    def _forget(self, reference: "_Reference") -> None:
        self._removed.add(reference.counts)
        if self._states.get(reference.key) is reference:
            del self._states[reference.key]

    def _present(self) -> list[AccountState]:
        return [state for reference in list(self._states.values()) if (state := reference()) is not None]

    def totals(self) -> Counts:
        """Return the sums of the counters, including the counters of removed states."""
        total = Counts()
        for counts in (self._removed, *(it.counts for it in self._present())):
            total.add(counts)
        return total

    def tokens(self) -> dict[str, int]:
        """Return the lowest number of retry tokens for each origin."""
        found: dict[str, int] = {}
        for it in self._present():
            origin = str(it.origin)
            found[origin] = min(found.get(origin, it.budget.tokens), it.budget.tokens)
        return found

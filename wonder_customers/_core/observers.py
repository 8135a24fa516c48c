"""Tells the observers of a session what its calls do. It is loaded only where there are observers."""

import logging
from collections.abc import Callable
from inspect import iscoroutinefunction
from itertools import count
from typing import Any, Final

from attrs import define, field

from wonder_customers.dialects.drift import Drift
from wonder_customers.errors import ConfigurationError
from wonder_customers.events import (
    AttemptEnded,
    AttemptStarted,
    CallEnded,
    CallStarted,
    Event,
    LookupEnded,
    LookupStarted,
    Observer,
    Outcome,
    Reason,
    ResponseDrift,
    SessionEnded,
    SessionStarted,
    Stats,
    Waiting,
)
from wonder_customers.records import Applied
from wonder_customers.wire import HttpRequest, Origin

_LOG: Final = logging.getLogger("wonder_customers")
_LOG.addHandler(logging.NullHandler())
_NUMBERS: Final = count(1)


def _observers(given: Any) -> tuple[Observer, ...]:
    try:
        observers = tuple(given)
    except TypeError:
        raise ConfigurationError("observers must be a list of callables") from None
    for observer in observers:
        if not callable(observer) or isinstance(observer, type):
            raise ConfigurationError(f"an observer must be callable with one event; {_named(observer)} is not")
        if iscoroutinefunction(observer) or iscoroutinefunction(type(observer).__call__):
            raise ConfigurationError(f"an observer must not be async, no call waits for it; {_named(observer)} is")
    return observers


def _named(observer: object) -> str:
    """An observer's name in its code, and nothing of what it holds."""
    return str(getattr(observer, "__qualname__", type(observer).__qualname__))


@define(eq=False)
class ObserverGroup:
    """The observers of one session, and the session they are told of.

    Attributes:
        observers: Called in this order.
        failures: How often one of them raised.
    """

    observers: tuple[Observer, ...] = field(converter=_observers)
    failures: int = 0
    _blamed: set[int] = field(factory=set)
    _opened: SessionStarted | None = None

    def tell(self, event: Event) -> None:
        """Give every observer the event."""
        for observer in self.observers:
            try:
                observer(event)
            except Exception as error:  # noqa: BLE001 - the code of others, and no call may end by what it raises
                self._excuse(observer, error)

    def _excuse(self, observer: Observer, error: Exception) -> None:
        """Count the error, and log each observer's first. Names only: an error of others may hold anything."""
        self.failures += 1
        if id(observer) not in self._blamed:
            self._blamed.add(id(observer))
            who, what = _named(observer), type(error).__name__
            extra = {"event": "observer_failed", "observer": who, "error": what}
            _LOG.error("observer_failed observer=%s error=%s", who, what, extra=extra)

    def opened(self, stats: Callable[[], Stats]) -> None:
        """The session's block begins."""
        self._opened = SessionStarted(stats)
        self.tell(self._opened)

    def closed(self) -> None:
        """The session's block has ended."""
        if self._opened is not None:
            self.tell(SessionEnded(self._opened))

    def call(self, gateway: str, operation: str, origin: Origin) -> "CallObserver":
        """A verb begins."""
        started = CallStarted(next(_NUMBERS), gateway, str(operation), origin.host, origin.port)
        self.tell(started)
        return CallObserver(self.tell, started)


@define(eq=False)
class CallObserver:
    """One call that is watched. Its attempts and looks come one at a time."""

    _tell: Callable[[Event], None]
    _call: CallStarted
    _attempt: AttemptStarted | None = None
    _lookup: LookupStarted | None = None

    def attempt(self, request: HttpRequest, number: int, nth: int) -> None:
        """A request is about to go out: the `nth` of the call, and the same one for the `number`-th time."""
        self._attempt = AttemptStarted(self._call, request.method, request.route, number, nth)
        self._tell(self._attempt)

    def attempted(
        self, outcome: Outcome, status: int | None, applied: Applied, error: str | None, elapsed: float
    ) -> None:
        """It has ended."""
        assert self._attempt is not None  # noqa: S101 - it began
        self._tell(AttemptEnded(self._call, self._attempt, outcome, status, applied, error, elapsed))

    def waiting(self, reason: Reason, seconds: float, tokens: int) -> None:
        """The call waits."""
        self._tell(Waiting(self._call, reason, seconds, tokens))

    def response_drift(self, found: Drift, count: int) -> None:
        """Report a field of a response that differs from the gateway's documents."""
        self._tell(ResponseDrift(self._call, found.field, found.expected, found.found, count))

    def lookup_started(self) -> None:
        """A look begins."""
        self._lookup = LookupStarted(self._call)
        self._tell(self._lookup)

    def lookup_ended(self, error: str | None, *, found: bool) -> None:
        """It has ended."""
        assert self._lookup is not None  # noqa: S101 - it began
        self._tell(LookupEnded(self._call, self._lookup, found, error))

    def ended(self, error: str | None, applied: Applied, requests: int, elapsed: float, *, recovered: bool) -> None:
        """The verb has ended."""
        self._tell(CallEnded(self._call, error, applied, requests, recovered, elapsed))

"""Reports the events of a session to its observers. Loaded only when there are observers."""

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
            raise ConfigurationError(
                f"an observer must be a regular function, not a coroutine function; {_named(observer)} is one"
            )
    return observers


def _named(observer: object) -> str:
    """Return the name of an observer in its source code. It contains no data."""
    return str(getattr(observer, "__qualname__", type(observer).__qualname__))


@define(eq=False)
class ObserverGroup:
    """The observers of one session.

    Attributes:
        observers: Called in this order.
        failures: How often one of them raised.
    """

    observers: tuple[Observer, ...] = field(converter=_observers)
    failures: int = 0
    _blamed: set[int] = field(factory=set)
    _opened: SessionStarted | None = None

    def tell(self, event: Event) -> None:
        """Call every observer with the event."""
        for observer in self.observers:
            try:
                observer(event)
            except Exception as error:  # noqa: BLE001 - an error of an observer must not end the call
                self._excuse(observer, error)

    def _excuse(self, observer: Observer, error: Exception) -> None:
        """Count the error, and log the first of each observer. Only names are logged: the error may hold data."""
        self.failures += 1
        if id(observer) not in self._blamed:
            self._blamed.add(id(observer))
            who, what = _named(observer), type(error).__name__
            extra = {"event": "observer_failed", "observer": who, "error": what}
            _LOG.error("observer_failed observer=%s error=%s", who, what, extra=extra)

    def opened(self, stats: Callable[[], Stats]) -> None:
        """Report that the session was opened."""
        self._opened = SessionStarted(stats)
        self.tell(self._opened)

    def closed(self) -> None:
        """Report that the session was closed."""
        if self._opened is not None:
            self.tell(SessionEnded(self._opened))

    def call(self, gateway: str, operation: str, origin: Origin) -> "CallObserver":
        """Report the start of an operation, and return the observer of its events."""
        started = CallStarted(next(_NUMBERS), gateway, str(operation), origin.host, origin.port)
        self.tell(started)
        return CallObserver(self.tell, started)


@define(eq=False)
class CallObserver:
    """Reports the events of one call. It makes one attempt or lookup at a time."""

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
        """Report that the attempt ended."""
        assert self._attempt is not None  # noqa: S101 - it began
        self._tell(AttemptEnded(self._call, self._attempt, outcome, status, applied, error, elapsed))

    def waiting(self, reason: Reason, seconds: float, tokens: int) -> None:
        """Report that the call waits."""
        self._tell(Waiting(self._call, reason, seconds, tokens))

    def response_drift(self, found: Drift, count: int) -> None:
        """Report a field of a response that differs from the gateway's documents."""
        self._tell(ResponseDrift(self._call, found.field, found.expected, found.found, count))

    def lookup_started(self) -> None:
        """Report that a lookup starts."""
        self._lookup = LookupStarted(self._call)
        self._tell(self._lookup)

    def lookup_ended(self, error: str | None, *, found: bool) -> None:
        """Report that the lookup ended."""
        assert self._lookup is not None  # noqa: S101 - it began
        self._tell(LookupEnded(self._call, self._lookup, found, error))

    def ended(self, error: str | None, applied: Applied, requests: int, elapsed: float, *, recovered: bool) -> None:
        """Report that the operation ended."""
        self._tell(CallEnded(self._call, error, applied, requests, recovered, elapsed))

"""The reports of a session's events to its observers."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from inspect import iscoroutinefunction
from itertools import count
from typing import Any, Final

from attrs import define, field

from wonder_customers._support import clock
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
    WaitEnded,
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
        raise ConfigurationError(f"observers must be a list of callables, not {type(given).__name__}") from None
    for observer in observers:
        if not callable(observer) or isinstance(observer, type):
            kind = "a class" if isinstance(observer, type) else "not callable"
            raise ConfigurationError(f"an observer must be callable with one event, but {_named(observer)} is {kind}")
        if iscoroutinefunction(observer) or iscoroutinefunction(type(observer).__call__):
            raise ConfigurationError(
                f"an observer must be a regular function, but {_named(observer)} is a coroutine function"
            )
    return observers


def _named(observer: object) -> str:
    """Return the qualified name of an observer or of its class."""
    return str(getattr(observer, "__qualname__", type(observer).__qualname__))


def write_record(level: int, message: str, attributes: Mapping[str, Any]) -> None:
    """Log a message with attributes, except those that the program's own record factory sets."""
    try:
        _LOG.log(level, "%s", message, extra=attributes)
    except KeyError:
        own = vars(logging.getLogRecordFactory()(_LOG.name, level, "", 0, "", (), None))
        _LOG.log(level, "%s", message, extra={name: it for name, it in attributes.items() if name not in own})


@define(eq=False)
class ObserverGroup:
    """The observers of one session."""

    observers: tuple[Observer, ...] = field(converter=_observers)
    failures: int = 0  # exceptions that observers have raised
    _logged: set[int] = field(factory=set)
    _opened: SessionStarted | None = None

    def notify(self, event: Event) -> None:
        """Call every observer with `event`."""
        for observer in self.observers:
            try:
                observer(event)
            except BaseException as error:  # an error of an observer must not end the call
                # An observer does not await, so CancelledError comes from a future of its own.
                if not isinstance(error, Exception) and type(error).__name__ != "CancelledError":
                    raise
                self._record_failure(observer, error)

    def _record_failure(self, observer: Observer, error: BaseException) -> None:
        """Count the error, and log the first error of each observer."""
        self.failures += 1
        if id(observer) not in self._logged:
            self._logged.add(id(observer))
            name, kind = _named(observer), type(error).__name__
            # The message of the error is not logged, because it may contain personal data.
            attributes = {"event": "observer_failed", "observer": name, "error": kind}
            write_record(logging.ERROR, f"observer_failed observer={name} error={kind}", attributes)

    def opened(self, stats: Callable[[], Stats]) -> None:
        """Report that the session was opened."""
        self._opened = SessionStarted(stats)
        self.notify(self._opened)

    def closed(self) -> None:
        """Report the end of the session if it was opened."""
        if self._opened is not None:
            self.notify(SessionEnded(self._opened))

    def call(self, gateway: str, operation: str, origin: Origin) -> "CallObserver":
        """Report the start of an operation, and return an object for its other events."""
        started = CallStarted(next(_NUMBERS), gateway, str(operation), origin.host, origin.port)
        self.notify(started)
        return CallObserver(self.notify, started)


@define(eq=False)
class CallObserver:
    """Reports the events of one call."""

    _notify: Callable[[Event], None]
    _call: CallStarted
    _attempt: AttemptStarted | None = None
    _request_id: str | None = None

    def attempt(self, request: HttpRequest, number: int, request_number: int) -> None:
        """Report the start of an attempt."""
        self._attempt = AttemptStarted(self._call, request.method, request.route, number, request_number)
        self._notify(self._attempt)

    def attempted(
        self,
        outcome: Outcome,
        status: int | None,
        applied: Applied,
        error: str | None,
        elapsed: float,
        *,
        request_id: str | None = None,
    ) -> None:
        """Report that the attempt ended."""
        assert self._attempt is not None  # noqa: S101 - its start was reported
        self._request_id = request_id
        self._notify(AttemptEnded(self._call, self._attempt, outcome, status, applied, error, elapsed, request_id))

    @contextmanager
    def waiting(self, reason: Reason, seconds: float, tokens: int) -> Iterator[None]:
        """Report the body of the ``with`` block as a wait."""
        wait, began = Waiting(self._call, reason, seconds, tokens), clock.monotonic()
        self._notify(wait)
        try:
            yield
        finally:
            self._notify(WaitEnded(self._call, wait, clock.monotonic() - began))

    def response_drift(self, found: Drift, count: int) -> None:
        """Report a field of a response that differs from the gateway's documentation."""
        self._notify(ResponseDrift(self._call, found.field, found.expected, found.found, count))

    @contextmanager
    def looking_up(self, error_name: Callable[[BaseException], str]) -> Iterator[list[Any]]:
        """Report the body of the ``with`` block as a lookup. The body adds what it finds."""
        lookup, error = LookupStarted(self._call), None
        found: list[Any] = []
        self._notify(lookup)
        try:
            yield found
        except BaseException as raised:
            error = error_name(raised)
            raise
        finally:
            self._notify(LookupEnded(self._call, lookup, bool(found), error))

    def ended(self, error: str | None, applied: Applied, requests: int, elapsed: float, *, recovered: bool) -> None:
        """Report that the operation ended."""
        self._notify(CallEnded(self._call, error, applied, requests, recovered, elapsed, self._request_id))

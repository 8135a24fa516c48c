"""An observer that writes to the standard library's logging.

    CustomerSession(account, observers=[log_events])

Every event becomes one record of the logger ``wonder_customers``: its message is a line of ``key=value``, and the same
keys are attributes of the record, for formatters that write JSON. Nothing else is ever written: the keys of each event
are listed below, and what is not listed stays out.

| event               | level  | keys |
|---------------------|--------|---|
| ``session_started``  | DEBUG  | – |
| ``session_ended``  | INFO   | started, succeeded, failures, attempts, retries, looks, observer_failures |
| ``call_started``    | DEBUG  | call, gateway, operation, host, port |
| ``attempt_started`` | DEBUG  | call, gateway, operation, method, route, number, request |
| ``attempt_ended``   | DEBUG  | the same and outcome, status, applied, error, elapsed |
| ``waiting``         | INFO   | call, gateway, operation, reason, seconds, tokens |
| ``response_drift``  | WARNING | call, gateway, operation, field, expected, found, count |
| ``looking``         | INFO   | call, gateway, operation |
| ``looked``          | INFO   | call, gateway, operation, found, error |
| ``call_ended``      | varies | call, gateway, operation, error, applied, requests, adopted, elapsed |
| ``observer_failed`` | ERROR  | observer, error (written by the session itself, whether this observer is used or not) |

``call_ended`` is DEBUG when the call returned its result, INFO when it raised, and WARNING when nobody knows whether it
was applied. Times are seconds. Nothing is shown until the program configures logging: the library adds a `NullHandler`.
"""

import logging
from collections.abc import Mapping
from typing import Any, Final

from wonder_customers.events import (
    AttemptEnded,
    AttemptStarted,
    CallEnded,
    CallStarted,
    Event,
    LookupEnded,
    LookupStarted,
    ResponseDrift,
    SessionEnded,
    SessionStarted,
    Waiting,
)

__all__ = ["log_events"]

_LOG: Final = logging.getLogger("wonder_customers")

_ATTEMPT: Final = ("method", "route", "number", "request")
_ALLOWED: Final[Mapping[type[Event], tuple[int, tuple[str, ...]]]] = {
    SessionStarted: (logging.DEBUG, ()),
    CallStarted: (logging.DEBUG, ("host", "port")),
    AttemptStarted: (logging.DEBUG, _ATTEMPT),
    AttemptEnded: (logging.DEBUG, ("outcome", "status", "applied", "error", "elapsed")),
    Waiting: (logging.INFO, ("reason", "seconds", "tokens")),
    ResponseDrift: (logging.WARNING, ("field", "expected", "found", "count")),
    LookupStarted: (logging.INFO, ()),
    LookupEnded: (logging.INFO, ("found", "error")),
    CallEnded: (logging.DEBUG, ("error", "applied", "requests", "recovered", "elapsed")),
    SessionEnded: (logging.INFO, ()),
}
_TOTALS: Final = ("started", "succeeded", "failures", "attempts", "retries", "lookups", "observer_failures")


def log_events(event: Event) -> None:
    """Write one event to the logger ``wonder_customers``."""
    level, keys = _ALLOWED[type(event)]
    if isinstance(event, CallEnded) and event.error is not None:
        level = logging.WARNING if event.applied == "unknown" else logging.INFO
    if _LOG.isEnabledFor(level):
        fields = {**_context(event), **_picked(event, keys)}
        line = " ".join([event.name, *(f"{key}={_text(value)}" for key, value in fields.items() if value is not None)])
        _LOG.log(level, "%s", line, extra={"event": event.name, **fields})


def _context(event: Event) -> dict[str, Any]:
    """What tells one call, and one attempt, from another."""
    if isinstance(event, SessionEnded):
        return _picked(event.session.stats(), _TOTALS)
    if isinstance(event, SessionStarted):
        return {}
    call = event if isinstance(event, CallStarted) else event.call
    known = {"call": call.number, "gateway": call.gateway, "operation": call.operation}
    return {**known, **_picked(event.attempt, _ATTEMPT)} if isinstance(event, AttemptEnded) else known


def _picked(holder: object, keys: tuple[str, ...]) -> dict[str, Any]:
    values = {key: getattr(holder, key) for key in keys}
    return {key: round(value, 6) if isinstance(value, float) else value for key, value in values.items()}


def _text(value: object) -> str:
    text = str(value)
    return f'"{text}"' if " " in text else text

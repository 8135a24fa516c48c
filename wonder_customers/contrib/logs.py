"""An observer that writes events to the standard library's logging.

    CustomerSession(account, observers=[log_events])

Each event becomes one record of the logger ``wonder_customers``. The message is the name of the event, followed by
``key=value`` pairs; keys whose value is None are left out. The record has the attribute ``event`` and an attribute for
each key, for formatters that write JSON. Records are shown only if the program configures logging.

| event               | level  | keys |
|---------------------|--------|---|
| ``session_started`` | DEBUG  | – |
| ``session_ended``   | INFO   | started, succeeded, failures, attempts, retries, lookups, observer_failures |
| ``call_started``    | DEBUG  | call, gateway, operation, host, port |
| ``attempt_started`` | DEBUG  | call, gateway, operation, method, route, number, request |
| ``attempt_ended``   | DEBUG  | as ``attempt_started``, and outcome, status, applied, error, elapsed, request_id |
| ``waiting``         | INFO   | call, gateway, operation, reason, seconds, tokens |
| ``wait_ended``      | DEBUG  | call, gateway, operation, reason, elapsed |
| ``response_drift``  | WARNING | call, gateway, operation, field, expected, found, count |
| ``lookup_started``  | INFO   | call, gateway, operation |
| ``lookup_ended``    | INFO   | call, gateway, operation, found, error |
| ``call_ended``      | varies | call, gateway, operation, error, applied, requests, recovered, elapsed, request_id |
| ``observer_failed`` | ERROR  | observer, error (written by the session, with or without this observer) |

The level of ``call_ended`` is DEBUG without an error. With an error, the level is WARNING if ``applied`` is
``unknown``, and otherwise INFO. Times are in seconds.
"""

import logging
from collections.abc import Mapping
from json import dumps
from typing import Any, Final

from wonder_customers._core.observers import write_record
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
    WaitEnded,
    Waiting,
)

__all__ = ["log_events"]

_LOG: Final = logging.getLogger("wonder_customers")

_ATTEMPT: Final = ("method", "route", "number", "request")
_LOGGED: Final[Mapping[type[Event], tuple[int, tuple[str, ...]]]] = {
    SessionStarted: (logging.DEBUG, ()),
    CallStarted: (logging.DEBUG, ("host", "port")),
    AttemptStarted: (logging.DEBUG, _ATTEMPT),
    AttemptEnded: (logging.DEBUG, ("outcome", "status", "applied", "error", "elapsed", "request_id")),
    Waiting: (logging.INFO, ("reason", "seconds", "tokens")),
    WaitEnded: (logging.DEBUG, ("elapsed",)),
    ResponseDrift: (logging.WARNING, ("field", "expected", "found", "count")),
    LookupStarted: (logging.INFO, ()),
    LookupEnded: (logging.INFO, ("found", "error")),
    CallEnded: (logging.DEBUG, ("error", "applied", "requests", "recovered", "elapsed", "request_id")),
    SessionEnded: (logging.INFO, ()),
}
_TOTALS: Final = ("started", "succeeded", "failures", "attempts", "retries", "lookups", "observer_failures")


def log_events(event: Event) -> None:
    """Write an event to the logger ``wonder_customers``."""
    level, keys = _LOGGED[type(event)]
    if isinstance(event, CallEnded) and event.error is not None:
        level = logging.WARNING if event.applied == "unknown" else logging.INFO
    if _LOG.isEnabledFor(level):
        fields = {**_context(event), **_attributes_of(event, keys)}
        line = " ".join([event.name, *(f"{key}={_text(value)}" for key, value in fields.items() if value is not None)])
        write_record(level, line, {"event": event.name, **fields})


def _context(event: Event) -> dict[str, Any]:
    """Return the attributes that describe the call or session of an event."""
    if isinstance(event, SessionEnded):
        return _attributes_of(event.session.stats(), _TOTALS)
    if isinstance(event, SessionStarted):
        return {}
    call = event if isinstance(event, CallStarted) else event.call
    known = {"call": call.number, "gateway": call.gateway, "operation": call.operation}
    if isinstance(event, WaitEnded):
        return {**known, "reason": event.wait.reason}
    return {**known, **_attributes_of(event.attempt, _ATTEMPT)} if isinstance(event, AttemptEnded) else known


def _attributes_of(holder: object, keys: tuple[str, ...]) -> dict[str, Any]:
    values = {key: getattr(holder, key) for key in keys}
    return {key: round(value, 6) if isinstance(value, float) else value for key, value in values.items()}


def _text(value: object) -> str:
    text = str(value)
    # A value from the gateway, such as a request id, must not look like other keys.
    return dumps(text, ensure_ascii=False) if set(' "=').intersection(text) else text

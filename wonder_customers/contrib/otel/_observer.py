"""The base class of the OpenTelemetry observers, and the names of the library's own attributes."""

from typing import Final

from wonder_customers.events import AttemptEnded, Event

SCOPE: Final = "wonder_customers"
SCHEMA: Final = "https://opentelemetry.io/schemas/1.44.0"

GATEWAY: Final = "wonder_customers.gateway"
OPERATION: Final = "wonder_customers.operation"
APPLIED: Final = "wonder_customers.applied"
RECOVERED: Final = "wonder_customers.recovered"
OUTCOME: Final = "wonder_customers.outcome"
REQUEST_ID: Final = "wonder_customers.request_id"
REASON: Final = "wonder_customers.reason"
DRIFT: Final = "wonder_customers.response.drift"
FOUND: Final = "wonder_customers.found"

Attributes = dict[str, str | bool | int | float]


class OpenTelemetryObserver:
    """Base class of the OpenTelemetry observers.

    A subclass has a method for each event that it handles, such as ``_on_call_ended`` for ``call_ended``.
    """

    def __call__(self, event: Event) -> None:
        """Handle one event."""
        handler = getattr(self, f"_on_{event.name}", None)
        if handler is not None:
            handler(event)


def request_attributes(event: AttemptEnded) -> Attributes:
    """Return the attributes of an attempt, with ``error.type`` if the attempt counts as failed."""
    attributes: Attributes = {
        "http.request.method": event.attempt.method,
        "url.template": event.attempt.route,
        "server.address": event.call.host,
        "server.port": event.call.port,
    }
    if event.status is not None:
        attributes["http.response.status_code"] = event.status
    # The upsert of a new customer starts with such a GET. The conventions leave this decision to the client.
    not_found = event.error == "NotFoundError" and event.attempt.method == "GET"
    if event.error is not None and not not_found:
        attributes["error.type"] = event.error
    return attributes

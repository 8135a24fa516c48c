"""The common base class of the OpenTelemetry observers."""

from collections.abc import Callable, Mapping
from typing import Any

from wonder_customers.events import AttemptEnded, Event

__all__ = ["Attributes", "OpenTelemetryObserver", "is_error"]

Attributes = dict[str, str | bool | int | float]


class OpenTelemetryObserver:
    """An observer with one handler per type of event; other events are ignored."""

    _handlers: Mapping[type[Event], Callable[[Any], None]]

    def __call__(self, event: Event) -> None:
        """Handle an event."""
        handler = self._handlers.get(type(event))
        if handler is not None:
            handler(event)


def is_error(event: AttemptEnded) -> bool:
    """Return whether the attempt counts as failed.

    A GET that ends with `NotFoundError` does not count as failed, because an upsert of a new customer starts with it.
    The semantic conventions allow the client to decide this.
    """
    not_found = event.error == "NotFoundError" and event.attempt.method == "GET"
    return event.error is not None and not not_found

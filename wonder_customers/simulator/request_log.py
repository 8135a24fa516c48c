"""The requests that the simulator received, for tests."""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final, Self

import orjson

from wonder_customers.simulator.authentication import AuthenticationReport
from wonder_customers.simulator.cards import without_card_data
from wonder_customers.simulator.proxy_http import INJECTED_FAULT

__all__ = ["INSPECTED", "RecordedRequest", "RequestLog", "parsed"]

_MAX_REQUESTS: Final = 10_000
INSPECTED: Final = 200
"""Number of requests that the inspector shows."""


@dataclass(slots=True)
class RecordedRequest:
    """A received request and its response. Card numbers and verification codes in bodies are masked.

    Attributes:
        gateway: The name of the gateway; "" for unknown paths.
        method: The HTTP method.
        path: The path as sent, without the query.
        route: The template of the path, such as ``/v1/customers/{id}``; "" for unknown paths.
        query: The query as sent.
        headers: The headers, with names in lower case. They contain the simulated credentials.
        body: The first 64 KiB of the body.
        status: The HTTP status of the gateway's response; None until the gateway has responded.
        response_body: The first 64 KiB of the body of the gateway's response.
        duration: The time in seconds until the gateway's response was ready; None until then.
        fault: The name of the injected fault, if any.
        number: The number of the request, from 1.
        explain: A function that returns a report on the check of the credentials; None if no report is available.
    """

    gateway: str
    method: str
    path: str
    route: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    status: int | None = None
    response_body: bytes = field(default=b"", repr=False)
    duration: float | None = None
    fault: str | None = None
    number: int = 0
    explain: Callable[[], AuthenticationReport] | None = field(default=None, repr=False, compare=False)

    @classmethod
    def received(
        cls, gateway: str, route: str, method: str, target: bytes, headers: Iterable[tuple[bytes, bytes]]
    ) -> Self:
        """Return a record of a request without its body."""
        path, _, query = target.decode("latin-1").partition("?")
        fields = {name.lower().decode("latin-1"): value.decode("latin-1") for name, value in headers}
        fault = fields.pop(INJECTED_FAULT, None)
        return cls(gateway, method, path, route, query, fields, fault=fault)

    @property
    def json(self) -> Any:
        """The JSON value of the body; None if it is empty, invalid or longer than 64 KiB."""
        return parsed(self.body)

    @property
    def response_json(self) -> Any:
        """The JSON value of the response's body; None if it is empty, invalid or longer than 64 KiB."""
        return parsed(self.response_body)


class RequestLog:
    """The 10,000 most recent requests. They can be read from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: deque[RecordedRequest] = deque(maxlen=_MAX_REQUESTS)
        self._added = 0

    def add(self, request: RecordedRequest) -> None:
        """Add a request, with card data in its body masked."""
        request.body = without_card_data(request.body)
        with self._lock:
            self._added += 1
            request.number = self._added
            self._requests.append(request)
            if len(self._requests) > INSPECTED:
                # The function keeps the body as it was received, with card data.
                self._requests[-INSPECTED - 1].explain = None

    def all(self) -> list[RecordedRequest]:
        """Return the requests in order of arrival."""
        with self._lock:
            return list(self._requests)

    def latest(self) -> list[RecordedRequest]:
        """Return the requests that the inspector shows, newest first."""
        with self._lock:
            return list(islice(reversed(self._requests), INSPECTED))

    def clear(self) -> None:
        """Remove all requests."""
        with self._lock:
            self._requests.clear()


def parsed(body: bytes) -> Any:
    """Return the JSON value of a body, or None if it is empty or invalid."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None

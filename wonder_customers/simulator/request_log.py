"""The requests that the simulator received, for tests."""

import re
import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

__all__ = ["RecordedRequest", "RequestLog"]

_MAX_REQUESTS: Final = 10_000
_MAX_BODY: Final = 65_536
_CARD_NUMBER: Final = re.compile(rb"(?<!\d)\d(?:[ -]?\d){11,18}(?!\d)")
_VERIFICATION_CODE: Final = re.compile(
    rb'("(?:cvv2?|cvc2?|card_ccv|ccv|verification_code)"\s*:\s*)("[^"]*"|\d+)', re.IGNORECASE
)


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
        body: The body, at most 64 KiB of it.
        status: The HTTP status of the gateway's response; None while there is none.
        response_body: The body of the gateway's response, at most 64 KiB of it.
        duration: Seconds until the response was ready.
        fault: The name of the injected fault; None without one.
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

    @property
    def json(self) -> Any:
        """The body as JSON; None if it is empty or invalid."""
        return _parsed(self.body)

    @property
    def response_json(self) -> Any:
        """The body of the response as JSON; None if it is empty or invalid."""
        return _parsed(self.response_body)


class RequestLog:
    """The most recent requests, at most 10,000. Safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: deque[RecordedRequest] = deque(maxlen=_MAX_REQUESTS)

    def add(self, request: RecordedRequest) -> None:
        """Add a request."""
        request.body = without_card_data(request.body)
        with self._lock:
            self._requests.append(request)

    def all(self) -> list[RecordedRequest]:
        """Return the requests in order of arrival."""
        with self._lock:
            return list(self._requests)

    def clear(self) -> None:
        """Remove all requests."""
        with self._lock:
            self._requests.clear()


def without_card_data(body: bytes) -> bytes:
    """Return at most 64 KiB of a body with card numbers and verification codes masked."""
    masked = _CARD_NUMBER.sub(lambda found: _masked(found[0]), body[:_MAX_BODY])
    return _VERIFICATION_CODE.sub(rb'\1"***"', masked)


def _masked(text: bytes) -> bytes:
    digits = [it for it in text if 48 <= it <= 57]
    doubled = [2 * (it - 48) for it in digits[-2::-2]]
    total = sum(it - 48 for it in digits[::-2]) + sum(it - 9 if it > 9 else it for it in doubled)
    return b"*" * (len(text) - 4) + text[-4:] if total % 10 == 0 else text


def _parsed(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None

"""Types shared by dialects and transports: requests, responses, and the `Transport` protocol.

Authors of dialects and transports import from here.
"""

from collections.abc import Awaitable, Callable, Mapping
from enum import Enum
from math import inf
from typing import Any, Protocol, runtime_checkable

from attrs import define, field, frozen

from wonder_customers._support import clock

__all__ = [
    "Header",
    "HttpRequest",
    "HttpResponse",
    "HttpxCompatibleTransport",
    "Origin",
    "Replay",
    "SignedRequest",
    "Timeouts",
    "Transmission",
    "Transport",
    "TransportError",
    "TransportTimeout",
]

Header = tuple[bytes, bytes]
"""The name and the value of an HTTP header."""


class Replay(Enum):
    """The effect of sending a request twice."""

    READ = "read"
    IDEMPOTENT = "idempotent"  # an update or delete by id: sending it twice leaves the same state
    NATURAL_UPSERT = "natural upsert"  # a create that the gateway keys by the caller's reference
    LOOKUP = "lookup"  # a create whose reference can be looked up afterwards
    NONE = "none"  # a write that must not be sent twice, such as a create without a reference


@frozen(cache_hash=True)
class Origin:
    """The scheme, host and port of a gateway.

    Attributes:
        scheme: ``https`` or ``http``.
        host: Host name or address in lower case, without the brackets of an IPv6 address.
        port: The TCP port.
    """

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        is_default = self.port == {"https": 443, "http": 80}[self.scheme]
        return f"{self.scheme}://{host}{'' if is_default else f':{self.port}'}"


@frozen(slots=False)
class HttpRequest:
    """A request before it is signed.

    Attributes:
        method: The HTTP method, in upper case.
        target: Path and query as they appear in the request line: percent-encoded ASCII.
        route: The template of the path, such as ``/customers/{id}``. Logs and traces show it instead of the target.
        body: The bytes that are signed and sent.
    """

    method: str
    target: str = field(repr=False)
    route: str
    body: bytes = field(default=b"", repr=False)


@frozen
class Timeouts:
    """Time limits of the phases of one attempt, in seconds."""

    connect: float
    read: float
    write: float


@define
class SignedRequest:
    """A request that is ready to be sent, with the origin of the gateway and with time limits.

    Attributes:
        origin: The scheme, host and port to connect to.
        method: The HTTP method, in upper case.
        target: Path and query as they appear in the request line: percent-encoded ASCII.
        headers: All headers, in order.
        body: The request body.
        timeouts: Time limits of the phases.
        within: Time limit of the whole attempt in seconds, including the wait for a free connection.
    """

    origin: Origin
    method: str
    target: str = field(repr=False)
    headers: tuple[Header, ...] = field(repr=False)
    body: bytes = field(repr=False)
    timeouts: Timeouts
    within: float = inf


@define
class Transmission:
    """The observations of the transport during one attempt, and the permit of the rate limit.

    The observations are valid even if the attempt fails or is cancelled.

    Attributes:
        status: The HTTP status; None until the response headers have arrived.
        headers: The response headers, names in lower case.
        stale: Whether the request was sent on a kept-alive connection that closed before any byte of a response.
        valid_until: The time on the monotonic clock after which the request needs a new permit.
        renew: Waits for a new permit, and sets `valid_until` again. Raises `TransportError` if this is not possible in
            time. None if the permit does not expire.
        on_sent: Called when `sent` becomes true; set by a rate limit.
        on_leave: Called by `leave`; raises an error if the session was closed.
    """

    _sent: bool = field(default=False, alias="sent")
    status: int | None = None
    headers: Mapping[str, str] = field(factory=dict, repr=False)
    stale: bool = False
    valid_until: float = inf
    renew: Callable[[], Awaitable[None]] | None = field(default=None, repr=False)
    on_sent: Callable[[], None] | None = field(default=None, eq=False, repr=False)
    on_leave: Callable[[], None] | None = field(default=None, eq=False, repr=False)

    @property
    def sent(self) -> bool:
        """Whether a byte of the request may have left this machine."""
        return self._sent

    @sent.setter
    def sent(self, value: bool) -> None:
        """Record that the request is being sent, and notify the rate limit."""
        is_first, self._sent = value and not self._sent, value
        if is_first and self.on_sent is not None:
            self.on_sent()

    async def leave(self) -> None:
        """Wait for a new permit of the rate limit if the current permit has expired.

        Raises:
            TransportError: The request got no new permit in time. Nothing was sent.
            SessionClosedError: The session was closed. Nothing was sent.
        """
        while self.renew is not None and clock.monotonic() > self.valid_until:
            await self.renew()
        if self.on_leave is not None:
            self.on_leave()


@define
class HttpResponse:
    """A complete response. Header names are in lower case."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


class TransportError(Exception):
    """An attempt ended without a complete response. The `Transmission` shows what was sent and what arrived.

    The message must not contain a header, a body or a URL.

    Args:
        message: What happened.
        retryable: False if sending the request again would fail in the same way, as with an invalid certificate.
        hint: What the user can do about the failure.
    """

    def __init__(self, message: str = "", *, retryable: bool = True, hint: str | None = None) -> None:
        super().__init__(message)
        self.retryable = retryable
        self.hint = hint


class TransportTimeout(TransportError):
    """The attempt exceeded its total time limit."""


@runtime_checkable
class Transport(Protocol):
    """Sends requests to gateways.

    A request may take ``signed_request.within`` seconds. A transport with the attribute ``ends_in_time = True`` raises
    `TransportTimeout` after that time. The session cancels `send` of other transports. A transport with the attribute
    ``reaches_origin = True`` sends each request to the server at `SignedRequest.origin`, so sessions that use such
    transports share their order of writes.
    """

    async def send(self, signed_request: SignedRequest, transmission: Transmission) -> HttpResponse:
        """Send one request once and return its complete response.

        `transmission` must be correct when this method ends, even by cancellation: `sent` is set as soon as a byte may
        have been sent, `status` and `headers` as soon as they have arrived. Directly before the first byte, the method
        must await `Transmission.leave`, because a permit of the rate limit may expire, and the session may be closed,
        while a connection is opened. Errors of `leave` must not be caught.

        Raises:
            TransportError: No complete response arrived.
            TransportTimeout: No complete response arrived within the request's time limit.
        """

    async def aclose(self) -> None:
        """Close all connections."""


class HttpxCompatibleTransport(Protocol):
    """A transport of httpx or httpx2, such as ``httpx.MockTransport`` or ``httpx.AsyncHTTPTransport``."""

    async def handle_async_request(self, request: Any, /) -> Any:
        """Send an ``httpx.Request`` and return its ``httpx.Response``."""

    async def aclose(self) -> None:
        """Close all connections."""

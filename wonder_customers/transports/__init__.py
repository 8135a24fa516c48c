"""How bytes reach a gateway: the two-method `Transport`, what it may tell of itself, and the choice of one."""

from inspect import isasyncgenfunction, isgeneratorfunction
from typing import Any, Protocol, TypeGuard

from wonder_customers.errors import ConfigurationError
from wonder_customers.wire import Transport

__all__ = ["HasConnections", "choose", "has_connections"]


class HasConnections(Protocol):
    """What a transport with a pool of connections may tell of it, for `CustomerSession.stats`; both shipped ones do."""

    @property
    def open_connections(self) -> int:
        """Connections that exist now."""

    @property
    def busy_connections(self) -> int:
        """Requests under way now."""

    @property
    def idle_connections(self) -> int:
        """Connections that wait for a request."""

    @property
    def waiting_requests(self) -> int:
        """Requests that wait for a connection."""


def has_connections(transport: Any) -> TypeGuard[HasConnections]:
    """Whether a transport tells of its lanes, or passes on what the one inside it tells."""
    # From Python 3.12 on, `isinstance` with a protocol does not see what `__getattr__` passes on.
    return all(
        hasattr(transport, name)
        for name in ("open_connections", "busy_connections", "idle_connections", "waiting_requests")
    )


def choose(transport: Any, max_connections: int) -> Transport:
    """The transport for a session: yours, or one of lanes over httpx.

    Args:
        transport: None, a `Transport`, or an ``httpx`` transport of your own, such as ``httpx.MockTransport``.
        max_connections: The most connections at a time.

    Raises:
        ConfigurationError: `transport` is something else.
    """
    # An httpx client has methods of the same names, and a class has them too.
    usable = not isinstance(transport, type) and not hasattr(transport, "build_request")
    if usable and isinstance(transport, Transport):
        for name in ("send", "aclose"):
            method = getattr(transport, name)
            # A plain function may well give what can be awaited; a generator never does.
            if not callable(method) or isgeneratorfunction(method) or isasyncgenfunction(method):
                raise ConfigurationError(f"the transport's {name} must be an async method: {type(transport).__name__}")
        return transport
    if transport is not None and not (usable and hasattr(transport, "handle_async_request")):
        raise ConfigurationError(f"transport must be a Transport or an httpx transport, not {type(transport).__name__}")
    # Here and not above, so that a session with another transport never loads httpx.
    from wonder_customers.transports.httpx import HttpxTransport  # noqa: PLC0415

    return HttpxTransport(max_connections=max_connections, mounted=transport)

"""The transports, which send requests to gateways, and the choice between them."""

import os
import ssl
import sys
from collections.abc import Callable, Mapping
from inspect import iscoroutinefunction, signature
from types import FunctionType
from typing import Any
from urllib.parse import urlsplit

from wonder_customers._support.loopback import is_loopback
from wonder_customers.errors import ConfigurationError
from wonder_customers.secret import Secret
from wonder_customers.transports.network import running_on_asyncio
from wonder_customers.transports.pool import check_max_connections
from wonder_customers.wire import Transport


def check_transport(transport: Any, max_connections: int) -> None:
    """Raise `ConfigurationError` if a transport argument of a session is invalid."""
    check_max_connections(max_connections)
    if _is_factory(transport):
        check_factory(transport)
        return
    unchecked = transport is None or hasattr(transport, "handle_async_request")
    # An httpx client has methods with the same names as those of `Transport`.
    if not unchecked and (not isinstance(transport, Transport) or hasattr(transport, "build_request")):
        kind = "a coroutine function" if iscoroutinefunction(transport) else type(transport).__name__
        raise ConfigurationError(
            "transport must be a Transport, a transport of httpx or httpx2, or a regular function that returns one of"
            f" them, not {kind}"
        )


def check_factory(factory: Any) -> None:
    """Raise `ConfigurationError` unless `factory` can be called without arguments."""
    if not callable(factory):
        kind = type(factory).__name__
        raise ConfigurationError(f"transport must be a transport of httpx or a function that returns one, not {kind}")
    try:
        signature(factory).bind()
    except TypeError as error:
        name = getattr(factory, "__name__", type(factory).__name__)
        raise ConfigurationError(
            f"the transport {name} cannot be called without arguments: {error}. Pass an instance, or a function that"
            " returns an instance."
        ) from None
    except ValueError:
        return  # some classes in C have no signature


def _is_factory(transport: object) -> bool:
    return isinstance(transport, type) or (
        callable(transport)
        and not isinstance(transport, Transport)
        and not hasattr(transport, "handle_async_request")
        and not iscoroutinefunction(transport)
    )


def select_transport(transport: Any, max_connections: int) -> tuple[Transport, str]:
    """Return the transport of a session, and its description. Raise `ConfigurationError` if `transport` is unusable."""
    factory = None
    while _is_factory(transport):
        factory, transport = transport, transport()
        if transport is None:
            raise ConfigurationError("the function passed as transport must return a transport, not None")
    check_transport(transport, max_connections)
    if hasattr(transport, "handle_async_request"):
        pooled = any(kind.__name__ == "AsyncHTTPTransport" for kind in type(transport).__mro__)
        each = factory if pooled and factory is not None else transport
        made: Any = _httpx(max_connections, transport=each, close_transport=factory is not None)
        made.reaches_origin = pooled  # others, such as MockTransport, do not open connections
        return made, f"HttpxTransport over {type(transport).__name__}"
    return _default(max_connections) if transport is None else (transport, type(transport).__name__)


def transport_from_environment(
    url: str, max_connections: int, variables: Mapping[str, str] = os.environ
) -> Callable[[], Transport] | None:
    """Return a function that returns the transport for `url` with the proxy and the authorities of the environment.

    None if the environment has neither. Only the command line and the workers of its jobs use these variables.

    Raises:
        ConfigurationError: The file of the authorities cannot be used.
    """
    proxy, authorities = (variables.get(f"WONDER_CUSTOMERS_{name}") for name in ("PROXY", "CA_FILE"))
    proxy = None if is_loopback(urlsplit(url).hostname or "") else proxy  # such as a simulator
    if not proxy and not authorities:
        return None
    try:
        context = ssl.create_default_context(cafile=authorities) if authorities else None
    except OSError as error:
        reason = f"the file that WONDER_CUSTOMERS_CA_FILE names cannot be used: {error.strerror or error}"
        raise ConfigurationError(reason) from None
    secret = Secret(proxy) if proxy else None
    return lambda: _httpx(max_connections, ssl_context=context, proxy=secret)


def _default(max_connections: int) -> tuple[Transport, str]:
    library = patched_library()
    if library is not None:
        factory = None if library == "httpx" else sys.modules[library].AsyncHTTPTransport
        return _httpx(max_connections, transport=factory), f"HttpxTransport, because {library} is patched"
    if not running_on_asyncio():
        return _httpx(max_connections), "HttpxTransport"
    try:
        from wonder_customers.transports.asyncio import AsyncioTransport  # noqa: PLC0415 - needs httptools
    except ModuleNotFoundError as error:
        if error.name != "httptools":
            raise
        return _httpx(max_connections), "HttpxTransport, because httptools is not installed"
    return AsyncioTransport(max_connections=max_connections), "AsyncioTransport"


def _httpx(max_connections: int, **options: Any) -> Transport:
    from wonder_customers.transports.httpx import HttpxTransport  # noqa: PLC0415 - httpx is loaded only if used

    return HttpxTransport(max_connections=max_connections, **options)


def patched_library() -> str | None:
    """Return ``httpx`` or ``httpx2`` if the library is patched; else None."""
    for library, core in (("httpx", "httpcore"), ("httpx2", "httpcore2")):
        classes = [(library, "AsyncHTTPTransport"), (core, "AsyncConnectionPool"), (core, "AsyncHTTPConnection")]
        for module, name in classes:
            kind = getattr(sys.modules.get(module), name, None)
            method = getattr(kind, "handle_async_request", None)
            original = isinstance(method, FunctionType) and method.__globals__["__name__"].startswith((library, core))
            if kind is not None and not original:
                return library
    return None

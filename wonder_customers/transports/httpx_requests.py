"""Request objects of httpx and httpx2 that are sent without changes."""

from collections.abc import AsyncIterator
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any

from wonder_customers.errors import ConfigurationError
from wonder_customers.wire import SignedRequest

__all__ = ["build_request", "library_of"]


def library_of(kind: type) -> ModuleType:
    """Return the library of a class of transports."""
    modules = {base.__module__.partition(".")[0] for base in kind.__mro__}
    return import_module("httpx2" if "httpx2" in modules else "httpx")


@cache
def _body_class(library: ModuleType) -> Any:
    """Return a class for request bodies."""
    return type("Body", (_Body, library.AsyncByteStream), {})


class _Body:  # no async generator, because trio warns about suspended generators
    def __init__(self, body: bytes) -> None:
        self._parts = [body] if body else []

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if not self._parts:
            raise StopAsyncIteration
        return self._parts.pop()


def build_request(library: ModuleType, signed_request: SignedRequest) -> Any:
    """Return a request object of `library`. Raise `ConfigurationError` if the library would change the path."""
    origin, target, timeouts = signed_request.origin, signed_request.target.encode("ascii"), signed_request.timeouts
    url = library.URL(scheme=origin.scheme, host=origin.host, port=origin.port, raw_path=target)
    if url.raw_path != target:
        raise ConfigurationError(
            "the request cannot be sent with httpx, which would change the request's path. Nothing was sent. On"
            " asyncio, use AsyncioTransport."
        )
    limits = {"connect": timeouts.connect, "read": timeouts.read, "write": timeouts.write, "pool": timeouts.connect}
    return library.Request(
        signed_request.method,
        url,
        headers=list(signed_request.headers),
        stream=_body_class(library)(signed_request.body),
        extensions={"timeout": limits},
    )

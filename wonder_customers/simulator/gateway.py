"""The ground that the simulated gateways stand on: a request as it came in, and their base class."""

import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar
from urllib.parse import parse_qsl, unquote

import orjson
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from wonder_customers.simulator.store import Store

JsonObject = dict[str, Any]


class GatewayRefusal(Exception):
    """A refusal in the gateway's own words: raised inside a handler, sent as the answer.

    Args:
        status: The HTTP status.
        body: The JSON body.
        headers: More headers.
    """

    def __init__(self, status: int, body: JsonObject, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status, body, headers)
        self.status = status
        self.body = body
        self.headers = headers


@dataclass(frozen=True, slots=True)
class ReceivedRequest:
    """One request, with its target and body byte for byte as they came over the wire."""

    method: str
    target: bytes
    segments: Mapping[str, str]
    query: Mapping[str, str]
    headers: Headers
    body: bytes
    origin: str

    def json(self) -> Any:
        """The body as JSON, None when it is empty or is no JSON."""
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError:
            return None

    def number(self, name: str, default: int) -> int | None:
        """A whole number of the query, None when it is malformed or has more than 15 digits."""
        text = self.query.get(name, str(default))
        return int(text) if text.isdecimal() and len(text) <= 15 else None


Handler = Callable[[ReceivedRequest, str], Response]
OpenHandler = Callable[[ReceivedRequest], Response]


def json_response(status: int, body: Any, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer."""
    return Response(orjson.dumps(body), status, headers, media_type="application/json")


def html_page(title: str) -> Response:
    """A small HTML page, for people who follow a link."""
    return Response(f"<!doctype html><title>{title}</title><h1>{title}</h1>\n", media_type="text/html")


async def read_request(request: Request) -> ReceivedRequest:
    """Read the request whole; each path segment is percent-decoded once, after the route was found."""
    scope = request.scope
    query = scope["query_string"]
    return ReceivedRequest(
        method=scope["method"],
        target=scope["raw_path"] + (b"?" + query if query else b""),
        segments={name: unquote(value) for name, value in request.path_params.items()},
        query=dict(parse_qsl(query.decode("latin-1"), keep_blank_values=True)),
        headers=request.headers,
        body=await request.body(),
        origin=f"{scope['scheme']}://{request.headers.get('host', 'localhost')}",
    )


class SimulatedGateway(ABC):
    """A simulated gateway: its merchants, its routes and how it says no.

    Args:
        store: Where everything is remembered, shared with the other gateways.
        clock: Gives the time in Unix seconds.
    """

    name: ClassVar[str]
    prefix: ClassVar[str]
    """The beginning of all its paths: an unknown path under it is answered in this gateway's style."""

    def __init__(self, store: Store, clock: Callable[[], float] = time.time) -> None:
        self.store = store
        self.clock = clock
        self.merchants: dict[str, dict[str, str]] = store.merchants(self.name)
        if not self.merchants:
            self._register_merchant(first=True)

    @property
    @abstractmethod
    def routes(self) -> list[Route]:
        """All endpoints, with their full paths."""

    @abstractmethod
    def new_credentials(self, *, first: bool) -> tuple[str, dict[str, str]]:
        """Make a merchant's id and credentials; `first` says that it is the store's first merchant."""

    @abstractmethod
    def variables(self, credentials: Mapping[str, str], origin: str) -> dict[str, str]:
        """The environment variables with which a client at `origin` uses `credentials`."""

    @abstractmethod
    def authenticate(self, call: ReceivedRequest) -> str:
        """The id of the merchant who made the call; raises GatewayRefusal when the call proves none."""

    @abstractmethod
    def wrong_path(self, status: int) -> Response:
        """The answer to a path (404) or method (405) that the gateway does not have."""

    def environment(self, origin: str) -> dict[str, str]:
        """The environment variables of the first merchant, working at `origin`."""
        return self.variables(next(iter(self.merchants.values())), origin)

    def add_merchant(self, origin: str) -> dict[str, str]:
        """Enrol another merchant, who sees none of the others' customers; its variables for `origin`."""
        return self.variables(self._register_merchant(first=False), origin)

    def _register_merchant(self, *, first: bool) -> dict[str, str]:
        merchant, credentials = self.new_credentials(first=first)
        self.store.save_merchant(self.name, merchant, credentials)
        # A new dictionary, since the server's thread may be walking through the old one.
        self.merchants = {**self.merchants, merchant: credentials}
        return credentials

    def route(self, path: str, **handlers: Handler) -> Route:
        """An endpoint for merchants who prove who they are; the handlers are named by their method."""

        def answer(handler: Handler) -> OpenHandler:
            return lambda call: handler(call, self.authenticate(call))

        return self.open_route(path, **{method: answer(handler) for method, handler in handlers.items()})

    def open_route(self, path: str, **handlers: OpenHandler) -> Route:
        """An endpoint for everyone; the handlers are named by their method."""

        async def endpoint(request: Request) -> Response:
            self.store.requests[self.name, request.method, path] += 1
            try:
                call = await read_request(request)
                handler = handlers.get(request.method) or handlers["GET"]
                return handler(call)
            except GatewayRefusal as refusal:
                return json_response(refusal.status, refusal.body, refusal.headers)
            except ClientDisconnect:
                return Response(status_code=400)

        return Route(path, _named(endpoint, path), methods=list(handlers))


def _named(endpoint: Callable[[Request], Awaitable[Response]], path: str) -> Callable[[Request], Awaitable[Response]]:
    endpoint.__name__ = path
    return endpoint

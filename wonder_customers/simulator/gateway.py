"""The base class of the simulated gateways, and the requests that they receive."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar
from urllib.parse import parse_qsl, unquote

import orjson
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from wonder_customers.simulator.authentication import AuthenticationReport
from wonder_customers.simulator.cards import without_card_data
from wonder_customers.simulator.conditions import Conditions, magic_of
from wonder_customers.simulator.proxy_http import MAX_BODY_BYTES
from wonder_customers.simulator.quirks import Quirk, Quirks, SimulatedResponse, changed
from wonder_customers.simulator.request_log import RecordedRequest, RequestLog, parsed
from wonder_customers.simulator.store import Store

JsonObject = dict[str, Any]


class GatewayRefusal(Exception):
    """An error response of the gateway, raised inside a handler.

    Args:
        status: The HTTP status.
        body: The JSON body.
        headers: Additional headers.
    """

    def __init__(self, status: int, body: JsonObject, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status, body, headers)
        self.status = status
        self.body = body
        self.headers = headers


@dataclass(frozen=True, slots=True)
class ReceivedRequest:
    """A received request, with the target and the body as bytes."""

    method: str
    target: bytes
    segments: Mapping[str, str]
    query: Mapping[str, str]
    headers: Headers
    body: bytes
    origin: str

    @property
    def texts(self) -> tuple[str, ...]:
        """The path segments, query values and body as strings."""
        return (*self.segments.values(), *self.query.values(), self.body.decode("latin-1"))

    def json(self) -> Any:
        """Return the JSON value of the body, or None if it is empty or invalid."""
        return parsed(self.body)

    def number(self, name: str, default: int) -> int | None:
        """Return an integer from the query: `default` if it is missing, None if it is invalid."""
        text = self.query.get(name, str(default))
        return int(text) if text.isdecimal() and len(text) <= 15 else None


Handler = Callable[[ReceivedRequest, str], Response]
OpenHandler = Callable[[ReceivedRequest], Response]


def json_response(status: int, body: Any, headers: Mapping[str, str] | None = None) -> Response:
    """Return a JSON response."""
    return Response(orjson.dumps(body), status, headers, media_type="application/json")


def html_page(title: str) -> Response:
    """Return a small HTML page with a title."""
    return Response(f"<!doctype html><title>{title}</title><h1>{title}</h1>\n", media_type="text/html")


async def read_body(request: Request, limit: int) -> bytes | None:
    """Return the body of a request, or None if it is larger than `limit` bytes."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            return None
    return bytes(body)


async def read_request(request: Request) -> ReceivedRequest:
    """Read a whole request. Raise `GatewayRefusal` if its body is larger than `MAX_BODY_BYTES`."""
    scope = request.scope
    query = scope["query_string"]
    body = await read_body(request, MAX_BODY_BYTES)
    if body is None:
        raise GatewayRefusal(413, {"message": f"the body is larger than {MAX_BODY_BYTES} bytes"})
    return ReceivedRequest(
        method=scope["method"],
        target=scope["raw_path"] + (b"?" + query if query else b""),
        segments={name: unquote(value) for name, value in request.path_params.items()},
        query=dict(parse_qsl(query.decode("latin-1"), keep_blank_values=True)),
        headers=request.headers,
        body=body,
        origin=f"{scope['scheme']}://{request.headers.get('host', 'localhost')}",
    )


class SimulatedGateway(ABC):
    """A simulated gateway: its merchants, routes and error responses.

    Args:
        store: Stores the data of all simulated gateways.
        clock: A function that returns the Unix time in seconds.
    """

    name: ClassVar[str]
    prefix: ClassVar[str]
    """The common prefix of all paths."""
    known_quirks: ClassVar[tuple[Quirk, ...]] = ()
    """The quirks that can be activated."""
    customer_keys: ClassVar[frozenset[str]] = frozenset()
    """The keys that identify an object in a response as a customer, for `known_quirks`."""

    def __init__(self, store: Store, clock: Callable[[], float] = time.time) -> None:
        self.store = store
        self.clock = clock
        self.conditions: Conditions = Conditions()
        self.quirks: Quirks = Quirks(self.known_quirks)
        self.request_log: RequestLog = RequestLog()
        self.merchants: dict[str, dict[str, str]] = {}
        self.reload_merchants()

    def reload_merchants(self) -> None:
        """Read the gateway's merchants from the store. If there are none, register a merchant."""
        self.merchants = self.store.merchants(self.name)
        if not self.merchants:
            self._register_merchant(first=True)

    @property
    @abstractmethod
    def routes(self) -> list[Route]:
        """All endpoints, with full paths."""

    @abstractmethod
    def new_credentials(self, *, first: bool) -> tuple[str, dict[str, str]]:
        """Return the id and the credentials of a new merchant. `first` is True for the first merchant in the store."""

    @abstractmethod
    def variables(self, credentials: Mapping[str, str], origin: str) -> dict[str, str]:
        """Return the environment variables that configure a client with `credentials` at `origin`."""

    @abstractmethod
    def authenticate(self, request: ReceivedRequest) -> str:
        """Return the id of the merchant that sent the request.

        Raises:
            GatewayRefusal: The credentials are missing or invalid.
        """

    def explain(self, request: ReceivedRequest, now: float) -> AuthenticationReport:
        """Return a report on the check of the credentials of a request that was received at `now` (Unix time)."""
        del now
        try:
            merchant = self.authenticate(request)
        except GatewayRefusal as refusal:
            return AuthenticationReport(False, f"The gateway refused the request with status {refusal.status}.", {})
        return AuthenticationReport(True, f"The credentials belong to the merchant {merchant}.", {})

    @abstractmethod
    def wrong_path(self, status: int) -> Response:
        """Return the response to an unknown path (404) or method (405)."""

    def environment(self, origin: str, merchant: int = 1) -> dict[str, str]:
        """Return the environment variables of a merchant, for a server at `origin`.

        Args:
            origin: The origin of the server.
            merchant: The number of the merchant. Missing merchants up to this number are added.
        """
        while len(self.merchants) < merchant:
            self._register_merchant(first=False)
        return self.variables(list(self.merchants.values())[merchant - 1], origin)

    def add_merchant(self, origin: str) -> dict[str, str]:
        """Add a merchant with its own customers. Return its environment variables, for a server at `origin`."""
        return self.variables(self._register_merchant(first=False), origin)

    def renew_credentials(self, origin: str) -> dict[str, str]:
        """Replace the first merchant's keys. Return its new environment variables, for a server at `origin`."""
        merchant, before = next(iter(self.merchants.items()))
        other, made = self.new_credentials(first=False)
        credentials = {name: before[name] if value == other else value for name, value in made.items()}
        self.store.save_merchant(self.name, merchant, credentials)
        self.merchants = {**self.merchants, merchant: credentials}
        return self.variables(credentials, origin)

    def _register_merchant(self, *, first: bool) -> dict[str, str]:
        merchant, credentials = self.new_credentials(first=first)
        self.store.save_merchant(self.name, merchant, credentials)
        # The dictionary is replaced, because the server's thread may be iterating over the old dictionary.
        self.merchants = {**self.merchants, merchant: credentials}
        return credentials

    async def _handled(self, request: ReceivedRequest, handler: OpenHandler) -> Response:
        seconds = self.conditions.retry_after(self.name)
        if seconds is not None:
            return self.error_response(429, "Too many requests.", {"Retry-After": str(seconds)})
        await self.conditions.delay(magic_of(request))
        for quirk in self.quirks.among(self.known_quirks):
            request = replace(request, query=quirk.query(request.query))
        return handler(request)

    def _with_quirks(self, method: str, path: str, response: Response) -> Response:
        quirks = list(self.quirks.among(self.known_quirks))
        body = orjson.loads(bytes(response.body)) if quirks and response.media_type == "application/json" else None
        if not isinstance(body, dict):
            return response
        customers = list(_objects_with(self.customer_keys, body))
        return changed(response, SimulatedResponse(method, path, response.status_code, body, customers), quirks)

    def error_response(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
        """Return an error response in the gateway's format."""
        template = orjson.loads(bytes(self.wrong_path(404).body))
        return json_response(status, _with_error(template, status, message), headers)

    def route(self, path: str, **handlers: Handler) -> Route:
        """Return an endpoint with authentication and magic references. Handlers are keyed by HTTP method."""

        def authenticated(handler: Handler) -> OpenHandler:
            def handle(request: ReceivedRequest) -> Response:
                merchant = self.authenticate(request)
                status = magic_of(request).status
                if status is not None:
                    return self.error_response(status, "Refused because of the magic reference.")
                return handler(request, merchant)

            return handle

        checked = {method: authenticated(handler) for method, handler in handlers.items()}
        return self._endpoint(path, checked, authenticated=True)

    def open_route(self, path: str, **handlers: OpenHandler) -> Route:
        """Return an endpoint without authentication. Handlers are keyed by HTTP method."""
        return self._endpoint(path, handlers, authenticated=False)

    def _endpoint(self, path: str, handlers: Mapping[str, OpenHandler], *, authenticated: bool) -> Route:
        async def endpoint(request: Request) -> Response:
            self.store.requests[self.name, request.method, path] += 1
            begin = time.perf_counter()
            target = request.scope["raw_path"] + b"?" + request.scope["query_string"]
            recorded = RecordedRequest.received(self.name, path, request.method, target, request.headers.raw)
            try:
                call = await read_request(request)
                recorded.body = call.body
                recorded.explain = partial(self.explain, call, self.clock()) if authenticated else None
                self.request_log.add(recorded)
                response = await self._handled(call, handlers.get(request.method) or handlers["GET"])
            except GatewayRefusal as refusal:
                response = json_response(refusal.status, refusal.body, refusal.headers)
            except ClientDisconnect:
                return Response(status_code=400)
            response = self._with_quirks(request.method, path, response)
            recorded.status, recorded.duration = response.status_code, time.perf_counter() - begin
            recorded.response_body = without_card_data(bytes(response.body))
            return response

        return Route(path, endpoint, name=path, methods=list(handlers))


def _objects_with(keys: frozenset[str], value: Any) -> Iterator[JsonObject]:
    """Yield all objects in a JSON value that have `keys`."""
    if isinstance(value, dict):
        if keys and keys <= value.keys():
            yield value
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _objects_with(keys, item)


def _with_error(body: Any, status: int, message: str) -> Any:
    """Return the JSON value of an error with another status and message."""
    if isinstance(body, dict):
        return {key: message if key == "message" else _with_error(it, status, message) for key, it in body.items()}
    if isinstance(body, str):
        return body.replace("404", str(status))
    return status if body == 404 else body

"""The ASGI application that serves all simulated gateways."""

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from functools import wraps
from typing import Any
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from wonder_customers._support.loopback import is_loopback
from wonder_customers.simulator.gateway import SimulatedGateway, json_response
from wonder_customers.simulator.openapi import openapi_routes
from wonder_customers.simulator.store import Store

ADMIN = "/_simulator"

Endpoint = Callable[[Request], Awaitable[Response]]


class RawPath:
    """Middleware that routes by the raw path, so that an encoded slash does not split a segment."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the application with the raw path as the path."""
        if scope["type"] == "http":
            scope = {**scope, "path": scope["raw_path"].decode("latin-1").rstrip("/") or "/"}
        await self.app(scope, receive, send)


def protected(endpoint: Endpoint) -> Endpoint:
    """Return an endpoint that responds with status 403 to requests of web pages of other origins."""

    @wraps(endpoint)
    async def checked(request: Request) -> Response:
        message = _refusal(request)
        return await endpoint(request) if message is None else json_response(403, {"message": message})

    return checked


def _host_name(header: str) -> str:
    try:
        return urlsplit(f"//{header}").hostname or ""
    except ValueError:
        return ""


def _refusal(request: Request) -> str | None:
    """Return why the request is refused, or None if it is allowed."""
    # Another name could resolve to this machine (DNS rebinding).
    if not is_loopback(_host_name(request.headers.get("host", ""))):
        return "the Host header must be a loopback address or localhost"
    own = f"{request.url.scheme}://{request.headers['host']}"
    if request.headers.get("origin", own) != own or request.headers.get("sec-fetch-site") == "cross-site":
        return "requests from other origins are not allowed"
    # A browser sends JSON to another origin only if the server allows this (CORS).
    if request.method == "POST":
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            return "the Content-Type of a POST must be application/json"
    return None


def build_app(simulators: Iterable[SimulatedGateway], store: Store, extra: Iterable[Route] = ()) -> Starlette:
    """Return an application that serves the simulated gateways on one origin.

    Args:
        simulators: The gateways. Their paths must not overlap.
        store: The store that the gateways share.
        extra: Additional endpoints.
    """
    gateways = tuple(simulators)

    async def wrong_path(request: Request, exception: Exception) -> Response:
        status = exception.status_code if isinstance(exception, HTTPException) else 404
        for gateway in gateways:
            if request.scope["path"].startswith(gateway.prefix):
                return gateway.wrong_path(status)
        return json_response(status, {"message": "unknown path" if status == 404 else "method not allowed"})

    async def ledger(_: Request) -> Response:
        return json_response(200, {gateway.name: store.ledger(gateway.name) for gateway in gateways})

    async def health(_: Request) -> Response:
        return json_response(200, {"status": "ok", "gateways": [gateway.name for gateway in gateways]})

    handlers: MutableMapping[Any, Any] = {404: wrong_path, 405: wrong_path}
    routes = [route for gateway in gateways for route in gateway.routes]
    app = Starlette(
        routes=[
            *routes,
            Route(f"{ADMIN}/ledger", protected(ledger)),
            Route(f"{ADMIN}/health", health),
            *openapi_routes(ADMIN, gateways),
            *extra,
        ],
        exception_handlers=handlers,
    )
    app.router.redirect_slashes = False
    app.add_middleware(RawPath)
    return app


def route_resolver(simulators: Iterable[SimulatedGateway]) -> Callable[[str], tuple[str, str]]:
    """Return a function that maps a path to the name of its gateway and its route; "" if unknown."""
    known = [(gateway, [(route.path_regex, route.path) for route in gateway.routes]) for gateway in simulators]

    def find(path: str) -> tuple[str, str]:
        plain = path.rstrip("/")
        for gateway, routes in known:
            if plain.startswith(gateway.prefix):
                return gateway.name, next((route for pattern, route in routes if pattern.match(plain)), "")
        return "", ""

    return find

"""Checks that prevent web pages of other origins from using the administrative endpoints."""

from collections.abc import Awaitable, Callable
from functools import wraps
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from wonder_customers._support.loopback import is_loopback
from wonder_customers.simulator.gateway import json_response

Endpoint = Callable[[Request], Awaitable[Response]]


def protected(endpoint: Endpoint) -> Endpoint:
    """Return an endpoint that responds with status 403 to a request that fails one of the checks."""

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

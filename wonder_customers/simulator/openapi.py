"""OpenAPI documents of the gateways, for API test tools and client generators.

A gateway's document is the file ``openapi.json`` beside its simulator, written from the gateway's own documents.
"""

from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from wonder_customers.simulator.gateway import SimulatedGateway, json_response

__all__ = ["document", "openapi_routes"]


@cache
def document(simulator: type[SimulatedGateway]) -> dict[str, Any] | None:
    """Return the OpenAPI document of a simulated gateway; None if it has none."""
    file = files(simulator.__module__.rpartition(".")[0]) / "openapi.json"
    if not file.is_file():
        return None
    found: dict[str, Any] = orjson.loads(file.read_bytes())
    return found


def openapi_routes(prefix: str, gateways: Iterable[SimulatedGateway]) -> list[Route]:
    """Return the routes ``{prefix}/openapi/{gateway}.json``; each document names this server as its server."""

    def published(gateway: SimulatedGateway) -> Route:
        async def endpoint(request: Request) -> Response:
            found = document(type(gateway))
            if found is None:
                return json_response(404, {"message": f"{gateway.name} has no OpenAPI document"})
            return json_response(200, {**found, "servers": [{"url": str(request.base_url).rstrip("/")}]})

        return Route(f"{prefix}/openapi/{gateway.name}.json", endpoint)

    return [published(gateway) for gateway in gateways]

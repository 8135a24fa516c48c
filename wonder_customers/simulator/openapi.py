"""OpenAPI documents of the gateways, from the files ``openapi.json`` next to their simulators.

In the properties of an object, the entry ``"x-fields": "request"`` or ``"x-fields": "customer"`` stands for the schemas
of the customer's fields.
"""

from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from wonder_customers.simulator.documented_fields import documented_fields, request_properties, response_properties
from wonder_customers.simulator.gateway import SimulatedGateway, json_response

__all__ = ["document", "openapi_routes"]


@cache
def document(simulator: type[SimulatedGateway]) -> dict[str, Any] | None:
    """Return the OpenAPI document of a simulated gateway, or None if the gateway has no document."""
    file = files(simulator.__module__.rpartition(".")[0]) / "openapi.json"
    if not file.is_file():
        return None
    found: dict[str, Any] = _with_fields(orjson.loads(file.read_bytes()), simulator.__module__)
    return found


def _with_fields(value: Any, module: str) -> Any:
    """Return a part of a document with the schemas for ``x-fields``."""
    if isinstance(value, list):
        return [_with_fields(item, module) for item in value]
    if not isinstance(value, dict):
        return value
    table = value.get("x-fields")
    generated: dict[str, Any] = {}
    if isinstance(table, str):
        fields = documented_fields(module)
        generated = request_properties(fields) if table == "request" else response_properties(fields)
    return generated | {name: _with_fields(item, module) for name, item in value.items() if name != "x-fields"}


def openapi_routes(prefix: str, gateways: Iterable[SimulatedGateway]) -> list[Route]:
    """Return the routes of the OpenAPI documents."""

    def published(gateway: SimulatedGateway) -> Route:
        async def endpoint(request: Request) -> Response:
            found = document(type(gateway))
            if found is None:
                return json_response(404, {"message": f"the gateway {gateway.name} has no OpenAPI document"})
            return json_response(200, {**found, "servers": [{"url": str(request.base_url).rstrip("/")}]})

        return Route(f"{prefix}/openapi/{gateway.name}.json", endpoint)

    return [published(gateway) for gateway in gateways]

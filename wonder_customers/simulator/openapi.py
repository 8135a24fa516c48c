"""The documented fields and the OpenAPI documents of the gateways.

They are in the files ``documented_fields.json`` and ``openapi.json`` next to the simulators. In an OpenAPI document,
the entry ``"x-fields": "request"`` or ``"x-fields": "customer"`` in the properties of an object stands for the schemas
of the customer's fields.
"""

from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Final

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from wonder_customers.simulator.gateway import SimulatedGateway, json_response

__all__ = ["document", "documented_fields", "openapi_routes"]

_FORMATS: Final[Mapping[str, Mapping[str, Any]]] = {
    "uuid": {"format": "uuid"},
    "hex24": {"pattern": "^[0-9a-f]{24}$"},
    "e164": {"pattern": "^[+][1-9][0-9]{6,14}$"},
    "alpha-2": {"minLength": 2, "maxLength": 2},
    "object": {"type": "object"},
}
_TYPES: Final[Mapping[str, Mapping[str, Any]]] = {
    "boolean": {"type": "boolean"},
    "object": {"type": "object"},
    "time": {"type": ["string", "null"], "format": "date-time"},
}


@cache
def documented_fields(module: str) -> dict[str, Any]:
    """Return the documented fields of the gateway whose simulator is in `module`."""
    found: dict[str, Any] = orjson.loads((files(module.rpartition(".")[0]) / "documented_fields.json").read_bytes())
    return found


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
    generated = _properties(module, value["x-fields"]) if "x-fields" in value else {}
    return generated | {name: _with_fields(item, module) for name, item in value.items() if name != "x-fields"}


def _request_schema(facts: Mapping[str, Any]) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    if "enum" in facts:
        return schema | {"enum": facts["enum"]}
    if "format" in facts:
        return {**schema, **_FORMATS[facts["format"]]}
    shortest = facts.get("min", 1 if facts.get("required") else 0)
    return schema | {"minLength": shortest, "maxLength": facts.get("max", 255)}


def _properties(module: str, table: str) -> dict[str, Any]:
    """Return the JSON schemas of the customer's fields in a ``request``, or in a response."""
    fields = documented_fields(module)
    if table == "request":
        return {name: _request_schema(facts) for name, facts in fields["request"].items() if "." not in name}
    return {
        name: _TYPES.get(kind, {"type": ["string", "null"]})
        for name, kind in fields["response"]["customer"].items()
        if kind in {*_TYPES, "string", "e164"}
    }


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

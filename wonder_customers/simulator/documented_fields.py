"""The documented fields of a gateway, from the file ``documented_fields.json`` next to its simulator."""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Final

import orjson

__all__ = ["documented_fields", "request_properties", "response_properties"]

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


def request_properties(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON schemas of the customer's fields in a request."""
    return {name: _request_schema(facts) for name, facts in fields["request"].items() if "." not in name}


def _request_schema(facts: Mapping[str, Any]) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    if "enum" in facts:
        return schema | {"enum": facts["enum"]}
    if "format" in facts:
        return {**schema, **_FORMATS[facts["format"]]}
    shortest = facts.get("min", 1 if facts.get("required") else 0)
    return schema | {"minLength": shortest, "maxLength": facts.get("max", 255)}


def response_properties(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON schemas of the customer's fields in a response."""
    return {
        name: _TYPES.get(kind, {"type": ["string", "null"]})
        for name, kind in fields["response"]["customer"].items()
        if kind in {*_TYPES, "string", "e164"}
    }

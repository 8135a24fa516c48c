"""Requests to endpoints for which the library has no operation; see `CustomerSession.request`."""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from typing import Any, Final
from urllib.parse import unquote

import orjson

from wonder_customers._support.card_data import find_card_data
from wonder_customers.dialects.base import UNPAIRED_SURROGATE, Call, Dialect, Steps, send
from wonder_customers.dialects.explanations import explained
from wonder_customers.dialects.json import UnreadableJsonError, parse_json
from wonder_customers.dialects.pagination import query_string
from wonder_customers.dialects.responses import error_object, gateway_error, invalid_response, redirect_error
from wonder_customers.errors import CallError, InvalidRecordError, Violation
from wonder_customers.wire import HttpRequest, HttpResponse, Replay

__all__ = ["custom_request"]

_METHODS: Final = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"})
_PATH: Final = re.compile(r"(/[A-Za-z0-9._~!$&'()*+,;=:@%-]*)+")


def custom_request(
    dialect: Dialect, method: str, path: str, query: Mapping[str, str | int], body: Any, *, idempotent: bool
) -> Steps[Any]:
    """Return the steps that send one request and return the JSON value in its response.

    Raises:
        InvalidRecordError: An argument is invalid or contains card data.
    """
    name = str(method).upper()
    problem = _problem(name, path, query, body)
    if problem is not None:
        raise InvalidRecordError(dialect.gateway, [Violation(*problem)])
    replay = Replay.READ if name == "GET" else Replay.IDEMPOTENT if idempotent else Replay.NONE
    target = path + (query_string(query) if query else "")
    request = HttpRequest(name, target, "(custom)", b"" if body is None else orjson.dumps(body))
    return send(Call(request, replay, _decode))


def _problem(method: str, path: object, query: object, body: object) -> tuple[str, None, str] | None:
    if method not in _METHODS:
        return "method", None, "must be GET, POST, PUT, PATCH or DELETE"
    if not isinstance(path, str) or not _PATH.fullmatch(path):
        return "path", None, "must begin with / and be percent-encoded, without a query; pass query=… instead"
    if not {".", ".."}.isdisjoint(unquote(path).split("/")):
        return "path", None, "must not contain the segments . and .."
    if not isinstance(query, Mapping) or not all(map(_is_query_text, [*query, *map(_text, query.values())])):
        return "query", None, "must be a mapping of names to strings of valid Unicode or integers"
    try:
        sent = orjson.loads(orjson.dumps(body))  # a dataclass or an enum is sent as its values
        # orjson writes numbers that JSON does not have as null.
        json.dumps(body, allow_nan=False, default=lambda it: asdict(it) if is_dataclass(type(it)) else str(it))
    except (TypeError, ValueError):
        return "json", None, "must contain only JSON values, with strings as keys and no integer of more than 64 bits"
    found = next(find_card_data({"path": unquote(path), "query": dict(query), "json": sent}), None)
    return None if found is None else (found[0] or "json", None, f"the value {found[1]}, which must not be sent")


def _text(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _is_query_text(value: object) -> bool:
    return isinstance(value, str) and UNPAIRED_SURROGATE.search(value) is None


def _decode(response: HttpResponse) -> Any:
    if response.status // 100 != 2:
        raise _refusal(response)
    if not response.body:
        return None
    try:
        return parse_json(response.body, repair=True)
    except UnreadableJsonError as unreadable:
        # A proxy may have sent the response, so it does not show that a write was applied.
        reason = f"the response with HTTP {response.status} contains {unreadable}"
        raise invalid_response(reason, response.status) from None


def _refusal(response: HttpResponse) -> CallError:
    if response.status // 100 == 3:
        return redirect_error(response.status)
    found = explained(error_object(response.body))
    return gateway_error(response.status, code=found.code, message=found.message, fields=found.fields, about=None)

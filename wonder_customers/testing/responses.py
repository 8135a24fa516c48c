"""The mocked responses of an operation, and error responses in a gateway's format."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from http.client import responses as phrases
from typing import Any, Final
from urllib.parse import unquote

import httpx
import orjson
from attrs import evolve

from wonder_customers.dialects.base import Call
from wonder_customers.dialects.offline import offline_account, offline_simulator
from wonder_customers.errors import CallError, ConfigurationError, GatewayError
from wonder_customers.testing.examples import ResponseContent, examples, with_scalars
from wonder_customers.testing.factories import make_draft
from wonder_customers.testing.routes import Route
from wonder_customers.wire import HttpResponse

__all__ = ["STATUSES", "MockedResponses", "refusal_body"]

STATUSES: Final[dict[str, int]] = {
    "invalid_token": 401,
    "invalid_signature": 401,
    "unauthorized": 401,
    "token_required": 403,
    "forbidden": 403,
    "not_found": 404,
    "duplicate": 409,
    "rate_limited": 429,
    "server_error": 500,
    "unavailable": 503,
}
"""The HTTP statuses of error codes. The status of all other codes is 400."""


class MockedResponses:
    """Responses to all requests of one operation."""

    # Sessions reject a response whose id, reference or token differs from the requested value. Therefore, these values
    # are copied from the requests, unless the test has changed them.

    def __init__(self, gateway: str, changes: dict[str, Any], *, about_token: bool) -> None:
        self._gateway = gateway
        self._known = examples(gateway)
        self._content = ResponseContent(*self._known.changed(changes, token=about_token))
        self._changed = frozenset(() if about_token else changes)
        self._token_changed = about_token and "token" in changes
        self._requested: dict[str, str] = {}

    def side_effect(self, route: Route) -> Callable[..., httpx.Response]:
        """Return a respx side effect that responds to requests of `route`."""

        def respond(request: httpx.Request, **groups: str) -> httpx.Response:
            if not route.write:
                self._requested.clear()
            self._requested |= {name: unquote(value) for name, value in groups.items()}
            if route.write and "reference" not in groups:
                self._requested |= self._reference_in(request.content)
            if not route.write and "token" not in groups:
                self._requested |= _token_in(request.content)
            body = route.response_body(self._known, self._overridden(), request.url.raw_path.decode())
            return httpx.Response(200, content=body)

        return respond

    def _overridden(self) -> ResponseContent:
        copied = {"id", "reference"} - self._changed
        taken: dict[str, Any] = {name: value for name, value in self._requested.items() if name in copied}
        token = self._content.token
        if token is not None and "token" in self._requested and not self._token_changed:
            token = evolve(token, token=self._requested["token"])
        return ResponseContent(evolve(self._content.customer, **taken), token)

    def _reference_in(self, body: bytes) -> dict[str, str]:
        """Return the ``reference`` in the body of a write as a dictionary, if any."""
        if not body:
            return {}
        draft = make_draft()
        payload = offline_account(self._gateway).dialect().payload(draft)
        wire = next((key for key, value in payload.items() if value == draft.reference), None)
        found = None if wire is None else _find_value(orjson.loads(body), wire)
        return {"reference": found} if isinstance(found, str) else {}


def _token_in(body: bytes) -> dict[str, str]:
    """Return the ``token`` in the body of a read as a dictionary, if any."""
    found = _find_value(orjson.loads(body), "token") if body else None
    return {"token": found} if isinstance(found, str) else {}


def _find_value(body: Any, key: str) -> Any:
    """Return the value of `key` in a JSON object or in a nested object."""
    if not isinstance(body, dict):
        return None
    if key in body:
        return body[key]
    return next((found for value in body.values() if (found := _find_value(value, key)) is not None), None)


def refusal_body(
    gateway: str, status: int, code: str, message: str | None, fields: Mapping[str, Sequence[str]] | None
) -> bytes:
    """Return the body of an error response. Raise `ConfigurationError` if the gateway does not support `fields`."""
    body, *values = _refusal_template(gateway)
    changes = dict(zip(values, (status, code, message or phrases.get(status, "Error")), strict=True))
    body = with_scalars(body, lambda it: changes.get(it, it))
    if fields:
        texts = {name: [them] if isinstance(them, str) else them for name, them in fields.items()}
        try:
            body = examples(gateway).codec.write_fields(body, texts)
        except AttributeError:
            raise ConfigurationError(
                f"the error responses of {gateway} do not name fields. Pass `message` instead."
            ) from None
    return orjson.dumps(body)


@cache
def _refusal_template(gateway: str) -> tuple[Any, int, str, str | None]:
    """Return an error response with its status, code and message."""
    known = examples(gateway)
    dialect = offline_account(gateway).dialect()
    call = next(dialect.get(known.customer.id))
    assert isinstance(call, Call)  # noqa: S101 - a read begins with a request
    shown = bytes(offline_simulator(gateway).wrong_path(404).body)
    for body in (*known.refusals, orjson.loads(shown)):
        stated = body.get("status") if isinstance(body, dict) else None
        status = stated if isinstance(stated, int) else 404
        try:
            call.decode(HttpResponse(status, {}, orjson.dumps(body)))
        except GatewayError as error:
            if error.code is not None:
                return body, status, error.code, error.message
        except CallError:
            continue
    raise ConfigurationError(
        f"{gateway} has no example with an error code. Add golden/error_refused.json to its dialect."
    )

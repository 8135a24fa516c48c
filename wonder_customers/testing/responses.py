"""The mocked responses of an operation."""

from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import httpx
import orjson
from attrs import evolve

from wonder_customers.dialects.offline import account_at, mock_origin
from wonder_customers.testing.examples import ResponseContent, examples
from wonder_customers.testing.factories import make_draft
from wonder_customers.testing.routes import Route

__all__ = ["MockedResponses"]


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
        payload = account_at(self._gateway, mock_origin(self._gateway)).dialect().payload(draft)
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

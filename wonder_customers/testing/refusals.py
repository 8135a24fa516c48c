"""Error responses in a gateway's format."""

from collections.abc import Mapping, Sequence
from functools import cache
from http.client import responses as phrases
from typing import Any, Final

import orjson

from wonder_customers.dialects.base import Call
from wonder_customers.dialects.offline import account_at, mock_origin, offline_simulator
from wonder_customers.errors import CallError, ConfigurationError, GatewayError
from wonder_customers.testing.examples import examples, with_scalars
from wonder_customers.wire import HttpResponse

__all__ = ["STATUSES", "refusal_body"]

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
    dialect = account_at(gateway, mock_origin(gateway)).dialect()
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

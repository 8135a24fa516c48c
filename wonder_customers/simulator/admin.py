"""Administrative endpoints, for test programs in other languages and processes."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from wonder_customers.simulator.app import ADMIN, protected
from wonder_customers.simulator.faults import Faults
from wonder_customers.simulator.gateway import json_response, read_body
from wonder_customers.simulator.store import Store

if TYPE_CHECKING:
    from wonder_customers.simulator.server import SimulatorServer

MAX_BYTES: Final = 65_536
"""Maximum size of the body of an administrative request in bytes."""
MAX_STATE_BYTES: Final = 100_000_000
"""Maximum size of an imported state in bytes."""


def admin_routes(faults: Faults, store: Store, *, proxied: bool) -> list[Route]:
    """Return the endpoints for faults and for the numbers of requests."""

    def described() -> dict[str, Any]:
        return {"faults": faults.active(), "seen": faults.seen}

    async def requests(_: Request) -> Response:
        counted = faults.requests if proxied else store.requests
        rows = [
            {"gateway": gateway, "method": method, "path": path, "count": count}
            for (gateway, method, path), count in counted.copy().items()
        ]
        return json_response(200, {"requests": rows})

    return [
        _settings_route("faults", described, partial(_add, faults), faults.clear),
        Route(f"{ADMIN}/requests", protected(requests)),
    ]


def state_routes(server: "SimulatorServer") -> list[Route]:
    """Return the endpoints that show and change the conditions, quirks and data of a server."""
    conditions, quirks = server.conditions, server.quirks
    return [
        _settings_route("conditions", conditions.described, conditions.change),
        _settings_route("quirks", quirks.described, quirks.change),
        _settings_route("state", server.export_state, server.import_state, server.clear_state, MAX_STATE_BYTES),
    ]


def _settings_route(
    name: str,
    described: Callable[[], dict[str, Any]],
    change: Callable[[Any], None],
    clear: Callable[[], None] | None = None,
    limit: int = MAX_BYTES,
) -> Route:
    """Return an endpoint that shows settings, and changes or clears them."""

    async def settings(request: Request) -> Response:
        if request.method == "DELETE" and clear is not None:
            clear()
        elif request.method == "POST":
            try:
                change(await read_json(request, limit))
            except (ValueError, TypeError, RuntimeError) as error:
                return json_response(400, {"message": str(error)})
        return json_response(200, described())

    methods = ["GET", "POST"] if clear is None else ["GET", "POST", "DELETE"]
    return Route(f"{ADMIN}/{name}", protected(settings), methods=methods)


async def read_json(request: Request, limit: int) -> Any:
    """Return the JSON value of a request's body. Raise `ValueError` if it is too large or not JSON."""
    body = await read_body(request, limit)
    if body is None:
        raise ValueError(f"the body is larger than {limit} bytes")
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"the body is not JSON: {error}") from None


def _add(faults: Faults, sent: Any) -> None:
    if not isinstance(sent, dict) or not isinstance(sent.get("name"), str):
        raise TypeError('a fault must be a JSON object with a name, such as {"name": "server_error"}')
    faults.add(**sent)

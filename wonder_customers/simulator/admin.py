"""The administrative endpoints, for clients in other languages and processes."""

from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from wonder_customers.simulator.app import ADMIN
from wonder_customers.simulator.faults import Faults
from wonder_customers.simulator.gateway import json_response
from wonder_customers.simulator.store import Store


def admin_routes(faults: Faults, store: Store, *, proxied: bool) -> list[Route]:
    """The endpoints that show and switch faults and count requests.

    Args:
        faults: The faults.
        store: Counts the requests that reached the gateways.
        proxied: Whether a proxy counts the requests that came in.
    """

    async def set_faults(request: Request) -> Response:
        if request.method == "DELETE":
            faults.clear()
        elif request.method == "POST":
            try:
                _add(faults, await request.body())
            except (ValueError, TypeError, RuntimeError) as error:
                return json_response(400, {"message": str(error)})
        return json_response(200, {"faults": faults.active(), "seen": faults.seen})

    async def requests(_: Request) -> Response:
        counted = faults.requests if proxied else store.requests
        rows = [
            {"gateway": gateway, "method": method, "path": path, "count": count}
            for (gateway, method, path), count in counted.items()
        ]
        return json_response(200, {"requests": rows})

    return [
        Route(f"{ADMIN}/faults", set_faults, methods=["GET", "POST", "DELETE"]),
        Route(f"{ADMIN}/requests", requests),
    ]


def _add(faults: Faults, body: bytes) -> None:
    sent: Any = orjson.loads(body)
    if not isinstance(sent, dict) or not isinstance(sent.get("name"), str):
        raise TypeError("a fault is a JSON object with a name")
    faults.add(**sent)

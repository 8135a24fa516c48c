"""The administrative endpoints, for clients in other languages and processes."""

from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from wonder_customers.simulator.app import ADMIN
from wonder_customers.simulator.faults import Faults
from wonder_customers.simulator.gateway import reply
from wonder_customers.simulator.store import Store


def admin_routes(faults: Faults, store: Store, *, front: bool) -> list[Route]:
    """The endpoints that show and switch faults and count requests.

    Args:
        faults: The faults.
        store: Counts the requests that reached the gateways.
        front: Whether a front counts the requests that came in.
    """

    async def set_faults(request: Request) -> Response:
        if request.method == "DELETE":
            faults.clear()
        elif request.method == "POST":
            try:
                _add(faults, await request.body())
            except (ValueError, TypeError, RuntimeError) as error:
                return reply(400, {"message": str(error)})
        return reply(200, {"faults": faults.waiting(), "seen": faults.seen})

    async def requests(_: Request) -> Response:
        counted = faults.requests if front else store.requests
        rows = [
            {"gateway": gateway, "method": method, "path": path, "count": count}
            for (gateway, method, path), count in counted.items()
        ]
        return reply(200, {"requests": rows})

    return [
        Route(f"{ADMIN}/faults", set_faults, methods=["GET", "POST", "DELETE"]),
        Route(f"{ADMIN}/requests", requests),
    ]


def _add(faults: Faults, body: bytes) -> None:
    sent: Any = orjson.loads(body)
    if not isinstance(sent, dict) or not isinstance(sent.get("name"), str):
        raise TypeError("a fault is a JSON object with a name")
    faults.add(**sent)

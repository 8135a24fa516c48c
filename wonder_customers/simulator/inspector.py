"""The inspector: a web page that shows requests and changes faults, quirks, conditions and data."""

import secrets
from collections.abc import Iterable
from dataclasses import asdict
from functools import cache
from importlib.resources import files
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from wonder_customers.simulator.app import ADMIN
from wonder_customers.simulator.faults import injectable
from wonder_customers.simulator.gateway import json_response
from wonder_customers.simulator.reproduction import pytest_code
from wonder_customers.simulator.request_checks import protected
from wonder_customers.simulator.request_log import INSPECTED, RecordedRequest, RequestLog
from wonder_customers.simulator.store import Store

__all__ = ["inspector_routes"]

_ROWS: Final = 100
"""Number of customers, and of other objects, that the page shows."""
_CUSTOMER: Final = ("gateway", "reference", "id", "deleted")
_RECORD: Final = ("gateway", "kind", "id", "owner")


def inspector_routes(log: RequestLog, gateways: Iterable[str], store: Store, *, faults: bool) -> list[Route]:
    """Return the page at ``/`` and the endpoints that only the page uses.

    Args:
        log: The received requests.
        gateways: The names of the gateways.
        store: The gateways' data.
        faults: Whether fault injection is enabled.
    """
    names = list(gateways)

    async def page(_: Request) -> Response:
        nonce = secrets.token_urlsafe(16)
        policy = (
            f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'unsafe-inline'; connect-src 'self';"
            " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        headers = {"Content-Security-Policy": policy, "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
        return HTMLResponse(_page().replace("NONCE", nonce), headers=headers)

    async def requests(request: Request) -> Response:
        if request.method == "DELETE":
            log.clear()
        return json_response(200, {"requests": [_summary(it) for it in log.latest()]})

    async def one(request: Request) -> Response:
        number = request.path_params["number"]
        found = next((it for it in log.latest() if it.number == number), None)
        if found is None:
            return json_response(404, {"message": f"request {number} is not among the last {INSPECTED}"})
        return json_response(200, _details(found))

    async def data(_: Request) -> Response:
        customers = store.newest("customers", _CUSTOMER, _ROWS)
        records = store.newest("records", _RECORD, _ROWS)
        return json_response(
            200,
            {
                "customers": [dict(zip(_CUSTOMER, row, strict=True)) for row in customers],
                "records": [dict(zip(_RECORD, row, strict=True)) for row in records],
            },
        )

    async def info(_: Request) -> Response:
        return json_response(200, {"gateways": names, "faults": injectable() if faults else []})

    return [
        Route("/", protected(page)),
        Route(f"{ADMIN}/log", protected(requests), methods=["GET", "DELETE"]),
        Route(f"{ADMIN}/log/{{number:int}}", protected(one)),
        Route(f"{ADMIN}/data", protected(data)),
        Route(f"{ADMIN}/info", protected(info)),
    ]


@cache
def _page() -> str:
    return (files(__package__) / "inspector.html").read_text(encoding="utf-8")


def _summary(recorded: RecordedRequest) -> dict[str, Any]:
    names = ("number", "gateway", "method", "path", "route", "status", "duration", "fault")
    shown = {name: getattr(recorded, name) for name in names}
    return shown | {"path": f"{recorded.path}?{recorded.query}"} if recorded.query else shown


def _details(recorded: RecordedRequest) -> dict[str, Any]:
    return _summary(recorded) | {
        "headers": dict(recorded.headers),
        "body": recorded.body.decode("utf-8", "replace"),
        "response": recorded.response_body.decode("utf-8", "replace"),
        "authentication": None if recorded.explain is None else asdict(recorded.explain()),
        "pytest": pytest_code(recorded),
    }

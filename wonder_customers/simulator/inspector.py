"""The inspector: a web page that shows the requests and the stored data, and sets faults, quirks and conditions."""

import secrets
from collections.abc import Iterable
from dataclasses import asdict
from functools import cache
from importlib.resources import files
from json import dumps
from pprint import pformat
from typing import Any, Final
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from wonder_customers.simulator.app import ADMIN, protected
from wonder_customers.simulator.faults import injectable
from wonder_customers.simulator.gateway import json_response
from wonder_customers.simulator.request_log import INSPECTED, RecordedRequest, RequestLog
from wonder_customers.simulator.store import Store

__all__ = ["inspector_routes"]

_WIDTH: Final = 90
"""The maximum number of columns of generated code."""
_ROWS: Final = 100
"""Maximum number of customers, and of other objects, that the page shows."""
_CUSTOMER: Final = ("gateway", "reference", "id", "deleted")
_RECORD: Final = ("gateway", "kind", "id", "owner")


def inspector_routes(log: RequestLog, gateways: Iterable[str], store: Store, *, faults: bool) -> list[Route]:
    """Return the page at ``/`` and the endpoints that only the page uses."""
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
            return json_response(
                404, {"message": f"request {number} is not among the last {INSPECTED} requests in the log"}
            )
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
        "pytest": _pytest_code(recorded),
    }


def _pytest_code(recorded: RecordedRequest) -> str:
    lines = ["import pytest", "", "pytestmark = pytest.mark.anyio", "", ""]
    gateway = recorded.gateway
    fixtures = f"{gateway}_session" + (", customer_simulator" if recorded.fault else "")
    lines.append(f"async def test_request({fixtures}):")
    if recorded.fault:
        lines.append(f'    customer_simulator.faults.add("{recorded.fault}", gateway="{gateway}")')
    if b"***" in recorded.body:
        lines.append("    # Replace the masked card data with the data of a test card.")
    lines += [
        f"    response = await {gateway}_session.request(",
        f'        "{recorded.method}",',
        f"        {dumps(recorded.path)},",
    ]
    if recorded.query:
        lines.append(_argument("query", dict(parse_qsl(recorded.query, keep_blank_values=True))))
    if recorded.body:
        lines.append(_argument("json", recorded.json))
    lines.append("    )")
    if recorded.status is not None and recorded.status < 400:
        lines.append(f"    assert response.status == {recorded.status}")
    return "\n".join(lines) + "\n"


def _argument(name: str, value: object) -> str:
    text = pformat(value, width=_WIDTH - len(name), sort_dicts=False)
    return f"        {name}=" + text.replace("\n", "\n" + " " * (9 + len(name))) + ","

"""The inspector: a web page that shows requests and changes faults, conditions and data."""

import secrets
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from wonder_customers.simulator.app import ADMIN
from wonder_customers.simulator.faults import injectable
from wonder_customers.simulator.gateway import json_response
from wonder_customers.simulator.request_checks import protected
from wonder_customers.simulator.request_log import RecordedRequest, RequestLog

__all__ = ["inspector_routes"]

_SHOWN: Final = 200
"""Number of requests that the page shows."""


def inspector_routes(log: RequestLog, gateways: Iterable[str]) -> list[Route]:
    """Return the page at ``/`` and the endpoints that only it uses.

    Args:
        log: The received requests.
        gateways: The names of the gateways.
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
        recorded = log.all()[-_SHOWN:]
        return json_response(200, {"requests": [_shown(number, it) for number, it in enumerate(recorded)]})

    async def info(_: Request) -> Response:
        return json_response(200, {"gateways": names, "faults": injectable()})

    return [
        Route("/", protected(page)),
        Route(f"{ADMIN}/log", protected(requests), methods=["GET", "DELETE"]),
        Route(f"{ADMIN}/info", protected(info)),
    ]


@cache
def _page() -> str:
    return (files(__package__) / "inspector.html").read_text(encoding="utf-8")


def _shown(number: int, recorded: RecordedRequest) -> dict[str, Any]:
    return {
        "number": number,
        "gateway": recorded.gateway,
        "method": recorded.method,
        "path": recorded.path,
        "query": recorded.query,
        "route": recorded.route,
        "headers": dict(recorded.headers),
        "body": recorded.body.decode("utf-8", "replace"),
        "status": recorded.status,
        "response": recorded.response_body.decode("utf-8", "replace"),
        "duration": recorded.duration,
        "fault": recorded.fault,
    }

"""Paths, and what requests of lists returned and skipped."""

import re
from typing import Any

from mock_gateway import MockGateway, Session

WONDER_PATH = "/svc/payment/api/v1/openapi/customers"
TOKEN = "1b9d6bcd-bbfd-4b2d-9b5d-ab8dfbbd4bed"


async def ids_of(session: Session, **options: Any) -> list[str]:
    return [customer.id async for customer in session.list(**options)]


def skips(wire: MockGateway) -> list[int]:
    """Return how many records each request skips."""
    return [int(number) for line in wire.lines for number in re.findall(r"(?:skip|offset)=(\d+)", line)]

"""Response bodies with the customer of the examples."""

from typing import Any

from mock_gateway import Session

WONDER_PATH = "/svc/payment/api/v1/openapi/customers"
TOKEN = "1b9d6bcd-bbfd-4b2d-9b5d-ab8dfbbd4bed"


async def ids_of(session: Session, **options: Any) -> list[str]:
    return [customer.id async for customer in session.list(**options)]

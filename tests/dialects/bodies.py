"""Answers of the gateways with the customer of the examples."""

from typing import Any

from mock_gateway import HEX24, UUID, Session, golden

WONDER_PATH = "/svc/payment/api/v1/openapi/customers"
TOKEN = "1b9d6bcd-bbfd-4b2d-9b5d-ab8dfbbd4bed"


def wonder_customer(**changed: Any) -> dict[str, Any]:
    body = {"uuid": UUID, "reference_number": "35", "name": "Ada Lovelace", "dial_code": "+852", "phone": "12345678"}
    return {"code": 200, "message": "success", "data": {"customer": {**body, **changed}}}


def paydock_customer(**changed: Any) -> dict[str, Any]:
    data = {"_id": HEX24, "reference": "35", "first_name": "Ada", "last_name": "Lovelace", **changed}
    return {"status": 200, "error": None, "resource": {"type": "customer", "data": data}}


def paydock_list(*customers: dict[str, Any], count: int | None = None) -> dict[str, Any]:
    resource = {"type": "customer", "data": list(customers), "limit": 1000, "skip": 0, "query_token": "qt"}
    return {"status": 200, "error": None, "resource": resource | ({} if count is None else {"count": count})}


def monri_customer(**changed: Any) -> dict[str, Any]:
    return {**golden("monri", "create_response"), **changed}


async def ids_of(session: Session, **options: Any) -> list[str]:
    return [customer.id async for customer in session.list(**options)]

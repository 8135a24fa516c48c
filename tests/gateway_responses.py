"""Bodies of gateway responses that describe one customer, and the ids used in them."""

from typing import Any

UUID = "4b281da4-d145-4233-b957-2018cf9aa0fb"
HEX24 = "5f0c2f7a9b1e8d00deadbeef"
IDS = {"wonder": UUID, "paydock": HEX24, "monri": UUID}


def wonder_customer(**changes: Any) -> dict[str, Any]:
    """Return a Wonder response with a customer."""
    customer = {"uuid": UUID, "reference_number": "r-1", "name": "Ada", "dial_code": "+44", "phone": "7911123456"}
    return {"code": 200, "message": "success", "data": {"customer": customer | changes}}


def monri_customer(**changes: Any) -> dict[str, Any]:
    """Return a Monri response with a customer whose optional fields are null."""
    fields = ("merchant_customer_id", "description", "email", "name", "phone", "metadata")
    empty = dict.fromkeys((*fields, "zip_code", "city", "address", "country", "deleted_at"))
    return {"status": "approved", "uuid": UUID, "deleted": False} | empty | changes


def paydock_customer(**changes: Any) -> dict[str, Any]:
    """Return a Paydock response with a customer."""
    return {"status": 200, "error": None, "resource": {"type": "customer", "data": {"_id": HEX24} | changes}}


def paydock_list(*customers: dict[str, Any], count: int | None = None) -> dict[str, Any]:
    """Return a Paydock response with a page of customers; `count` is the total, by default the page's length."""
    total = len(customers) if count is None else count
    resource = {"type": "customer", "data": list(customers), "count": total, "limit": 1000, "skip": 0}
    return {"status": 200, "error": None, "resource": resource | {"query_token": "qt"}}

"""Scripted responses of Monri."""

from gateway_responses import UUID, monri_customer

from scripted_transport import NO_RESPONSE, STALE_CONNECTION, no_response, respond

OTHER = respond(200, monri_customer(merchant_customer_id="r-1", name="Grace", phone="+447911123456"))
DOWN = respond(502, b"<html>")
UNCONFIRMED_ENDS = [
    NO_RESPONSE,
    STALE_CONNECTION,
    DOWN,
    respond(500, {}),
    respond(503, {}),
    respond(504, {}),
    no_response(sent=True, status=500),
]

CREATE = "POST /v2/customers"
FIND = "GET /v2/merchants/customers/r-1"
GET = f"GET /v2/customers/{UUID}"

KEY = (1, "reference", "r-1")

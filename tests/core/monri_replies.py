"""What Monri replies to the calls of these tests."""

from scripted import SILENT, STALE, UUID, lost, monri_customer, reply

OTHER = reply(200, monri_customer(merchant_customer_id="r-1", name="Grace", phone="+447911123456"))
DOWN = reply(502, b"<html>")
DOUBTFUL = [SILENT, STALE, DOWN, reply(500, {}), reply(503, {}), reply(504, {}), lost(sent=True, status=500)]

CREATE = "POST /v2/customers"
FIND = "GET /v2/merchants/customers/r-1"
GET = f"GET /v2/customers/{UUID}"

KEY = (1, "reference", "r-1")

"""Response bodies of the simulated Paydock, and checks of its requests."""

import base64
import hmac
import re
import secrets
import uuid
from collections.abc import Mapping
from typing import NoReturn

import orjson
from starlette.responses import Response

from wonder_customers.simulator import cards
from wonder_customers.simulator.gateway import GatewayRefusal, JsonObject, ReceivedRequest, json_response
from wonder_customers.simulator.openapi import documented_fields

MONGODB_ID = re.compile(r"[0-9a-f]{24}")
DECLINED_CARD = "4242424242420000"
"""The number of a card that the simulated acquirer refuses."""
_E164 = re.compile(r"\+[1-9]\d{6,14}")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")

TEXTS = tuple(
    name
    for name, facts in documented_fields(__name__)["request"].items()
    if not facts and "." not in name and name != "email"
)
_ADDRESS = ("line1", "line2", "line3", "company", "state", "country", "city", "postcode")
_ACCOUNT = ("name", "bsb", "number", "routing", "holder_type", "bank_name", "type")
VAULT_ONLY = ("vault_type", "_source_ip_address")
_KEPT = (
    "card_name",
    *(f"address_{part}" for part in _ADDRESS),
    *(f"account_{part}" for part in _ACCOUNT),
    "checkout_holder",
    "checkout_email",
    "wallet_type",
    "external_payer_id",
    "ref_token",
)
_OWNERS = ("first_name", "last_name", "email", "phone")
_MANDATORY = {
    "card": ("card_name", "card_number", "expire_month", "expire_year"),
    "bank_account": ("account_name", "account_number"),
    "bsb": ("account_name", "account_bsb", "account_number"),
}
_LISTED = ("_id", "type", "card_number_last4", "card_scheme", "account_name", "account_number", "gateway_id")
_HEADERS = {"x-powered-by": "PayDock <paydock.com>", "x-external-duration": "0", "x-retry-delay": "0"}


def _headers() -> dict[str, str]:
    return {**_HEADERS, "x-correlation-id": str(uuid.uuid4())}


def success(status: int, kind: str, data: object, resource: Mapping[str, object] | None = None) -> Response:
    """Return a response with an envelope around `data`. `resource` contains additional keys of lists."""
    body = {"status": status, "error": None, "resource": {"type": kind, "data": data, **(resource or {})}}
    return json_response(status, body, _headers())


def fail(
    status: int, message: str, code: str, path: str = "", messages: tuple[str, ...] = (), *, kind: str = "customer"
) -> NoReturn:
    """Raise `GatewayRefusal` with ``error`` and ``error_summary``."""
    details = {"path": path, "messages": list(messages)}
    legacy = code if code == "token_required" else "".join(word.capitalize() for word in code.split("_"))
    error = {"message": message, "code": legacy, "details": details}
    summary = {"message": message, "code": code, "details": details if path else {"messages": list(messages)}}
    body = {"status": status, "error": error, "resource": {"type": kind}, "error_summary": summary}
    raise GatewayRefusal(status, body, _headers())


def unknown_key() -> NoReturn:
    """Raise `GatewayRefusal` for an unknown secret key, with an error in the older format."""
    error, resource = {"message": "No user with provided secret key"}, {"type": "user", "data": None}
    raise GatewayRefusal(403, {"status": 403, "error": error, "resource": resource}, _headers())


def unknown_token() -> NoReturn:
    """Raise `GatewayRefusal` for a one-time token that cannot be used."""
    # A public test suite contains this body.
    message, messages = "Token Not found", ["No Tokens found with provided id"]
    summary = {"message": message, "code": "unspecified_error", "details": {"messages": messages}}
    body = {"status": 400, "error": {"message": message, "details": messages}, "error_summary": summary}
    raise GatewayRefusal(400, body | {"resource": {"type": "payment_source", "data": None}}, _headers())


def _declined() -> NoReturn:
    reason = {"gateway_specific_code": "05", "gateway_specific_description": "Do not honour"}
    summary = {"message": "Transaction declined", "code": "transaction_declined", "details": {**reason, "messages": []}}
    error = {"message": "Transaction declined", "details": [{**reason, "param_name": "card_number"}]}
    body = {"status": 400, "error": error, "resource": {"type": "customer", "data": None}, "error_summary": summary}
    raise GatewayRefusal(400, body, _headers())


def invalid(path: str, *messages: str) -> NoReturn:
    """Raise `GatewayRefusal` because of the field at `path`."""
    fail(400, "param validation failed", "validation_error", path, messages)


def not_found() -> NoReturn:
    """Raise `GatewayRefusal` for an unknown resource."""
    fail(404, "Not found", "not_found")


def json_object(request: ReceivedRequest) -> JsonObject:
    """Return the JSON object in the body of a request."""
    body = request.json()
    if not isinstance(body, dict):
        invalid("", "body must be a JSON object")
    return body


def own_fields(sent: JsonObject) -> JsonObject:
    """Return the valid customer fields of a request."""
    # The gateway's e-commerce connectors send "" for a missing telephone number or e-mail address.
    sent = {name: value for name, value in sent.items() if value != "" or name not in {"phone", "email"}}
    phone, email, meta = sent.get("phone"), sent.get("email"), sent.get("meta")
    if phone is not None and not (isinstance(phone, str) and _E164.fullmatch(phone)):
        invalid("phone", "phone must be in E.164 international notation")
    valid = {name: isinstance(sent.get(name), str) for name in (*TEXTS, "phone")}
    valid |= {"email": isinstance(email, str) and bool(_EMAIL.fullmatch(email)), "meta": isinstance(meta, dict)}
    return {name: sent[name] for name in valid if name in sent and (valid[name] or sent[name] is None)}


def owner_fields(sent: JsonObject) -> JsonObject:
    """Return the owner's fields in a request for a one-time token or a vault entry."""
    return {name: sent[name] for name in _OWNERS if isinstance(sent.get(name), str)}


def address_fields(sent: JsonObject) -> JsonObject:
    """Return the fields of a payment source's billing address."""
    return {key: value for key, value in sent.items() if key in _KEPT and key.startswith("address_")}


def checked_source(sent: JsonObject, path: str) -> JsonObject:
    """Check a payment source, and return its stored fields."""
    kind = sent["type"] if isinstance(sent.get("type"), str) else "card"
    for field in _MANDATORY.get(kind, ()):
        if not isinstance(sent.get(field), str) or not sent[field]:
            invalid(path + field, f"{path}{field} is required")
    details = {"type": kind, **{key: sent[key] for key in _KEPT if isinstance(sent.get(key), str)}}
    if kind == "card":
        details |= _card(sent, path)
    details["gateway_id"] = checked_gateway(sent, path)
    return details


def checked_token_source(sent: JsonObject) -> JsonObject:
    """Check the payment source of a one-time token, and return its stored fields.

    Raises:
        GatewayRefusal: The source is refused.
    """
    try:
        return checked_source(sent, "")
    except GatewayRefusal as refused:
        body = refused.body | {"resource": {"type": "token"}}
        raise GatewayRefusal(refused.status, body, refused.headers) from None


def checked_gateway(sent: JsonObject, path: str) -> str | None:
    """Return the valid `gateway_id` of a payment source, if any."""
    gateway = sent.get("gateway_id")
    if gateway is None or (isinstance(gateway, str) and MONGODB_ID.fullmatch(gateway)):
        return gateway
    empty = () if gateway else ("gateway_id should not be empty",)
    return invalid(f"{path}gateway_id", "Invalid ID format", *empty)


def _card(sent: JsonObject, path: str) -> JsonObject:
    number = cards.digits(sent["card_number"])
    if number is None:
        invalid(f"{path}card_number", f"{path}card_number must be a card number")
    if number == DECLINED_CARD:
        _declined()
    if not re.fullmatch(r"0?[1-9]|1[0-2]", sent["expire_month"]):
        invalid(f"{path}expire_month", f"{path}expire_month must be a month")
    if not re.fullmatch(r"\d\d(\d\d)?", sent["expire_year"]):
        invalid(f"{path}expire_year", f"{path}expire_year must be a year")
    return {
        "card_number_last4": number[-4:],
        "card_number_bin": number[:8],
        "card_scheme": cards.brand(number).lower(),
        "expire_month": int(sent["expire_month"]),
        "expire_year": int(sent["expire_year"]) + (2000 if len(sent["expire_year"]) == 2 else 0),
    }


def listed_source(source: JsonObject, customer: JsonObject) -> JsonObject:
    """Return a payment source as it appears in the public search."""
    more = {
        "customer_id": customer["_id"],
        "customer_reference": customer.get("reference"),
        "primary": customer.get("default_source") == source["_id"],
        "gateway_type": "Simulator",
        "gateway_mode": "test",
    }
    return {key: source[key] for key in _LISTED if key in source} | more


def paging(request: ReceivedRequest) -> tuple[int, int]:
    """Return the limit, at most 1000, and the offset of a list."""
    limit, skip = request.number("limit", 100), request.number("skip", 0)
    return (100 if limit is None else min(limit, 1000)), skip or 0


def json_web_token(payload: JsonObject) -> str:
    """Return a token in JWT format, by which the PHP client recognises access tokens."""
    return f"{_encoded({'alg': 'HS256', 'typ': 'JWT'})}.{_encoded(payload)}.{secrets.token_urlsafe(32)}"


def signed_token(content: JsonObject, secret: str) -> str:
    """Return a signed token that contains `content`."""
    payload = _encoded(content)
    return f"{payload}.{hmac.digest(secret.encode(), payload.encode(), 'sha256').hex()}"


def token_content(token: str, secret: str) -> dict[str, str] | None:
    """Return the content of a signed token, or None if the token was not signed with `secret`."""
    payload, _, signature = token.partition(".")
    expected = hmac.digest(secret.encode(), payload.encode(), "sha256").hex()
    if not hmac.compare_digest(expected.encode(), signature.encode()):
        return None
    content: dict[str, str] = orjson.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return content


def _encoded(value: JsonObject) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(value)).rstrip(b"=").decode()

"""A simulated Wonder customer API, implemented from Wonder's documentation."""

import re
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar

import orjson
from starlette.responses import Response
from starlette.routing import Route

from wonder_customers.dialects.wonder import simulator_signature as signature
from wonder_customers.dialects.wonder.quirks import QUIRKS
from wonder_customers.dialects.wonder.simulator_signature import refusal
from wonder_customers.simulator import cards
from wonder_customers.simulator.authentication import AuthenticationReport
from wonder_customers.simulator.gateway import (
    GatewayRefusal,
    JsonObject,
    ReceivedRequest,
    SimulatedGateway,
    html_page,
    json_response,
)
from wonder_customers.simulator.openapi import documented_fields
from wonder_customers.simulator.quirks import Quirk
from wonder_customers.simulator.store import Condition, StoredCustomer, StoredRecord

DECLINED_CARD = "4000000000000002"
"""The number of a card whose token becomes `failed`."""

_PREFIX = "/svc/payment/api/v1"
_CUSTOMERS = f"{_PREFIX}/openapi/customers"
_VERIFY = "/svc/payment/3ds"

_FIELDS = documented_fields(__name__)
_LENGTHS = {name: facts["max"] for name, facts in _FIELDS["request"].items() if "max" in facts}
_REQUIRED = tuple(name for name, facts in _FIELDS["request"].items() if facts.get("required"))
_IN_RESPONSES = tuple(it for it, kind in _FIELDS["response"]["customer"].items() if kind == "string" and it != "uuid")
_FILTERS = frozenset({*_LENGTHS, "uuid", "default_payment_method", "created_at", "updated_at"})
_FILTER = re.compile(r"filter\[(\w+)\]\[_(eq|neq|gt|gte|lt|lte|contains|not_contains|in)\]")


# The file ``facts.toml`` lists documented facts with their sources. Choices where the documentation is silent:
#
# * A second create does not change fields that it omits. Null or "" clears a field; cleared fields are "" in responses.
# * An unknown `default_payment_token` is accepted, and the response has no token, because the documented example sends
#   a token in a first create. `default_payment_method` may be any string.
# * An unknown customer causes HTTP 404 with code `E000404`, an invalid field 400 with `E000001`. All codes except
#   `E000002` are invented. Nonces may be used again.
# * Lists contain the oldest customer first, 20 by default. Every customer counts as linked to a `User`.
# * The token of a card with `3ds` (and of Alipay) starts as `pending` with a `verify_url`. Without `3ds`, the state is
#   final at once. Responses contain the older and the newer token fields.


class WonderSimulator(SimulatedGateway):
    """Wonder's customers and payment tokens."""

    name: ClassVar[str] = "wonder"
    prefix: ClassVar[str] = "/svc"
    known_quirks: ClassVar[tuple[Quirk, ...]] = QUIRKS
    customer_keys: ClassVar[frozenset[str]] = frozenset({"uuid", "reference_number"})

    checks_until_final: int | None = None
    """Number of checks after which a pending token becomes final; None if checks do not change the state."""

    @property
    def routes(self) -> list[Route]:
        """All endpoints of the customer API, and the page that verifies a card."""
        one = _CUSTOMERS + "/{uuid}"
        tokens = f"{one}/payment_tokens"
        return [
            self.route(f"{_PREFIX}/echo", POST=self._echo),
            self.route(f"{_PREFIX}/openapi/echo", POST=self._echo),
            self.route(_CUSTOMERS, POST=self._create, GET=self._list),
            self.route(f"{_CUSTOMERS}/by/token", POST=self._get_by_token),
            self.route(_CUSTOMERS + "/ref/{reference}", GET=self._get_by_reference),
            self.route(one, GET=self._get, PUT=self._update),
            self.route(tokens, POST=self._create_token, GET=self._list_tokens, DELETE=self._delete_token),
            self.route(f"{tokens}/check", POST=self._check_token),
            self.open_route(_VERIFY + "/{verify_uuid}", GET=self._verify),
        ]

    # Merchants and signatures

    def new_credentials(self, *, first: bool) -> tuple[str, dict[str, str]]:
        """Return a new AppID and private key."""
        app_id, key = str(uuid.uuid4()), signature.first_key() if first else signature.new_key()
        return app_id, {"app_id": app_id, "private_key": key}

    def variables(self, credentials: Mapping[str, str], origin: str) -> dict[str, str]:
        """Return the environment variables of one merchant."""
        return {
            "WONDER_BASE_URL": origin,
            "WONDER_APP_ID": credentials["app_id"],
            "WONDER_PRIVATE_KEY": credentials["private_key"],
        }

    def authenticate(self, request: ReceivedRequest) -> str:
        """Return the AppID of the key that signed the request."""
        app_id, request_time = signature.credential(request, self.merchants, self.clock())
        signature.check_signature(request, request_time, self.merchants[app_id]["private_key"])
        return app_id

    def explain(self, request: ReceivedRequest, now: float) -> AuthenticationReport:
        """Return a report on the check of a request's signature."""
        return signature.report(request, self.merchants, now)

    def wrong_path(self, status: int) -> Response:
        """Return the response to an unknown path or method."""
        return json_response(
            status, {"code": f"E000{status}", "message": "Path not found." if status == 404 else "Not allowed."}
        )

    # Customers

    def _echo(self, request: ReceivedRequest, merchant: str) -> Response:
        return _success({"message": _object(request).get("message"), "app_id": merchant})

    def _create(self, request: ReceivedRequest, merchant: str) -> Response:
        sent = _object(request).get("customer")
        if not isinstance(sent, dict):
            raise refusal(400, "E000001", "customer is required.")
        for field in _REQUIRED:
            if not sent.get(field):
                raise refusal(400, "E000001", f"customer.{field} is required.")
        _validate(sent)
        held = self.store.customer_by_reference(self.name, merchant, sent["reference_number"])
        return self._write(merchant, held, sent)

    def _update(self, request: ReceivedRequest, merchant: str) -> Response:
        held = self._held(request, merchant)
        sent = _wrapped(request, "customer")
        _validate(sent)
        return self._write(merchant, held, {**sent, "reference_number": held.reference})

    def _write(self, merchant: str, held: StoredCustomer | None, sent: JsonObject) -> Response:
        now = self.clock()
        new = {"uuid": str(uuid.uuid4()), "created_at": _time(now), "default_payment_token": None}
        body = {**(held.body if held else new), "updated_at": _time(now)}
        body.update({field: sent[field] or "" for field in (*_LENGTHS, "default_payment_method") if field in sent})
        if "default_payment_token" in sent:
            body["default_payment_token"] = self._default_token(merchant, body["uuid"], sent["default_payment_token"])
        created = held.created if held else now
        customer = StoredCustomer(body["uuid"], body["reference_number"], deleted=False, created=created, body=body)
        self.store.save_customer(self.name, merchant, customer, "updated" if held else "created", now)
        return _success({"customer": _in_response(body)})

    def _default_token(self, merchant: str, owner: str, token: str | None) -> JsonObject | None:
        found = self.store.record(self.name, merchant, "token", token) if token else None
        return {**found.body["token"], "default": True} if found and found.owner == owner else None

    def _held(self, request: ReceivedRequest, merchant: str) -> StoredCustomer:
        found = self.store.customer(self.name, merchant, request.segments["uuid"])
        return found or _missing("Customer")

    def _get(self, request: ReceivedRequest, merchant: str) -> Response:
        return _success({"customer": _in_response(self._held(request, merchant).body)})

    def _get_by_reference(self, request: ReceivedRequest, merchant: str) -> Response:
        found = self.store.customer_by_reference(self.name, merchant, request.segments["reference"])
        return _success({"customer": _in_response((found or _missing("Customer")).body)})

    def _get_by_token(self, request: ReceivedRequest, merchant: str) -> Response:
        token = self._record(merchant, _object(request).get("token"))
        found = self.store.customer(self.name, merchant, token.owner or "")
        return _success({"customer": _in_response((found or _missing("Customer")).body)})

    def _list(self, request: ReceivedRequest, merchant: str) -> Response:
        limit = _number(request, "limit", default=20, highest=1000)
        offset = _number(request, "offset", default=0, highest=10**15)
        linked = request.query.get("linked_source_type")
        if linked not in {None, "User", "Store"}:
            raise refusal(400, "E000001", "linked_source_type must be User or Store.")
        conditions = _conditions(request.query)
        if linked == "Store":
            conditions.append(Condition(("deleted",), "eq", 1))
        found, total = self.store.select(self.name, merchant, conditions, limit=limit, offset=offset)
        response = _success({"customers": [_in_response(customer.body) for customer in found]})
        response.headers["X-Total-Entries"] = str(total)
        return response

    # Payment tokens

    def _record(self, merchant: str, token: object) -> StoredRecord:
        found = self.store.record(self.name, merchant, "token", token) if isinstance(token, str) else None
        return found or _missing("Payment token")

    def _create_token(self, request: ReceivedRequest, merchant: str) -> Response:
        owner = self._held(request, merchant)
        sent = _wrapped(request, "payment_token")
        card, verify_uuid = sent.get("card"), str(uuid.uuid4())
        body: JsonObject = {"token": str(uuid.uuid4()), "default": False, "state": "pending"}
        if isinstance(card, dict):
            body |= {"token_type": "CreditCard", "credit_card": _card(card)}
            declined, verified = cards.digits(card["number"]) == DECLINED_CARD, "3ds" in card
        elif isinstance(sent.get("alipay"), dict):
            body |= {"token_type": "AlipayAutoDebit"}
            declined, verified = False, True
        else:
            raise refusal(400, "E000001", "card or alipay is required.")
        url = f"{request.origin}{_VERIFY}/{verify_uuid}" if verified else None
        body |= {"verify_uuid": verify_uuid, "verify_url": url}
        kept = {"token": body, "outcome": "failed" if declined else "success", "checks": 0}
        record = StoredRecord(body["token"], owner.id, self.clock(), kept)
        if verified:
            self._save_token(merchant, record)
        else:
            self._finish(merchant, record)
        return _success({"payment_token": body})

    def _save_token(self, merchant: str, record: StoredRecord) -> None:
        self.store.save_record(self.name, merchant, "token", record)
        owner = self.store.customer(self.name, merchant, record.owner or "")
        default = owner.body["default_payment_token"] if owner else None
        if owner and default and default["token"] == record.id:
            body = {**owner.body, "default_payment_token": {**record.body["token"], "default": True}}
            changed = StoredCustomer(owner.id, owner.reference, owner.deleted, owner.created, body)
            self.store.save_customer(self.name, merchant, changed, "updated", self.clock())

    def _finish(self, merchant: str, record: StoredRecord) -> None:
        token = record.body["token"]
        token["state"] = record.body["outcome"]
        if token["state"] == "failed":
            token |= {"error_code": "E100001", "error_msg": "The card was declined by its issuer."}
        self._save_token(merchant, record)

    def _verify(self, request: ReceivedRequest) -> Response:
        for merchant in self.merchants:
            for record in self.store.records(self.name, merchant, "token"):
                if record.body["token"]["verify_uuid"] == request.segments["verify_uuid"]:
                    if record.body["token"]["state"] == "pending":
                        self._finish(merchant, record)
                    return html_page(f"Verification: {record.body['token']['state']}")
        return self.wrong_path(404)

    def _check_token(self, request: ReceivedRequest, merchant: str) -> Response:
        sent = _object(request).get("payment_token")
        if not isinstance(sent, dict) or not sent.get("token"):
            raise refusal(400, "E000001", "payment_token.token is required.")
        record = self._record(merchant, sent["token"])
        owner, token = request.segments["uuid"], record.body["token"]
        # The older documentation page has the literal "uuid" in the path.
        if owner not in {record.owner, "uuid"} or sent.get("verify_uuid", token["verify_uuid"]) != token["verify_uuid"]:
            _missing("Payment token")
        record.body["checks"] += 1
        if token["state"] == "pending" and record.body["checks"] == self.checks_until_final:
            self._finish(merchant, record)
        else:
            self._save_token(merchant, record)
        return _success({"payment_token": self._with_default(merchant, record)})

    def _list_tokens(self, request: ReceivedRequest, merchant: str) -> Response:
        owner = self._held(request, merchant)
        records = self.store.records(self.name, merchant, "token", owner.id)
        return _success({"payment_tokens": [self._with_default(merchant, record) for record in records]})

    def _with_default(self, merchant: str, record: StoredRecord) -> JsonObject:
        owner = self.store.customer(self.name, merchant, record.owner or "")
        default = owner.body["default_payment_token"] if owner else None
        return {**record.body["token"], "default": default is not None and default["token"] == record.id}

    def _delete_token(self, request: ReceivedRequest, merchant: str) -> Response:
        owner = self._held(request, merchant)
        record = self._record(merchant, _wrapped(request, "payment_token").get("token"))
        if record.owner != owner.id:
            _missing("Payment token")
        self.store.delete_record(self.name, merchant, "token", record.id)
        default = owner.body["default_payment_token"]
        if default and default["token"] == record.id:
            self._write(merchant, owner, {"default_payment_token": None})
        return _success({"success": True})


def _success(data: JsonObject) -> Response:
    return json_response(200, {"code": 200, "message": "success", "data": data})


def _missing(what: str) -> Any:
    raise GatewayRefusal(404, {"code": "E000404", "message": f"{what} not found", "data": None})


def _object(request: ReceivedRequest) -> JsonObject:
    body = request.json()
    if not isinstance(body, dict):
        raise refusal(400, "E000001", "The body must be a JSON object.")
    return body


def _wrapped(request: ReceivedRequest, name: str) -> JsonObject:
    """Return the object under `name` in the body, if any, or the whole body."""
    body = _object(request)
    inner = body.get(name, body)
    if not isinstance(inner, dict):
        raise refusal(400, "E000001", f"{name} must be an object.")
    return inner


def _validate(sent: JsonObject) -> None:
    for field, value in sent.items():
        if field not in {*_LENGTHS, "default_payment_method", "default_payment_token"} or value is None:
            continue
        if not isinstance(value, str):
            raise refusal(400, "E000001", f"customer.{field} must be a string.")
        if len(value) > _LENGTHS.get(field, 255):
            raise refusal(400, "E000001", f"customer.{field} must have at most {_LENGTHS.get(field, 255)} characters.")


def _in_response(body: JsonObject) -> JsonObject:
    shown = {field: body.get(field) or "" for field in _IN_RESPONSES}
    shown["uuid"] = body["uuid"]
    if body["default_payment_token"]:
        shown["default_payment_token"] = body["default_payment_token"]
    return shown


def _card(sent: JsonObject) -> JsonObject:
    number = cards.digits(sent.get("number"))
    if number is None:
        raise refusal(400, "E000001", "card.number must be a card number.")
    for field in ("exp_month", "exp_year", "holder_name"):
        if not sent.get(field):
            raise refusal(400, "E000001", f"card.{field} is required.")
    return {
        "number": cards.masked(number),
        "exp_month": str(sent["exp_month"]),
        "exp_year": str(sent["exp_year"]),
        "holder_name": sent["holder_name"],
        "brand": cards.brand(number),
        "billing_currency": "HKD",
    }


def _number(request: ReceivedRequest, name: str, default: int, highest: int) -> int:
    number = request.number(name, default)
    if number is None or number > highest:
        raise refusal(400, "E000001", f"{name} must be an integer from 0 to {highest}.")
    return number


def _conditions(query: Mapping[str, str]) -> list[Condition]:
    conditions = []
    for name, value in query.items():
        if not name.startswith("filter["):
            continue
        match = _FILTER.fullmatch(name)
        if match is None or match[1] not in _FILTERS:
            raise refusal(400, "E000001", f"{name} is an unknown filter.")
        field, comparison = match.groups()
        if field.endswith("_at"):
            value = _parsed_time(value)  # noqa: PLW2901 - the same value, in the format in which it is stored
        if comparison == "in":
            value = orjson.dumps(value.split(",")).decode()  # noqa: PLW2901 - as above
        conditions.append(Condition((field,), comparison, value))
    return conditions


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _parsed_time(text: str) -> str:
    try:
        parsed = datetime.fromisoformat(text.replace(" ", "+"))
    except ValueError:
        raise refusal(400, "E000001", "Times in filters must be in RFC 3339 format.") from None
    return _time((parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp())


SIMULATOR = WonderSimulator

"""A simulated Monri (WebPay) customer API, implemented from Monri's documentation."""

import hashlib
import secrets
import uuid
from calendar import monthrange
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import ClassVar, NoReturn

from starlette.responses import Response
from starlette.routing import Route

from wonder_customers.dialects.monri import simulator_digest
from wonder_customers.dialects.monri.quirks import QUIRKS
from wonder_customers.simulator import cards
from wonder_customers.simulator.authentication import AuthenticationReport
from wonder_customers.simulator.gateway import (
    GatewayRefusal,
    JsonObject,
    ReceivedRequest,
    SimulatedGateway,
    json_response,
)
from wonder_customers.simulator.openapi import documented_fields
from wonder_customers.simulator.quirks import Quirk
from wonder_customers.simulator.store import Condition, StoredCustomer, StoredRecord

_LENGTHS = {
    name: (facts["min"], facts["max"])
    for name, facts in documented_fields(__name__)["request"].items()
    if "max" in facts
} | {"country": (2, 2)}
_TOKENIZED = ("cvv", "type", "pan", "expiration_date", "temp_card_id", "digest", "timestamp")


# The file ``facts.toml`` lists documented facts with their sources. Choices where the documentation is silent:
#
# * Create responds with 200. Refusals are `{"status": "invalid-request", "message": …}` with 400, or 404 for an unknown
#   customer; 401 has the status `error`. List items and responses to deletions contain both `id` and `uuid`.
# * Timestamps are not checked unless `clock_window` is set. Seconds and milliseconds are accepted.
# * Lists do not contain deleted customers. Reads return them, with `deleted` true. Their merchant id cannot be used
#   again, a second deletion has the same response, and updates are refused with 400.
# * Scopes of bearer tokens are not enforced, `expires_in` is in seconds, and `limit` has no maximum.
# * Null clears a field, including `metadata`. Integers are accepted for fields that are strings.


class MonriSimulator(SimulatedGateway):
    """Monri's customers and their payment methods."""

    name: ClassVar[str] = "monri"
    prefix: ClassVar[str] = "/v2"
    known_quirks: ClassVar[tuple[Quirk, ...]] = QUIRKS
    customer_keys: ClassVar[frozenset[str]] = frozenset({"uuid", "merchant_customer_id"})

    clock_window: float | None = None
    """Maximum difference in seconds between a timestamp and the clock; None if timestamps are not checked."""
    token_lifetime: float = 3600
    """The lifetime of a bearer token in seconds."""

    @property
    def routes(self) -> list[Route]:
        """All endpoints of the customer API."""
        one = "/v2/customers/{uuid}"
        return [
            self.open_route("/v2/oauth", POST=self._oauth),
            self.open_route("/v2/temp-tokenize", POST=self._temp_tokenize),
            self.route("/v2/customers", POST=self._create, GET=self._list),
            self.route("/v2/merchants/customers/{reference}", GET=self._get_by_reference),
            self.route(one, GET=self._get, POST=self._update, DELETE=self._delete),
            self.route(f"{one}/payment-methods", GET=self._payment_methods),
            self.route("/v2/payment-methods", GET=self._all_payment_methods),
        ]

    # Merchants, digests and bearer tokens

    def new_credentials(self, *, first: bool) -> tuple[str, dict[str, str]]:
        """Return a new authenticity token and merchant key."""
        token = secrets.token_hex(20)
        return token, {"merchant_key": secrets.token_hex(12), "authenticity_token": token}

    def variables(self, credentials: Mapping[str, str], origin: str) -> dict[str, str]:
        """Return the environment variables of one merchant."""
        return {
            "MONRI_BASE_URL": origin,
            "MONRI_MERCHANT_KEY": credentials["merchant_key"],
            "MONRI_AUTHENTICITY_TOKEN": credentials["authenticity_token"],
        }

    def authenticate(self, request: ReceivedRequest) -> str:
        """Return the authenticity token of the merchant that sent the request."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme == "Bearer" and token and " " not in token:
            return self._bearer(token)
        parts = simulator_digest.parts(request)
        if parts is not None:
            return self._digest(request, *parts)
        return _unauthorized("Authorization header is missing or malformed")

    def _digest(self, request: ReceivedRequest, token: str, timestamp: str, digest: str) -> str:
        credentials = self.merchants.get(token)
        if credentials is None or not simulator_digest.is_timestamp(timestamp):
            _unauthorized("Invalid authenticity token or timestamp")
        if not simulator_digest.is_valid(request, credentials["merchant_key"], timestamp, token, digest):
            _unauthorized("Invalid digest")
        age = self.clock() - simulator_digest.seconds(timestamp)
        if self.clock_window is not None and abs(age) > self.clock_window:
            _unauthorized("Timestamp expired")
        return token

    def explain(self, request: ReceivedRequest, now: float) -> AuthenticationReport:
        """Return a report on the check of a request's credentials."""
        if request.headers.get("authorization", "").startswith("Bearer "):
            return super().explain(request, now)
        return simulator_digest.report(request, self.merchants, now, self.clock_window)

    def _oauth(self, request: ReceivedRequest) -> Response:
        sent = _object(request)
        credentials = self.merchants.get(str(sent.get("client_id")))
        if credentials is None or sent.get("client_secret") != credentials["merchant_key"]:
            _unauthorized("Invalid client credentials")
        if sent.get("grant_type") != "client_credentials":
            _invalid("grant_type is not supported")
        token = secrets.token_hex(32)
        body = {"scopes": sent.get("scopes"), "expires": self.clock() + self.token_lifetime}
        merchant = credentials["authenticity_token"]
        self.store.save_record(self.name, merchant, "bearer", StoredRecord(token, None, self.clock(), body))
        lifetime = int(self.token_lifetime)
        return _approved({"access_token": token, "token_type": "Bearer", "expires_in": lifetime})

    def _bearer(self, token: str) -> str:
        for merchant in self.merchants:
            record = self.store.record(self.name, merchant, "bearer", token)
            if record and record.body["expires"] > self.clock():
                return merchant
        return _unauthorized("Access token is invalid or expired")

    def revoke_tokens(self) -> None:
        """Invalidate all bearer tokens."""
        for merchant in self.merchants:
            for record in self.store.records(self.name, merchant, "bearer"):
                self.store.delete_record(self.name, merchant, "bearer", record.id)

    def wrong_path(self, status: int) -> Response:
        """Return the response to an unknown path or method."""
        return json_response(status, {"status": "invalid-request", "message": "Path not found"})

    # Customers

    def _create(self, request: ReceivedRequest, merchant: str) -> Response:
        sent = _validated(_object(request))
        reference = sent.get("merchant_customer_id")
        if reference is not None and self.store.customer_by_reference(self.name, merchant, reference):
            _invalid("Merchant customer has already been taken")
        now = self.clock()
        body: JsonObject = {"uuid": str(uuid.uuid4()), **dict.fromkeys(_LENGTHS), "status": "approved", "metadata": {}}
        body |= {"deleted": False, "created_at": _time(now), "updated_at": _time(now), "deleted_at": None}
        _merge(body, sent)
        self._save(merchant, body, now, "created")
        return json_response(200, body)

    def _update(self, request: ReceivedRequest, merchant: str) -> Response:
        held = self._held(request, merchant)
        if held.deleted:
            _invalid("Customer is deleted")
        sent = _validated(_object(request))
        reference = sent.get("merchant_customer_id")
        if reference not in {None, held.reference} and self.store.customer_by_reference(self.name, merchant, reference):
            _invalid("Merchant customer has already been taken")
        body = held.body
        _merge(body, sent)
        body["updated_at"] = _time(self.clock())
        self._save(merchant, body, held.created, "updated")
        return json_response(200, body)

    def _delete(self, request: ReceivedRequest, merchant: str) -> Response:
        held = self._held(request, merchant)
        if not held.deleted:
            now = _time(self.clock())
            body = {**held.body, "deleted": True, "deleted_at": now, "updated_at": now}
            self._save(merchant, body, held.created, "deleted")
        return _approved({"id": held.id, "uuid": held.id, "deleted": True})

    def _save(self, merchant: str, body: JsonObject, created: float, action: str) -> None:
        customer = StoredCustomer(body["uuid"], body["merchant_customer_id"], body["deleted"], created, body)
        self.store.save_customer(self.name, merchant, customer, action, self.clock())

    def _held(self, request: ReceivedRequest, merchant: str) -> StoredCustomer:
        return self.store.customer(self.name, merchant, request.segments["uuid"]) or _not_found()

    def _get(self, request: ReceivedRequest, merchant: str) -> Response:
        return json_response(200, self._held(request, merchant).body)

    def _get_by_reference(self, request: ReceivedRequest, merchant: str) -> Response:
        found = self.store.customer_by_reference(self.name, merchant, request.segments["reference"])
        return json_response(200, (found or _not_found()).body)

    def _list(self, request: ReceivedRequest, merchant: str) -> Response:
        limit, offset = _paging(request)
        found, _ = self.store.select(
            self.name,
            merchant,
            [Condition(("deleted",), "eq", 0)],
            order="created",
            descending=True,
            limit=limit,
            offset=offset,
            count=False,
        )
        return _approved({"data": [{"id": customer.id, **customer.body} for customer in found]})

    # Payment methods

    def add_payment_method(
        self,
        customer_uuid: str,
        number: str = "4111111111111111",
        *,
        expires: tuple[int, int] = (2034, 12),
        keep_for: float = 5 * 365 * 86400,  # seconds
    ) -> JsonObject:
        """Save a card for a customer, as a payment would, and return the payment method.

        Raises:
            LookupError: The customer does not exist.
        """
        for merchant in self.merchants:
            if self.store.customer(self.name, merchant, customer_uuid):
                body = self._payment_method(customer_uuid, number, expires, keep_for)
                record = StoredRecord(body["id"], customer_uuid, self.clock(), body)
                self.store.save_record(self.name, merchant, "payment-method", record)
                return body
        raise LookupError(f"no customer has the uuid {customer_uuid}")

    def _payment_method(self, owner: str, number: str, expires: tuple[int, int], keep_for: float) -> JsonObject:
        token, now = secrets.token_hex(32), self.clock()
        year, month = expires
        last = datetime(year, month, monthrange(year, month)[1], tzinfo=UTC)
        return {
            "status": "approved",
            "id": token,
            "masked_pan": cards.masked(number),
            "expiration_date": last.strftime("%Y-%m-%d"),
            "keep_until": _time(now + keep_for),
            "created_at": _time(now),
            "updated_at": _time(now),
            "customer_uuid": owner,
            "token": token,
            "expired": last.timestamp() + 86400 <= now,
        }

    def _payment_methods(self, request: ReceivedRequest, merchant: str) -> Response:
        # A test of an official client passes the merchant's id for the customer instead of the uuid.
        requested = request.segments["uuid"]
        held = self.store.customer(self.name, merchant, requested)
        held = held or self.store.customer_by_reference(self.name, merchant, requested) or _not_found()
        return self._page(request, self.store.records(self.name, merchant, "payment-method", held.id))

    def _all_payment_methods(self, request: ReceivedRequest, merchant: str) -> Response:
        return self._page(request, self.store.records(self.name, merchant, "payment-method"))

    def _page(self, request: ReceivedRequest, records: list[StoredRecord]) -> Response:
        limit, offset = _paging(request)
        return _approved({"data": [record.body for record in records[::-1][offset : offset + limit]]})

    def _temp_tokenize(self, request: ReceivedRequest) -> Response:
        sent = _object(request)
        missing = [field for field in _TOKENIZED if not sent.get(field)]
        number = cards.digits(sent.get("pan"))
        if missing or number is None:
            _invalid(f"{missing[0]} can't be blank" if missing else "pan is not a card number")
        credentials = self.merchants.get(str(sent.get("authenticity_token")))
        if credentials is None:
            _unauthorized("Invalid authenticity token")
        signed = f"{credentials['merchant_key']}{sent['temp_card_id']}{sent['timestamp']}"
        if hashlib.sha512(signed.encode()).hexdigest() != sent["digest"]:
            _unauthorized("Invalid digest")
        body = {"id": sent["temp_card_id"], "masked_pan": cards.masked(number)}
        return _approved(body | {"cc_type": cards.brand(number).lower(), "cc_issuer": "SIMULATED BANK"})


def _approved(body: JsonObject) -> Response:
    return json_response(200, {"status": "approved", **body})


def _invalid(message: str) -> NoReturn:
    raise GatewayRefusal(400, {"status": "invalid-request", "message": message})


def _not_found() -> NoReturn:
    raise GatewayRefusal(404, {"status": "invalid-request", "message": "Customer not found"})


def _unauthorized(message: str) -> NoReturn:
    raise GatewayRefusal(401, {"status": "error", "message": message})


def _object(request: ReceivedRequest) -> JsonObject:
    body = request.json()
    if not isinstance(body, dict):
        _invalid("Request body must be a JSON object")
    return body


def _validated(sent: JsonObject) -> JsonObject:
    known: JsonObject = {}
    for field, (shortest, longest) in _LENGTHS.items():
        if field not in sent:
            continue
        value = sent[field]
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if value is not None and not (isinstance(value, str) and shortest <= len(value) <= longest):
            _invalid(f"{field} must be a string of {shortest} to {longest} characters")
        known[field] = value
    if "metadata" in sent:
        if not isinstance(sent["metadata"], dict | None):
            _invalid("metadata must be an object")
        known["metadata"] = sent["metadata"]
    return known


def _merge(body: JsonObject, sent: JsonObject) -> None:
    metadata = {} if sent.get("metadata", body) is None else body["metadata"] | (sent.get("metadata") or {})
    body |= sent
    body["metadata"] = {key: value for key, value in metadata.items() if value is not None}


def _paging(request: ReceivedRequest) -> tuple[int, int]:
    limit, offset = request.number("limit", 50), request.number("offset", 0)
    if limit is None or offset is None:
        _invalid("limit and offset must be integers")
    return limit, offset


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


SIMULATOR = MonriSimulator

"""A simulated Paydock customer API, implemented from Paydock's documentation."""

import secrets
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import ClassVar

from starlette.responses import Response
from starlette.routing import Route

from wonder_customers.dialects.paydock import simulator_bodies as bodies
from wonder_customers.dialects.paydock.quirks import QUIRKS, STALE_INDEX, STALE_SECONDS
from wonder_customers.dialects.paydock.simulator_keys import PRIVATE, PUBLIC, merchant_of, received_credentials, report
from wonder_customers.simulator.authentication import AuthenticationReport
from wonder_customers.simulator.gateway import JsonObject, ReceivedRequest, SimulatedGateway, json_response
from wonder_customers.simulator.quirks import Quirk
from wonder_customers.simulator.store import Condition, StoredCustomer, StoredRecord

_CUSTOMERS = "/v1/customers"

_EQUAL = {"status": "status", "company_name": "company_name", "gateway_id": "payment_sources.gateway_id"}
_SORTED = frozenset({*bodies.TEXTS, "updated_at", "email", "status"})


# The file ``facts.toml`` lists documented facts with their sources. Choices where the documentation is silent or
# contradicts itself:
#
# * A create with neither a source nor a token creates a customer without sources, because users of the official clients
#   do that, although the documentation marks `payment_source` as required.
# * An unknown id causes 404. A malformed id is refused with 400 (`id must be a mongodb id`, newer recordings), or with
#   404, which the test of the .NET client expects, if `malformed_id_status` is 404.
# * Null clears an optional field. A `limit` above 1000 counts as 1000, a malformed value as the default. An unknown
#   `sortkey` counts as `created_at`.
# * An archived customer can be read but not updated; archiving it again has the same response. An archived payment
#   source is removed from the customer. If it was the default, the first remaining source becomes the default.
# * The expiry of a card is not compared with the current date, because official tests use past years.


class PaydockSimulator(SimulatedGateway):
    """Paydock's customers, payment sources, vault and one-time tokens."""

    name: ClassVar[str] = "paydock"
    prefix: ClassVar[str] = "/v1"
    known_quirks: ClassVar[tuple[Quirk, ...]] = QUIRKS
    customer_keys: ClassVar[frozenset[str]] = frozenset({"_id", "archived"})

    fuzzy_reference: bool = False
    """Whether the `reference` filter matches every reference that contains its value, ignoring case."""
    index_lag: float = 0
    """The number of seconds for which a new customer does not appear in lists."""
    malformed_id_status: int = 400
    """The status for an id that is not 24 hexadecimal digits: 400 or 404."""
    token_lifetime: float = 3 * 3600
    """The lifetime of a one-time token in seconds."""

    @property
    def routes(self) -> list[Route]:
        """All endpoints of the customer API."""
        one, sources = _CUSTOMERS + "/{id}", "/v1/vault/payment_sources"
        return [
            self.route(_CUSTOMERS, POST=self._create, GET=self._list),
            self.open_route(f"{_CUSTOMERS}/payment_sources", GET=self._find_sources),
            self.route(one, GET=self._get, POST=self._update, DELETE=self._archive),
            self.route(one + "/payment_sources/{source}", POST=self._modify_source, DELETE=self._archive_source),
            self.route(sources, POST=self._create_vault, GET=self._list_vault),
            self.route(sources + "/{token}", GET=self._get_vault),
            self.route("/v1/vault-tokens/{token}", GET=self._get_vault),
            self.open_route("/v1/payment_sources/tokens", POST=self._create_token),
        ]

    # Merchants and keys

    def new_credentials(self, *, first: bool) -> tuple[str, dict[str, str]]:
        """Return a new company id and its keys."""
        company = secrets.token_hex(12)
        return company, {
            "secret_key": secrets.token_hex(20),
            "public_key": secrets.token_hex(20),
            "access_token": bodies.json_web_token({"company_id": company}),
        }

    def variables(self, credentials: Mapping[str, str], origin: str) -> dict[str, str]:
        """Return the environment variables of one merchant."""
        return {
            "PAYDOCK_BASE_URL": f"{origin}/v1/",
            "PAYDOCK_SECRET_KEY": credentials["secret_key"],
            "PAYDOCK_PUBLIC_KEY": credentials["public_key"],
        }

    def access_token(self) -> str:
        """Return the first merchant's access token."""
        return next(iter(self.merchants.values()))["access_token"]

    def authenticate(self, request: ReceivedRequest) -> str:
        """Return the company id of the request's secret key or access token."""
        return self._merchant(request, PRIVATE)

    def _merchant(self, request: ReceivedRequest, kinds: Sequence[str]) -> str:
        received = received_credentials(request)
        merchant = merchant_of(received, self.merchants, kinds)
        if merchant is not None:
            return merchant
        if "secret_key" in received:
            return bodies.unknown_key()
        if "public_key" in received and "public_key" in kinds:
            return bodies.fail(403, "Access forbidden", "invalid_public_key", kind="authorization")
        return bodies.fail(403, "Access forbidden", "token_required")

    def explain(self, request: ReceivedRequest, now: float) -> AuthenticationReport:
        """Return a report on the check of a request's credentials."""
        del now
        return report(request, self.merchants)

    def wrong_path(self, status: int) -> Response:
        """Return the response to an unknown path or method."""
        error, resource = {"message": "Wrong Api path"}, {"type": "path", "data": None}
        return json_response(
            404, {"status": 404, "error": error, "resource": resource}, {"x-original-status": str(status)}
        )

    # Customers

    def _create(self, request: ReceivedRequest, merchant: str) -> Response:
        sent = bodies.json_object(request)
        now = self.clock()
        body: JsonObject = {
            "_id": f"{int(now):08x}{secrets.token_hex(8)}",
            "__v": 0,
            "_source_ip_address": "127.0.0.1",
            "company_id": merchant,
            "user_id": merchant,
            "status": "active",
            "archived": False,
            "created_at": _time(now),
            "statistics": {"total_collected_amount": 0, "successful_transactions": 0},
            "_service": {},
            "payment_sources": [],
        }
        with self.store.transaction():
            self._apply(merchant, body, sent)
            self._save(merchant, body, now, "created")
        return bodies.success(201, "customer", body)

    def _update(self, request: ReceivedRequest, merchant: str) -> Response:
        held = self._held(request, merchant)
        if held.deleted:
            bodies.fail(400, "Customer is archived", "unfulfilled_condition")
        with self.store.transaction():
            self._apply(merchant, held.body, bodies.json_object(request))
            self._save(merchant, held.body, held.created, "updated")
        return bodies.success(200, "customer", held.body)

    def _archive(self, request: ReceivedRequest, merchant: str) -> Response:
        held = self._held(request, merchant)
        if not held.deleted:
            held.body["archived"] = True
            self._save(merchant, held.body, held.created, "deleted")
        return bodies.success(200, "customer", held.body)

    def _apply(self, merchant: str, body: JsonObject, sent: JsonObject) -> None:
        source, owner = self._sent_source(merchant, sent)
        for field, value in {**owner, **bodies.own_fields(sent)}.items():
            if value is None:
                body.pop(field, None)
            else:
                body[field] = value
        if source:
            body["payment_sources"].append(source)
            body["default_source"] = source["_id"]
            body["_service"].setdefault("default_gateway_id", source.get("gateway_id"))
        default = sent.get("default_source")
        if any(held["_id"] == default for held in body["payment_sources"]):
            body["default_source"] = default

    def _sent_source(self, merchant: str, sent: JsonObject) -> tuple[JsonObject | None, JsonObject]:
        """Return the payment source in a request, and the data of its owner."""
        if sent.get("token"):
            return self._redeem(merchant, sent["token"])
        details = sent.get("payment_source")
        if not details:
            return None, {}
        if not isinstance(details, dict):
            bodies.invalid("payment_source", "payment_source must be an object")
        if "vault_token" in details:
            vault = self._vault(merchant, details["vault_token"], "payment_source.vault_token")
            gateway = bodies.checked_gateway(details, "payment_source.")
            kept = {key: value for key, value in vault.body.items() if key not in bodies.VAULT_ONLY}
            details = {**kept, **bodies.address_fields(details), "gateway_id": gateway}
            return self._new_source(details), {}
        return self._new_source(bodies.checked_source(details, "payment_source.")), {}

    def _redeem(self, merchant: str, token: object) -> tuple[JsonObject, JsonObject]:
        record = self.store.record(self.name, merchant, "one-time", str(token))
        if record is None or record.created + self.token_lifetime <= self.clock():
            bodies.unknown_token()
        self.store.delete_record(self.name, merchant, "one-time", record.id)
        return self._new_source(record.body["source"]), record.body["owner"]

    def _new_source(self, details: JsonObject) -> JsonObject:
        now = _time(self.clock())
        times = {"created_at": now, "updated_at": now}
        source = {"_id": secrets.token_hex(12), "status": "active", "ref_token": secrets.token_hex(8), **times}
        return {key: value for key, value in {**details, **source}.items() if value is not None}

    def _save(self, merchant: str, body: JsonObject, created: float, action: str) -> None:
        now = self.clock()
        body["updated_at"] = _time(now)
        customer = StoredCustomer(body["_id"], body.get("reference"), body["archived"], created, body)
        self.store.save_customer(self.name, merchant, customer, action, now)

    def _held(self, request: ReceivedRequest, merchant: str) -> StoredCustomer:
        customer_id = request.segments["id"]
        if not bodies.MONGODB_ID.fullmatch(customer_id) and self.malformed_id_status == 400:
            bodies.invalid("id", "id must be a mongodb id")
        return self.store.customer(self.name, merchant, customer_id) or bodies.not_found()

    def _get(self, request: ReceivedRequest, merchant: str) -> Response:
        return bodies.success(200, "customer", self._held(request, merchant).body)

    def _list(self, request: ReceivedRequest, merchant: str) -> Response:
        query = request.query
        limit, skip = bodies.paging(request)
        order = query.get("sortkey", "")
        found, count = self.store.select(
            self.name,
            merchant,
            self._conditions(query),
            order=order if order in _SORTED else "created",
            descending=query.get("sortdirection", "DESC").upper() != "ASC",
            limit=limit,
            offset=skip,
        )
        token = bodies.signed_token(dict(query), self.merchants[merchant]["secret_key"])
        resource = {"count": count, "limit": limit, "skip": skip, "query_token": token}
        return bodies.success(200, "customer", [customer.body for customer in found], resource)

    def _conditions(self, query: Mapping[str, str]) -> list[Condition]:
        conditions = [Condition(("deleted",), "eq", int(query.get("archived", "").lower() in {"true", "1"}))]
        conditions += [Condition((_EQUAL[name],), "eq", value) for name, value in query.items() if name in _EQUAL]
        if "id" in query:
            conditions.append(Condition(("id",), "eq", query["id"]))
        if "payment_source_id" in query:
            conditions.append(Condition(("payment_sources._id",), "eq", query["payment_source_id"]))
        if "reference" in query:
            comparison = "contains" if self.fuzzy_reference else "eq"
            conditions.append(Condition(("reference",), comparison, query["reference"]))
        if "search" in query:
            fields = ("first_name", "last_name", "email", "company_name")
            conditions.append(Condition(fields, "contains", query["search"]))
        lag = max(self.index_lag, STALE_SECONDS if STALE_INDEX in self.quirks else 0)
        if lag:
            conditions.append(Condition(("created",), "lte", self.clock() - lag))
        return conditions

    # Payment sources

    def _find_sources(self, request: ReceivedRequest) -> Response:
        merchant = self._merchant(request, PUBLIC)
        query = bodies.token_content(request.query.get("query_token", ""), self.merchants[merchant]["secret_key"])
        if query is None:
            bodies.invalid("query_token", "query_token is invalid")
        limit, skip = bodies.paging(request)
        customers, _ = self.store.select(self.name, merchant, self._conditions(query), descending=True)
        listed = [
            bodies.listed_source(source, customer.body)
            for customer in customers
            for source in customer.body["payment_sources"]
        ]
        gateway = request.query.get("gateway_id")
        listed = [source for source in listed if gateway in {None, source.get("gateway_id")}]
        resource = {"count": len(listed), "limit": limit, "skip": skip}
        return bodies.success(200, "payment_source", listed[skip : skip + limit], resource)

    def _source(self, request: ReceivedRequest, customer: StoredCustomer) -> JsonObject:
        sources: list[JsonObject] = customer.body["payment_sources"]
        found = next((source for source in sources if source["_id"] == request.segments["source"]), None)
        return found or bodies.not_found()

    def _modify_source(self, request: ReceivedRequest, merchant: str) -> Response:
        held = self._held(request, merchant)
        source = self._source(request, held)
        vault = self._vault(merchant, bodies.json_object(request).get("vault_token"), "vault_token")
        source |= {**vault.body, "updated_at": _time(self.clock())}
        self._save(merchant, held.body, held.created, "updated")
        return bodies.success(200, "customer", held.body)

    def _archive_source(self, request: ReceivedRequest, merchant: str) -> Response:
        held = self._held(request, merchant)
        body, source = held.body, self._source(request, held)
        body["payment_sources"].remove(source)
        if body.get("default_source") == source["_id"]:
            del body["default_source"]
            if body["payment_sources"]:
                body["default_source"] = body["payment_sources"][0]["_id"]
        self._save(merchant, body, held.created, "updated")
        return bodies.success(200, "customer", body)

    # Vault and one-time tokens

    def _vault(self, merchant: str, token: object, path: str) -> StoredRecord:
        record = self.store.record(self.name, merchant, "vault", token) if isinstance(token, str) else None
        if record is None:
            bodies.invalid(path, f"{path} is not a known vault token")
        return record

    def _create_vault(self, request: ReceivedRequest, merchant: str) -> Response:
        sent, now = bodies.json_object(request), _time(self.clock())
        if sent.get("token"):
            source, owner = self._redeem(merchant, sent["token"])
            details = {key: value for key, value in source.items() if key not in {"_id", "gateway_id", "ref_token"}}
        else:
            details, owner = bodies.checked_source(sent, ""), bodies.owner_fields(sent)
        details.pop("gateway_id", None)
        body = {**details, **owner, "status": "active", "company_id": merchant, "vault_type": "session"}
        body |= {"vault_token": str(uuid.uuid4()), "created_at": now, "updated_at": now}
        body |= {"_source_ip_address": "127.0.0.1"}
        self.store.save_record(
            self.name, merchant, "vault", StoredRecord(body["vault_token"], None, self.clock(), body)
        )
        return bodies.success(201, "payment_source", body)

    def _list_vault(self, request: ReceivedRequest, merchant: str) -> Response:
        limit, skip = bodies.paging(request)
        listed = [record.body for record in self.store.records(self.name, merchant, "vault")[::-1]]
        resource = {"count": len(listed), "limit": limit, "skip": skip}
        return bodies.success(200, "payment_source", listed[skip : skip + limit], resource)

    def _get_vault(self, request: ReceivedRequest, merchant: str) -> Response:
        record = self.store.record(self.name, merchant, "vault", request.segments["token"])
        return bodies.success(200, "payment_source", (record or bodies.not_found()).body)

    def _create_token(self, request: ReceivedRequest) -> Response:
        merchant = self._merchant(request, PUBLIC)
        sent = bodies.json_object(request)
        details = bodies.checked_token_source(sent)
        body = {"source": details, "owner": bodies.owner_fields(sent)}
        token = str(uuid.uuid4())
        self.store.save_record(self.name, merchant, "one-time", StoredRecord(token, None, self.clock(), body))
        return bodies.success(201, "token", token)


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


SIMULATOR = PaydockSimulator

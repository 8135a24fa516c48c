"""Paydock: account, endpoints and how its two kinds of error are read.

Sources: Paydock's ``POST /v1/customers`` and its API reference; answers, update and archive as Paydock's own clients do
them; the error bodies as recorded in public test suites.
"""

from collections.abc import Callable, Mapping
from os import environ
from typing import Any, ClassVar, Literal, TypeVar

import orjson
from attrs import evolve, field, frozen
from attrs.converters import optional

from wonder_customers.dialects.base import (
    Call,
    Dialect,
    Steps,
    credential,
    endpoint,
    key_text,
    one,
    segment,
    settings,
    unsafe_in_path,
)
from wonder_customers.dialects.field_rules import refuse
from wonder_customers.dialects.pagination import offset_of, offset_page, query
from wonder_customers.dialects.paydock import codec
from wonder_customers.dialects.paydock.errors import refused
from wonder_customers.dialects.responses import another, json_object, loose_object, matching, same_id
from wonder_customers.errors import (
    AmbiguousReferenceError,
    ConfigurationError,
    InvalidRecordError,
    InvalidResponseError,
    NotFoundError,
    Violation,
)
from wonder_customers.records import (
    Customer,
    CustomerDraft,
    CustomerPatch,
    Page,
    PaymentSource,
    PaymentToken,
)
from wonder_customers.secret import Secret, concealed, guarded
from wonder_customers.wire import Header, HttpRequest, HttpResponse, Replay

__all__ = ["ACCOUNT", "Paydock"]

T = TypeVar("T")


@guarded
@frozen
class Paydock:
    """A merchant's account at Paydock or one of its white labels.

    Attributes:
        secret_key: The secret key. Give this or `access_token`.
        access_token: An access token with chosen permissions.
        base_url: Where the gateway listens, its ``/v1/`` included; the sandbox unless you name another, such as
            `Paydock.PRODUCTION`.

    Raises:
        ConfigurationError: Not exactly one credential was given, it cannot stand in a header, or the URL is not https.
    """

    SANDBOX: ClassVar[str] = "https://api-sandbox.paydock.com/v1/"
    PRODUCTION: ClassVar[str] = "https://api.paydock.com/v1/"
    deletes_customers: ClassVar[Literal[True]] = True
    stores_payment_tokens: ClassVar[Literal[True]] = True

    secret_key: Secret | None = field(default=None, converter=optional(key_text))
    access_token: Secret | None = field(default=None, converter=optional(key_text), kw_only=True)
    base_url: str = field(default=SANDBOX, kw_only=True)

    def __attrs_post_init__(self) -> None:
        if (self.secret_key is None) == (self.access_token is None):
            raise ConfigurationError("give either secret_key or access_token")
        for name in ("secret_key", "access_token"):
            value: Secret | None = getattr(self, name)
            if value is not None:
                credential(name, value)
        endpoint(self.base_url)

    @classmethod
    @concealed
    def from_environment(cls, variables: Mapping[str, str] = environ) -> "Paydock":
        """The account in ``PAYDOCK_SECRET_KEY`` or ``PAYDOCK_ACCESS_TOKEN``, and ``PAYDOCK_BASE_URL``.

        Raises:
            ConfigurationError: Neither of the two is set, or both are, or one cannot work.
        """
        given = settings(variables, "PAYDOCK_SECRET_KEY", "PAYDOCK_ACCESS_TOKEN", "PAYDOCK_BASE_URL")
        key, token = given.get("PAYDOCK_SECRET_KEY"), given.get("PAYDOCK_ACCESS_TOKEN")
        if key and token:
            raise ConfigurationError("PAYDOCK_SECRET_KEY and PAYDOCK_ACCESS_TOKEN are both set: unset one of them")
        if not key and not token:
            raise ConfigurationError("set either PAYDOCK_SECRET_KEY or PAYDOCK_ACCESS_TOKEN in the environment")
        return cls(key, access_token=token, base_url=given.get("PAYDOCK_BASE_URL", cls.SANDBOX))

    def dialect(self) -> "PaydockDialect":
        """The dialect that speaks for this account."""
        return PaydockDialect(self)


ACCOUNT = Paydock


class PaydockDialect(Dialect):
    """Paydock's way of speaking.

    References are not unique and the list's filter is a search, so references are compared exactly here and two
    hits are an `AmbiguousReferenceError` error. Deleting archives. Payment tokens are the customer's payment sources.
    """

    gateway = "paydock"
    page_limit = 100

    def __init__(self, account: Paydock) -> None:
        super().__init__(account.base_url)
        if account.secret_key is not None:
            self._headers = ((b"x-user-secret-key", account.secret_key.reveal().encode("ascii")),)
        elif account.access_token is not None:
            self._headers = ((b"x-access-token", account.access_token.reveal().encode("ascii")),)

    def headers(self, request: HttpRequest, now: float, nonce: str, bearer: Secret | None) -> tuple[Header, ...]:
        """The key or the token; nothing is signed."""
        return self._headers

    def create(self, draft: CustomerDraft) -> Steps[Customer]:
        """``POST /customers``."""
        self.validate(draft)
        return one(self._create(draft))

    def upsert(self, draft: CustomerDraft) -> Steps[Customer]:
        """Look the reference up, then create or update. Without a reference there is nothing to look up: a create.

        A payment source in the draft is added to an existing customer each time.
        """
        self.validate(draft)
        return self._upsert(draft)

    def _upsert(self, draft: CustomerDraft) -> Steps[Customer]:
        if draft.reference is not None:
            try:
                held = yield from self._by_reference(draft.reference)
                return (yield from one(self._write(held.id, draft)))
            except NotFoundError as missing:
                if missing.id is not None:
                    raise
        return (yield from one(self._create(draft)))

    def get(self, id: str) -> Steps[Customer]:
        """``GET /customers/{id}``."""
        return one(self._by_id(id))

    def get_by_reference(self, reference: str) -> Steps[Customer]:
        """``GET /customers?reference=``, all pages, compared exactly.

        Raises:
            AmbiguousReferenceError: More than one customer holds the reference.
            InvalidRecordError: The reference is no text that could be one.
        """
        broken = unsafe_in_path(reference, 255)
        if broken:
            raise InvalidRecordError(self.gateway, [Violation("reference", "reference", broken)])
        return self._by_reference(reference)

    def _by_reference(self, reference: str) -> Steps[Customer]:
        hits: dict[str, Customer] = {}
        cursor: str | None = "0"
        while cursor is not None:
            page = yield from one(self._page_call(1000, int(cursor), {"reference": reference}, reference))
            before = len(hits)
            hits |= {it.id: it for it in page.items if it.reference == reference and not it.deleted}
            # A page without news ends the walk, so that a gateway that ignores `skip` cannot keep it going.
            cursor = page.cursor if len(hits) > before or any(it.reference != reference for it in page.items) else None
        if not hits:
            raise NotFoundError("no customer holds this reference", status=404, reference=reference)
        if len(hits) > 1:
            raise AmbiguousReferenceError(
                f"{len(hits)} customers hold this reference: {', '.join(hits)}",
                ids=tuple(hits),
                reference=reference,
            )
        return next(iter(hits.values()))

    def update(self, id: str, patch: CustomerPatch) -> Steps[Customer]:
        """``POST /customers/{id}``: what the patch does not name stays; a payment source is added to the others."""
        refuse(self.gateway, codec.broken_limits(patch))
        return one(self._write(id, patch))

    def delete(self, id: str) -> Steps[None]:
        """``DELETE /customers/{id}``: archives the customer."""
        request = HttpRequest("DELETE", f"{self.prefix}/customers/{segment(self.gateway, 'id', id)}", "/customers/{id}")
        return one(Call(request, Replay.IDEMPOTENT, _archived(id), id=id, not_found_is_success=True))

    def page(self, limit: int, cursor: str | None, filters: Mapping[str, str]) -> Steps[Page[Customer]]:
        """``GET /customers?limit=&skip=`` (1000 at most), with the gateway's filters, such as ``{"search": "Ada"}``."""
        return one(self._page_call(limit, offset_of(self.gateway, cursor), filters, None))

    def _page_call(
        self, limit: int, skip: int, filters: Mapping[str, str], reference: str | None
    ) -> Call[Page[Customer]]:
        target = f"{self.prefix}/customers{query(self.gateway, {'limit': limit, 'skip': skip}, filters)}"

        def decode(reply: HttpResponse) -> Page[Customer]:
            resource = _accepted(reply)
            data, count = resource.get("data"), resource.get("count")
            if not isinstance(data, list):
                raise InvalidResponseError("the list's data is no list", status=reply.status)
            items = [codec.read_customer(item, reply.status) for item in data]
            total = count if type(count) is int and count >= 0 else None
            return offset_page(items, skip, limit, promised=1000, total=total)

        return Call(HttpRequest("GET", target, "/customers"), Replay.READ, decode, reference=reference)

    def list_payment_tokens(self, customer_id: str) -> Steps[tuple[PaymentToken, ...]]:
        """The payment sources in ``GET /customers/{id}``."""
        return self._sources(self._by_id(customer_id))

    def _sources(self, read: Call[Customer]) -> Steps[tuple[PaymentToken, ...]]:
        customer = yield from one(read)
        return customer.payment_tokens

    def create_payment_token(self, customer_id: str, source: PaymentSource) -> Steps[PaymentToken]:
        """``POST /customers/{id}`` with the source, which is added to the others.

        Raises:
            InvalidRecordError: It is no card, one-time or vault token, or breaks their documented limits.
        """
        if not codec.adds_source(source):
            raise InvalidRecordError(
                self.gateway,
                [Violation("payment_source", "payment_source", "must be a card, a one-time or a vault token")],
            )
        patch = CustomerPatch(payment_source=source)
        refuse(self.gateway, codec.broken_limits(patch))
        return self._add_source(customer_id, patch)

    def _add_source(self, customer_id: str, patch: CustomerPatch) -> Steps[PaymentToken]:
        before = yield from one(self._by_id(customer_id))
        after = yield from one(self._write(customer_id, patch))
        known = {token.token for token in before.payment_tokens}
        added = [token for token in after.payment_tokens if token.token not in known]
        if not added:
            raise InvalidResponseError(
                "the answer does not show the added payment source", applied="yes", id=customer_id
            )
        return added[-1]

    def check_payment_token(self, customer_id: str, token: PaymentToken) -> Steps[PaymentToken]:
        """The payment source with this id, in ``GET /customers/{id}``."""
        segment(self.gateway, "token", token.token)
        return self._source(self._by_id(customer_id), token)

    def _source(self, read: Call[Customer], token: PaymentToken) -> Steps[PaymentToken]:
        customer = yield from one(read)
        found = next((it for it in customer.payment_tokens if it.token == token.token), None)
        if found is None:
            raise NotFoundError("the customer has no such payment source", status=404, id=customer.id)
        return found

    def delete_payment_token(self, customer_id: str, token: PaymentToken) -> Steps[None]:
        """``DELETE /customers/{id}/payment_sources/{payment_source_id}``: archives the source."""
        customer, source = (
            segment(self.gateway, "customer_id", customer_id),
            segment(self.gateway, "token", token.token),
        )
        target = f"{self.prefix}/customers/{customer}/payment_sources/{source}"
        request = HttpRequest("DELETE", target, "/customers/{id}/payment_sources/{payment_source_id}")
        return one(Call(request, Replay.IDEMPOTENT, _done, id=customer_id, not_found_is_success=True))

    def validate(self, draft: CustomerDraft) -> None:
        """Raise `InvalidRecordError` when the gateway cannot take `draft`."""
        refuse(self.gateway, codec.broken_limits(draft))

    def payload(self, draft: CustomerDraft) -> dict[str, Any]:
        """The customer's fields as `draft` puts them on the wire."""
        return codec.customer_body(evolve(draft, payment_source=None))

    def differences(self, draft: CustomerDraft, customer: Customer) -> tuple[str, ...]:
        """The fields of `draft` that the gateway's answer does not repeat."""
        return codec.differences(draft, customer)

    def _create(self, draft: CustomerDraft) -> Call[Customer]:
        reference = draft.reference
        body = orjson.dumps(codec.customer_body(draft))
        request = HttpRequest("POST", f"{self.prefix}/customers", "/customers", body)
        if reference is None:
            return Call(request, Replay.NONE, _written)
        return Call(
            request,
            Replay.LOOKUP,
            matching("reference", reference, _written),
            lookup=lambda: self._by_reference(reference),
            mismatches=lambda customer: codec.differences(draft, customer, strict=False),
            reference=reference,
        )

    def _write(self, id: str, record: CustomerDraft | CustomerPatch) -> Call[Customer]:
        place = segment(self.gateway, "id", id)
        body = orjson.dumps(codec.customer_body(record))
        request = HttpRequest("POST", f"{self.prefix}/customers/{place}", "/customers/{id}", body)
        if codec.adds_source(record.payment_source):
            return Call(request, Replay.NONE, matching("id", id, _written), id=id)
        return Call(
            request, Replay.IDEMPOTENT, matching("id", id, _written), lookup=lambda: one(self._by_id(id)), id=id
        )

    def _by_id(self, id: str) -> Call[Customer]:
        request = HttpRequest("GET", f"{self.prefix}/customers/{segment(self.gateway, 'id', id)}", "/customers/{id}")
        return Call(request, Replay.READ, matching("id", id, _customer), id=id)


def _accepted(reply: HttpResponse) -> dict[str, Any]:
    """The ``resource`` of an accepted answer: HTTP 2xx and no error object."""
    body = loose_object(reply.body) if reply.status >= 400 else json_object("Paydock", reply)
    if reply.status >= 400 or body.get("error") or body.get("error_summary"):
        raise refused(reply.status, body)
    resource = body.get("resource")
    if not isinstance(resource, dict):
        raise InvalidResponseError("the answer has no resource object", status=reply.status, applied="unknown")
    return resource


def _customer(reply: HttpResponse) -> Customer:
    data = _accepted(reply).get("data")
    if data is None:
        raise NotFoundError("the answer holds no customer", status=reply.status)
    return codec.read_customer(data, reply.status)


def _written(reply: HttpResponse) -> Customer:
    return codec.read_customer(_accepted(reply).get("data"), reply.status)


def _archived(id: str) -> Callable[[HttpResponse], None]:
    """Reads the answer to an archive, which may hold the customer."""

    def decode(reply: HttpResponse) -> None:
        if not reply.body.strip() and reply.status < 300:
            return
        data = _accepted(reply).get("data")
        answered = data.get("_id") if isinstance(data, dict) else None
        if answered is not None and not same_id(id, answered):
            raise another("customer", "_id", reply)

    return decode


def _done(reply: HttpResponse) -> None:
    if reply.body.strip() or reply.status >= 300:
        _accepted(reply)

"""Monri / WebPay: account, endpoints and what the gateway cannot do.

Sources: Monri's "Customers API" and "Requirements - API v2"; OAuth as Monri's own Ruby and PHP clients do it.
"""

import re
from collections.abc import Callable, Mapping
from os import environ
from typing import Any, ClassVar, Literal, TypeVar

import orjson
from attrs import field, frozen

from wonder_customers.dialects.base import (
    AccessToken,
    Call,
    Dialect,
    Operation,
    Steps,
    credential,
    endpoint,
    key_text,
    one,
    segment,
    settings,
)
from wonder_customers.dialects.field_rules import UUID, refuse
from wonder_customers.dialects.monri import codec
from wonder_customers.dialects.monri.signing import authorization
from wonder_customers.dialects.pagination import offset_of, offset_page, query
from wonder_customers.dialects.responses import another, json_object, loose_object, matching, refusal, same_id, text_of
from wonder_customers.errors import (
    ConfigurationError,
    ConflictError,
    InvalidResponseError,
    NotFoundError,
    UnsupportedOperationError,
)
from wonder_customers.records import Customer, CustomerDraft, CustomerPatch, Page, PaymentToken
from wonder_customers.secret import Secret, concealed, guarded
from wonder_customers.wire import Header, HttpRequest, HttpResponse, Replay

__all__ = ["ACCOUNT", "Monri"]

T = TypeVar("T")


@guarded
@frozen
class Monri:
    """A merchant's account at Monri / WebPay.

    Attributes:
        merchant_key: The merchant's secret key.
        authenticity_token: The merchant's public token.
        auth: ``digest`` signs every request (``WP3-v2.1``, documented); ``oauth`` fetches a bearer token first, as
            Monri's own client libraries do.
        base_url: Where the gateway listens; the test gateway unless you name another, such as `Monri.PRODUCTION`.

    Raises:
        ConfigurationError: A credential cannot stand in a header, `auth` is unknown, or the URL is not https.
    """

    SANDBOX: ClassVar[str] = "https://ipgtest.monri.com"
    PRODUCTION: ClassVar[str] = "https://ipg.monri.com"
    deletes_customers: ClassVar[Literal[True]] = True

    merchant_key: Secret = field(converter=key_text)
    authenticity_token: Secret = field(converter=key_text)
    auth: Literal["digest", "oauth"] = "digest"
    base_url: str = SANDBOX

    def __attrs_post_init__(self) -> None:
        credential("merchant_key", self.merchant_key)
        credential("authenticity_token", self.authenticity_token)
        if self.auth not in ("digest", "oauth"):
            raise ConfigurationError('auth must be "digest" or "oauth"')
        endpoint(self.base_url)

    @classmethod
    @concealed
    def from_environment(cls, variables: Mapping[str, str] = environ) -> "Monri":
        """The account in ``MONRI_MERCHANT_KEY``, ``MONRI_AUTHENTICITY_TOKEN``, ``MONRI_AUTH``, ``MONRI_BASE_URL``.

        Raises:
            ConfigurationError: A variable is missing, named in the message, or cannot work.
        """
        required = ("MONRI_MERCHANT_KEY", "MONRI_AUTHENTICITY_TOKEN")
        given = settings(variables, "MONRI_AUTH", "MONRI_BASE_URL", required=required)
        auth: Any = given.get("MONRI_AUTH", "digest")
        key, token = (Secret(given[name]) for name in required)
        return cls(key, token, auth=auth, base_url=given.get("MONRI_BASE_URL", cls.SANDBOX))

    def dialect(self) -> "MonriDialect":
        """The dialect that speaks for this account."""
        return MonriDialect(self)


ACCOUNT = Monri

_NO_TOKENS = "cards are saved by paying (tokenize_pan), there is no server endpoint for it"


class MonriDialect(Dialect):
    """Monri's way of speaking.

    Creating is no upsert: a second ``merchant_customer_id`` is refused (HTTP 400), which makes a lost create settleable
    by looking the reference up. The greatest ``limit`` of a list is not documented; 50 is its default.
    """

    gateway = "monri"
    page_limit = 50
    unsupported_operations: ClassVar[Mapping[Operation, str]] = {
        Operation.CREATE_PAYMENT_TOKEN: _NO_TOKENS,
        Operation.CHECK_PAYMENT_TOKEN: _NO_TOKENS,
        Operation.DELETE_PAYMENT_TOKEN: _NO_TOKENS,
    }

    def __init__(self, account: Monri) -> None:
        super().__init__(account.base_url)
        self._account = account

    def headers(self, request: HttpRequest, now: float, nonce: str, bearer: Secret | None) -> tuple[Header, ...]:
        """The digest over this request, or the bearer token."""
        if bearer is not None:
            return ((b"Authorization", b"Bearer " + bearer.reveal().encode("ascii")),)
        key, token = self._account.merchant_key.reveal(), self._account.authenticity_token.reveal()
        return ((b"Authorization", authorization(key, str(int(now)), token, request.target, request.body)),)

    def token_call(self) -> Call[AccessToken] | None:
        """``POST /v2/oauth`` for both scopes that the customer endpoints use. ``expires_in`` is read as seconds."""
        if self._account.auth != "oauth":
            return None
        body = {
            "client_id": self._account.authenticity_token.reveal(),
            "client_secret": self._account.merchant_key.reveal(),
            "grant_type": "client_credentials",
            "scopes": ["customers", "payment-methods"],
        }
        return Call(self._request("POST", "/v2/oauth", "/v2/oauth", body), Replay.READ, _access_token, signed=False)

    def create(self, draft: CustomerDraft) -> Steps[Customer]:
        """``POST /v2/customers``."""
        self.validate(draft)
        return one(self._create(draft))

    def upsert(self, draft: CustomerDraft) -> Steps[Customer]:
        """Look the reference up, then create or update. Without a reference there is nothing to look up: a create."""
        self.validate(draft)
        return self._upsert(draft)

    def _upsert(self, draft: CustomerDraft) -> Steps[Customer]:
        held: Customer | None = None
        if draft.reference is not None:
            try:
                held = yield from one(self._by_reference(draft.reference))
            except NotFoundError:
                held = None
        if held is None:
            try:
                return (yield from one(self._create(draft)))
            except ConflictError:
                # Somebody else made it between the look-up and the create, or a lost create of ours was not it.
                held = yield from one(self._by_reference(draft.reference or ""))
        return (yield from one(self._write(held.id, codec.customer_body(draft), draft.reference)))

    def get(self, id: str) -> Steps[Customer]:
        """``GET /v2/customers/{uuid}``."""
        return one(self._by_id(id))

    def get_by_reference(self, reference: str) -> Steps[Customer]:
        """``GET /v2/merchants/customers/{merchant_customer_id}``."""
        return one(self._by_reference(reference))

    def update(self, id: str, patch: CustomerPatch) -> Steps[Customer]:
        """``POST /v2/customers/{uuid}``: what the patch does not name stays."""
        refuse(self.gateway, codec.broken_limits(patch))
        return one(self._write(id, codec.customer_body(patch), None))

    def delete(self, id: str) -> Steps[None]:
        """``DELETE /v2/customers/{uuid}``: a soft delete."""
        place = segment(self.gateway, "id", id)
        request = self._request("DELETE", f"/v2/customers/{place}", "/v2/customers/{uuid}")
        return one(Call(request, Replay.IDEMPOTENT, _deleted(id), id=id, not_found_is_success=True))

    def page(self, limit: int, cursor: str | None, filters: Mapping[str, str]) -> Steps[Page[Customer]]:
        """``GET /v2/customers?limit=&offset=``, newest first.

        Raises:
            UnsupportedOperationError: There are `filters`: the document knows none.
        """
        if filters:
            raise UnsupportedOperationError(self.gateway, "filter on lists", "the document knows limit and offset only")
        offset = offset_of(self.gateway, cursor)
        request = self._request("GET", f"/v2/customers{self._places(limit, offset)}", "/v2/customers")
        return one(Call(request, Replay.READ, lambda reply: self._page(reply, limit, offset)))

    def _page(self, reply: HttpResponse, limit: int, offset: int) -> Page[Customer]:
        items = [codec.read_customer(item, reply.status) for item in _listed(reply)]
        return offset_page(items, offset, limit, promised=self.page_limit)

    def list_payment_tokens(self, customer_id: str) -> Steps[tuple[PaymentToken, ...]]:
        """``GET /v2/customers/{uuid}/payment-methods?limit=&offset=``, all pages."""
        place = segment(self.gateway, "customer_id", customer_id)
        return self._payment_methods(place, customer_id)

    def _payment_methods(self, place: str, customer_id: str) -> Steps[tuple[PaymentToken, ...]]:
        found: dict[str, PaymentToken] = {}
        cursor: str | None = "0"
        while cursor is not None:
            offset = int(cursor)
            target = f"/v2/customers/{place}/payment-methods{self._places(self.page_limit, offset)}"
            request = self._request("GET", target, "/v2/customers/{uuid}/payment-methods")
            items = yield from one(Call(request, Replay.READ, _tokens(customer_id), id=customer_id))
            new = {item.token: item for item in items if item.token not in found}
            found |= new
            cursor = offset_page(items, offset, self.page_limit, promised=self.page_limit).cursor if new else None
        return tuple(found.values())

    def validate(self, draft: CustomerDraft) -> None:
        """Raise `InvalidRecordError` when the gateway cannot take `draft`."""
        refuse(self.gateway, codec.broken_limits(draft))

    def payload(self, draft: CustomerDraft) -> dict[str, Any]:
        """The customer's fields as `draft` puts them on the wire."""
        return codec.customer_body(draft)

    def differences(self, draft: CustomerDraft, customer: Customer) -> tuple[str, ...]:
        """The fields of `draft` that the gateway's answer does not repeat."""
        return codec.differences(draft, customer)

    def _create(self, draft: CustomerDraft) -> Call[Customer]:
        reference = draft.reference
        request = self._request("POST", "/v2/customers", "/v2/customers", codec.customer_body(draft))
        if reference is None:
            return Call(request, Replay.NONE, _customer)
        return Call(
            request,
            Replay.LOOKUP,
            matching("reference", reference, _customer),
            lookup=lambda: one(self._by_reference(reference)),
            mismatches=lambda customer: codec.differences(draft, customer, strict=False),
            reference=reference,
        )

    def _write(self, id: str, body: dict[str, Any], reference: str | None) -> Call[Customer]:
        place = segment(self.gateway, "id", id)
        request = self._request("POST", f"/v2/customers/{place}", "/v2/customers/{uuid}", body)
        return Call(
            request,
            Replay.IDEMPOTENT,
            matching("id", id, _customer),
            lookup=lambda: one(self._by_id(id)),
            reference=reference,
            id=id,
        )

    def _by_id(self, id: str) -> Call[Customer]:
        place = segment(self.gateway, "id", id)
        request = self._request("GET", f"/v2/customers/{place}", "/v2/customers/{uuid}")
        return Call(request, Replay.READ, matching("id", id, _customer), id=id)

    def _by_reference(self, reference: str) -> Call[Customer]:
        place = segment(self.gateway, "reference", reference)
        request = self._request(
            "GET", f"/v2/merchants/customers/{place}", "/v2/merchants/customers/{merchant_customer_id}"
        )
        return Call(request, Replay.READ, matching("reference", reference, _customer), reference=reference)

    def _places(self, limit: int, offset: int) -> str:
        return query(self.gateway, {"limit": limit, "offset": offset}, {})

    def _request(self, method: str, target: str, route: str, body: Any = None) -> HttpRequest:
        return HttpRequest(method, self.prefix + target, route, b"" if body is None else orjson.dumps(body))


def _approved(reply: HttpResponse) -> dict[str, Any]:
    """The body of an accepted answer: HTTP 2xx and a ``status`` of ``approved`` (or none)."""
    if reply.status >= 400:
        body = loose_object(reply.body)
        raise refusal(reply.status, code=text_of(body.get("status")), message=_words(body))
    body = json_object("Monri", reply)
    word = body.get("status")
    if not isinstance(word, str | None):
        raise InvalidResponseError("the answer's status is no text", status=reply.status, applied="unknown")
    if word not in {"approved", None}:
        raise refusal(400, code=text_of(word), message=_words(body))
    return body


def _words(body: dict[str, Any]) -> str | None:
    """The gateway's words: ``message``, or the list ``errors`` as its transaction endpoints have it."""
    errors = body.get("errors")
    listed = "; ".join(map(str, errors)) if isinstance(errors, list) else None
    return text_of(body.get("message")) or text_of(listed)


def _customer(reply: HttpResponse) -> Customer:
    return codec.read_customer(_approved(reply), reply.status)


def _listed(reply: HttpResponse) -> list[Any]:
    items = _approved(reply).get("data")
    if not isinstance(items, list):
        raise InvalidResponseError("the list's data is no list", status=reply.status)
    return items


def _tokens(asked: str) -> Callable[[HttpResponse], list[PaymentToken]]:
    """Reads a customer's payment methods.

    The gateway takes the merchant's own id in place of the uuid too, so only where a uuid was asked for, the owner's
    is compared with it.
    """

    def decode(reply: HttpResponse) -> list[PaymentToken]:
        found = [codec.read_token(item, reply.status) for item in _listed(reply)]
        owners = [it.customer_id for it in found if it.customer_id] if UUID(asked) is None else []
        if not all(same_id(asked, owner) for owner in owners):
            raise another("customer", "customer_uuid", reply)
        return found

    return decode


def _deleted(asked: str) -> Callable[[HttpResponse], None]:
    """Reads the answer to a deletion: ``id`` in the document, ``uuid`` in the gateway's own clients."""

    def decode(reply: HttpResponse) -> None:
        if not reply.body.strip() and reply.status < 300:
            return
        body = _approved(reply)
        if body.get("deleted") is False:
            raise refusal(400, message="the gateway did not delete the customer")
        named = [it for it in (body.get("uuid"), body.get("id")) if it]
        if named and not any(same_id(asked, it) for it in named):
            raise another("customer", "id", reply)

    return decode


def _access_token(reply: HttpResponse) -> AccessToken:
    body = _approved(reply)
    token, lifetime = body.get("access_token"), body.get("expires_in")
    if not isinstance(token, str) or not re.fullmatch(r"[\x21-\x7e]+", token):
        raise InvalidResponseError("the token answer holds no usable access_token", status=reply.status)
    known = isinstance(lifetime, (int, float)) and not isinstance(lifetime, bool) and lifetime > 0
    return AccessToken(token, float(lifetime) if known and lifetime is not None else 300.0)

"""Monri's endpoints.

Sources: Monri's pages "Customers API" and "Requirements - API v2"; for OAuth, Monri's Ruby and PHP clients.
"""

import re
from collections.abc import Hashable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import orjson
from attrs import evolve

from wonder_customers.dialects.base import AccessToken, Call, Operation, Steps, path_segment, send, upsert_by_lookup
from wonder_customers.dialects.capabilities import Codec, CodecDialect, CustomerDeletion
from wonder_customers.dialects.deletions import check_deletion
from wonder_customers.dialects.explanations import explained
from wonder_customers.dialects.field_rules import UUID, valid_body
from wonder_customers.dialects.monri import codec
from wonder_customers.dialects.monri.signing import authorization
from wonder_customers.dialects.pagination import Items, offset_page, parse_offset, query_string, read_items
from wonder_customers.dialects.responses import (
    as_creation,
    error_object,
    gateway_error,
    invalid_response,
    list_refusal,
    mismatch_error,
    require_match,
    response_object,
    same_id,
)
from wonder_customers.errors import CallError, ConflictError, InvalidResponseError, NotFoundError
from wonder_customers.records import Customer, CustomerDraft, CustomerPatch, Page, PaymentToken
from wonder_customers.secret import Secret
from wonder_customers.wire import Header, HttpRequest, HttpResponse, Replay

if TYPE_CHECKING:
    from wonder_customers.dialects.monri.account import Monri

_SMALLEST_PAGE = 10
"""The number of payment methods on a page from which the gateway may have reduced the limit."""
_NO_TOKENS = "the API only lists tokens; cards are saved during payments (tokenize_pan)"


class MonriDialect(CodecDialect, CustomerDeletion):
    """The protocol of Monri's customer API.

    Create is not an upsert: a second create with the same ``merchant_customer_id`` is refused with HTTP 400. The
    default ``limit`` of a list is 50; its maximum is not documented.
    """

    gateway = "monri"
    codec: ClassVar[Codec] = codec
    reuses_body = True
    page_limit = 50
    missing: ClassVar[Mapping[Operation, str]] = {
        Operation.CREATE_PAYMENT_TOKEN: _NO_TOKENS,
        Operation.CHECK_PAYMENT_TOKEN: _NO_TOKENS,
        Operation.DELETE_PAYMENT_TOKEN: _NO_TOKENS,
    }

    def __init__(self, account: "Monri") -> None:
        super().__init__(account.base_url)
        self._account = account
        self.merchant: Hashable = account.authenticity_token

    def headers(self, request: HttpRequest, now: float, nonce: str, bearer: Secret | None) -> tuple[Header, ...]:
        """Return the ``Authorization`` header with the digest of `request` or with the bearer token."""
        if bearer is not None:
            return ((b"Authorization", b"Bearer " + bearer.reveal().encode("ascii")),)
        key, token = self._account.merchant_key.reveal(), self._account.authenticity_token.reveal()
        return ((b"Authorization", authorization(key, str(int(now)), token, request.target, request.body)),)

    def token_call(self) -> Call[AccessToken] | None:
        """Return ``POST /v2/oauth``; None if the account uses digests."""
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
        """Send ``POST /v2/customers``."""
        return send(self._create(draft, self.checked_body(draft)))

    def upsert_checked(self, draft: CustomerDraft, body: dict[str, Any]) -> Steps[Customer]:
        """Look up the reference, then create or update the customer. A draft without a reference creates a customer.

        Metadata in the draft replaces the metadata of the customer.

        Raises:
            ConflictError: A deleted customer has the reference.
        """
        return upsert_by_lookup(
            draft.reference,
            self._not_deleted,
            lambda: self._create(draft, body),
            lambda held: send(self._write(held.id, codec.replacing_metadata(draft, body, held), draft.reference)),
        )

    def _not_deleted(self, reference: str) -> Steps[Customer]:
        held = yield from send(self._holder(reference))
        if held.deleted:
            reason = f"the deleted customer {held.id} has this reference"
            raise ConflictError(reason, ids=(held.id,), reference=reference)
        return held

    def get_by_reference(self, reference: str) -> Steps[Customer]:
        """Send ``GET /v2/merchants/customers/{merchant_customer_id}``.

        Raises:
            NotFoundError: No customer has the reference, or the customer with the reference was deleted.
            InvalidRecordError: The reference is not valid.
        """
        return self._by_reference(self._holder(reference), reference)

    def _by_reference(self, call: Call[Customer], reference: str) -> Steps[Customer]:
        held = yield from send(call)
        if held.deleted:
            reason = f"the customer with this reference ({held.id}) was deleted"
            hint = "Use another reference, because a deleted customer has this reference."
            raise NotFoundError(reason, status=404, reference=reference, id=held.id, hint=hint)
        return held

    def update(self, id: str, patch: CustomerPatch) -> Steps[Customer]:
        """Send ``POST /v2/customers/{uuid}``. Fields and metadata keys that are not in the patch keep their values."""
        return send(self._write(id, valid_body(self.gateway, *codec.checked_body(patch)), None))

    def delete(self, id: str) -> Steps[None]:
        """Send ``DELETE /v2/customers/{uuid}``, which marks the customer as deleted."""
        request = self._request_by_id("DELETE", id)
        return send(Call(request, Replay.IDEMPOTENT, partial(_deletion, id), id=id, not_found_is_success=True))

    def page(self, limit: int, cursor: str | None, filter: None = None) -> Steps[Page[Customer]]:
        """Send ``GET /v2/customers?limit=&offset=``. The endpoint has no filters."""
        offset = parse_offset(self.gateway, cursor)
        query = query_string({"limit": limit, "offset": offset})
        request = self._request("GET", f"/v2/customers{query}", "/v2/customers")

        def decode(response: HttpResponse) -> Page[Customer]:
            try:
                items = read_items("data", codec.read_customer, _data(response))
            except NotFoundError:
                raise list_refusal(response) from None
            return offset_page(items, offset, limit)

        return send(Call(request, Replay.READ, decode))

    def list_payment_tokens(self, customer_id: str) -> Steps[tuple[PaymentToken, ...]]:
        """Send ``GET /v2/customers/{uuid}/payment-methods?limit=&offset=`` for every page."""
        segment = path_segment(self.gateway, "customer_id", customer_id)
        return self._payment_methods(segment, customer_id)

    def _payment_methods(self, segment: str, customer_id: str) -> Steps[tuple[PaymentToken, ...]]:
        found: dict[str, PaymentToken] = {}
        offset, more = 0, True
        while more:
            query = query_string({"limit": self.page_limit, "offset": offset})
            target = f"/v2/customers/{segment}/payment-methods{query}"
            request = self._request("GET", target, "/v2/customers/{uuid}/payment-methods")
            items = yield from send(Call(request, Replay.READ, partial(_tokens, customer_id), id=customer_id))
            new = {item.token: item for item in items if item.token not in found}
            found |= new
            count = len(items) + items.unreadable
            # Most customers have few cards, so a page with less than ten is the last page.
            offset, more = offset + count, bool(new) and count >= _SMALLEST_PAGE
        return tuple(found.values())

    def _create(self, draft: CustomerDraft, body: dict[str, Any]) -> Call[Customer]:
        if draft.clear:
            body = codec.checked_body(evolve(draft, clear=()))[0]
        reference = draft.reference
        request = self._request("POST", "/v2/customers", "/v2/customers", body)
        if reference is None:
            return Call(request, Replay.NONE, as_creation(_customer))
        return Call(
            request,
            Replay.LOOKUP,
            as_creation(require_match("reference", reference, _customer)),
            lookup=lambda: send(self._holder(reference)),
            mismatches=lambda held: ("deleted",) if held.deleted else codec.compare_body(body, held).different,
            reference=reference,
        )

    def _write(self, id: str, body: dict[str, Any], reference: str | None) -> Call[Customer]:
        return Call(
            self._request_by_id("POST", id, orjson.dumps(body)),
            Replay.IDEMPOTENT,
            require_match("reference", reference, require_match("id", id, _customer)),
            lookup=lambda: send(self._by_id(id)),
            reference=reference,
            id=id,
        )

    def _by_id(self, id: str) -> Call[Customer]:
        return Call(self._request_by_id("GET", id), Replay.READ, require_match("id", id, _customer), id=id)

    def _holder(self, reference: str) -> Call[Customer]:
        """Return the call that reads the customer with a reference, including deleted customers."""
        segment = path_segment(self.gateway, "reference", reference)
        request = self._request(
            "GET", f"/v2/merchants/customers/{segment}", "/v2/merchants/customers/{merchant_customer_id}"
        )
        return Call(request, Replay.READ, require_match("reference", reference, _customer), reference=reference)

    def _request_by_id(self, method: str, id: str, body: bytes = b"") -> HttpRequest:
        target = f"{self.prefix}/v2/customers/{path_segment(self.gateway, 'id', id)}"
        return HttpRequest(method, target, "/v2/customers/{uuid}", body)

    def _request(self, method: str, target: str, route: str, body: Any = None) -> HttpRequest:
        return HttpRequest(method, self.prefix + target, route, b"" if body is None else orjson.dumps(body))


def _approved(response: HttpResponse, *accepted: str) -> dict[str, Any]:
    """Return the body of an accepted response."""
    if response.status >= 400:
        body = error_object(response.body)
        raise _refusal(response.status, body)
    body = response_object(response)
    word = body.get("status")
    if word == "approved":
        return body
    if not isinstance(word, str | None):
        raise invalid_response("the status in the response body is not a string", response.status)
    word = word if word is None else _plain(word)
    if word in {"invalid-request", "error"} or (word is None and (body.get("error") or body.get("errors"))):
        raise _refusal(400, body, response.status)
    if word is not None and word not in {"approved", *accepted}:
        raise invalid_response(f"the response body contains the unknown status {word[:40]!r}", response.status)
    return body


def _refusal(status: int, body: dict[str, Any], received: int | None = None) -> CallError:
    # Documented: ``message``. Monri's transaction endpoints: a list ``errors``. Third-party clients: a string
    # ``error``, and an object ``errors`` with lists of messages by field.
    found, word = explained(body), body.get("status")
    return gateway_error(
        status,
        code=word if isinstance(word, str) and word else found.code,
        message=found.message,
        fields=found.fields,
        received=received,
        fault=received is not None and isinstance(word, str) and _plain(word) == "error",
    )


def _plain(word: str) -> str:
    """Return a status as it is documented."""
    return word.lower().replace("_", "-")


def _customer(response: HttpResponse) -> Customer:
    return codec.read_customer(_approved(response), response.status)


def _data(response: HttpResponse) -> list[Any]:
    items = _approved(response).get("data")
    if not isinstance(items, list):
        raise InvalidResponseError("the field `data` in the response is missing or not a list", status=response.status)
    return items


def _tokens(requested: str, response: HttpResponse) -> Items[PaymentToken]:
    found = read_items("data", codec.read_token, _data(response))
    # The gateway also accepts the merchant's id for the customer. The owner cannot be compared with that id.
    owners = [it.customer_id for it in found if it.customer_id] if UUID.check(requested) is None else []
    if not all(same_id(requested, owner) for owner in owners):
        raise mismatch_error("customer", "customer_uuid", response)
    return found


def _deletion(requested: str, response: HttpResponse) -> None:
    if not response.body.strip() and response.status < 300:
        return
    body = _approved(response, "deleted", "ok", "success")
    check_deletion("customer", response.status, body, "uuid", "id")
    # The documented key is ``id``, and the gateway's clients read ``uuid``.
    named = [it for it in (body.get("uuid"), body.get("id")) if it]
    if named and not any(same_id(requested, it) for it in named):
        raise mismatch_error("customer", "id", response)


def _access_token(response: HttpResponse) -> AccessToken:
    body = _approved(response)
    token, lifetime = body.get("access_token"), body.get("expires_in")
    if not isinstance(token, str) or not re.fullmatch(r"[\x21-\x7e]+", token):
        reason = "the response to the token request contains no valid access_token"
        raise InvalidResponseError(reason, status=response.status)
    known = isinstance(lifetime, (int, float)) and not isinstance(lifetime, bool) and lifetime > 0
    return AccessToken(token, float(lifetime) if known and lifetime is not None else 300.0)

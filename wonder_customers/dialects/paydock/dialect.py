"""Paydock's endpoints.

Sources: Paydock's page ``POST /v1/customers`` and API reference; Paydock's clients for responses, update and archive.
"""

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Final

import orjson
from attrs import evolve

from wonder_customers.dialects.base import Call, Steps, path_segment, send, upsert_by_lookup
from wonder_customers.dialects.capabilities import Codec, CodecDialect, CustomerDeletion, PaymentTokenStorage
from wonder_customers.dialects.comparison import equal_after_normalisation, is_changed_form
from wonder_customers.dialects.field_rules import valid_body
from wonder_customers.dialects.pagination import offset_page, parse_offset, query_string, read_items
from wonder_customers.dialects.paydock import codec
from wonder_customers.dialects.paydock.errors import is_refusal, refusal
from wonder_customers.dialects.paydock.filters import PaydockFilter
from wonder_customers.dialects.responses import (
    Subject,
    as_creation,
    changed_reference,
    denied,
    error_object,
    invalid_response,
    list_refusal,
    mismatch_error,
    not_deleted,
    require_match,
    response_object,
    same_id,
)
from wonder_customers.errors import (
    AmbiguousReferenceError,
    CallError,
    InvalidRecordError,
    InvalidResponseError,
    NotFoundError,
    Violation,
)
from wonder_customers.records import Customer, CustomerDraft, CustomerPatch, Page, PaymentSource, PaymentToken, Response
from wonder_customers.secret import Secret
from wonder_customers.wire import Header, HttpRequest, HttpResponse, Replay

if TYPE_CHECKING:
    from wonder_customers.dialects.paydock.account import Paydock

_OLDEST_FIRST: Final = {"sortkey": "created_at", "sortdirection": "ASC"}


class PaydockDialect(CodecDialect, CustomerDeletion, PaymentTokenStorage[PaymentSource]):
    """The protocol of Paydock's customer API.

    Paydock does not document that references are unique, and the filter of the list is a search. This dialect therefore
    compares references exactly. Deleting a customer archives it. Payment tokens are the payment sources of a customer.
    """

    gateway = "paydock"
    codec: ClassVar[Codec] = codec
    deletion_result = "archived"
    search_is_late = True
    page_limit = 100
    filter_type: ClassVar[type[PaydockFilter]] = PaydockFilter

    def __init__(self, account: "Paydock") -> None:
        super().__init__(account.base_url)
        self._keep_default_source = account.keep_default_source
        if account.secret_key is not None:
            self._headers = ((b"x-user-secret-key", account.secret_key),)
        elif account.access_token is not None:
            self._headers = ((b"x-access-token", account.access_token),)

    def headers(self, request: HttpRequest, now: float, nonce: str, bearer: Secret | None) -> tuple[Header, ...]:
        """Return the header with the secret key or the access token."""
        return tuple((name, value.reveal().encode("ascii")) for name, value in self._headers)

    def create(self, draft: CustomerDraft) -> Steps[Customer]:
        """Send ``POST /customers``."""
        return send(self._create(draft, self.checked_body(draft)))

    def upsert_checked(self, draft: CustomerDraft, body: dict[str, Any]) -> Steps[Customer]:
        """Look up the reference, then create or update the customer. A draft without a reference creates a customer.

        Each update adds the payment source in the draft to the customer.
        """
        return upsert_by_lookup(
            draft.reference,
            self._by_reference,
            lambda: self._create(draft, body),
            lambda held: self._change(held.id, draft, held),
        )

    def get_by_reference(self, reference: str) -> Steps[Customer]:
        """Search with ``GET /customers?reference=``, and compare the references exactly.

        Raises:
            AmbiguousReferenceError: More than one customer has the reference.
            NotFoundError: The reference belongs to no customer, or only to archived customers.
            InvalidResponseError: The result does not show whether a customer has the reference.
            InvalidRecordError: The reference is not valid.
        """
        path_segment(self.gateway, "reference", reference)  # the check
        return self._by_reference(reference, creates=False)

    def _by_reference(self, reference: str, *, creates: bool = True) -> Steps[Customer]:
        found: dict[str, Customer] = {}
        alike: list[Customer] = []  # whose reference may have been changed by the gateway
        seen: set[str] = set()  # only ids, because a gateway that ignores the filter returns every customer
        others = shown = lacking = False  # whether customers have other references, any reference, or none
        skip, more = 0, True
        while more:
            page = yield from send(self._page_call(1000, skip, {"reference": reference}, reference, found=bool(found)))
            if page.unreadable or any(it.reference is None and "reference" in it.extra for it in page.items):
                raise _undecided("a customer that cannot be read and may have this reference", reference)
            new = {it.id for it in page.items} - seen
            seen |= new
            for it in page.items:
                others = others or it.reference != reference
                shown = shown or bool(it.reference)
                if it.deleted:
                    continue
                lacking = lacking or not it.reference
                if it.reference == reference:
                    found[it.id] = it
                elif it.reference is not None and is_changed_form(reference, it.reference):
                    alike.append(it)
            skip += len(page.items)
            # If only others were found, an empty page must confirm the end. A page without new customers ends the loop,
            # because a gateway that ignores `skip` would never end it.
            follows = page.cursor is not None and (page.total is not None or others)
            more = bool(new) and (follows or (others and not found))
        # Letter case and leading zeros can also be those of another customer, so only a create is refused.
        same = [it for it in alike if creates or equal_after_normalisation("reference", it.reference, reference)]
        if same and not found:
            raise changed_reference(_undecided("a reference that differs only in its form", reference), same[0].id)
        if lacking and not shown:
            raise _undecided("only customers without a reference, so references cannot be compared", reference)
        if not found:
            raise NotFoundError("no customer has this reference", status=404, reference=reference)
        if len(found) > 1:
            raise AmbiguousReferenceError(
                f"{len(found)} customers have this reference: {', '.join(found)}", ids=tuple(found), reference=reference
            )
        return next(iter(found.values()))

    def update(self, id: str, patch: CustomerPatch) -> Steps[Customer]:
        """Send ``POST /customers/{id}``. Fields that are not in the patch keep their values.

        A payment source in the patch is added to the customer's other sources; see `Paydock.keep_default_source`.
        """
        valid_body(self.gateway, *codec.checked_body(patch))
        # A copy, because the caller can change the metadata before the body is written.
        return self._change(id, evolve(patch))

    def _change(self, id: str, record: CustomerDraft | CustomerPatch, held: Customer | None = None) -> Steps[Customer]:
        """Update a customer, whose state before the update is `held`, if known."""
        adds = isinstance(record.payment_source, PaymentSource) and not record.default_payment_token
        reference = record.reference if isinstance(record, CustomerDraft) else None
        default = None
        if self._keep_default_source and adds:
            held = held or (yield from send(self._by_id(id)))
            default = held.default_payment_token
        if default is None:
            return (yield from send(self._write(id, record, reference, held)))
        record = evolve(record, default_payment_token=default.token)
        written = yield from send(self._write(id, record, reference, held))
        found = written.default_payment_token
        if found is not None and same_id(default.token, found.token):
            return written
        try:
            written = yield from send(self._write(id, CustomerPatch(default_payment_token=default.token)))
        except CallError as error:
            problem = error.reason
        else:
            found = written.default_payment_token
            if found is None or same_id(default.token, found.token):
                return written
            problem = "the response to its update shows another default"  # Paydock ignores what it does not accept
        reason = f"the payment source was added, but the previous default source could not be restored: {problem}"
        hint = "Call update with CustomerPatch(default_payment_token=…) to restore the default."
        raise InvalidResponseError(reason, applied="yes", id=id, hint=hint)

    def delete(self, id: str) -> Steps[None]:
        """Send ``DELETE /customers/{id}``, which archives the customer."""
        request = self._request_by_id("DELETE", id)
        return self._delete(Call(request, Replay.IDEMPOTENT, partial(_archived, id), id=id, not_found_is_success=True))

    def _delete(self, call: Call[bool | None]) -> Steps[None]:
        response: Response[bool | None] = yield call
        if response.record is False:
            # It is not documented whether the response shows the customer before or after the change.
            try:
                held = yield from send(self._by_id(call.id or ""))
            except NotFoundError:
                return
            except CallError as error:
                error.applied = "unknown"
                raise
            if not held.deleted:
                raise not_deleted("customer", response.status)

    def page(self, limit: int, cursor: str | None, filter: PaydockFilter | None = None) -> Steps[Page[Customer]]:
        """Send ``GET /customers?limit=&skip=``. The oldest customer is first, unless `filter` has a sort order."""
        call = self._page_call(limit, parse_offset(self.gateway, cursor), _sorted(filter.query() if filter else {}))
        if filter is None:
            return send(call)
        return send(evolve(call, decode=lambda response: filter.select(call.decode(response))))

    def _page_call(
        self, limit: int, skip: int, filters: Mapping[str, str], reference: str | None = None, *, found: bool = False
    ) -> Call[Page[Customer]]:
        target = f"{self.prefix}/customers{query_string({'limit': limit, 'skip': skip}, filters)}"

        def decode(response: HttpResponse) -> Page[Customer]:
            try:
                resource = _accepted(response)
            except NotFoundError:
                raise list_refusal(response) from None
            data, count, reduced = (resource.get(name) for name in ("data", "count", "limit"))
            if not isinstance(data, list):
                raise InvalidResponseError(
                    "the field `resource.data` in the response is missing or not a list", status=response.status
                )
            items = read_items("resource.data", codec.read_customer, data)
            # The meaning of `count` is not documented, so it does not invalidate a customer that was found.
            total = count if type(count) is int and count >= 0 and (data or not found) else None
            # If the gateway reduced the limit, a `count` of as many items may be that of the page.
            size = min(limit, reduced) if type(reduced) is int else limit
            return offset_page(items, skip, size, total=total)

        return Call(HttpRequest("GET", target, "/customers"), Replay.READ, decode, reference=reference)

    def list_payment_tokens(self, customer_id: str) -> Steps[tuple[PaymentToken, ...]]:
        """Return the payment sources in ``GET /customers/{id}``."""
        return self._sources(self._by_id(customer_id))

    def _sources(self, read: Call[Customer]) -> Steps[tuple[PaymentToken, ...]]:
        customer = yield from send(read)
        return customer.payment_tokens

    def create_payment_token(self, customer_id: str, source: PaymentSource) -> Steps[PaymentToken]:
        """Send ``POST /customers/{id}`` with `source`, and return the source that was added.

        Raises:
            InvalidRecordError: `source` is not a payment source, or violates a documented limit.
        """
        given: object = source
        if not isinstance(given, PaymentSource):
            kinds = "a CardSource, BankAccountSource, OneTimeToken or VaultToken"
            problem = f"must be {kinds}, not {type(source).__name__}"
            raise InvalidRecordError(self.gateway, [Violation("payment_source", "payment_source", problem)])
        patch = CustomerPatch(payment_source=source)
        valid_body(self.gateway, *codec.checked_body(patch))
        return self._add_source(customer_id, patch)

    def _add_source(self, customer_id: str, patch: CustomerPatch) -> Steps[PaymentToken]:
        before = yield from send(self._by_id(customer_id))
        after = yield from self._change(customer_id, patch, before)
        known = {token.token for token in before.payment_tokens}
        added = [token for token in after.payment_tokens if token.token not in known]
        if not added:
            raise InvalidResponseError(
                "the response does not contain the added payment source", applied="yes", id=customer_id
            )
        return next((it for it in added if it.default), added[-1])  # others may add sources at the same time

    def check_payment_token(self, customer_id: str, token: PaymentToken) -> Steps[PaymentToken]:
        """Return the payment source whose id is the token, from ``GET /customers/{id}``."""
        path_segment(self.gateway, "token", token.token)
        return self._source(self._by_id(customer_id), token)

    def _source(self, read: Call[Customer], token: PaymentToken) -> Steps[PaymentToken]:
        customer = yield from send(read)
        found = next((it for it in customer.payment_tokens if same_id(token.token, it.token)), None)
        if found is None:
            raise NotFoundError("the customer does not have this payment source", status=404, id=customer.id)
        return found

    def delete_payment_token(self, customer_id: str, token: PaymentToken) -> Steps[None]:
        """Send ``DELETE /customers/{id}/payment_sources/{payment_source_id}``, which archives the source."""
        customer = path_segment(self.gateway, "customer_id", customer_id)
        source = path_segment(self.gateway, "token", token.token)
        target = f"{self.prefix}/customers/{customer}/payment_sources/{source}"
        request = HttpRequest("DELETE", target, "/customers/{id}/payment_sources/{payment_source_id}")
        return send(Call(request, Replay.IDEMPOTENT, _token_deletion, id=customer_id, not_found_is_success=True))

    def _create(self, draft: CustomerDraft, body: dict[str, Any]) -> Call[Customer]:
        if draft.clear:
            body = codec.checked_body(evolve(draft, clear=()))[0]
        reference, sent = draft.reference, orjson.dumps(codec.with_source(draft, body))
        request = HttpRequest("POST", f"{self.prefix}/customers", "/customers", sent)
        if reference is None:
            return Call(request, Replay.NONE, as_creation(_written))
        return Call(
            request,
            Replay.LOOKUP,
            as_creation(require_match("reference", reference, _written)),
            lookup=lambda: self._by_reference(reference),
            mismatches=lambda customer: codec.created_differences(body, draft.payment_source, customer),
            reference=reference,
        )

    def _write(
        self,
        id: str,
        record: CustomerDraft | CustomerPatch,
        reference: str | None = None,
        held: Customer | None = None,
    ) -> Call[Customer]:
        request = self._request_by_id("POST", id, orjson.dumps(codec.customer_body(record, held)))
        decode = require_match("reference", reference, require_match("id", id, _written))
        if isinstance(record.payment_source, PaymentSource):  # each request adds it
            return Call(request, Replay.NONE, decode, reference=reference, id=id)
        return Call(
            request, Replay.IDEMPOTENT, decode, lookup=lambda: send(self._by_id(id)), reference=reference, id=id
        )

    def _by_id(self, id: str) -> Call[Customer]:
        return Call(self._request_by_id("GET", id), Replay.READ, require_match("id", id, _customer), id=id)

    def _request_by_id(self, method: str, id: str, body: bytes = b"") -> HttpRequest:
        target = f"{self.prefix}/customers/{path_segment(self.gateway, 'id', id)}"
        return HttpRequest(method, target, "/customers/{id}", body)


def _sorted(filters: dict[str, str]) -> dict[str, str]:
    return {**_OLDEST_FIRST, **filters} if _OLDEST_FIRST.keys().isdisjoint(filters) else filters


def _undecided(found: str, reference: str) -> InvalidResponseError:
    """Return the error for a search that does not show whether the customer exists."""
    return InvalidResponseError(f"the search by reference found {found}", status=200, reference=reference)


def _accepted(response: HttpResponse, about: Subject = "customer") -> dict[str, Any]:
    """Return the ``resource`` of an accepted response."""
    failed = response.status >= 400
    body = error_object(response.body) if failed else response_object(response)
    if failed or is_refusal(body):
        raise refusal(response.status, body, about)
    resource = body.get("resource")
    if not isinstance(resource, dict):
        raise invalid_response("the field `resource` in the response is missing or not an object", response.status)
    return resource


def _customer(response: HttpResponse) -> Customer:
    data = _accepted(response).get("data")
    if data is None:
        raise NotFoundError("the response contains no customer", status=response.status)
    return codec.read_customer(data, response.status)


def _written(response: HttpResponse) -> Customer:
    return codec.read_customer(_accepted(response).get("data"), response.status)


def _archived(id: str, response: HttpResponse) -> bool | None:
    """Return False if the response shows that the customer was not archived; None if it does not show it."""
    data = None if not response.body.strip() and response.status < 300 else _accepted(response).get("data")
    if not isinstance(data, dict):
        return None
    if data.get("_id") is not None and not same_id(id, data["_id"]):
        raise mismatch_error("customer", "_id", response)
    return False if denied("archived", data) else None


def _token_deletion(response: HttpResponse) -> None:
    if response.body.strip() or response.status >= 300:
        _accepted(response, "token")

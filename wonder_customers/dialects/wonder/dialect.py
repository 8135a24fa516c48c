"""Wonder's endpoints.

Sources: Wonder's pages "Create a customer", "Get customer by ref id", "Customer management" and "Authentication". The
paths of the token endpoints come from Wonder's mobile client.
"""

import re
from collections.abc import Hashable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Final

import orjson
from attrs import evolve

from wonder_customers.dialects.base import Call, LockCustomer, Operation, Steps, path_segment, send
from wonder_customers.dialects.capabilities import Codec, CodecDialect, PaymentTokenStorage
from wonder_customers.dialects.deletions import check_deletion
from wonder_customers.dialects.explanations import explained, short_text
from wonder_customers.dialects.field_rules import raise_violations, valid_body
from wonder_customers.dialects.pagination import offset_page, parse_offset, query_string, read_items
from wonder_customers.dialects.responses import (
    Subject,
    as_creation,
    denied,
    error_object,
    gateway_error,
    invalid_response,
    list_refusal,
    mismatch_error,
    require_match,
    response_object,
    same_id,
)
from wonder_customers.dialects.wonder import codec
from wonder_customers.dialects.wonder.filters import WonderFilter
from wonder_customers.dialects.wonder.signing import ALGORITHM, request_message, request_time
from wonder_customers.errors import CallError, InvalidResponseError, NotFoundError
from wonder_customers.records import Customer, CustomerDraft, CustomerPatch, Page, PaymentToken, WonderCard
from wonder_customers.secret import Secret
from wonder_customers.wire import Header, HttpRequest, HttpResponse, Replay

if TYPE_CHECKING:
    from wonder_customers.dialects.wonder.account import Wonder

_INVALID_CREDENTIAL: Final = "E000002"
"""The code of "Invalid Credential Format", which the documentation shows with HTTP 400."""
ROOT: Final = "/svc/payment/api/v1/openapi"


class WonderDialect(CodecDialect, PaymentTokenStorage[WonderCard]):
    """The protocol of Wonder's customer API.

    Create is an upsert by ``reference_number``, and the only documented way to update a customer. The documentation
    does not state whether a second create clears the fields that it omits. To clear a field, null is sent.
    """

    gateway = "wonder"
    codec: ClassVar[Codec] = codec
    reuses_body = True
    page_limit = 100
    filter_type: ClassVar[type[WonderFilter]] = WonderFilter
    signs_slowly = True
    missing: ClassVar[Mapping[Operation, str]] = {
        Operation.DELETE: "its documentation does not describe the deletion of customers"
    }

    def __init__(self, account: "Wonder") -> None:
        super().__init__(account.base_url)
        self._account = account
        self.merchant: Hashable = account.app_id
        language = account.language
        self._language = ((b"x-i18n-lang", language.encode("ascii")),) if language else ()
        self._root = self.prefix + ROOT

    def headers(self, request: HttpRequest, now: float, nonce: str, bearer: Secret | None) -> tuple[Header, ...]:
        """Return the headers ``Credential``, ``Nonce`` and ``Signature``, and the language of the account, if any."""
        time = request_time(now)
        message = request_message(nonce, time, request.method, request.target, request.body)
        return (
            (b"Credential", f"{self._account.app_id}/{time}/{ALGORITHM}".encode("ascii")),
            (b"Nonce", nonce.encode("ascii")),
            (b"Signature", self._account.sign(message)),
            *self._language,
        )

    def create(self, draft: CustomerDraft) -> Steps[Customer]:
        """Send the request of `upsert`."""
        return self.upsert(draft)

    def upsert_checked(self, draft: CustomerDraft, body: dict[str, Any]) -> Steps[Customer]:
        """Send ``POST /customers``, which is an upsert by reference."""
        return send(self._write(draft.reference, body))

    def get_by_reference(self, reference: str) -> Steps[Customer]:
        """Send ``GET /customers/ref/{reference_number}``."""
        return send(self._by_reference(reference))

    def update(self, id: str, patch: CustomerPatch) -> Steps[Customer]:
        """Read the customer, merge the patch, and send all fields with ``POST /customers``.

        ``company_name`` is sent only if the patch or the response contains it. The documented responses do not.
        """
        raise_violations(self.gateway, codec.patch_violations(patch))
        return self._update(self._by_id(id), id, patch)

    def _update(self, read: Call[Customer], id: str, patch: CustomerPatch) -> Steps[Customer]:
        held = yield from send(read)
        if held.reference is not None and (yield LockCustomer("reference", held.reference)):
            held = yield from send(read)
        body = valid_body(self.gateway, *codec.merge(held, patch))
        written = yield from send(evolve(self._write(held.reference, body), id=id))
        if not same_id(id, written.id):
            raise InvalidResponseError("the response to the update contains another customer", applied="yes", id=id)
        return written

    def page(self, limit: int, cursor: str | None, filter: WonderFilter | None = None) -> Steps[Page[Customer]]:
        """Send ``GET /customers?limit=&offset=``."""
        offset = parse_offset(self.gateway, cursor)
        query = query_string({"limit": limit, "offset": offset}, filter.query() if filter else {})
        request = HttpRequest("GET", f"{self._root}/customers{query}", "/customers")

        def decode(response: HttpResponse) -> Page[Customer]:
            try:
                items = read_items("customers", codec.read_customer, _list("customers", response))
            except NotFoundError:
                raise list_refusal(response) from None
            return offset_page(items, offset, limit, total=_total(response))

        return send(Call(request, Replay.READ, decode))

    def list_payment_tokens(self, customer_id: str) -> Steps[tuple[PaymentToken, ...]]:
        """Send ``GET /customers/{uuid}/payment_tokens``."""
        return send(Call(self._tokens_request("GET", customer_id), Replay.READ, _tokens, id=customer_id))

    def create_payment_token(self, customer_id: str, source: WonderCard) -> Steps[PaymentToken]:
        """Send ``POST /customers/{uuid}/payment_tokens``. The token may be ``pending`` and have a `verify_url`."""
        request = self._tokens_request("POST", customer_id, body=codec.card_body(source))
        return send(Call(request, Replay.NONE, _created_token, id=customer_id))

    def check_payment_token(self, customer_id: str, token: PaymentToken) -> Steps[PaymentToken]:
        """Send ``POST /customers/{uuid}/payment_tokens/check``, which is a read.

        Wonder's older page also requires ``verify_uuid``. It is sent if `token` contains it.
        """
        checked = {"token": self._text("token", token.token)}
        if token.verify_uuid:
            checked["verify_uuid"] = self._text("verify_uuid", token.verify_uuid)
        request = self._tokens_request("POST", customer_id, "/check", {"payment_token": checked})
        return send(Call(request, Replay.READ, partial(_checked_token, token.token), id=customer_id))

    def delete_payment_token(self, customer_id: str, token: PaymentToken) -> Steps[None]:
        """Send ``DELETE /customers/{uuid}/payment_tokens`` with the token in a JSON body, as the mobile client does."""
        request = self._tokens_request("DELETE", customer_id, body={"token": self._text("token", token.token)})
        return send(Call(request, Replay.IDEMPOTENT, _deletion, id=customer_id, not_found_is_success=True))

    def _write(self, given: str | None, fields: dict[str, Any]) -> Call[Customer]:
        reference = given or ""
        return Call(
            HttpRequest("POST", f"{self._root}/customers", "/customers", orjson.dumps({"customer": fields})),
            Replay.NATURAL_UPSERT,
            as_creation(require_match("reference", reference, _written)),
            lookup=lambda: send(self._by_reference(reference)),
            reference=reference,
        )

    def _by_id(self, id: str) -> Call[Customer]:
        """Return ``GET /customers/{uuid}``."""
        segment = path_segment(self.gateway, "id", id)
        request = HttpRequest("GET", f"{self._root}/customers/{segment}", "/customers/{uuid}")
        return Call(request, Replay.READ, require_match("id", id, _customer), id=id)

    def _by_reference(self, reference: str) -> Call[Customer]:
        segment = path_segment(self.gateway, "reference", reference)
        request = HttpRequest("GET", f"{self._root}/customers/ref/{segment}", "/customers/ref/{reference_number}")
        return Call(request, Replay.READ, require_match("reference", reference, _customer), reference=reference)

    def _text(self, name: str, value: str) -> str:
        path_segment(self.gateway, name, value)
        return value

    def _tokens_request(self, method: str, customer_id: str, suffix: str = "", body: Any = None) -> HttpRequest:
        segment = path_segment(self.gateway, "customer_id", customer_id)
        target = f"{self._root}/customers/{segment}/payment_tokens{suffix}"
        route = f"/customers/{{uuid}}/payment_tokens{suffix}"
        return HttpRequest(method, target, route, b"" if body is None else orjson.dumps(body))


def _total(response: HttpResponse) -> int | None:
    text = response.headers.get("x-total-entries", "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 15 else None


def _accepted(response: HttpResponse, about: Subject = "customer") -> dict[str, Any]:
    """Return the body of an accepted response."""
    failed = response.status >= 400
    body = error_object(response.body) if failed else response_object(response)
    code, error_code = body.get("code"), body.get("error_code")
    if not failed and isinstance(code, (dict, list, bool)):
        raise invalid_response("the code in the response is neither a number nor a string", response.status)
    refused = code not in (None, 200, "200") or error_code not in (None, "", 0, "0")
    if failed or refused or denied("success", body):
        raise _refusal(response.status, body, about)
    return body


def _refusal(received: int, body: dict[str, Any], about: Subject) -> CallError:
    found, code = explained(body), short_text(body.get("code")) or ""
    if (
        received < 400
        and not body.get("error_code")
        and body.get("data")
        and re.fullmatch("0|2..|success|ok", code.lower())
    ):
        return invalid_response(f"the code in the response is {code} instead of 200", received)
    status = received
    if found.code == _INVALID_CREDENTIAL:
        status = 401
    elif received < 400:
        status = int(code) if re.fullmatch("[45][0-9]{2}", code) else 400
    error = gateway_error(
        status,
        code=found.code,
        message=found.message,
        fields=found.fields,
        about=about,
        received=received,
        fault=received < 400 and re.fullmatch("5[0-9]{4}", code) is not None,
    )
    if received >= 400:
        error.status = received
    return error


def _part(name: str, response: HttpResponse) -> Any:
    data = _accepted(response, "token" if name.startswith("payment") else "customer").get("data")
    if not isinstance(data, dict):
        raise invalid_response("the field `data` in the response is missing or not an object", response.status)
    if data and name not in data:
        raise invalid_response(f"the field `{name}` in the response is missing", response.status)
    return data.get(name)


def _customer(response: HttpResponse) -> Customer:
    body = _part("customer", response)
    if codec.is_empty(body):
        raise NotFoundError("the response contains no customer", status=response.status)
    return codec.read_customer(body, response.status)


def _written(response: HttpResponse) -> Customer:
    return codec.read_customer(_part("customer", response), response.status)


def _list(name: str, response: HttpResponse) -> list[Any]:
    items = _part(name, response)
    if items is None:
        return []
    if not isinstance(items, list):
        raise InvalidResponseError(f"the field `{name}` in the response is not a list", status=response.status)
    return items


def _checked_token(requested: str, response: HttpResponse) -> PaymentToken:
    body = _part("payment_token", response)
    if codec.is_empty(body):
        raise NotFoundError("the response contains no payment token", status=response.status)
    received = codec.read_token(body, response.status)
    if not same_id(requested, received.token):
        raise mismatch_error("payment token", "token", response)
    return received


def _created_token(response: HttpResponse) -> PaymentToken:
    return codec.read_token(_part("payment_token", response), response.status)


def _tokens(response: HttpResponse) -> tuple[PaymentToken, ...]:
    return read_items("payment_tokens", codec.read_token, _list("payment_tokens", response))


def _deletion(response: HttpResponse) -> None:
    if not response.body.strip() and response.status < 300:
        return
    check_deletion("token", response.status, _accepted(response, "token"))

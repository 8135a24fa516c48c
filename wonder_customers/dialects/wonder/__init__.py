"""Wonder: account, endpoints and what the gateway cannot do.

Sources: Wonder's customer documents ("Create a customer", "Get customer by ref id", "Customer management") and
"Authentication"; paths of the token endpoints as its mobile client uses them.
"""

from collections.abc import Callable, Iterable, Mapping
from os import environ
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

import orjson
from attrs import evolve, field, frozen

from wonder_customers.dialects.base import (
    Call,
    Dialect,
    LockReference,
    Operation,
    Steps,
    credential,
    endpoint,
    key_text,
    one,
    segment,
    settings,
)
from wonder_customers.dialects.field_rules import refuse
from wonder_customers.dialects.pagination import offset_of, offset_page, query
from wonder_customers.dialects.responses import another, json_object, loose_object, matching, refusal, same_id, text_of
from wonder_customers.dialects.wonder import codec
from wonder_customers.dialects.wonder.signing import ALGORITHM, load_key, message, request_time, signature
from wonder_customers.errors import ConfigurationError, InvalidResponseError, NotFoundError
from wonder_customers.records import Customer, CustomerDraft, CustomerPatch, Page, PaymentSource, PaymentToken
from wonder_customers.secret import Secret, concealed, guarded
from wonder_customers.wire import Header, HttpRequest, HttpResponse, Replay

__all__ = ["ACCOUNT", "Wonder"]

T = TypeVar("T")

_ROOT = "/svc/payment/api/v1/openapi"


@guarded
@frozen
class Wonder:
    """A merchant's account at Wonder.

    Attributes:
        app_id: The AppID of this environment, a UUID.
        private_key: Your RSA private key as PEM text; its public half was uploaded to Wonder's portal.
        base_url: Where the gateway listens; the sandbox unless you name another, such as `Wonder.PRODUCTION`.

    Raises:
        ConfigurationError: The key is no RSA key of 2048 bits or more, the AppID cannot stand in a header, or the URL
            is not https.
    """

    SANDBOX: ClassVar[str] = "https://gateway-stg.wonder.today"
    PRODUCTION: ClassVar[str] = "https://gateway.wonder.today"
    stores_payment_tokens: ClassVar[Literal[True]] = True

    app_id: str
    private_key: Secret = field(converter=key_text)
    base_url: str = SANDBOX
    # Any, because other converters resolve the types of all fields, and to import this one takes long.
    _key: Any = field(init=False, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        credential("app_id", self.app_id)
        if "/" in self.app_id:
            raise ConfigurationError("app_id must not hold a slash, which separates it from the time in the header")
        endpoint(self.base_url)
        object.__setattr__(self, "_key", load_key(self.private_key))

    @classmethod
    @concealed
    def from_environment(cls, variables: Mapping[str, str] = environ) -> "Wonder":
        """The account in ``WONDER_APP_ID``, ``WONDER_PRIVATE_KEY`` (PEM text or a file's path), ``WONDER_BASE_URL``.

        Raises:
            ConfigurationError: A variable is missing, named in the message, or cannot work.
        """
        given = settings(variables, "WONDER_BASE_URL", required=("WONDER_APP_ID", "WONDER_PRIVATE_KEY"))
        pem = given["WONDER_PRIVATE_KEY"]
        if "-----BEGIN" not in pem:
            try:
                pem = Path(pem).expanduser().read_text(encoding="ascii")
            except (OSError, ValueError, RuntimeError):  # the last: there is no such user's home
                raise ConfigurationError("WONDER_PRIVATE_KEY is neither PEM text nor a readable file") from None
        return cls(given["WONDER_APP_ID"], Secret(pem), base_url=given.get("WONDER_BASE_URL", cls.SANDBOX))

    def sign(self, signed: bytes) -> bytes:
        """The base64 signature over `signed`."""
        return signature(self._key, signed)

    def dialect(self) -> "WonderDialect":
        """The dialect that speaks for this account."""
        return WonderDialect(self)


ACCOUNT = Wonder


class WonderDialect(Dialect):
    """Wonder's way of speaking.

    Creating is an upsert by ``reference_number``, which is also the only documented update. Whether a field that such a
    second create leaves out is cleared is not documented; null is sent for what a patch clears.
    """

    gateway = "wonder"
    page_limit = 100
    signs_slowly = True
    unsupported_operations: ClassVar[Mapping[Operation, str]] = {
        Operation.DELETE: "its documents know no way to delete a customer"
    }

    def __init__(self, account: Wonder) -> None:
        super().__init__(account.base_url)
        self._account = account
        self._root = self.prefix + _ROOT

    def headers(self, request: HttpRequest, now: float, nonce: str, bearer: Secret | None) -> tuple[Header, ...]:
        """``Credential``, ``Nonce`` and ``Signature`` over exactly this request."""
        time = request_time(now)
        mark = self._account.sign(message(nonce, time, request.method, request.target, request.body))
        return (
            (b"Credential", f"{self._account.app_id}/{time}/{ALGORITHM}".encode("ascii")),
            (b"Nonce", nonce.encode("ascii")),
            (b"Signature", mark),
        )

    def create(self, draft: CustomerDraft) -> Steps[Customer]:
        """``POST /customers``, an upsert by reference."""
        self.validate(draft)
        return one(self._write(draft))

    def upsert(self, draft: CustomerDraft) -> Steps[Customer]:
        """The same request as `create`."""
        return self.create(draft)

    def get(self, id: str) -> Steps[Customer]:
        """``GET /customers/{uuid}``."""
        return one(self._by_id(id))

    def get_by_reference(self, reference: str) -> Steps[Customer]:
        """``GET /customers/ref/{reference_number}``."""
        return one(self._by_reference(reference))

    def update(self, id: str, patch: CustomerPatch) -> Steps[Customer]:
        """Read, merge, write. ``company_name`` is in no answer: it stays as the gateway treats omissions."""
        refuse(self.gateway, codec.broken_patch(patch))
        return self._update(self._by_id(id), id, patch)

    def _update(self, read: Call[Customer], id: str, patch: CustomerPatch) -> Steps[Customer]:
        held = yield from one(read)
        if held.reference is not None and (yield LockReference(held.reference)):
            held = yield from one(read)
        draft, cleared, broken = codec.merged(held, patch)
        refuse(self.gateway, broken)
        written = yield from one(evolve(self._write(draft, cleared), id=id))
        if not same_id(id, written.id):
            raise InvalidResponseError("the update answered with another customer's id", applied="yes", id=id)
        return written

    def page(self, limit: int, cursor: str | None, filters: Mapping[str, str]) -> Steps[Page[Customer]]:
        """``GET /customers?limit=&offset=`` (1000 at most), with the query language's filters.

        Such as ``{"filter[name][_eq]": "Ada"}`` or ``{"linked_source_type": "User"}``.
        """
        offset = offset_of(self.gateway, cursor)
        target = f"{self._root}/customers{query(self.gateway, {'limit': limit, 'offset': offset}, filters)}"
        request = HttpRequest("GET", target, "/customers")
        return one(Call(request, Replay.READ, lambda reply: self._page(reply, limit, offset)))

    def _page(self, reply: HttpResponse, limit: int, offset: int) -> Page[Customer]:
        items = [codec.read_customer(item, reply.status) for item in _list("customers", reply)]
        return offset_page(items, offset, limit, promised=1000)

    def list_payment_tokens(self, customer_id: str) -> Steps[tuple[PaymentToken, ...]]:
        """``GET /customers/{uuid}/payment_tokens``."""
        return one(Call(self._tokens_request("GET", customer_id), Replay.READ, _tokens, id=customer_id))

    def create_payment_token(self, customer_id: str, source: PaymentSource) -> Steps[PaymentToken]:
        """``POST /customers/{uuid}/payment_tokens``; the token may come back ``pending`` with a `verify_url`."""
        card = codec.checked_card(source)
        request = self._tokens_request("POST", customer_id, body=codec.card_body(card))
        return one(Call(request, Replay.NONE, _made_token, id=customer_id))

    def check_payment_token(self, customer_id: str, token: PaymentToken) -> Steps[PaymentToken]:
        """``POST /customers/{uuid}/payment_tokens/check``, a read in spite of its method.

        Wonder's older page asks for ``verify_uuid`` too: it is sent when the token was passed as a record that has it.
        """
        asked = {"token": self._text("token", token.token)}
        if token.verify_uuid:
            asked["verify_uuid"] = self._text("verify_uuid", token.verify_uuid)
        request = self._tokens_request("POST", customer_id, "/check", {"payment_token": asked})
        return one(Call(request, Replay.READ, _same_token(token.token), id=customer_id))

    def delete_payment_token(self, customer_id: str, token: PaymentToken) -> Steps[None]:
        """``DELETE /customers/{uuid}/payment_tokens`` with the token in a JSON body, as the mobile client does."""
        request = self._tokens_request("DELETE", customer_id, body={"token": self._text("token", token.token)})
        return one(Call(request, Replay.IDEMPOTENT, _deleted, id=customer_id, not_found_is_success=True))

    def validate(self, draft: CustomerDraft) -> None:
        """Raise `InvalidRecordError` when the gateway cannot take `draft`."""
        refuse(self.gateway, codec.broken_limits(draft))

    def payload(self, draft: CustomerDraft) -> dict[str, Any]:
        """The customer's fields as `draft` puts them on the wire."""
        return codec.customer_fields(draft)

    def differences(self, draft: CustomerDraft, customer: Customer) -> tuple[str, ...]:
        """The fields of `draft` that the gateway's answer does not repeat."""
        return codec.differences(draft, customer)

    def _write(self, draft: CustomerDraft, cleared: Iterable[str] = ()) -> Call[Customer]:
        reference = draft.reference or ""
        body = orjson.dumps({"customer": codec.customer_fields(draft, cleared)})
        return Call(
            HttpRequest("POST", f"{self._root}/customers", "/customers", body),
            Replay.NATURAL_UPSERT,
            matching("reference", reference, _written),
            lookup=lambda: one(self._by_reference(reference)),
            reference=reference,
        )

    def _by_id(self, id: str) -> Call[Customer]:
        request = HttpRequest("GET", f"{self._root}/customers/{segment(self.gateway, 'id', id)}", "/customers/{uuid}")
        return Call(request, Replay.READ, matching("id", id, _customer), id=id)

    def _by_reference(self, reference: str) -> Call[Customer]:
        place = segment(self.gateway, "reference", reference)
        request = HttpRequest("GET", f"{self._root}/customers/ref/{place}", "/customers/ref/{reference_number}")
        return Call(request, Replay.READ, matching("reference", reference, _customer), reference=reference)

    def _text(self, name: str, value: str) -> str:
        segment(self.gateway, name, value)
        return value

    def _tokens_request(self, method: str, customer_id: str, tail: str = "", body: Any = None) -> HttpRequest:
        place = segment(self.gateway, "customer_id", customer_id)
        target = f"{self._root}/customers/{place}/payment_tokens{tail}"
        route = f"/customers/{{uuid}}/payment_tokens{tail}"
        return HttpRequest(method, target, route, b"" if body is None else orjson.dumps(body))


def _accepted(reply: HttpResponse) -> Any:
    """The ``data`` of an accepted answer: HTTP 2xx, a ``code`` of 200 (or none), no ``error_code``.

    The code is a number in good answers and a string in bad ones, and a refusal may come with HTTP 200.
    """
    body = loose_object(reply.body) if reply.status >= 400 else json_object("Wonder", reply)
    code, error_code = body.get("code"), text_of(body.get("error_code"))
    message = text_of(body.get("message")) or text_of(body.get("error_message")) or text_of(body.get("error"))
    if reply.status >= 400:
        raise refusal(reply.status, code=error_code or text_of(code), message=message)
    if isinstance(code, (dict, list, bool)):
        raise InvalidResponseError(
            "the answer's code is neither a number nor a text", status=reply.status, applied="unknown"
        )
    if error_code or code not in {None, 200, "200"}:
        number = int(str(code)) if str(code).isdecimal() and len(str(code)) == 3 else 400
        hidden = number if 400 <= number <= 599 else 400
        raise refusal(hidden, code=error_code or text_of(code), message=message)
    return body.get("data")


def _part(name: str, reply: HttpResponse) -> Any:
    data = _accepted(reply)
    if not isinstance(data, dict):
        raise InvalidResponseError("the answer has no data object", status=reply.status, applied="unknown")
    return data.get(name)


def _customer(reply: HttpResponse) -> Customer:
    body = _part("customer", reply)
    if body is None:
        raise NotFoundError("the answer holds no customer", status=reply.status)
    return codec.read_customer(body, reply.status)


def _written(reply: HttpResponse) -> Customer:
    """The customer after a write: an accepted answer without one does not mean that there is none."""
    return codec.read_customer(_part("customer", reply), reply.status)


def _list(name: str, reply: HttpResponse) -> list[Any]:
    items = _part(name, reply)
    if items is None:
        return []
    if not isinstance(items, list):
        raise InvalidResponseError(f"{name} is no list", status=reply.status)
    return items


def _token(reply: HttpResponse) -> PaymentToken:
    body = _part("payment_token", reply)
    if body is None:
        raise NotFoundError("the answer holds no payment token", status=reply.status)
    return codec.read_token(body, reply.status)


def _same_token(asked: str) -> Callable[[HttpResponse], PaymentToken]:
    def decode(reply: HttpResponse) -> PaymentToken:
        answered = _token(reply)
        if not same_id(asked, answered.token):
            raise another("payment token", "token", reply)
        return answered

    return decode


def _made_token(reply: HttpResponse) -> PaymentToken:
    return codec.read_token(_part("payment_token", reply), reply.status)


def _tokens(reply: HttpResponse) -> tuple[PaymentToken, ...]:
    return tuple(codec.read_token(item, reply.status) for item in _list("payment_tokens", reply))


def _deleted(reply: HttpResponse) -> None:
    if not reply.body.strip() and reply.status < 300:
        return
    data = _accepted(reply)
    if isinstance(data, dict) and data.get("success") is False:
        raise refusal(400, message="the gateway did not delete the token")

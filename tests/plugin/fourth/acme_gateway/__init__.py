"""Acme: a fourth gateway, written as a package of its own. Nothing but its entry point makes it known."""

from collections.abc import Mapping
from os import environ
from typing import Any, ClassVar, Literal

import orjson
from attrs import evolve, field, frozen

from wonder_customers import Customer, CustomerDraft, CustomerPatch, Page, Secret
from wonder_customers._wire import Header, Replay, WireReply, WireRequest
from wonder_customers.dialects.base import (
    Call,
    Dialect,
    Operation,
    Steps,
    credential,
    endpoint,
    json_object,
    key_text,
    loose_object,
    one,
    refusal,
    segment,
    text_of,
)
from wonder_customers.dialects.limits import refuse
from wonder_customers.dialects.lists import offset_of, offset_page, query
from wonder_customers.errors import ConfigurationError, InvalidReply, NotFound

from . import convert


@frozen
class Acme:
    """A merchant's account at Acme."""

    deletes_customers: ClassVar[Literal[True]] = True

    api_key: Secret = field(converter=key_text)
    base_url: str = "https://api.acme.example"

    def __attrs_post_init__(self) -> None:
        credential("api_key", self.api_key)
        endpoint(self.base_url)

    @classmethod
    def from_environment(cls, variables: Mapping[str, str] = environ) -> "Acme":
        """The account in ``ACME_API_KEY`` and ``ACME_BASE_URL``."""
        if not variables.get("ACME_API_KEY"):
            raise ConfigurationError("set ACME_API_KEY in the environment")
        return cls(Secret(variables["ACME_API_KEY"]), variables.get("ACME_BASE_URL") or "https://api.acme.example")

    def dialect(self) -> "AcmeDialect":
        """The dialect that speaks for this account."""
        return AcmeDialect(self)


ACCOUNT = Acme

_NO_TOKENS = "Acme keeps no cards"


class AcmeDialect(Dialect):
    """Acme's way of speaking: a PUT by the merchant's own id, so creating is an upsert."""

    gateway = "acme"
    page_limit = 20
    lacks: ClassVar[Mapping[Operation, str]] = {it: _NO_TOKENS for it in Operation if "payment_token" in it}

    def __init__(self, account: Acme) -> None:
        super().__init__(account.base_url)
        self._headers: tuple[Header, ...] = ((b"X-Acme-Key", account.api_key.reveal().encode("ascii")),)

    def headers(self, request: WireRequest, now: float, nonce: str, bearer: str | None) -> tuple[Header, ...]:
        """The key."""
        return self._headers

    def create(self, draft: CustomerDraft) -> Steps[Customer]:
        """``POST /acme/people``, keyed by ``external_id``."""
        self.validate(draft)
        body = orjson.dumps({"person": convert.person(draft)})
        request = WireRequest("POST", f"{self.prefix}/acme/people", "/acme/people", body)
        reference = draft.reference
        if reference is None:
            return one(Call(request, Replay.NONE, _person))
        found = Call(request, Replay.NATURAL_UPSERT, _person, lambda: self.get_by_reference(reference))
        return one(evolve(found, reference=reference))

    def upsert(self, draft: CustomerDraft) -> Steps[Customer]:
        """The same request as `create`."""
        return self.create(draft)

    def get(self, id: str) -> Steps[Customer]:
        """``GET /acme/people/{id}``."""
        return one(Call(self._one("GET", id), Replay.READ, _person, id=id))

    def get_by_reference(self, reference: str) -> Steps[Customer]:
        """``GET /acme/people/by-external-id/{external_id}``."""
        target = f"{self.prefix}/acme/people/by-external-id/{segment(self.gateway, 'reference', reference)}"
        request = WireRequest("GET", target, "/acme/people/by-external-id/{external_id}")
        return one(Call(request, Replay.READ, _person, reference=reference))

    def update(self, id: str, patch: CustomerPatch) -> Steps[Customer]:
        """``PATCH /acme/people/{id}``."""
        refuse(self.gateway, convert.broken_limits(patch))
        body = orjson.dumps({"person": convert.person(patch)})
        return one(Call(self._one("PATCH", id, body), Replay.IDEMPOTENT, _person, id=id))

    def delete(self, id: str) -> Steps[None]:
        """``DELETE /acme/people/{id}``."""
        return one(Call(self._one("DELETE", id), Replay.IDEMPOTENT, _gone, id=id, gone_is_done=True))

    def page(self, limit: int, cursor: str | None, filters: Mapping[str, str]) -> Steps[Page[Customer]]:
        """``GET /acme/people?limit=&offset=``."""
        offset = offset_of(self.gateway, cursor)
        target = f"{self.prefix}/acme/people{query(self.gateway, {'limit': limit, 'offset': offset}, filters)}"

        def decode(reply: WireReply) -> Page[Customer]:
            items = _accepted(reply).get("people")
            if not isinstance(items, list):
                raise InvalidReply("people is no list", status=reply.status)
            read = [convert.read_customer(item, reply.status) for item in items]
            return offset_page(read, offset, limit, promised=self.page_limit)

        return one(Call(WireRequest("GET", target, "/acme/people"), Replay.READ, decode))

    def validate(self, draft: CustomerDraft) -> None:
        """Raise `InvalidRecord` when the gateway cannot take `draft`."""
        refuse(self.gateway, convert.broken_limits(draft))

    def payload(self, draft: CustomerDraft) -> dict[str, Any]:
        """The customer's fields as `draft` puts them on the wire."""
        return convert.person(draft)

    def differences(self, draft: CustomerDraft, customer: Customer) -> tuple[str, ...]:
        """The fields of `draft` that the gateway's answer does not repeat."""
        return convert.differences(draft, customer)

    def _one(self, method: str, id: str, body: bytes = b"") -> WireRequest:
        target = f"{self.prefix}/acme/people/{segment(self.gateway, 'id', id)}"
        return WireRequest(method, target, "/acme/people/{id}", body)


def _accepted(reply: WireReply) -> dict[str, Any]:
    if reply.status >= 400:
        error = loose_object(reply.body).get("error")
        told = error if isinstance(error, dict) else {}
        raise refusal(reply.status, code=text_of(told.get("code")), message=text_of(told.get("text")))
    return json_object("Acme", reply)


def _person(reply: WireReply) -> Customer:
    body = _accepted(reply).get("person")
    if body is None:
        raise NotFound("the answer holds no person", status=reply.status)
    return convert.read_customer(body, reply.status)


def _gone(reply: WireReply) -> None:
    if reply.status >= 300:
        _accepted(reply)

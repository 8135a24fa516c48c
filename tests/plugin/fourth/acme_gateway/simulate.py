"""A stand-in for Acme."""

import secrets
from collections.abc import Mapping
from typing import ClassVar

from starlette.responses import Response
from starlette.routing import Route

from wonder_customers.simulator import Call, Condition, Customer, Gateway, GatewayError
from wonder_customers.simulator.gateway import JsonObject, reply


def _no(status: int, code: str, text: str) -> GatewayError:
    return GatewayError(status, {"error": {"code": code, "text": text}})


class Simulator(Gateway):
    """Acme's people."""

    name: ClassVar[str] = "acme"
    prefix: ClassVar[str] = "/acme"

    @property
    def routes(self) -> list[Route]:
        """All endpoints."""
        return [
            self.route("/acme/people", POST=self._write, GET=self._list),
            self.route("/acme/people/by-external-id/{reference}", GET=self._by_reference),
            self.route("/acme/people/{id}", GET=self._get, PATCH=self._change, DELETE=self._delete),
        ]

    def new_credentials(self, *, first: bool) -> tuple[str, dict[str, str]]:
        """Make a key."""
        key = secrets.token_hex(16)
        return key, {"api_key": key}

    def variables(self, credentials: Mapping[str, str], origin: str) -> dict[str, str]:
        """The variables of one merchant."""
        return {"ACME_BASE_URL": origin, "ACME_API_KEY": credentials["api_key"]}

    def authenticate(self, call: Call) -> str:
        """The merchant with the call's key."""
        key = call.headers.get("x-acme-key", "")
        if key not in self.merchants:
            raise _no(401, "bad_key", "The key is not known.")
        return key

    def wrong_path(self, status: int) -> Response:
        """The answer to an unknown path."""
        return reply(status, {"error": {"code": "no_path", "text": "There is nothing here."}})

    def _write(self, call: Call, merchant: str) -> Response:
        sent = self._sent(call)
        if not isinstance(sent.get("full_name"), str):
            raise _no(400, "bad_person", "full_name is missing.")
        wanted = sent.get("external_id")
        held = self.store.customer_by_reference(self.name, merchant, wanted) if wanted else None
        body = {**held.body, **sent} if held else {"person_id": secrets.token_hex(6), **sent}
        return self._saved(merchant, body, held.created if held else self.clock(), "updated" if held else "created")

    def _change(self, call: Call, merchant: str) -> Response:
        held = self._held(call, merchant)
        return self._saved(merchant, {**held.body, **self._sent(call)}, held.created, "updated")

    def _delete(self, call: Call, merchant: str) -> Response:
        held = self._held(call, merchant)
        gone = Customer(held.id, held.reference, True, held.created, held.body)
        self.store.save_customer(self.name, merchant, gone, "deleted", self.clock())
        return Response(status_code=204)

    def _get(self, call: Call, merchant: str) -> Response:
        return reply(200, {"person": self._held(call, merchant).body})

    def _by_reference(self, call: Call, merchant: str) -> Response:
        held = self.store.customer_by_reference(self.name, merchant, call.segments["reference"])
        if held is None:
            raise _no(404, "nobody", "There is no such person.")
        return reply(200, {"person": held.body})

    def _list(self, call: Call, merchant: str) -> Response:
        found, _ = self.store.select(
            self.name,
            merchant,
            [Condition(("deleted",), "eq", 0)],
            order="created",
            descending=False,
            limit=call.number("limit", 20) or 20,
            offset=call.number("offset", 0) or 0,
            count=False,
        )
        return reply(200, {"people": [customer.body for customer in found]})

    def _held(self, call: Call, merchant: str) -> Customer:
        held = self.store.customer(self.name, merchant, call.segments["id"])
        if held is None or held.deleted:
            raise _no(404, "nobody", "There is no such person.")
        return held

    def _saved(self, merchant: str, body: JsonObject, created: float, action: str) -> Response:
        customer = Customer(body["person_id"], body.get("external_id"), False, created, body)
        self.store.save_customer(self.name, merchant, customer, action, self.clock())
        return reply(200, {"person": body})

    def _sent(self, call: Call) -> JsonObject:
        body = call.json()
        sent = body.get("person") if isinstance(body, dict) else None
        if not isinstance(sent, dict):
            raise _no(400, "bad_body", "person is missing.")
        return sent

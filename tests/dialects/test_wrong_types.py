"""Every optional field of a response, with each of eight wrong types, in the operations that read it."""

import logging
import re
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import httpx
import orjson
import pytest
from attrs import evolve
from dialects.documented import DOCUMENTS
from dialects.test_response_fields import WRONG_VALUES, accepted_values, full_object
from examples import DRAFT
from gateway_responses import IDS, paydock_list
from mock_gateway import ACCOUNTS, Session

from wonder_customers import CustomerSession, InvalidResponseError, RetryPolicy
from wonder_customers.bulk import migrate, sync, verify
from wonder_customers.bulk.report import build
from wonder_customers.contrib.logs import log_events
from wonder_customers.events import Event, ResponseDrift

STRICT = {"uuid", "_id", "id", "status", "reference_number", "reference", "merchant_customer_id", "token"}
"""The envelope, the id and the reference."""
NESTED = {"wonder": ("default_payment_token", "credit_card"), "paydock": ("payment_sources",), "monri": ()}
# Random ids may contain these digits, but not as a word.
SECRETS = re.compile(r"Lovelace|\b71000\b|9007199254740993")


def _customer(gateway: str) -> dict[str, Any]:
    reference = {"wonder": "reference_number", "paydock": "reference", "monri": "merchant_customer_id"}[gateway]
    key = "_id" if gateway == "paydock" else "uuid"
    status = {"status": "approved", "deleted": False, "deleted_at": None} if gateway == "monri" else {}
    return full_object(gateway, "customer") | {reference: DRAFT.reference, key: IDS[gateway]} | status


def _cases(gateway: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield the path of each optional field, the name of the wrong type, and the customer with it."""
    for path, kind in _paths(gateway, "customer", ""):
        for wrong, value in WRONG_VALUES.items():
            if wrong not in accepted_values(kind, path):
                yield path, wrong, _changed(_customer(gateway), path, value)


def _paths(gateway: str, kind: str, prefix: str) -> Iterator[tuple[str, str]]:
    for name, type_ in DOCUMENTS[gateway]["response"][kind].items():
        if name in NESTED[gateway]:
            yield from _paths(gateway, type_, f"{prefix}{name}.")
        if name not in STRICT or (name == "status" and gateway == "paydock"):
            yield f"{prefix}{name}", type_


def _changed(body: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    target = body
    *outer, last = path.split(".")
    for name in outer:
        target = target[name][0] if isinstance(target[name], list) else target[name]
    target[last] = value
    return body


class OneCustomer(httpx.AsyncBaseTransport):
    """A gateway whose responses all contain the customers in `customers`."""

    def __init__(self, gateway: str) -> None:
        self.gateway = gateway
        self.customers: list[dict[str, Any]] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Return the customer, or the list of customers."""
        path, first = request.url.path, self.customers[0]
        listing = request.method == "GET" and path.endswith("/customers")
        if self.gateway == "wonder":
            body: Any = {"code": 200, "data": {"customers": self.customers} if listing else {"customer": first}}
        elif self.gateway == "paydock":
            resource = paydock_list(*self.customers)["resource"] if listing else {"type": "customer", "data": first}
            body = {"status": 200, "error": None, "resource": resource}
        else:
            body = {"status": "approved", "data": self.customers} if listing else first
        return httpx.Response(200, content=orjson.dumps(body))


async def _verify(session: Session) -> Any:
    found = await verify(session, [evolve(DRAFT, email="ada@example.com")])
    assert found.checked == 1
    return found


async def _migrate(session: Session) -> Any:
    found = await migrate.losses(session, session)
    assert (found.customers, found.unreadable) == (1, 0)
    return [it async for it in migrate.migrated(session, session)]


async def _list(session: Session) -> Any:
    return [it async for it in session.list()]


async def _sync(session: Session) -> Any:
    async with sync(session, [DRAFT]) as job:
        outcomes = [it async for it in job]
    report = build(job, gateway=session.gateway, source="test", journal=None, seconds=1.0, started=0.0)
    assert report["failures"] == {}
    assert report["drift"]
    return outcomes, report


OPERATIONS: dict[str, Callable[[Session], Awaitable[Any]]] = {
    "get": lambda session: session.get(IDS[session.gateway]),
    "list": _list,
    "create": lambda session: session.create(DRAFT),
    "upsert": lambda session: session.upsert(DRAFT),
    "verify": _verify,
    "migrate": _migrate,
    "sync": _sync,
}


EVERY = pytest.mark.parametrize("every", [3, pytest.param(1, marks=pytest.mark.long)], ids=["some", "all"])
"""Each third case reaches every field and every wrong type. The operations share a codec, so only `get` tries these."""


def _some(gateway: str, operation: str, every: int) -> list[tuple[str, str, dict[str, Any]]]:
    return list(_cases(gateway))[:: every if operation == "get" or every == 1 else 13]


@EVERY
@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_field_of_another_type_is_reported_and_fails_no_operation(
    gateway: str, operation: str, every: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    transport, events = OneCustomer(gateway), list[Event]()
    async with CustomerSession(
        ACCOUNTS[gateway](), transport=transport, observers=[events.append, log_events]
    ) as session:
        for path, wrong, body in _some(gateway, operation, every):
            if path == "deleted_at" and operation in {"upsert", "sync"}:
                continue  # a deleted customer is not written
            transport.customers, before = [body], dict(session.stats().drift)
            result = await OPERATIONS[operation](session)
            changed = {name for name, count in session.stats().drift.items() if count != before.get(name)}
            assert changed, (path, wrong)
            assert all(f"{it}.".startswith(f"{gateway}.{path}.") for it in changed), (path, wrong, changed)
            if operation in {"verify", "sync"}:
                assert not SECRETS.search(repr(result)), result
    drifts = [it for it in events if isinstance(it, ResponseDrift)]
    assert drifts
    assert not SECRETS.search(repr(drifts))
    assert not SECRETS.search(caplog.text)


@EVERY
@pytest.mark.parametrize("operation", ["get", "list", "create", "verify", "migrate"])
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_strict_session_raises_for_each_field_of_another_type(gateway: str, operation: str, every: int) -> None:
    transport = OneCustomer(gateway)
    async with CustomerSession(
        ACCOUNTS[gateway](), transport=transport, strict=True, retry=RetryPolicy(attempts=1)
    ) as session:
        for path, wrong, body in _some(gateway, operation, every):
            transport.customers = [body]
            with pytest.raises(InvalidResponseError) as caught:
                await OPERATIONS[operation](session)
            assert f"{path.partition('.')[0]}" in caught.value.reason, (path, wrong)
            assert not SECRETS.search(caught.value.reason)

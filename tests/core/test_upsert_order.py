"""An upsert that reads before it writes reads again after each wait, so that it writes no outdated customer."""

from typing import Any

import anyio
import orjson
import pytest
from core.monri_responses import FIND
from gateway_responses import HEX24, UUID, monri_customer, paydock_customer, paydock_list

from scripted_transport import NO_RESPONSE, NOT_FOUND, PAYDOCK, draft, make_harness, respond
from wonder_customers import CustomerPatch, OutcomeUnknownError, RetryPolicy

pytestmark = pytest.mark.anyio

ONCE = RetryPolicy(attempts=1)
HELD = {"_id": HEX24, "reference": "r-1", "first_name": "Ada"}
DELETED = paydock_customer(**HELD, archived=True)
WRITE = f"POST /v2/customers/{UUID}"


def found(**changes: Any) -> Any:
    return respond(200, monri_customer(merchant_customer_id="r-1", name="Ada", **changes))


async def test_upsert_after_an_unconfirmed_deletion_creates_a_new_customer() -> None:
    new = paydock_customer(**(HELD | {"_id": "1" * 24}))
    it = make_harness(
        *(NO_RESPONSE, respond(200, paydock_list(HELD)), respond(200, paydock_list()), respond(201, new)),
        account=PAYDOCK,
        policy=ONCE,
    )
    with pytest.raises(OutcomeUnknownError):
        await it.delete(HEX24)
    assert (await it.upsert(draft())).record.id == "1" * 24
    assert [line.partition("?")[0] for line in it.script.lines()[1:]] == [
        *("GET /v1/customers", "GET /v1/customers", "POST /v1/customers")
    ]
    assert it.clock.waits == [10.0]


async def test_upsert_removes_metadata_that_a_late_update_has_added() -> None:
    it = make_harness(NO_RESPONSE, found(), found(metadata={"old": "1"}), found(), policy=ONCE)
    with pytest.raises(OutcomeUnknownError):
        await it.update(UUID, CustomerPatch(metadata={"old": "1"}))
    await it.upsert(draft(metadata={"new": "2"}))
    assert it.script.lines()[1:] == [FIND, FIND, WRITE]
    assert orjson.loads(it.script.sent[-1].body)["metadata"] == {"new": "2", "old": None}


async def test_upsert_looks_up_again_after_it_has_waited_for_a_deletion() -> None:
    """The deletion is by id, so it does not lock the reference."""
    deletion = anyio.Event()

    async def delete(signed_request: Any, transmission: Any) -> Any:
        await deletion.wait()
        return respond(200, DELETED)(signed_request, transmission)

    def find(signed_request: Any, transmission: Any) -> Any:
        deletion.set()
        return respond(200, paydock_list(HELD))(signed_request, transmission)

    new = paydock_customer(**(HELD | {"_id": "1" * 24}))
    it = make_harness(delete, find, respond(200, paydock_list()), respond(201, new), account=PAYDOCK)
    async with anyio.create_task_group() as group:
        group.start_soon(it.delete, HEX24)
        await anyio.wait_all_tasks_blocked()
        assert (await it.upsert(draft())).record.id == "1" * 24


async def test_upserts_of_one_reference_look_up_once_each() -> None:
    it = make_harness(NOT_FOUND, found(), *[found()] * 4)
    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(it.upsert, draft())
    assert it.script.lines() == [FIND, "POST /v2/customers", FIND, WRITE, FIND, WRITE]
    assert it.executor.order.locks._locks == {}

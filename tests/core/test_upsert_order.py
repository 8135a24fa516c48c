"""An upsert that reads before it writes reads again after each wait, so that it writes no outdated customer."""

from typing import Any

import anyio
import orjson
import pytest
from core.monri_responses import FIND
from gateway_responses import HEX24, UUID, monri_customer, paydock_customer, paydock_list

from scripted_transport import NO_RESPONSE, NOT_FOUND, PAYDOCK, draft, make_harness, respond
from wonder_customers import ConflictError, CustomerPatch, OutcomeUnknownError, RetryPolicy, StopSignal
from wonder_customers._support import clock

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


@pytest.mark.parametrize("by_id", [True, False])
async def test_upsert_creates_no_second_customer_if_the_search_no_longer_finds_the_first(by_id: bool) -> None:
    held, none, shown = (
        respond(200, paydock_customer(**HELD)),
        respond(200, paydock_list()),
        respond(200, paydock_list(HELD)),
    )
    it = make_harness(held if by_id else shown, none, held, shown, shown, held, account=PAYDOCK)
    if by_id:
        await it.get(HEX24)
    else:
        await it.executor.run(it.account_context, "get_by_reference", it.dialect.get_by_reference("r-1"), None)
    it.clock.now += 3600
    assert (await it.upsert(draft())).record.id == HEX24
    assert "POST /v1/customers" not in it.script.lines()


async def test_customer_stays_known_after_a_deleted_one_with_its_reference_was_read() -> None:
    held, none, shown = (
        respond(200, paydock_customer(**HELD)),
        respond(200, paydock_list()),
        respond(200, paydock_list(HELD)),
    )
    deleted = respond(200, paydock_customer(**(HELD | {"_id": "1" * 24}), archived=True))
    it = make_harness(held, deleted, none, held, shown, shown, held, account=PAYDOCK)
    await it.get(HEX24)
    assert (await it.get("1" * 24)).record.deleted
    assert (await it.upsert(draft())).record.id == HEX24
    assert it.script.steps == []


async def test_upsert_waits_for_the_search_after_a_create() -> None:
    made, none, shown = (
        respond(201, paydock_customer(**HELD)),
        respond(200, paydock_list()),
        respond(200, paydock_list(HELD)),
    )
    held = respond(200, paydock_customer(**HELD))
    it = make_harness(none, made, none, held, none, shown, shown, held, account=PAYDOCK)
    await it.upsert(draft())
    assert (await it.upsert(draft())).record.id == HEX24
    assert [line.partition("?")[0] for line in it.script.lines()[2:]] == [
        *("GET /v1/customers", f"GET /v1/customers/{HEX24}", "GET /v1/customers", "GET /v1/customers"),
        *("GET /v1/customers", f"POST /v1/customers/{HEX24}"),
    ]
    assert it.clock.waits == [0.5, 1.0]


@pytest.mark.parametrize("held", [respond(200, paydock_customer(**HELD)), respond(404, b"<html>")])
async def test_upsert_creates_no_second_customer_while_the_search_does_not_find_the_first(held: Any) -> None:
    made, none = respond(201, paydock_customer(**HELD)), respond(200, paydock_list())
    policy = RetryPolicy(confirmation_window=1)
    it = make_harness(none, made, none, held, *[none] * 3, account=PAYDOCK, policy=policy)
    await it.upsert(draft())
    with pytest.raises(ConflictError, match="the gateway's search does not find it yet") as caught:
        await it.upsert(draft())
    assert (caught.value.applied, caught.value.ids, it.script.steps) == ("no", (HEX24,), [])


@pytest.mark.parametrize("stopped", [True, False])
async def test_upsert_stops_waiting_for_the_search_at_its_deadline_and_at_the_stop_signal(
    monkeypatch: pytest.MonkeyPatch, stopped: bool
) -> None:
    held, none = respond(200, paydock_customer(**HELD)), respond(200, paydock_list())
    policy = RetryPolicy(deadline=3.0, confirmation_window=2.9)
    it = make_harness(held, none, held, *[none] * (1 if stopped else 2), account=PAYDOCK, policy=policy)
    it.account_context.stop = stop = StopSignal()
    it.script.takes = 0.5
    wait = clock.sleep

    async def sleep(seconds: float) -> None:
        stop.is_set = stopped
        await wait(seconds)

    monkeypatch.setattr(clock, "sleep", sleep)
    await it.get(HEX24)
    with pytest.raises(ConflictError, match="the gateway's search does not find it yet"):
        await it.upsert(draft())
    assert (it.clock.waits, it.script.steps) == ([0.5], [])


@pytest.mark.parametrize("state", [DELETED, {**HELD, "reference": "r-2"}, None], ids=["deleted", "renamed", "missing"])
async def test_upsert_creates_a_customer_at_once_after_another_process_has_removed_the_first(state: Any) -> None:
    made, none = respond(201, paydock_customer(**HELD)), respond(200, paydock_list())
    new = respond(201, paydock_customer(**(HELD | {"_id": "1" * 24})))
    gone = NOT_FOUND if state is None else respond(200, state if "_id" not in state else paydock_customer(**state))
    it = make_harness(none, made, none, gone, new, account=PAYDOCK)
    await it.upsert(draft())
    assert (await it.upsert(draft())).record.id == "1" * 24
    assert it.clock.waits == []


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

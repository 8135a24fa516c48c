"""Writes for one customer run one after the other, and wait for an unconfirmed write."""

from contextlib import suppress
from typing import Any

import anyio
import orjson
import pytest
from core.monri_responses import CREATE, DOWN, FIND, KEY, OTHER
from gateway_responses import UUID, monri_customer, wonder_customer
from mock_gateway import wonder

from scripted_transport import CONNECTION_REFUSED, CREATED, NO_RESPONSE, draft, make_harness, no_response, respond
from wonder_customers import (
    CallError,
    CustomerPatch,
    DeadlineExceededError,
    Monri,
    NoResponseError,
    NotSentError,
    OutcomeUnknownError,
    RetryPolicy,
    StopSignal,
)
from wonder_customers.dialects.base import LockCustomer, Steps
from wonder_customers.testing.factories import make_source
from wonder_customers.wire import HttpResponse, Transmission


@pytest.mark.parametrize(("references", "concurrent"), [(["r-1"] * 5, 1), ([f"r-{it}" for it in range(5)], 5)])
async def test_writes_for_one_reference_are_serialized(references: list[str], concurrent: int) -> None:
    it = make_harness(respond(200, monri_customer(merchant_customer_id=None)), endless=True)
    async with anyio.create_task_group() as group:
        for reference in references:
            group.start_soon(it.create, draft(reference=reference))
    assert it.script.most_concurrent == concurrent


@pytest.mark.parametrize(("name", "wait"), [("Grace", 10.0), ("Ada", 0.0)], ids=["newer", "identical"])
async def test_newer_write_waits_for_the_confirmation_window(name: str, wait: float) -> None:
    it = make_harness(*[NO_RESPONSE] * 3, respond(200, wonder_customer(name=name)), account=wonder())
    with pytest.raises(OutcomeUnknownError):
        await it.create(draft())
    before = it.clock.now
    await it.create(draft(name=name))
    assert it.clock.now - before == pytest.approx(wait)


async def test_create_after_an_unconfirmed_one_is_looked_up_first() -> None:
    it = make_harness(NO_RESPONSE, DOWN, DOWN, DOWN, CREATED)
    with pytest.raises(OutcomeUnknownError):
        await it.create(draft())
    response = await it.create(draft())
    assert it.script.lines() == [CREATE, FIND, FIND, FIND, FIND]
    assert response.recovered


async def test_upsert_after_an_unconfirmed_create_waits_before_its_lookup() -> None:
    it = make_harness(NO_RESPONSE, DOWN, DOWN, DOWN, OTHER, CREATED)
    with pytest.raises(OutcomeUnknownError):
        await it.create(draft())
    unconfirmed_until = it.clock.now - sum(it.clock.waits) + 10.0
    await it.upsert(draft())
    assert it.clock.now >= unconfirmed_until


async def test_update_by_id_waits_for_an_unconfirmed_create_of_its_reference() -> None:
    it = make_harness(NO_RESPONSE, DOWN, DOWN, DOWN, OTHER, OTHER)
    with pytest.raises(OutcomeUnknownError):
        await it.create(draft())
    await it.get(UUID)  # shows that the reference and the id belong to one customer
    until = it.clock.now - sum(it.clock.waits) + 10.0
    await it.update(UUID, CustomerPatch(name="Ada"))
    assert it.clock.now == until


async def test_confirmation_window_longer_than_the_deadline_sends_nothing() -> None:
    it = make_harness(NO_RESPONSE, endless=True, account=wonder(), policy=RetryPolicy(deadline=5, attempts=1))
    with pytest.raises(OutcomeUnknownError):
        await it.create(draft())
    it.account_context.policy = RetryPolicy(deadline=0.5, attempts=1)
    words = r"unconfirmed and may still be applied in the next 2\.5 s, but the deadline passes in 0\.5 s"
    with pytest.raises(DeadlineExceededError, match=words) as caught:
        await it.create(draft(name="Grace"))
    assert (caught.value.applied, len(it.script.sent)) == ("no", 1)


async def test_recovered_create_does_not_delay_the_next_write() -> None:
    it = make_harness(NO_RESPONSE, CREATED, CREATED)
    await it.create(draft())
    before = it.clock.now
    await it.create(draft(name="Grace"))
    assert it.clock.now == before


async def test_cancelled_write_is_unconfirmed() -> None:
    it = make_harness(account=wonder())

    async def hang(signed_request: object, transmission: object) -> object:
        transmission.sent = True  # type: ignore[attr-defined]
        started.set()
        await anyio.sleep_forever()
        raise AssertionError

    started = anyio.Event()
    it.script.send = hang  # type: ignore[method-assign,assignment]
    async with anyio.create_task_group() as group:
        group.start_soon(it.create, draft())
        await started.wait()
        group.cancel_scope.cancel()
    assert it.executor.order.locks.unconfirmed.remaining([(1, "reference", "r-1")], b"other") == pytest.approx(10.0)


@pytest.mark.parametrize(
    "end",
    [
        CREATED,
        CONNECTION_REFUSED,
        respond(400, {"message": "no"}),
        respond(429, {}),
        no_response(sent=True, status=404),
    ],
)
async def test_write_with_known_outcome_is_not_unconfirmed(end: Any) -> None:
    it = make_harness(end, policy=RetryPolicy(attempts=1))
    with suppress(CallError):  # other tests check the error
        await it.create(draft())
    assert it.executor.order.locks.unconfirmed.remaining([KEY], b"other") == 0


@pytest.mark.parametrize(("id", "window"), [(UUID.upper(), 10.0), (UUID, 0.5)], ids=["case of the id", "short window"])
async def test_different_update_waits_for_the_window_of_an_unconfirmed_one(id: str, window: float) -> None:
    it = make_harness(NO_RESPONSE, CREATED, policy=RetryPolicy(attempts=1, confirmation_window=window))
    with pytest.raises(OutcomeUnknownError):
        await it.update(id, CustomerPatch(name="Ada"))
    await it.update(UUID, CustomerPatch(name="Grace"))
    assert it.clock.waits == [window]


async def test_unconfirmed_write_expires_and_is_removed() -> None:
    it = make_harness(NO_RESPONSE, policy=RetryPolicy(attempts=1))
    with pytest.raises(OutcomeUnknownError):
        await it.update(UUID, CustomerPatch(name="Ada"))
    it.clock.now += 10
    unconfirmed = it.executor.order.locks.unconfirmed
    assert unconfirmed.remaining([(1, "id", UUID)], b"other") == 0
    unconfirmed.add([KEY], b"two", 10)
    assert list(unconfirmed._writes) == [KEY]


async def test_read_without_response_is_not_unconfirmed() -> None:
    it = make_harness(NO_RESPONSE, endless=True)
    with pytest.raises(NoResponseError):
        await it.get(UUID)
    assert it.executor.order.locks.unconfirmed._writes == {}


async def test_stop_signal_ends_the_wait_for_an_unconfirmed_write(monkeypatch: pytest.MonkeyPatch) -> None:
    it = make_harness(NO_RESPONSE, policy=RetryPolicy(attempts=1))
    it.account_context.stop = stop = StopSignal()
    with pytest.raises(OutcomeUnknownError):
        await it.update(UUID, CustomerPatch(name="Ada"))

    async def end(seconds: float) -> None:
        stop.is_set = True

    monkeypatch.setattr("wonder_customers._support.clock.sleep", end)
    with pytest.raises(NotSentError, match="the stop signal was set"):
        await it.update(UUID, CustomerPatch(name="Grace"))
    assert len(it.script.sent) == 1


async def test_operations_that_lock_a_reference_and_an_id_do_not_wait_for_each_other() -> None:
    """The second operation has locked the id and needs the reference, which the first operation has locked."""
    it = make_harness(CREATED, CREATED, policy=RetryPolicy(deadline=5))
    proceed, locked, both = anyio.Event(), list[object](), {KEY, (1, "id", UUID)}

    def steps(step: LockCustomer) -> Steps[None]:
        yield next(it.dialect.get(UUID))
        locked.append((yield step))
        locked.append(set(it.executor.order.locks._locks) == both)

    async def run(step: LockCustomer, subject: tuple[str, str]) -> None:
        await it.executor.run(it.account_context, "update", steps(step), subject)

    async def respond_later(*request: Any) -> Any:
        await proceed.wait()
        return CREATED(*request)

    it.script.steps[0] = respond_later
    async with anyio.create_task_group() as group:
        group.start_soon(run, LockCustomer("id", UUID), ("reference", "r-1"))
        await anyio.wait_all_tasks_blocked()
        group.start_soon(run, LockCustomer("reference", "r-1"), ("id", UUID))
        await anyio.wait_all_tasks_blocked()
        assert set(it.executor.order.locks._locks) == {KEY}
        proceed.set()
    assert locked == [True, True, True, True], "the customer may have changed, and both keys are locked"


async def test_operation_that_waits_for_an_id_keeps_the_lock_of_its_reference() -> None:
    it = make_harness()

    def steps() -> Steps[None]:
        yield LockCustomer("id", UUID)

    assert it.executor.order.locks.acquire_nowait((1, "id", UUID))
    async with anyio.create_task_group() as group:
        group.start_soon(it.executor.run, it.account_context, "upsert", steps(), ("reference", "r-1"))
        await anyio.wait_all_tasks_blocked()
        assert KEY in it.executor.order.locks._locks
        it.executor.order.locks.release((1, "id", UUID))


async def test_write_with_renewed_token_can_be_unconfirmed() -> None:
    token = {"access_token": "t", "expires_in": 900, "status": "approved"}
    it = make_harness(
        *(respond(200, token), respond(401, {}), respond(200, token), NO_RESPONSE),
        account=Monri("k", "t", auth="oauth"),
        policy=RetryPolicy(attempts=1),
    )
    with pytest.raises(OutcomeUnknownError):
        await it.update(UUID, CustomerPatch(name="Ada"))
    assert it.executor.order.locks.unconfirmed.remaining([(1, "id", UUID)], b"other") == 10


async def test_wonder_update_holds_the_lock_of_the_reference() -> None:
    held: list[bool] = []

    def written(signed_request: object, transmission: Transmission) -> HttpResponse:
        held.append(KEY in it.executor.order.locks._locks)
        transmission.sent = True
        return HttpResponse(200, {}, response_body)

    response_body = orjson.dumps(wonder_customer(name="Grace"))
    it = make_harness(respond(200, wonder_customer()), written, account=wonder())
    await it.update(UUID, CustomerPatch(name="Grace"))
    assert [request.method for request in it.script.sent] == ["GET", "POST"]
    assert held == [True]


async def test_wonder_update_reads_again_after_a_concurrent_write() -> None:
    def meanwhile(signed_request: Any, transmission: Transmission) -> Any:
        it.executor.order.locks.acquire_nowait(KEY)
        it.executor.order.locks.release(KEY)
        return respond(200, wonder_customer(email="old@example.org"))(signed_request, transmission)

    newer = respond(200, wonder_customer(email="new@example.org"))
    it = make_harness(meanwhile, newer, newer, account=wonder())
    await it.update(UUID, CustomerPatch(name="Ada"))
    assert [request.method for request in it.script.sent] == ["GET", "GET", "POST"]
    assert b"new@example.org" in it.script.sent[2].body


async def test_update_with_a_known_reference_reads_the_customer_once() -> None:
    it = make_harness(respond(200, wonder_customer()), endless=True, account=wonder())
    for _ in range(2):
        await it.update(UUID, CustomerPatch(name="Ada"))
    assert [line.partition(" ")[0] for line in it.script.lines()] == ["GET", "POST"] * 2


async def test_upsert_by_reference_waits_for_an_unconfirmed_payment_token() -> None:
    # The late token could become the default again.
    it = make_harness(respond(200, wonder_customer()), NO_RESPONSE, respond(200, wonder_customer()), account=wonder())
    await it.upsert(draft())  # shows that the reference and the id belong to one customer
    steps = it.dialect.create_payment_token(UUID, make_source(wonder()))
    with pytest.raises(OutcomeUnknownError):
        await it.executor.run(it.account_context, "create_payment_token", steps, ("id", UUID))
    before = it.clock.now
    await it.upsert(draft())
    assert it.clock.now - before == pytest.approx(10.0)


async def test_earlier_attempt_stays_unconfirmed_after_a_later_success() -> None:
    it = make_harness(NO_RESPONSE, no_response(sent=True, status=200), CREATED)
    await it.update(UUID, CustomerPatch(name="Ada"))
    assert it.executor.order.locks.unconfirmed.remaining([(1, "id", UUID)], b"other") > 9


async def test_lost_body_does_not_confirm_an_equal_earlier_write() -> None:
    it = make_harness(NO_RESPONSE, no_response(sent=True, status=201), CREATED, policy=RetryPolicy(attempts=1))
    with pytest.raises(OutcomeUnknownError):
        await it.update(UUID, CustomerPatch(name="Ada"))
    await it.update(UUID, CustomerPatch(name="Ada"))
    assert it.executor.order.locks.unconfirmed.remaining([(1, "id", UUID)], b"other") > 9


async def test_equal_write_with_a_shorter_window_does_not_shorten_the_wait() -> None:
    it = make_harness(NO_RESPONSE, NO_RESPONSE, policy=RetryPolicy(attempts=1, confirmation_window=50))
    for window in (50, 2):
        it.account_context.policy = RetryPolicy(attempts=1, confirmation_window=window)
        with pytest.raises(OutcomeUnknownError):
            await it.update(UUID, CustomerPatch(name="Ada"))
    assert it.executor.order.locks.unconfirmed.remaining([(1, "id", UUID)], b"other") == pytest.approx(50)

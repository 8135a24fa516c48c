"""Unconfirmed writes that outlast their call."""

from typing import Any

import anyio
import pytest
from core.monri_responses import DOWN
from gateway_responses import UUID, monri_customer

from scripted_transport import (
    CREATED,
    NO_RESPONSE,
    STALE_CONNECTION,
    Step,
    draft,
    hang,
    make_harness,
    no_response,
    respond,
    use_real_time,
)
from wonder_customers import (
    ConflictError,
    CustomerPatch,
    DeadlineExceededError,
    GatewayUnavailableError,
    Monri,
    NoResponseError,
    OutcomeUnknownError,
    RetryPolicy,
)

pytestmark = pytest.mark.anyio

OTHER = respond(200, monri_customer(merchant_customer_id="r-1", name="ADA", phone="+447911123456"))
MISSING = respond(404, {"message": "Customer not found"})
WITHOUT_TOKEN = r"^monri get: the request was not sent: the credentials were not available before the deadline \("


async def test_create_on_a_stale_connection_is_resent_after_lookups() -> None:
    it = make_harness(STALE_CONNECTION, *[MISSING] * 5, CREATED)
    assert (await it.create(draft())).record.id == UUID
    assert it.script.lines().count("POST /v2/customers") == 2


@pytest.mark.parametrize(("end", "cause"), [(NO_RESPONSE, NoResponseError), (DOWN, GatewayUnavailableError)])
async def test_unconfirmed_create_stays_unknown_after_reads(end: Step, cause: type[Exception]) -> None:
    it = make_harness(MISSING, NO_RESPONSE, OTHER, end, end, end)
    with pytest.raises(OutcomeUnknownError) as caught:
        await it.upsert(draft())
    error = caught.value
    assert (error.applied, error.reference, error.gateway, error.operation) == ("unknown", "r-1", "monri", "upsert")
    assert (type(error.__cause__), error.attempts, len(error.history)) == (cause, 3, 6)


async def test_refusal_after_an_unconfirmed_create_stays_unknown() -> None:
    it = make_harness(MISSING, NO_RESPONSE, OTHER, respond(404, {"message": "Customer not found"}))
    with pytest.raises(ConflictError) as caught:
        await it.upsert(draft())
    assert caught.value.applied == "unknown"


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


async def test_order_of_writes_ignores_the_case_of_ids() -> None:
    it = make_harness(NO_RESPONSE, CREATED, policy=RetryPolicy(attempts=1))
    with pytest.raises(OutcomeUnknownError):
        await it.update(UUID.upper(), CustomerPatch(name="Ada"))
    await it.update(UUID, CustomerPatch(name="Grace"))
    assert it.clock.waits == [10.0]


async def test_wait_for_a_token_ends_with_the_deadline_of_its_caller() -> None:
    it = use_real_time(make_harness(hang(sent=True), endless=True, account=Monri("k", "t", auth="oauth")))

    async def young(*, task_status: Any) -> None:
        it.account_context.policy = RetryPolicy(deadline=5)
        task_status.started()
        with anyio.move_on_after(30):
            await it.get(UUID)

    async with anyio.create_task_group() as group:
        await group.start(young)
        await anyio.wait_all_tasks_blocked()
        it.account_context.policy = RetryPolicy(deadline=0.3)
        with anyio.fail_after(120), pytest.raises(DeadlineExceededError, match=WITHOUT_TOKEN):
            await it.get(UUID)
        group.cancel_scope.cancel()

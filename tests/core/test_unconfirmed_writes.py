"""Unconfirmed writes that outlast a call, and responses that try to break their readers."""

import time
from typing import Any

import anyio
import pytest
from gateway_responses import UUID, monri_customer

from scripted_transport import (
    CREATED,
    NO_RESPONSE,
    STALE_CONNECTION,
    draft,
    hang,
    make_harness,
    no_response,
    respond,
    use_real_time,
)
from wonder_customers import (
    ConflictError,
    CustomerDraft,
    CustomerPatch,
    DeadlineExceededError,
    Monri,
    OutcomeUnknownError,
    RetryPolicy,
)
from wonder_customers._core.redaction import Redactor
from wonder_customers.wire import HttpRequest

pytestmark = pytest.mark.anyio

OTHER = respond(200, monri_customer(merchant_customer_id="r-1", name="ADA", phone="+447911123456"))
MISSING = respond(404, {"message": "Customer not found"})
WITHOUT_TOKEN = r"^monri get: it was not sent: no access token was available before the deadline \("


async def test_a_create_on_a_stale_connection_is_sent_once_more_like_any_other() -> None:
    it = make_harness(STALE_CONNECTION, *[MISSING] * 5, CREATED)
    assert (await it.create(draft())).record.id == UUID
    assert it.script.lines().count("POST /v2/customers") == 2


async def test_a_doubtful_create_is_not_forgotten_by_the_reads_after_it() -> None:
    it = make_harness(MISSING, NO_RESPONSE, OTHER, NO_RESPONSE, NO_RESPONSE, NO_RESPONSE)
    with pytest.raises(OutcomeUnknownError) as caught:
        await it.upsert(draft())
    error = caught.value
    assert (error.applied, error.reference, error.gateway, error.operation) == ("unknown", "r-1", "monri", "upsert")


async def test_a_refusal_after_a_doubtful_create_does_not_clear_it() -> None:
    it = make_harness(MISSING, NO_RESPONSE, OTHER, respond(404, {"message": "Customer not found"}))
    with pytest.raises(ConflictError) as caught:
        await it.upsert(draft())
    assert caught.value.applied == "unknown"


async def test_a_doubt_that_a_later_write_has_settled_is_none() -> None:
    it = make_harness(MISSING, NO_RESPONSE, OTHER, OTHER, CREATED)
    assert (await it.upsert(draft())).record.name == "Ada"


async def test_an_earlier_attempt_may_land_although_a_later_one_was_seen() -> None:
    it = make_harness(NO_RESPONSE, no_response(sent=True, status=200), CREATED)
    await it.update(UUID, CustomerPatch(name="Ada"))
    assert it.executor.order.locks.unconfirmed.remaining([(1, "id", UUID)], b"other") > 9


async def test_waiting_for_a_token_ends_with_the_callers_own_deadline() -> None:
    it = use_real_time(make_harness(hang(sent=True), endless=True, account=Monri("k", "t", auth="oauth")))

    async def young(*, task_status: Any) -> None:
        it.account_context.policy = RetryPolicy(deadline=5)
        task_status.started()
        with anyio.move_on_after(2):
            await it.get(UUID)

    async with anyio.create_task_group() as group:
        await group.start(young)
        await anyio.wait_all_tasks_blocked()
        it.account_context.policy = RetryPolicy(deadline=0.1)
        with anyio.fail_after(1), pytest.raises(DeadlineExceededError, match=WITHOUT_TOKEN):
            await it.get(UUID)
        group.cancel_scope.cancel()


async def test_a_long_refusal_is_read_in_no_time() -> None:
    began = time.perf_counter()
    Redactor(HttpRequest("GET", "/", "/")).redact("a" * 1_000_000)
    assert time.perf_counter() - began < 1, "it once took time by the square"


async def test_time_that_utc_cannot_express_is_none() -> None:
    response = await make_harness(respond(200, monri_customer(created_at="0001-01-01T00:00:00+08:00"))).get(UUID)
    assert response.record.created_at is None


async def test_a_draft_of_a_class_of_ones_own_is_a_draft() -> None:
    class Ours(CustomerDraft):
        pass

    assert (await make_harness(CREATED).create(Ours(reference="r-1", name="Ada"))).record.id == UUID

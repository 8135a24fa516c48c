"""Writes for one customer run one after the other, and wait for an unconfirmed write."""

from contextlib import suppress
from typing import Any

import anyio
import orjson
import pytest
from core.monri_responses import CREATE, DOWN, FIND, KEY, OTHER
from gateway_responses import UUID, monri_customer, wonder_customer

from scripted_transport import CONNECTION_REFUSED, CREATED, NO_RESPONSE, draft, make_harness, no_response, respond
from wonder_customers import (
    CallError,
    ConflictError,
    CustomerPatch,
    DeadlineExceededError,
    Monri,
    NoResponseError,
    OutcomeUnknownError,
    RetryPolicy,
    Wonder,
)
from wonder_customers.wire import HttpResponse, Transmission

pytestmark = pytest.mark.anyio


class TestTurns:
    async def test_writes_for_one_reference_take_turns(self) -> None:
        it = make_harness(CREATED, endless=True)
        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(it.create, draft())
        assert it.script.most_concurrent == 1

    async def test_writes_for_other_references_do_not_wait(self) -> None:
        it = make_harness(respond(200, monri_customer()), endless=True)
        async with anyio.create_task_group() as group:
            for number in range(5):
                group.start_soon(it.create, draft(reference=f"r-{number}"))
        assert it.script.most_concurrent == 5

    async def test_a_newer_write_waits_until_a_doubtful_one_must_have_landed(self, wonder: Wonder) -> None:
        it = make_harness(
            NO_RESPONSE, NO_RESPONSE, NO_RESPONSE, respond(200, wonder_customer(name="Grace")), account=wonder
        )
        with pytest.raises(OutcomeUnknownError):
            await it.create(draft())
        before = it.clock.now
        await it.create(draft(name="Grace"))
        assert it.clock.now - before == pytest.approx(10.0)

    async def test_the_very_same_bytes_need_not_wait(self, wonder: Wonder) -> None:
        it = make_harness(NO_RESPONSE, NO_RESPONSE, NO_RESPONSE, respond(200, wonder_customer()), account=wonder)
        with pytest.raises(OutcomeUnknownError):
            await it.create(draft())
        before = it.clock.now
        await it.create(draft())
        assert it.clock.now == before

    async def test_a_create_after_a_doubtful_one_looks_first(self) -> None:
        it = make_harness(NO_RESPONSE, DOWN, DOWN, DOWN, CREATED)
        with pytest.raises(OutcomeUnknownError):
            await it.create(draft())
        answer = await it.create(draft())
        assert it.script.lines() == [CREATE, FIND, FIND, FIND, FIND]
        assert answer.recovered

    async def test_an_upsert_after_a_doubtful_create_does_not_look_too_early(self) -> None:
        it = make_harness(NO_RESPONSE, DOWN, DOWN, DOWN, OTHER, CREATED)
        with pytest.raises(OutcomeUnknownError):
            await it.create(draft())
        doubted_until = it.clock.now - sum(it.clock.waits) + 10.0
        await it.upsert(draft())
        assert it.clock.now >= doubted_until

    async def test_a_doubt_that_outlasts_the_deadline_is_told_and_nothing_is_sent(self, wonder: Wonder) -> None:
        it = make_harness(NO_RESPONSE, endless=True, account=wonder, policy=RetryPolicy(deadline=5, attempts=1))
        with pytest.raises(OutcomeUnknownError):
            await it.create(draft())
        it.account_context.policy = RetryPolicy(deadline=2, attempts=1)
        with pytest.raises(DeadlineExceededError, match=r"unconfirmed and may be applied for another 2\.5 s") as caught:
            await it.create(draft(name="Grace"))
        assert (caught.value.applied, len(it.script.sent)) == ("no", 1)

    async def test_an_update_that_is_seen_to_have_landed_leaves_no_doubt(self) -> None:
        it = make_harness(NO_RESPONSE, CREATED, CREATED)
        await it.create(draft())
        before = it.clock.now
        await it.create(draft(name="Grace"))
        assert it.clock.now == before

    async def test_a_cancelled_write_is_in_doubt(self, wonder: Wonder) -> None:
        it = make_harness(account=wonder)

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


class TestDoubts:
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
    async def test_a_known_end_leaves_none(self, end: Any) -> None:
        it = make_harness(end, policy=RetryPolicy(attempts=1))
        with suppress(CallError):  # other tests check how it ends
            await it.create(draft())
        assert it.executor.order.locks.unconfirmed.remaining([KEY], b"other") == 0

    async def test_a_read_leaves_none(self) -> None:
        it = make_harness(NO_RESPONSE, endless=True)
        with pytest.raises(NoResponseError):
            await it.get(UUID)
        assert it.executor.order.locks.unconfirmed._writes == {}

    async def test_an_update_in_doubt_holds_back_a_different_one(self) -> None:
        it = make_harness(NO_RESPONSE, NO_RESPONSE, NO_RESPONSE, CREATED)
        with pytest.raises(OutcomeUnknownError):
            await it.update(UUID, CustomerPatch(name="Ada"))
        before = it.clock.now
        await it.update(UUID, CustomerPatch(name="Grace"))
        assert it.clock.now - before == pytest.approx(10)

    async def test_a_short_doubt_is_waited_for_too(self) -> None:
        it = make_harness(NO_RESPONSE, CREATED, policy=RetryPolicy(attempts=1, confirmation_window=0.5))
        with pytest.raises(OutcomeUnknownError):
            await it.update(UUID, CustomerPatch(name="Ada"))
        await it.update(UUID, CustomerPatch(name="Grace"))
        assert it.clock.waits == [0.5]

    async def test_a_write_with_a_fresh_token_can_be_in_doubt(self) -> None:
        token = {"access_token": "t", "expires_in": 900, "status": "approved"}
        it = make_harness(
            *(respond(200, token), respond(401, {}), respond(200, token), NO_RESPONSE),
            account=Monri("k", "t", auth="oauth"),
            policy=RetryPolicy(attempts=1),
        )
        with pytest.raises(OutcomeUnknownError):
            await it.update(UUID, CustomerPatch(name="Ada"))
        assert it.executor.order.locks.unconfirmed.remaining([(1, "id", UUID)], b"other") == 10

    async def test_a_doubt_ends_with_its_time(self) -> None:
        it = make_harness(NO_RESPONSE, policy=RetryPolicy(attempts=1))
        with pytest.raises(OutcomeUnknownError):
            await it.update(UUID, CustomerPatch(name="Ada"))
        it.clock.now += 10
        assert it.executor.order.locks.unconfirmed.remaining([(1, "id", UUID)], b"other") == 0

    async def test_doubts_that_have_ended_are_forgotten(self) -> None:
        unconfirmed = make_harness().executor.order.locks.unconfirmed
        unconfirmed.add([KEY], b"one", 10)
        unconfirmed.clock.now += 10  # type: ignore[attr-defined]
        unconfirmed.add([(1, "id", UUID)], b"two", 10)
        assert list(unconfirmed._writes) == [(1, "id", UUID)]

    async def test_a_create_after_a_doubtful_different_one_does_not_adopt_it(self) -> None:
        it = make_harness(NO_RESPONSE, *[respond(502, b"")] * 3, CREATED)
        with pytest.raises(OutcomeUnknownError):
            await it.create(draft())
        with pytest.raises(ConflictError, match="but differs in name"):
            await it.create(draft(name="Grace"))


class TestWondersUpdate:
    async def test_it_reads_and_writes_in_the_references_turn(self, wonder: Wonder) -> None:
        held: list[bool] = []

        def written(signed_request: object, transmission: Transmission) -> HttpResponse:
            held.append(KEY in it.executor.order.locks._locks)
            transmission.sent = True
            return HttpResponse(200, {}, reply_body)

        reply_body = orjson.dumps(wonder_customer(name="Grace"))
        it = make_harness(respond(200, wonder_customer()), written, account=wonder)
        await it.update(UUID, CustomerPatch(name="Grace"))
        assert [request.method for request in it.script.sent] == ["GET", "POST"]
        assert held == [True]

    async def test_it_reads_again_when_another_write_ended_meanwhile(self, wonder: Wonder) -> None:
        def meanwhile(signed_request: Any, transmission: Transmission) -> Any:
            it.executor.order.locks.acquire_nowait(KEY)
            it.executor.order.locks.release(KEY)
            return respond(200, wonder_customer(email="old@example.org"))(signed_request, transmission)

        newer = respond(200, wonder_customer(email="new@example.org"))
        it = make_harness(meanwhile, newer, newer, account=wonder)
        await it.update(UUID, CustomerPatch(name="Ada"))
        assert [request.method for request in it.script.sent] == ["GET", "GET", "POST"]
        assert b"new@example.org" in it.script.sent[2].body

"""Slow signatures are made inline by a single call, and in threads while other calls are in progress."""

import threading
from functools import partial
from typing import Any

import anyio
import anyio.lowlevel
import httpx
import pytest

from wonder_customers import CustomerDraft, CustomerSession, Phone, RetryPolicy, Wonder
from wonder_customers._core import attempt
from wonder_customers._core.signing import SignerPool
from wonder_customers.dialects.wonder import WonderDialect

pytestmark = pytest.mark.anyio


@pytest.fixture
def signers(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the threads in which headers were made, in order."""
    seen: list[int] = []
    headers = WonderDialect.headers

    def noted(*arguments: Any) -> Any:
        seen.append(threading.get_ident())
        return headers(*arguments)

    monkeypatch.setattr(WonderDialect, "headers", noted)
    return seen


def respond(request: httpx.Request) -> httpx.Response:
    reference = request.url.path.rpartition("/")[2]
    customer = {"uuid": "u-1", "name": "Ada", "phone": "61234567", "reference_number": reference}
    return httpx.Response(200, json={"code": 200, "data": {"customer": customer}})


def opened(wonder: Wonder, response: Any = respond, **policy: Any) -> CustomerSession[Wonder]:
    return CustomerSession(wonder, retry=RetryPolicy(**policy), transport=httpx.MockTransport(response))


async def slow(request: httpx.Request) -> httpx.Response:
    await anyio.sleep(0.05)
    return respond(request)


async def test_concurrent_calls_sign_in_one_thread_per_core(
    wonder: Wonder, signers: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempt, "SignerPool", partial(SignerPool, 2))
    async with opened(wonder, slow) as it, anyio.create_task_group() as group:
        for number in range(8):
            group.start_soon(it.get_by_reference, f"ref-{number}")
    here = threading.get_ident()
    assert len(signers) == 8
    assert signers[0] == here, "the first call was alone"
    assert 1 <= len(set(signers) - {here}) <= 2


async def test_event_loop_runs_between_two_signatures(wonder: Wonder, monkeypatch: pytest.MonkeyPatch) -> None:
    iterations, signed = 0, []
    headers = WonderDialect.headers

    def noted(*arguments: Any) -> Any:
        signed.append(iterations)
        return headers(*arguments)

    async def count() -> None:
        nonlocal iterations
        while True:
            iterations += 1
            await anyio.lowlevel.checkpoint()

    monkeypatch.setattr(attempt, "SignerPool", partial(SignerPool, 1))
    monkeypatch.setattr(WonderDialect, "headers", noted)
    async with opened(wonder, slow) as it, anyio.create_task_group() as group:
        async with anyio.create_task_group() as calls:
            group.start_soon(count)
            for number in range(8):
                calls.start_soon(it.get_by_reference, f"ref-{number}")
        group.cancel_scope.cancel()
    assert len(signed) == 8
    # The event loop decides the order within one iteration, so the count can be off by one.
    assert max(map(signed.count, signed)) <= 2


async def test_call_cancelled_while_signing_sends_nothing(wonder: Wonder, signers: list[int]) -> None:
    sent: list[httpx.Request] = []

    async def hang(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        await anyio.sleep_forever()
        raise AssertionError

    async with opened(wonder, hang) as it, anyio.create_task_group() as group:
        group.start_soon(it.get_by_reference, "ref-1")
        await anyio.wait_all_tasks_blocked()
        with anyio.CancelScope() as scope:
            scope.cancel()
            await it.create(CustomerDraft(reference="ref-2", name="Ada", phone=Phone("+852", "61234567")))
        assert it._shared.executor.order.locks.unconfirmed._writes == {}
        group.cancel_scope.cancel()
    assert len(sent) == 1


async def test_second_concurrent_call_signs_in_a_thread_and_a_later_single_call_inline(
    wonder: Wonder, signers: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempt, "SignerPool", partial(SignerPool, 2))

    async def slow(request: httpx.Request) -> httpx.Response:
        await anyio.wait_all_tasks_blocked()
        return respond(request)

    async with opened(wonder, slow) as it:
        for _ in range(2):
            async with anyio.create_task_group() as group:
                group.start_soon(it.get_by_reference, "ref-1")
                group.start_soon(it.get_by_reference, "ref-2")
            await it.get_by_reference("ref-1")
    here = threading.get_ident()
    assert [signer == here for signer in signers] == [True, False, True] * 2

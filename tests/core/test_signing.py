"""Slow signatures are made inline by a single call, and in threads while other calls are in progress."""

import threading
from functools import partial
from typing import Any

import anyio
import anyio.lowlevel
import httpx
import pytest
from anyio.lowlevel import checkpoint
from mock_gateway import wonder

from wonder_customers import CustomerDraft, CustomerSession, Phone, RetryPolicy, Wonder
from wonder_customers._core import attempt
from wonder_customers._core.signing import SignerPool
from wonder_customers.dialects.wonder import WonderDialect


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


def opened(response: Any = respond, **policy: Any) -> CustomerSession[Wonder]:
    return CustomerSession(wonder(), retry=RetryPolicy(**policy), transport=httpx.MockTransport(response))


async def slow(request: httpx.Request) -> httpx.Response:
    await anyio.sleep(0.05)
    return respond(request)


async def test_concurrent_calls_sign_in_one_thread_per_core(
    signers: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempt, "SignerPool", partial(SignerPool, 2))
    async with opened(slow) as it, anyio.create_task_group() as group:
        for number in range(8):
            group.start_soon(it.get_by_reference, f"ref-{number}")
    here = threading.get_ident()
    assert len(signers) == 8
    assert signers[0] == here, "the first call was alone"
    assert 1 <= len(set(signers) - {here}) <= 2


async def test_event_loop_runs_between_two_signatures(monkeypatch: pytest.MonkeyPatch) -> None:
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
    async with opened(slow) as it, anyio.create_task_group() as group:
        async with anyio.create_task_group() as calls:
            group.start_soon(count)
            for number in range(8):
                calls.start_soon(it.get_by_reference, f"ref-{number}")
        group.cancel_scope.cancel()
    assert len(signed) == 8
    # The event loop decides the order within one iteration, so the count can be off by one.
    assert max(map(signed.count, signed)) <= 2


async def test_call_cancelled_while_signing_sends_nothing(signers: list[int]) -> None:
    sent: list[httpx.Request] = []

    async def hang(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        await anyio.sleep_forever()
        raise AssertionError

    async with opened(hang) as it, anyio.create_task_group() as group:
        group.start_soon(it.get_by_reference, "ref-1")
        await anyio.wait_all_tasks_blocked()
        with anyio.CancelScope() as scope:
            scope.cancel()
            await it.create(CustomerDraft(reference="ref-2", name="Ada", phone=Phone("+852", "61234567")))
        assert it._shared.executor.order.locks.unconfirmed._writes == {}
        group.cancel_scope.cancel()
    assert len(sent) == 1


async def test_second_concurrent_call_signs_in_a_thread_and_a_later_single_call_inline(
    signers: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempt, "SignerPool", partial(SignerPool, 2))

    async def slow(request: httpx.Request) -> httpx.Response:
        await anyio.wait_all_tasks_blocked()
        return respond(request)

    async with opened(slow) as it:
        for _ in range(2):
            async with anyio.create_task_group() as group:
                group.start_soon(it.get_by_reference, "ref-1")
                group.start_soon(it.get_by_reference, "ref-2")
            await it.get_by_reference("ref-1")
    here = threading.get_ident()
    assert [signer == here for signer in signers] == [True, False, True] * 2


class BlockingSigner:
    """Signatures made in threads wait for `release`; those made inline return at once. Both are recorded."""

    def __init__(self) -> None:
        self.inline, self.in_threads = list[int](), list[int]()
        self._loop, self._released = threading.get_ident(), threading.Event()

    def sign(self, number: int) -> int:
        if threading.get_ident() == self._loop:
            self.inline.append(number)
        else:
            self.in_threads.append(number)
            assert self._released.wait(60)
        return number

    def release(self) -> None:
        self._released.set()


async def until_busy(signer: BlockingSigner, threads: int) -> None:
    with anyio.fail_after(120):
        while len(signer.in_threads) < threads:
            await checkpoint()


async def test_single_core_signs_inline() -> None:
    signer, pool = BlockingSigner(), SignerPool(1)
    assert [await pool.make(partial(signer.sign, number)) for number in range(3)] == signer.inline == [0, 1, 2]


async def test_one_thread_per_core_and_the_rest_inline() -> None:
    signer, pool = BlockingSigner(), SignerPool(2)
    for _ in range(2):
        async with anyio.create_task_group() as group:
            for number in range(2):
                group.start_soon(pool.make, partial(signer.sign, number))
            await until_busy(signer, 2)
            assert [await pool.make(partial(signer.sign, number)) for number in (7, 8)] == [7, 8]
            signer.release()
        assert (sorted(signer.in_threads), signer.inline) == ([0, 1], [7, 8]), "each round starts with free threads"
        signer = BlockingSigner()


async def test_signature_is_made_inline_if_no_thread_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    signer, pool = BlockingSigner(), SignerPool(2)
    signer.release()
    monkeypatch.setattr(threading.Thread, "start", start)
    assert [await pool.make(partial(signer.sign, number)) for number in range(3)] == [0, 1, 2]


async def test_pool_does_not_wait_for_busy_threads_of_the_program() -> None:
    limiter = anyio.to_thread.current_default_thread_limiter()
    signer, pool = BlockingSigner(), SignerPool(2)
    signer.release()
    borrowers = [object() for _ in range(int(limiter.available_tokens))]
    for borrower in borrowers:
        limiter.acquire_on_behalf_of_nowait(borrower)
    try:
        with anyio.fail_after(120):
            assert await pool.make(partial(signer.sign, 1)) == 1
    finally:
        for borrower in borrowers:
            limiter.release_on_behalf_of(borrower)
    assert signer.in_threads == [1]

"""`SignerPool`: which signatures are made in threads and which inline."""

import threading
from functools import partial

import anyio
import anyio.to_thread
import pytest
from anyio.lowlevel import checkpoint

from wonder_customers._core.signing import SignerPool

pytestmark = pytest.mark.anyio


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

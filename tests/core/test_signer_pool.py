"""Where a slow signature is made while other calls are under way."""

import threading
from functools import partial

import anyio
import anyio.to_thread
import pytest
from anyio.lowlevel import checkpoint

from wonder_customers._core.signing import SignerPool

pytestmark = pytest.mark.anyio


class Desk:
    """Signatures that wait, in threads, until they are let go; those made here are noted and end at once."""

    def __init__(self) -> None:
        self.here, self.in_threads = list[int](), list[int]()
        self._loop, self._go = threading.get_ident(), threading.Event()

    def sign(self, number: int) -> int:
        if threading.get_ident() == self._loop:
            self.here.append(number)
        else:
            self.in_threads.append(number)
            assert self._go.wait(5)
        return number

    def let_go(self) -> None:
        self._go.set()


async def until_busy(desk: Desk, threads: int) -> None:
    with anyio.fail_after(5):
        while len(desk.in_threads) < threads:
            await checkpoint()


async def test_one_core_makes_all_of_them_here() -> None:
    desk, signers = Desk(), SignerPool(1)
    assert [await signers.make(partial(desk.sign, number)) for number in range(3)] == desk.here == [0, 1, 2]


async def test_every_core_has_a_thread_and_what_is_more_is_made_here() -> None:
    desk, signers = Desk(), SignerPool(2)
    for _ in range(2):
        async with anyio.create_task_group() as group:
            for number in range(2):
                group.start_soon(signers.make, partial(desk.sign, number))
            await until_busy(desk, 2)
            assert [await signers.make(partial(desk.sign, number)) for number in (7, 8)] == [7, 8]
            desk.let_go()
        assert (sorted(desk.in_threads), desk.here) == ([0, 1], [7, 8]), "each round begins with free threads"
        desk = Desk()


async def test_threads_that_the_program_keeps_busy_are_not_waited_for() -> None:
    limiter = anyio.to_thread.current_default_thread_limiter()
    desk, signers = Desk(), SignerPool(2)
    desk.let_go()
    everything = [object() for _ in range(int(limiter.available_tokens))]
    for borrower in everything:
        limiter.acquire_on_behalf_of_nowait(borrower)
    try:
        with anyio.fail_after(5):
            assert await signers.make(partial(desk.sign, 1)) == 1
    finally:
        for borrower in everything:
            limiter.release_on_behalf_of(borrower)
    assert desk.in_threads == [1]

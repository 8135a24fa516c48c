"""Secrets that functions return: called once for all calls, once more after a refusal, and never shown."""

import asyncio
import logging
import threading
from collections.abc import Callable
from inspect import CORO_CLOSED, getcoroutinestate
from typing import Any

import anyio
import anyio.to_thread
import pytest
from attrs import define, evolve, field
from backends import ASYNCIO_ONLY
from error_checks import visible_text

from wonder_customers import (
    AuthenticationError,
    CustomerSession,
    DeadlineExceededError,
    Monri,
    NotSentError,
    Paydock,
    PermissionDeniedError,
    RetryPolicy,
    Secret,
)
from wonder_customers.dialects import package
from wonder_customers.events import Waiting
from wonder_customers.testing import CustomerSimulator, make_draft

SECRET_FIELDS = {
    "wonder": ("private_key",),
    "paydock": ("secret_key",),
    "monri": ("merchant_key", "authenticity_token"),
}
HIDDEN = "s3cr3t-k3y"


@define(eq=False)
class SecretManager:
    """Holds the current secrets of an account, and counts how often each of them was read."""

    account: Any
    reads: list[str] = field(factory=list)
    delay: float = 0.0

    def provided(self, *, plain: bool = False) -> Any:
        """Return the account with a function for each of its secrets."""
        names = SECRET_FIELDS[type(self.account).__name__.lower()]
        return evolve(self.account, **{name: self._reader(name, plain=plain) for name in names})

    def _reader(self, name: str, *, plain: bool) -> Callable[[], Any]:
        def read() -> str:
            self.reads.append(name)
            value: Secret = getattr(self.account, name)
            return value.reveal()

        async def read_later() -> Secret:
            value = read()
            await anyio.sleep(self.delay)
            return Secret(value)

        return read if plain else read_later


def renew(customer_simulator: CustomerSimulator, gateway: str) -> Any:
    """Replace the keys in the simulator. Return the account with the new ones."""
    variables = customer_simulator.gateway(gateway).renew_credentials(customer_simulator.origin)
    return package(gateway).ACCOUNT.from_environment(variables)


@pytest.mark.parametrize("calls", [30, pytest.param(100, marks=pytest.mark.long)])
@pytest.mark.parametrize("plain", [True, False], ids=["plain", "async"])
async def test_secret_is_read_once_for_concurrent_calls(
    gateway: str, calls: int, plain: bool, customer_simulator: CustomerSimulator
) -> None:
    manager = SecretManager(customer_simulator.account(gateway), delay=0.05)
    async with CustomerSession(manager.provided(plain=plain)) as session:
        async with anyio.create_task_group() as group:
            for _ in range(calls):
                group.start_soon(session.check)
        assert manager.reads == list(SECRET_FIELDS[gateway])
        view = session.with_options(deadline=30)
        await view.create(make_draft())
        await session.for_account(session.account).check()
    assert manager.reads == list(SECRET_FIELDS[gateway])


@pytest.mark.parametrize("calls", [20, pytest.param(40, marks=pytest.mark.long)])
async def test_calls_continue_while_the_key_is_replaced(
    gateway: str, calls: int, customer_simulator: CustomerSimulator
) -> None:
    manager = SecretManager(customer_simulator.account(gateway), delay=0.01)
    customer_simulator.conditions.latency = (0.01, 0.01)
    async with CustomerSession(manager.provided(), max_connections=4) as session:
        await session.check()
        async with anyio.create_task_group() as group:
            for _ in range(calls):
                group.start_soon(session.create, make_draft())
            await anyio.sleep(0.03)
            manager.account = renew(customer_simulator, gateway)
    assert set(customer_simulator.ledger(gateway).values()) == {1}
    assert len(customer_simulator.ledger(gateway)) == calls
    assert manager.reads == 2 * list(SECRET_FIELDS[gateway])


async def test_refusal_of_an_unchanged_secret_is_raised_without_a_loop(customer_simulator: CustomerSimulator) -> None:
    manager = SecretManager(customer_simulator.account("monri"))
    session = CustomerSession(manager.provided())
    renew(customer_simulator, "monri")
    errors = []

    async def call() -> None:
        try:
            await session.create(make_draft())
        except AuthenticationError as error:
            errors.append(error)

    async with session:
        async with anyio.create_task_group() as group:
            for _ in range(20):
                group.start_soon(call)
        assert len(errors) == 20
        assert 4 <= len(manager.reads) < 20, "both secrets are read again after a refusal, once for concurrent calls"
        assert len(customer_simulator.requests) == 20, "no request was repeated with the same secrets"
        assert session.stats().attempts == 20
        with pytest.raises(AuthenticationError) as caught:
            await session.check()
    assert (caught.value.applied, caught.value.attempts) == ("no", 1)


async def test_secret_is_read_again_after_a_refused_token_request(customer_simulator: CustomerSimulator) -> None:
    manager = SecretManager(evolve(customer_simulator.account("monri"), auth="oauth"))  # type: ignore[misc]  # an attrs class
    async with CustomerSession(manager.provided()) as session:
        await session.check()
        assert len(manager.reads) == 2
        manager.account = evolve(renew(customer_simulator, "monri"), auth="oauth")
        customer_simulator.gateway("monri").revoke_tokens()
        await session.check()
        assert len(manager.reads) == 4
        renew(customer_simulator, "monri")
        customer_simulator.gateway("monri").revoke_tokens()
        with pytest.raises(AuthenticationError):
            await session.check()
    assert len(manager.reads) == 6


async def test_views_with_equal_functions_share_the_secret(customer_simulator: CustomerSimulator) -> None:
    manager = SecretManager(customer_simulator.account("wonder"))
    first = manager.provided()
    async with CustomerSession(Monri("key", "token")) as session:
        for _ in range(3):
            await session.for_account(evolve(first)).check()
        await session.for_account(first, language="zh-HK").check()
        assert manager.reads == ["private_key"]
        manager.account = renew(customer_simulator, "wonder")
        await session.for_account(first, language="zh-HK").check()
    assert manager.reads == ["private_key"] * 2
    assert customer_simulator.requests[-1].headers["x-i18n-lang"] == "zh-HK"


class VaultError(Exception):
    """An error of a secret manager that contains a secret."""


def failing() -> str:
    raise VaultError(f"{HIDDEN} is not readable")


def returning(value: Any) -> Callable[[], Any]:
    return lambda: value


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (failing, "the function for merchant_key raised VaultError"),
        (returning(None), "the function for merchant_key returned NoneType instead of a str"),
        (returning(HIDDEN.encode()), "returned bytes instead of a str"),
        (returning(f"{HIDDEN}\n"), "invalid value: merchant_key must be a string that is not empty"),
        (returning(""), "invalid value: merchant_key must be a string that is not empty"),
    ],
    ids=["error", "None", "bytes", "line break", "empty"],
)
async def test_failed_function_is_reported_and_nothing_is_sent(
    function: Callable[[], Any], words: str, customer_simulator: CustomerSimulator, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    account = evolve(customer_simulator.account("monri"), merchant_key=function)  # type: ignore[misc]  # an attrs class
    events: list[Any] = []
    async with CustomerSession(account, observers=[events.append]) as session:
        with pytest.raises(NotSentError, match=words) as caught:
            await session.create(make_draft())
        assert HIDDEN not in repr((session, session.account, session._account_state, events))
    shown = visible_text(caught.value, local_values=True)
    assert HIDDEN not in shown
    assert "Call the function yourself" in shown
    assert HIDDEN not in caplog.text
    assert caught.value.applied == "no"
    assert customer_simulator.requests == []


async def test_waiting_calls_share_the_failure_of_a_function(customer_simulator: CustomerSimulator) -> None:
    asked = 0

    async def fail() -> str:
        nonlocal asked
        asked += 1
        await anyio.sleep(0.05)
        raise VaultError

    failures = []
    async with CustomerSession(Paydock(fail, base_url=customer_simulator.account("paydock").base_url)) as session:

        async def call() -> None:
            try:
                await session.check()
            except NotSentError as error:
                failures.append(error)

        async with anyio.create_task_group() as group:
            for _ in range(50):
                group.start_soon(call)
        assert (asked, len(failures)) == (1, 50)
        with pytest.raises(NotSentError):
            await session.check()
    assert asked == 2


async def test_function_ends_at_the_deadline_and_later_calls_call_it_again(
    customer_simulator: CustomerSimulator,
) -> None:
    release, started = threading.Event(), []
    known: Any = customer_simulator.account("paydock")

    def wait() -> Any:
        started.append(1)
        if len(started) == 1:
            release.wait()
        return known.secret_key

    async with CustomerSession(evolve(known, secret_key=wait), retry=RetryPolicy(deadline=0.2)) as session:
        try:
            with anyio.fail_after(120), pytest.raises(DeadlineExceededError, match="credentials were not available"):
                await session.check()
            assert customer_simulator.requests == []
            with anyio.fail_after(120):
                await session.with_options(deadline=30).check()
        finally:
            release.set()
    assert len(started) == 2


async def test_cancelled_caller_does_not_fail_the_others(customer_simulator: CustomerSimulator) -> None:
    manager = SecretManager(customer_simulator.account("monri"), delay=0.1)
    async with CustomerSession(manager.provided()) as session, anyio.create_task_group() as group:
        with anyio.move_on_after(0.02):
            group.start_soon(session.check)
            await session.check()
    assert {it.status for it in customer_simulator.requests} == {200}


@ASYNCIO_ONLY
async def test_cancelled_task_of_the_function_does_not_cancel_the_call(customer_simulator: CustomerSimulator) -> None:
    shared = asyncio.ensure_future(asyncio.sleep(60, HIDDEN))

    async def key() -> str:
        return await shared

    account: Any = evolve(customer_simulator.account("monri"), merchant_key=key)  # type: ignore[misc]
    async with CustomerSession(account) as session:
        call = asyncio.ensure_future(session.check())
        await asyncio.sleep(0.05)
        shared.cancel()
        with pytest.raises(NotSentError, match="the function for merchant_key raised CancelledError"):
            await call
        with anyio.move_on_after(0) as scope:
            await session.check()
        assert scope.cancelled_caught
        shared = asyncio.ensure_future(asyncio.sleep(60, HIDDEN))
        call = asyncio.ensure_future(session.check())
        await asyncio.sleep(0.05)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call


async def test_coroutine_of_an_abandoned_thread_is_closed(customer_simulator: CustomerSimulator) -> None:
    entered, release, made = threading.Event(), threading.Event(), []

    async def later() -> str:
        raise AssertionError("the coroutine is never run")

    def wait() -> Any:
        entered.set()
        release.wait()
        made.append(later())
        return made[0]

    account: Any = customer_simulator.account("paydock")
    async with CustomerSession(evolve(account, secret_key=wait)) as session, anyio.create_task_group() as group:
        group.start_soon(session.check)
        await anyio.to_thread.run_sync(entered.wait)
        group.cancel_scope.cancel()
    release.set()
    with anyio.fail_after(120):
        while not made or getcoroutinestate(made[0]) != CORO_CLOSED:  # noqa: ASYNC110 - a thread closes it
            await anyio.sleep(0.001)


async def test_unconfirmed_write_delays_others_after_a_key_was_replaced(customer_simulator: CustomerSimulator) -> None:
    manager = SecretManager(customer_simulator.account("paydock"))
    account = manager.provided()
    policy = RetryPolicy(deadline=5, confirmation_window=0.5)
    shared = make_draft()
    events: list[Any] = []
    async with CustomerSession(account, retry=policy) as session:
        await session.check()
        customer_simulator.conditions.latency = (1, 1)
        with anyio.move_on_after(0.2):
            await session.create(shared)
    customer_simulator.conditions.latency = (0, 0)
    manager.account = renew(customer_simulator, "paydock")
    async with CustomerSession(account, retry=policy, observers=[events.append]) as session:
        await session.upsert(shared)
    assert "unconfirmed" in [it.reason for it in events if isinstance(it, Waiting)]


async def test_access_token_of_paydock_is_renewed(customer_simulator: CustomerSimulator) -> None:
    gateway = customer_simulator.gateway("paydock")
    current: str = gateway.access_token()
    reads: list[int] = []

    def token() -> str:
        reads.append(1)
        return current

    account = Paydock(access_token=token, base_url=customer_simulator.environment()["PAYDOCK_BASE_URL"])
    async with CustomerSession(account) as session:
        await session.check()
        gateway.renew_credentials(customer_simulator.origin)
        current = gateway.access_token()
        await session.check()
        gateway.renew_credentials(customer_simulator.origin)
        with pytest.raises(PermissionDeniedError):
            await session.check()
    assert len(reads) == 3


async def test_function_that_hangs_occupies_a_limited_number_of_threads() -> None:
    release, calls = threading.Event(), list[int]()

    def read() -> str:
        calls.append(1)
        release.wait(30)
        return "key"

    account = Paydock(read, base_url="http://127.0.0.1:1/")
    async with CustomerSession(account, retry=RetryPolicy(deadline=0.2, attempts=1)) as session:
        try:
            while len(calls) < 4:
                with pytest.raises(DeadlineExceededError):
                    await session.get("a")
            with pytest.raises(NotSentError, match="the function for secret_key was not called: 4 earlier calls"):
                await session.get("a")
            assert len(calls) == 4
        finally:
            release.set()

"""Session views for other accounts: shared connections, a retry budget for each account, low memory use."""

import tracemalloc
from functools import partial
from typing import Any
from uuid import uuid4

import anyio
import httpx
import pytest
from fault_injection.sessions import fresh, session
from gateway_responses import HEX24
from mock_gateway import MockGateway, json_response

from wonder_customers import (
    ConfigurationError,
    CustomerSession,
    DeadlineExceededError,
    GatewayUnavailableError,
    Monri,
    NotFoundError,
    Paydock,
    RetryPolicy,
    SessionClosedError,
    dialects,
)
from wonder_customers.simulator import SimulatorServer


async def test_view_uses_less_than_two_kilobytes(simulator: SimulatorServer) -> None:
    async with session(simulator, "monri") as it:
        accounts = [Monri(f"key-{number}", f"token-{number}") for number in range(200)]
        it.for_account(accounts[0])
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        views = [it.for_account(account) for account in accounts]
        each = (tracemalloc.get_traced_memory()[0] - before) / len(views)
        tracemalloc.stop()
    assert each < 2000


async def test_views_share_connections_and_separate_merchants(simulator: SimulatorServer) -> None:
    other = simulator.gateways["monri"].add_merchant(simulator.origin)
    async with session(simulator, "monri", max_connections=4) as it:
        view = it.for_account(Monri.from_environment(other))
        made = await it.create(fresh("monri"))
        with pytest.raises(NotFoundError):
            await view.get(made.id)
        draft = fresh("monri")
        async with anyio.create_task_group() as group:
            for _ in range(20):
                group.start_soon(view.upsert, draft)
                group.start_soon(it.upsert, draft)
        assert it._shared.transport.open_connections <= 4  # type: ignore[union-attr]
        mine, theirs = (
            await it.get_by_reference(str(draft.reference)),
            await view.get_by_reference(str(draft.reference)),
        )
        assert mine.id != theirs.id


async def test_view_can_use_another_gateway(simulator: SimulatorServer) -> None:
    async with session(simulator, "monri") as it:
        for gateway in dialects.names():
            account = dialects.package(gateway).ACCOUNT.from_environment(simulator.environment())
            view = it.for_account(account)
            made = await view.create(fresh(gateway))
            assert (await view.get(made.id)).id == made.id


async def test_views_of_one_account_share_the_retry_budget(simulator: SimulatorServer) -> None:
    async with session(simulator, "monri") as it:
        same = it.for_account(Monri.from_environment(simulator.environment()))
        other = it.for_account(Monri("key", "token", base_url=it.account.base_url))
        assert same.raw._account_context.account.budget is it.raw._account_context.account.budget
        assert other.raw._account_context.account.budget is not it.raw._account_context.account.budget


async def test_failing_account_leaves_the_retries_of_another_account() -> None:
    gateway = MockGateway(*[json_response(503, None)] * 40)
    policy = {"attempts": 3, "budget": 28}
    async with gateway.session(Paydock("a"), **policy) as it:
        failing, other = it.for_account(Paydock("b")), it.for_account(Paydock("c"))
        sent = []
        for view in (failing, failing, other):
            before = len(gateway.requests)
            with pytest.raises(GatewayUnavailableError):
                await view.get(HEX24)
            sent.append(len(gateway.requests) - before)
        assert sent == [3, 1, 3], "the second call of the failing account has no retry tokens left"
        assert (failing.stats().attempts, other.stats().attempts, it.stats().attempts) == (4, 3, 7)
        assert failing.stats().failed == {"GatewayUnavailableError": 2}
        assert it.for_account(it.account).stats().attempts == 0


class HangingGateway:
    """Never responds to the accounts whose key begins with ``hanging``, until `release` is set."""

    def __init__(self) -> None:
        self.release = anyio.Event()

    async def respond(self, request: httpx.Request) -> httpx.Response:
        if request.headers["x-user-secret-key"].startswith("hanging"):
            await self.release.wait()
        return httpx.Response(200, json={"status": 200, "resource": {"data": {"_id": HEX24}}, "error": None})

    def __call__(self) -> httpx.MockTransport:
        return httpx.MockTransport(self.respond)


def busy(it: CustomerSession[Paydock]) -> int:
    connections = it.stats().connections
    assert connections is not None
    return connections.busy


@pytest.mark.parametrize(("connections", "accounts"), [(8, 4), (32, 12)])
async def test_hanging_accounts_leave_connections_for_another_account(connections: int, accounts: int) -> None:
    gateway = HangingGateway()
    async with CustomerSession(Paydock("own"), transport=gateway, max_connections=connections) as it:
        hanging = [it.for_account(Paydock(f"hanging-{number}")) for number in range(accounts)]
        async with anyio.create_task_group() as group:
            for view in hanging:
                for _ in range(20):
                    group.start_soon(view.get, HEX24)
            await anyio.wait_all_tasks_blocked()
            assert accounts <= busy(it) < connections
            with anyio.fail_after(120):
                for _ in range(20):
                    await it.get(HEX24)
                    await it.for_account(Paydock("another")).get(HEX24)
            gateway.release.set()
        assert [view.stats().succeeded for view in hanging] == [20] * accounts


async def test_single_account_uses_all_connections() -> None:
    gateway = HangingGateway()
    async with CustomerSession(Paydock("hanging"), transport=gateway, max_connections=8) as it:
        async with anyio.create_task_group() as group:
            for _ in range(20):
                group.start_soon(it.with_options(retry=RetryPolicy()).get, HEX24)
            await anyio.wait_all_tasks_blocked()
            assert busy(it) == 8
            gateway.release.set()
        assert it.stats().succeeded == 20


async def test_view_is_closed_with_its_session(simulator: SimulatorServer) -> None:
    async with session(simulator, "monri") as it:
        view = it.for_account(it.account)
        async with view:
            await view.create(fresh("monri"))
        await it.create(fresh("monri"))
    with pytest.raises(SessionClosedError):
        await view.create(fresh("monri"))


@pytest.mark.parametrize("wrong", [None, "monri", Monri, object()])
async def test_view_requires_an_account(simulator: SimulatorServer, wrong: object) -> None:
    async with session(simulator, "monri") as it:
        with pytest.raises(ConfigurationError, match="account must be"):
            it.for_account(wrong)  # type: ignore[type-var]
    with pytest.raises(ConfigurationError, match="account must be"):
        CustomerSession(wrong)  # type: ignore[type-var]


async def test_options_of_a_view_apply_to_its_requests(simulator: SimulatorServer) -> None:
    async with session(simulator, "wonder") as it:
        draft = fresh("wonder")
        await it.create(draft)
        simulator.request_log.clear()
        view = it.with_options(
            headers={"X-Shop": "eu", "x-datadog-trace-id": "4111111111111111", "X-Auth": "Key a4111111111111111-b"},
            deadline=5,
            language="zh-HK",
        )
        for caller in (view, it, view.with_options(headers={})):
            await caller.get_by_reference(str(draft.reference))
    changed, usual, without_header = (recorded.headers for recorded in simulator.request_log.all())
    assert (changed["x-shop"], changed["x-i18n-lang"]) == ("eu", "zh-HK")
    assert not {"x-shop", "x-i18n-lang"} & usual.keys()
    assert ("x-shop" in without_header, without_header["x-i18n-lang"]) == (False, "zh-HK")


async def test_deadline_of_a_view_limits_its_calls(simulator: SimulatorServer) -> None:
    simulator.faults.add("read_hang", times=None)
    async with session(simulator, "monri", RetryPolicy(deadline=60, confirmation_window=0.1)) as it:
        begin = anyio.current_time()
        with pytest.raises(DeadlineExceededError):
            await it.with_options(deadline=0.3).get(str(uuid4()))
        assert anyio.current_time() - begin < 50


async def test_view_with_a_short_deadline_is_accepted(simulator: SimulatorServer) -> None:
    async with session(simulator, "monri", RetryPolicy()) as it:
        await it.with_options(deadline=5).check()


async def test_view_of_another_account_takes_options_but_not_the_language(simulator: SimulatorServer) -> None:
    async with session(simulator, "wonder") as it:
        simulator.request_log.clear()
        view = it.with_options(language="en", headers={"X-Shop": "eu"})
        monri = view.for_account(Monri.from_environment(simulator.environment()), headers={"X-Shop": "hr"})
        await monri.create(fresh("monri"))
        await view.for_account(it.account, language="zh-CN").create(fresh("wonder"))
        with pytest.raises(ConfigurationError, match="language is not a setting of Monri accounts"):
            monri.with_options(language="en")
    headers = [recorded.headers for recorded in simulator.request_log.all()]
    assert [it["x-shop"] for it in headers] == ["hr", "eu"]
    assert headers[1]["x-i18n-lang"] == "zh-CN"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"headers": {"Authorization": "x"}}, "headers must not contain Authorization, which is reserved"),
        ({"headers": {"x-user-secret-key": "x"}}, "headers must not contain x-user-secret-key, which is reserved"),
        ({"headers": {"X Shop": "x"}}, "a non-empty string of ASCII letters, digits and the characters"),
        ({"headers": {"X-Shop": "a\r\nX-Other: b"}}, "printable ASCII"),
        ({"headers": {"X-Shop": 1}}, "printable ASCII"),
        ({"headers": ["X-Shop"]}, "must be a mapping"),
        (
            {"headers": {"X-Note": "card 4111 1111 1111 1111"}},
            "X-Note contains a card number, .* join it with a letter",
        ),
        ({"headers": {"X-4111111111111111": "a"}}, "headers: a name contains a card number"),
        ({"headers": {"X-CVV": "123"}}, "headers: X-CVV contains a card's security code, [^.]*.$"),
        ({"language": "de"}, "language must be"),
        ({"deadline": 0}, "deadline"),
        ({"timeout": 1}, "unknown option 'timeout'"),
        ({"stop": anyio.Event()}, "stop must be a StopSignal, not Event"),
    ],
)
async def test_invalid_options_are_refused(simulator: SimulatorServer, options: dict[str, Any], message: str) -> None:
    async with session(simulator, "wonder") as it:
        for make in (it.with_options, partial(it.for_account, it.account)):
            with pytest.raises(ConfigurationError, match=message):
                make(**options)

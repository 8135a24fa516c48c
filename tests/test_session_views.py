"""Session views for other accounts: shared connections, one retry budget per gateway, low memory use."""

import tracemalloc

import anyio
import pytest
from fault_injection.sessions import fresh, session

from wonder_customers import (
    ConfigurationError,
    CustomerSession,
    Monri,
    NotFoundError,
    Paydock,
    SessionClosedError,
    dialects,
)
from wonder_customers.simulator import SimulatorServer

pytestmark = pytest.mark.anyio


async def test_view_uses_less_than_two_kilobytes(simulator: SimulatorServer) -> None:
    async with session(simulator, "monri") as it:
        accounts = [Monri(f"key-{number}", f"token-{number}") for number in range(1000)]
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


async def test_views_of_one_gateway_share_the_retry_budget(simulator: SimulatorServer) -> None:
    async with session(simulator, "monri") as it:
        same = it.for_account(Monri.from_environment(simulator.environment()))
        elsewhere = it.for_account(Paydock("key"))
        assert same.raw._account_context.budget is it.raw._account_context.budget
        assert elsewhere.raw._account_context.budget is not it.raw._account_context.budget


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

"""`GatewayMock` and `CustomerSimulator` without the pytest fixtures."""

import pytest

from wonder_customers import CallError, ConfigurationError, CustomerSession, RetryPolicy
from wonder_customers.testing import CustomerSimulator, GatewayMock
from wonder_customers.transports.httpx import HttpxTransport


async def test_assert_all_called_reports_missing_calls_and_routes() -> None:
    mock = GatewayMock()
    mock.monri.get()
    with pytest.raises(
        AssertionError,
        match=r"these routes are mocked but were never called: .*Check that the code under test makes the calls",
    ):
        mock.assert_all_called()
    async with mock.monri.session() as session:
        await session.get("their id")
        mock.assert_all_called()
        with pytest.raises(BaseException, match="delete"):
            await session.delete("their id")
    with pytest.raises(AssertionError, match="delete"):
        mock.assert_all_called()


async def test_simulated_gateway_by_name() -> None:
    with CustomerSimulator() as simulated:
        async with simulated.session("monri", retry=RetryPolicy(attempts=1)) as session:
            await session.check()
        assert simulated.gateway("monri").name == "monri"
        for named in (simulated.gateway, simulated.ledger, simulated.customers):
            with pytest.raises(ConfigurationError, match=r"unknown gateway 'acme'; the installed gateways are"):
                named("acme")
    for read in (simulated.ledger, simulated.customers):
        with pytest.raises(RuntimeError, match="inside of the `with` block"):
            read("monri")


@pytest.mark.parametrize("kind", [None, HttpxTransport])
async def test_default_of_huge_headers_exceeds_the_limit(kind: type[HttpxTransport] | None) -> None:
    with CustomerSimulator() as simulated:
        async with CustomerSession(
            simulated.account("monri"), retry=RetryPolicy(attempts=1), transport=kind
        ) as session:
            simulated.faults.add("huge_headers")
            with pytest.raises(CallError, match=r"headers|not valid HTTP"):
                await session.check()


def test_accounts_of_several_merchants_have_separate_customers() -> None:
    with CustomerSimulator() as simulated:
        assert simulated.account("wonder") is simulated.account("wonder", merchant=1)
        second = simulated.account("wonder", merchant=2)
        assert second is simulated.account("wonder", merchant=2)
        assert second != simulated.account("wonder")
        assert len(simulated.server.gateways["monri"].merchants) == 2
        with pytest.raises(ValueError, match="merchant must be an integer from 1, not 0"):
            simulated.account("monri", merchant=0)

"""What the mock and the simulator tell those who hold them in their own hands."""

import pytest

from wonder_customers import RetryPolicy
from wonder_customers.testing import CustomerSimulator, GatewayMock

pytestmark = pytest.mark.anyio


async def test_a_route_without_a_call_and_a_call_without_a_route_are_told_until_all_is_well() -> None:
    mock = GatewayMock()
    mock.monri.get()
    with pytest.raises(AssertionError, match=r"mocked, and never called: .*Either the code under test did not"):
        mock.assert_all_called()
    async with mock.monri.session() as session:
        await session.get("their id")
        mock.assert_all_called()
        with pytest.raises(BaseException, match="delete"):
            await session.delete("their id")
    with pytest.raises(AssertionError, match="delete"):
        mock.assert_all_called()


async def test_what_only_one_gateway_can_do_is_asked_of_itself() -> None:
    with CustomerSimulator() as simulated:
        async with simulated.session("monri", retry=RetryPolicy(attempts=1)) as session:
            await session.check()
        assert simulated.gateway("monri").name == "monri"
        with pytest.raises(KeyError):
            simulated.gateway("acme")

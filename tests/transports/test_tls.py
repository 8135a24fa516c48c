"""Certificates are verified before a byte is sent."""

from collections.abc import Callable
from contextlib import aclosing
from typing import Any

import anyio
import pytest
from fault_injection.sessions import fresh, session

from wonder_customers import CustomerSession, NotSentError, Paydock, RetryPolicy
from wonder_customers.simulator import SimulatorServer

pytestmark = pytest.mark.anyio

QUICK = RetryPolicy(base=0.01)


def over_tls(simulator: SimulatorServer, validity: str, transport: Any) -> CustomerSession[Paydock]:
    account = Paydock(simulator.environment()["PAYDOCK_SECRET_KEY"], base_url=f"{simulator.tls(validity)}/v1/")
    return CustomerSession(account, retry=QUICK, transport=transport)


async def test_certificate_of_a_trusted_authority_is_accepted(
    simulator: SimulatorServer, kind: Callable[..., Any]
) -> None:
    transport = kind(ssl_context=simulator.certificate_authority.client_context())
    async with over_tls(simulator, "good", transport) as it:
        customer = await it.create(fresh("paydock"))
        assert (await it.get(customer.id)).id == customer.id
    await transport.aclose()


async def test_expired_certificate_is_rejected_and_nothing_is_sent(
    simulator: SimulatorServer, kind: Callable[..., Any]
) -> None:
    transport = kind(ssl_context=simulator.certificate_authority.client_context())
    before = sum(simulator.faults.requests.values())
    async with over_tls(simulator, "expired", transport) as it:
        with pytest.raises(NotSentError) as caught:
            await it.create(fresh("paydock"))
    assert caught.value.applied == "no"
    assert sum(simulator.faults.requests.values()) == before
    await transport.aclose()


async def test_unknown_authority_is_rejected(simulator: SimulatorServer, kind: Callable[..., Any]) -> None:
    transport = kind()
    async with aclosing(transport), over_tls(simulator, "good", transport) as it:
        with pytest.raises(NotSentError):
            await it.create(fresh("paydock"))


async def test_server_without_tls_is_rejected(simulator: SimulatorServer, kind: Callable[..., Any]) -> None:
    transport = kind()
    plain = simulator.origin.replace("http://", "https://")
    account = Paydock("key", base_url=f"{plain}/v1/")
    async with aclosing(transport), CustomerSession(account, retry=QUICK, transport=transport) as it:
        with anyio.fail_after(120), pytest.raises(NotSentError):
            await it.create(fresh("paydock"))


async def test_session_of_other_tests_uses_plain_http_on_loopback(simulator: SimulatorServer) -> None:
    async with session(simulator, "paydock") as it:
        assert it.account.base_url.startswith("http://127.0.0.1:")

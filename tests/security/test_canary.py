"""No output contains card data, keys or personal data."""

from contextlib import aclosing
from itertools import product
from pathlib import Path
from typing import Any

import anyio
import pytest
from fault_injection.test_fault_matrix import FAULTS, Fault
from projects import run_project
from security.canary_values import Canaries
from security.captured_output import CapturedOutput
from security.scenario_context import ALL_KEYS, GATEWAYS, ScenarioContext, run_scenario
from security.scenarios import SCENARIOS
from security.transport_scenarios import faulty

from wonder_customers.simulator import SimulatorServer
from wonder_customers.transports.asyncio import AsyncioTransport
from wonder_customers.transports.httpx import HttpxTransport

TRANSPORTS = {"httpx": HttpxTransport, "asyncio": AsyncioTransport}


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_output_of_scenario_contains_no_canary(
    scenario: str, simulator: SimulatorServer, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    context = ScenarioContext(simulator, tmp_path, CapturedOutput())
    assert run_scenario(SCENARIOS[scenario], context, capfd.readouterr) == set()
    assert max(map(len, context.output.pieces)) > 100


@pytest.mark.long
def test_output_of_command_processes_contains_no_canary(
    simulator: SimulatorServer, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    context = ScenarioContext(simulator, tmp_path, CapturedOutput(), processes=True)
    assert run_scenario(SCENARIOS["sync_commands"], context, capfd.readouterr) == set()


PROJECT = """
import pytest
from security.canary_values import CARD_SOURCE, WONDER_CARD, canary_draft
from gateway_responses import UUID
from mock_gateway import ACCOUNTS

from wonder_customers import CustomerSession

pytestmark = pytest.mark.anyio


async def test_without_route(gateway_mock):
    async with CustomerSession(ACCOUNTS["paydock"](), transport=gateway_mock.transport) as session:
        await session.create(canary_draft("paydock", "r", CARD_SOURCE))


async def test_rejected(gateway_mock, no_waits):
    gateway_mock.wonder.refuse("invalid", status=503)
    async with CustomerSession(ACCOUNTS["wonder"](), transport=gateway_mock.transport) as session:
        await session.create_payment_token(UUID, WONDER_CARD)


async def test_unexpected_response(gateway_mock):
    gateway_mock.monri.create(reference="other-reference")
    async with CustomerSession(ACCOUNTS["monri"](), transport=gateway_mock.transport) as session:
        assert await session.create(canary_draft("monri", "r")) == canary_draft("monri", "r")
"""


@pytest.mark.long
def test_report_of_failed_tests_contains_no_canary(tmp_path: Path) -> None:
    options = ("--showlocals", "--tb=long", "-vv", "-W", "default", "--log-level=DEBUG")
    result = run_project(tmp_path, PROJECT, *options, site=Path(__file__).parents[1])
    assert result.count("failed") == 6, result.text
    assert "session    = <CustomerSession" in result.text
    assert Canaries(ALL_KEYS).found(result.text) == set()


def _case(number: int, fault: Fault, gateway: str, transport: str) -> Any:
    """Return a case of the matrix. Without ``--long``, every third fault runs, with rotating gateway and transport."""
    selected = [*product(GATEWAYS, TRANSPORTS)][number // 3 % 6]
    marks: Any = () if number % 3 == 0 and selected == (gateway, transport) else pytest.mark.long
    return pytest.param(fault, gateway, transport, id=f"{gateway}-{transport}-{fault}", marks=marks)


MATRIX = [
    _case(number, fault, gateway, transport)
    for number, fault in enumerate(FAULTS)
    for gateway in GATEWAYS
    for transport in TRANSPORTS
]


@pytest.mark.parametrize(("fault", "gateway", "transport"), MATRIX)
def test_output_after_network_faults_contains_no_canary(
    fault: Fault,
    gateway: str,
    transport: str,
    simulator: SimulatorServer,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    async def call_gateway(context: ScenarioContext) -> None:
        async with aclosing(TRANSPORTS[transport]()) as opened_transport:
            await faulty(context, gateway, opened_transport, fault.name, fault.more)

    def scenario(context: ScenarioContext) -> None:
        anyio.run(call_gateway, context)

    context: Any = ScenarioContext(simulator, tmp_path, CapturedOutput())
    assert run_scenario(scenario, context, capfd.readouterr) == set()
    for expected in ("call_ended call=", '"http.request.method"'):
        assert any(expected in str(piece) for piece in context.output.pieces), "calls must be logged and traced"

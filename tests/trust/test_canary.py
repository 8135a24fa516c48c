"""Nothing of a card, a key or a customer is in anything that is written anywhere, whatever happens."""

from contextlib import aclosing
from itertools import product
from pathlib import Path
from typing import Any

import anyio
import pytest
from projects import run_project
from trust.canary_values import Canaries
from trust.captured_output import CapturedOutput
from trust.scenario_context import ALL_KEYS, GATEWAYS, ScenarioContext, play
from trust.scenarios import SCENARIOS, faulty

from chaos.test_faults import FAULTS, Fault
from wonder_customers.simulator import SimulatorServer
from wonder_customers.transports.aiohttp import AiohttpTransport
from wonder_customers.transports.httpx import HttpxTransport

TRANSPORTS = {"httpx": HttpxTransport, "aiohttp": AiohttpTransport}


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_no_canary_gets_out(
    scenario: str, simulator: SimulatorServer, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    stage = ScenarioContext(simulator, tmp_path, CapturedOutput())
    assert play(SCENARIOS[scenario], stage, capfd.readouterr) == set()
    assert max(map(len, stage.written.pieces)) > 100


@pytest.mark.long
def test_no_canary_gets_out_of_commands_in_processes_of_their_own(
    simulator: SimulatorServer, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    stage = ScenarioContext(simulator, tmp_path, CapturedOutput(), processes=True)
    assert play(SCENARIOS["sync_commands"], stage, capfd.readouterr) == set()


PROJECT = """
import pytest
from trust.canary_values import CARD_SOURCE, WONDER_CARD, draft
from mock_gateway import ACCOUNTS

from wonder_customers import CustomerSession

pytestmark = pytest.mark.anyio


async def test_nothing_answers(gateway_mock):
    async with CustomerSession(ACCOUNTS["paydock"](), transport=gateway_mock.transport) as session:
        await session.create(draft("paydock", "r", CARD_SOURCE))


async def test_it_is_refused(gateway_mock, no_waits):
    gateway_mock.wonder.refuse("invalid", status=503)
    async with CustomerSession(ACCOUNTS["wonder"](), transport=gateway_mock.transport) as session:
        await session.create_payment_token(UUID, WONDER_CARD)


async def test_the_answer_is_another(gateway_mock):
    gateway_mock.monri.create(reference="somebody-else")
    async with CustomerSession(ACCOUNTS["monri"](), transport=gateway_mock.transport) as session:
        assert await session.create(draft("monri", "r")) == draft("monri", "r")
"""


@pytest.mark.long
def test_no_canary_gets_out_of_a_failed_test_of_a_users_own(tmp_path: Path) -> None:
    options = ("--showlocals", "--tb=long", "-vv", "-W", "default", "--log-level=DEBUG")
    outcome = run_project(tmp_path, PROJECT, *options, site=Path(__file__).parents[1])
    assert outcome.count("failed") == 6, outcome.text
    assert "session    = <CustomerSession" in outcome.text
    assert Canaries(ALL_KEYS).found(outcome.text) == set()


def _case(number: int, fault: Fault, gateway: str, transport: str) -> Any:
    """A case of the matrix; the quick run takes every third fault, each on another gateway and transport."""
    turn = [*product(GATEWAYS, TRANSPORTS)][number // 3 % 6]
    capabilities: Any = () if number % 3 == 0 and turn == (gateway, transport) else pytest.mark.long
    return pytest.param(fault, gateway, transport, id=f"{gateway}-{transport}-{fault}", marks=capabilities)


MATRIX = [
    _case(number, fault, gateway, transport)
    for number, fault in enumerate(FAULTS)
    for gateway in GATEWAYS
    for transport in TRANSPORTS
]


@pytest.mark.parametrize(("fault", "gateway", "transport"), MATRIX)
def test_no_canary_gets_out_whatever_the_network_does(
    fault: Fault,
    gateway: str,
    transport: str,
    simulator: SimulatorServer,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    async def called(stage: ScenarioContext) -> None:
        async with aclosing(TRANSPORTS[transport]()) as opened:
            await faulty(stage, gateway, opened, fault.name, fault.more)

    def scenario(stage: ScenarioContext) -> None:
        anyio.run(called, stage)

    stage: Any = ScenarioContext(simulator, tmp_path, CapturedOutput())
    assert play(scenario, stage, capfd.readouterr) == set()
    for kept in ("call_ended call=", '"http.request.method"'):
        assert any(kept in str(piece) for piece in stage.written.pieces), "calls are logged and traced"

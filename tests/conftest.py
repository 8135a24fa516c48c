"""What all tests share: both event loops, both transports, the simulator, and ``--long`` for what takes minutes."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from wonder_customers import dialects
from wonder_customers.simulator import SimulatorServer
from wonder_customers.transports.httpx import HttpxTransport


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="run the tests that take minutes, too")


def pytest_report_header(config: pytest.Config) -> str:
    return "long tests: run" if config.getoption("--long") else "long tests: left out, run them with --long"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what takes minutes, unless it is asked for."""
    if not config.getoption("--long"):
        left_out = [item for item in items if "long" in item.keywords]
        if left_out:
            config.hook.pytest_deselected(items=left_out)
            items[:] = [item for item in items if "long" not in item.keywords]


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Every test marked ``anyio`` runs on both event loops."""
    return str(request.param)


@pytest.fixture(params=["default", "aiohttp"])
def kind(request: pytest.FixtureRequest, anyio_backend_name: str) -> Callable[..., Any]:
    """Either transport: both have the same lanes and the same arguments."""
    if request.param == "default":
        return HttpxTransport
    if anyio_backend_name != "asyncio":
        pytest.skip("aiohttp runs on asyncio only")
    module = pytest.importorskip("wonder_customers.transports.aiohttp", reason="the extra `fast` is not installed")
    found: Callable[..., Any] = module.AiohttpTransport
    return found


@pytest.fixture(scope="session")
def _simulator() -> Iterator[SimulatorServer]:
    with SimulatorServer([dialects.simulator(name) for name in dialects.names()], faults=True) as server:
        yield server


@pytest.fixture
def server() -> Iterator[SimulatorServer]:
    """A new simulator of the three gateways, with faults, for one test."""
    with SimulatorServer([dialects.simulator(name) for name in dialects.names()], faults=True) as server:
        yield server


@pytest.fixture
def account(server: SimulatorServer) -> Callable[[str], Any]:
    """Return the account of a gateway at `server`."""
    return lambda gateway: dialects.package(gateway).ACCOUNT.from_environment(server.environment())


@pytest.fixture
def simulator(_simulator: SimulatorServer) -> Iterator[SimulatorServer]:
    """The three gateways on a loopback port, with faults to switch on; faults are cleared after each test."""
    yield _simulator
    _simulator.faults.clear()

"""What all tests share: both event loops, the simulator, and ``--long`` for what takes minutes."""

from collections.abc import Iterator

import pytest

from wonder_customers import dialects
from wonder_customers.simulator import SimulatorServer


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


@pytest.fixture(scope="session")
def _simulator() -> Iterator[SimulatorServer]:
    with SimulatorServer([dialects.simulator(name) for name in dialects.names()], faults=True) as server:
        yield server


@pytest.fixture
def simulator(_simulator: SimulatorServer) -> Iterator[SimulatorServer]:
    """The three gateways on a loopback port, with faults to switch on; faults are cleared after each test."""
    yield _simulator
    _simulator.faults.clear()

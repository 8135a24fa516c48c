"""Fixtures of all tests: event loops, transports, simulators; and ``--long`` for tests that take minutes."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from wonder_customers import dialects
from wonder_customers.simulator import SimulatorServer
from wonder_customers.testing import CustomerSimulator
from wonder_customers.transports.asyncio import AsyncioTransport
from wonder_customers.transports.httpx import HttpxTransport

# Time limits of single examples would fail on a busy machine. Examples are the same in every run of the same code.
settings.register_profile(
    "tests",
    deadline=None,
    derandomize=True,
    max_examples=50,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.register_profile("nightly", settings.get_profile("tests"), derandomize=False, max_examples=300)
settings.load_profile("tests")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="also run the tests that take minutes")
    parser.addoption("--nightly", action="store_true", help="also run the tests that take an hour in all")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--nightly"):
        settings.load_profile("nightly")


def pytest_report_header(config: pytest.Config) -> str:
    left_out = _left_out(config)
    return f"deselected, add the option to run them: {', '.join(f'--{name}' for name in left_out)}" if left_out else ""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the tests whose option is not given, and drop tests of `AsyncioTransport` on trio."""
    items[:] = [item for item in items if not _is_asyncio_transport_on_trio(item)]
    _thin_trio(items)
    left_out = _left_out(config)
    deselected = [item for item in items if any(item.get_closest_marker(name) for name in left_out)]
    if deselected:
        config.hook.pytest_deselected(items=deselected)
        chosen = set(items) - set(deselected)
        items[:] = [item for item in items if item in chosen]


def _left_out(config: pytest.Config) -> list[str]:
    """Return the markers of the tests that are not run."""
    return [name for name in ("long", "nightly") if not config.getoption(f"--{name}")]


def _thin_trio(items: list[pytest.Item]) -> None:
    """Mark as nightly, of the tests on trio, those with another gateway than the first and those of most bulk modules.

    On asyncio, all of them run. Bulk jobs use the event loop through anyio alone; two modules test them on trio.
    """
    first: dict[str, object] = {}
    for item in items:
        parameters = _parameters(item)
        if parameters.get("anyio_backend") != "trio" or item.get_closest_marker("long"):
            continue
        gateway = parameters.get("gateway")
        other = first.setdefault(item.nodeid.partition("[")[0], gateway) != gateway
        if other or (item.path.parent.name == "bulk" and item.path.name not in {"test_job.py", "test_job_end.py"}):
            item.add_marker(pytest.mark.nightly)


def _parameters(item: pytest.Item) -> dict[str, Any]:
    return item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}


def _is_asyncio_transport_on_trio(item: pytest.Item) -> bool:
    parameters = _parameters(item)
    return parameters.get("kind") == "asyncio" and parameters.get("anyio_backend") == "trio"


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Run every test marked ``anyio`` on both event loops."""
    return str(request.param)


@pytest.fixture(params=["asyncio", "httpx"])
def kind(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Return the class of each transport. Their arguments are the same."""
    return {"asyncio": AsyncioTransport, "httpx": HttpxTransport}[request.param]


@pytest.fixture(scope="session")
def _simulator() -> Iterator[SimulatorServer]:
    with SimulatorServer([dialects.simulator(name) for name in dialects.names()], faults=True) as server:
        yield server


@pytest.fixture
def server() -> Iterator[SimulatorServer]:
    """Start a new simulator of the three gateways, with faults, for one test."""
    with SimulatorServer([dialects.simulator(name) for name in dialects.names()], faults=True) as server:
        yield server


@pytest.fixture
def account(server: SimulatorServer) -> Callable[[str], Any]:
    """Return the account of a gateway at `server`."""
    return lambda gateway: dialects.package(gateway).ACCOUNT.from_environment(server.environment())


@pytest.fixture
def simulator(_simulator: SimulatorServer) -> Iterator[SimulatorServer]:
    """Return the shared simulator of the three gateways; its faults are cleared after each test."""
    yield _simulator
    _simulator.faults.clear()


@pytest.fixture
def in_process() -> CustomerSimulator:
    """Return a simulator of the three gateways without sockets."""
    return CustomerSimulator()

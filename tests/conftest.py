"""Fixtures of all tests: event loops, transports, simulators; and ``--long`` for tests that take minutes."""

import gc
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
from chromium import Browser
from hypothesis import HealthCheck, settings

from scripted_transport import replacement
from wonder_customers import dialects
from wonder_customers.simulator import SimulatorServer
from wonder_customers.testing import CustomerSimulator
from wonder_customers.transports.asyncio import AsyncioTransport
from wonder_customers.transports.httpx import HttpxTransport

EXAMPLES = {"plain": 20, "long": 200, "nightly": 300}
"""Hypothesis examples of a test without options, with ``--long`` and with ``--nightly``.

Settings of a single test multiply ``settings().max_examples``, so that the options raise these numbers too.
"""
for _name, _examples in EXAMPLES.items():
    # Time limits of single examples would fail on a busy machine. Except at night, the examples are the same in every
    # run of the same code.
    settings.register_profile(
        _name,
        deadline=None,
        derandomize=_name != "nightly",
        max_examples=_examples,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture],
    )


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="also run the tests that take minutes")
    parser.addoption("--nightly", action="store_true", help="also run the tests that take an hour in all")


def pytest_configure(config: pytest.Config) -> None:
    # Programs that tests start take half the time to import the package when its bytecode is cached.
    sys.dont_write_bytecode = False
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    gc.disable()  # the collected tests stay in memory, see `pytest_collection_finish`
    # Shells ignore SIGINT in the background, and nohup ignores SIGHUP. The programs that tests stop would inherit this.
    for name, handler in (("SIGINT", signal.default_int_handler), ("SIGHUP", signal.SIG_DFL)):
        if hasattr(signal, name) and signal.getsignal(getattr(signal, name)) is signal.SIG_IGN:
            signal.signal(getattr(signal, name), handler)
    settings.load_profile(next((it for it in ("nightly", "long") if config.getoption(f"--{it}")), "plain"))


def pytest_collection_finish() -> None:
    """Leave the collected tests out of the searches for reference cycles, which took a tenth of the processor time."""
    gc.freeze()
    gc.set_threshold(10_000)
    gc.enable()


def pytest_runtest_teardown() -> None:
    replacement.close()


def pytest_report_header(config: pytest.Config) -> str:
    left_out = _left_out(config)
    return f"deselected, add the option to run them: {', '.join(f'--{name}' for name in left_out)}" if left_out else ""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the tests whose option is not given, and drop tests of `AsyncioTransport` on trio."""
    items[:] = [item for item in items if not _is_asyncio_transport_on_trio(item)]
    _thin_trio(items)
    left_out = _left_out(config)
    deselected = [item for item in items if any(item.get_closest_marker(name) for name in left_out)]
    if config.getoption("--nightly"):  # runs a test with both markers, which `--long` leaves out
        deselected = [item for item in deselected if not item.get_closest_marker("nightly")]
    if deselected:
        config.hook.pytest_deselected(items=deselected)
        chosen = set(items) - set(deselected)
        items[:] = [item for item in items if item in chosen]


def _left_out(config: pytest.Config) -> list[str]:
    """Return the markers of the tests that are not run."""
    return [name for name in ("long", "nightly") if not config.getoption(f"--{name}")]


def _thin_trio(items: list[pytest.Item]) -> None:
    """Mark as nightly, of the tests on trio, those with another gateway than the first, and those of some folders.

    On asyncio, all of them run. Dialects do not depend on the event loop, and bulk jobs use it through anyio alone: one
    module of each folder runs on trio.
    """
    first: dict[str, object] = {}
    for item in items:
        parameters = _parameters(item)
        if parameters.get("anyio_backend") != "trio" or item.get_closest_marker("long"):
            continue
        gateway = parameters.get("gateway")
        other = first.setdefault(item.nodeid.partition("[")[0], gateway) != gateway
        folder, name = item.path.parent.name, item.path.name
        if other or (folder in {"bulk", "dialects"} and name not in {"test_job.py", "test_roundtrips.py"}):
            item.add_marker(pytest.mark.nightly)


def _parameters(item: pytest.Item) -> dict[str, Any]:
    return item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}


def _is_asyncio_transport_on_trio(item: pytest.Item) -> bool:
    parameters = _parameters(item)
    return parameters.get("kind") == "asyncio" and parameters.get("anyio_backend") == "trio"


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Return a browser for all tests, because its start takes seconds."""
    with closing(Browser(tmp_path_factory.mktemp("chromium"))) as opened:
        yield opened


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Run every asynchronous test on both event loops."""
    return str(request.param)


@pytest.fixture(params=["wonder", "paydock", "monri"])
def gateway(request: pytest.FixtureRequest) -> str:
    """Run a test for each gateway."""
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

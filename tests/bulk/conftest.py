"""A simulator of its own for every test, and its accounts."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from wonder_customers.dialects import names, package, simulator
from wonder_customers.simulator.server import SimulatorServer


@pytest.fixture
def server() -> Iterator[SimulatorServer]:
    """All gateways, with faults."""
    with SimulatorServer([simulator(name) for name in names()], faults=True) as made:
        yield made


@pytest.fixture
def account(server: SimulatorServer) -> Callable[[str], Any]:
    """The account of a gateway of the simulator."""
    return lambda gateway: package(gateway).ACCOUNT.from_environment(server.environment())

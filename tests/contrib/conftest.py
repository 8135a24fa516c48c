"""The simulator of the tests that run web applications in their own processes."""

from collections.abc import Iterator

import pytest

from wonder_customers import dialects
from wonder_customers.simulator import SimulatorServer


@pytest.fixture(scope="module")
def gateways_of_app() -> Iterator[SimulatorServer]:
    """Start a simulator of the three gateways, with faults, for the tests of one file."""
    with SimulatorServer([dialects.simulator(name) for name in dialects.names()], faults=True) as server:
        yield server

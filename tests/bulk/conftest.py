"""Fixtures of the bulk tests."""

from pathlib import Path

import pytest
from bulk.customers import AccountFactory, Jobs

from wonder_customers.simulator.server import SimulatorServer


@pytest.fixture
def jobs(request: pytest.FixtureRequest, server: SimulatorServer, account: AccountFactory, tmp_path: Path) -> Jobs:
    """Return the jobs at the gateway that the test is parametrized with, by default at Paydock."""
    gateway = getattr(request, "param", "paydock")
    return Jobs(gateway, server, account(gateway), tmp_path)

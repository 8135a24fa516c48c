"""An account at Wonder, which all tests share because generating its key is slow."""

import pytest

from scripted_transport import wonder_account
from wonder_customers import Wonder


@pytest.fixture(scope="session")
def wonder() -> Wonder:
    return wonder_account()

"""An account at Wonder, whose key takes time to make."""

import pytest

from scripted_transport import wonder_account
from wonder_customers import Wonder


@pytest.fixture(scope="session")
def wonder() -> Wonder:
    return wonder_account()

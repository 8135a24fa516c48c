"""An account at Wonder, whose key takes time to make."""

import pytest

from scripted import wonder_account
from wonder_customers import Wonder


@pytest.fixture(scope="session")
def wonder() -> Wonder:
    return wonder_account()

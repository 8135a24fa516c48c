"""A guard for test runs: with ``WONDER_CUSTOMERS_LOOPBACK_ONLY=1``, requests can only reach this machine.

The pytest plug-in sets the variable, so that a session that was meant for a mock or for the simulator cannot reach a
real gateway. The variable is read for every request, so programs that a test starts are covered as well.
"""

from os import environ
from typing import Final

from wonder_customers._support.loopback import is_loopback
from wonder_customers.errors import ConfigurationError

__all__ = ["VARIABLE", "check", "refused"]

VARIABLE: Final = "WONDER_CUSTOMERS_LOOPBACK_ONLY"

refused: Final[list[str]] = []
"""The messages of all refusals, in order. A test run can read them even if the error was caught."""


def check(host: str) -> None:
    """Refuse a request to another machine while the variable is set.

    Raises:
        ConfigurationError: `host` is not a loopback address. The message names the running pytest test, if any.
    """
    if environ.get(VARIABLE, "0") in {"", "0"} or is_loopback(host):
        return
    test = environ.get("PYTEST_CURRENT_TEST", "").rpartition(" (")[0]
    whose = f"{test}: a session" if test else "a session"
    message = (
        f"{whose} was about to call {host}, and {VARIABLE} is set: no request may leave this machine. Nothing was sent."
        " Give the session `transport=gateway_mock.transport` or an account of `customer_simulator`;"
        " a test that is meant to call a gateway is marked `@pytest.mark.real_gateway`."
    )
    refused.append(message)
    raise ConfigurationError(message)

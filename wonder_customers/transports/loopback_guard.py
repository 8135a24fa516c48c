"""A guard for test runs that allows only connections to loopback addresses."""

from os import environ
from typing import Final

from wonder_customers._support.loopback import is_loopback
from wonder_customers.errors import ConfigurationError

# An environment variable, because the programs that a test starts inherit it.
VARIABLE: Final = "WONDER_CUSTOMERS_LOOPBACK_ONLY"

refused: Final[list[str]] = []
"""The messages of all refused requests, in order. The plug-in reads them even if a test caught the error."""


def check(host: str) -> None:
    """Raise `ConfigurationError` if the guard does not allow a connection to `host`."""
    if environ.get(VARIABLE, "0") in {"", "0"} or is_loopback(host):
        return
    test = environ.get("PYTEST_CURRENT_TEST", "").rpartition(" (")[0]
    source = f"{test}: a session" if test else "a session"
    message = (
        f"{source} tried to connect to {host}, but {VARIABLE} allows only loopback addresses. Nothing was sent."
        " Use `transport=gateway_mock.transport` or an account of `customer_simulator`. Mark tests that call a real"
        " gateway with `@pytest.mark.real_gateway`."
    )
    refused.append(message)
    raise ConfigurationError(message)

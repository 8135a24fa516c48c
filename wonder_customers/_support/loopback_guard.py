"""Whether a request may leave this machine: with ``WONDER_CUSTOMERS_LOOPBACK_ONLY=1``, none does.

Test runs set the variable (the pytest plug-in does it by itself), so that a session that was meant for a mock or for
the simulator cannot reach a real gateway. It is read at every request, so programs that a test starts heed it as well.
"""

from ipaddress import ip_address
from os import environ
from typing import Final

from wonder_customers.errors import ConfigurationError

__all__ = ["VARIABLE", "check", "is_loopback", "refused"]

VARIABLE: Final = "WONDER_CUSTOMERS_LOOPBACK_ONLY"

refused: Final[list[str]] = []
"""What was refused, in order, for a test run that wants to know although somebody caught the error."""


def is_loopback(host: str) -> bool:
    """Whether `host` is this machine, by its name or its address alone."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def check(host: str) -> None:
    """Refuse to go to `host`, if it is another machine and requests may not leave this one.

    Raises:
        ConfigurationError: So it is. It names the running test where pytest tells its name.
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

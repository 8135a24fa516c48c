"""`CustomerSimulator`: the simulator with methods for tests."""

from typing import Any, Self

from wonder_customers.dialects import names, package, simulator
from wonder_customers.dialects.base import Account
from wonder_customers.retry import RetryPolicy
from wonder_customers.session import CustomerSession
from wonder_customers.simulator import Conditions, Faults, Quirks, RecordedRequest, SimulatedGateway, SimulatorServer

__all__ = ["CustomerSimulator"]


class CustomerSimulator:
    """Simulations of all installed gateways on a free loopback port. The fixture is `customer_simulator`.

    Attributes:
        server: The underlying server.
    """

    def __init__(self) -> None:
        self.server: SimulatorServer = SimulatorServer([simulator(name) for name in names()], faults=True)
        self._accounts: dict[tuple[str, int], Account] = {}
        self._closed = False

    @property
    def origin(self) -> str:
        """The origin of all gateways, such as ``http://127.0.0.1:50123``."""
        return self.server.origin

    @property
    def faults(self) -> Faults:
        """The faults to inject: ``customer_simulator.faults.add("rate_limited", retry_after=1)``."""
        return self.server.faults

    @property
    def conditions(self) -> Conditions:
        """The latency and the rate limit: ``customer_simulator.conditions.latency = (0.05, 0.2)``."""
        return self.server.conditions

    @property
    def quirks(self) -> Quirks:
        """The deviations from the documentation: ``customer_simulator.quirks.add("text-as-numbers")``."""
        return self.server.quirks

    @property
    def requests(self) -> list[RecordedRequest]:
        """The last requests with their responses, in order, including requests that a fault intercepted."""
        return self.server.request_log.all()

    def environment(self, merchant: int = 1) -> dict[str, str]:
        """Return the environment variables that configure ``from_environment`` and the command line for this server.

        Args:
            merchant: The number of the merchant. Merchants up to this number are added if they do not exist.
        """
        return self.server.environment(merchant)

    def ledger(self, gateway: str) -> dict[str, int]:
        """Return the number of customers ever created per reference, without customers that have no reference."""
        return self.server.store.ledger(self.gateway(gateway).name)

    def customers(self, gateway: str) -> list[dict[str, Any]]:
        """Return all stored customers in the gateway's JSON format, oldest first. Deleted customers are included."""
        return self.server.store.customers(self.gateway(gateway).name)

    def gateway(self, name: str) -> Any:
        """Return a simulated gateway, for methods that other gateways do not have, such as ``add_payment_method``.

        Raises:
            ConfigurationError: The gateway is unknown.
            RuntimeError: The simulator has been closed, so its data is gone.
        """
        package(name)
        if self._closed:
            raise RuntimeError("the simulator has been closed. Read its data inside of the `with` block.")
        found: SimulatedGateway = self.server.gateways[name]
        return found

    def account(self, gateway: str, merchant: int = 1) -> Account:
        """Return an account of the simulated gateway. Each merchant, numbered from 1, has separate customers."""
        if (gateway, merchant) not in self._accounts:
            account = package(gateway).ACCOUNT.from_environment(self.environment(merchant))
            self._accounts[gateway, merchant] = account
        return self._accounts[gateway, merchant]

    def session(self, gateway: str, *, retry: RetryPolicy | None = None) -> CustomerSession[Any]:
        """Return a session for an account of the simulated gateway. The session is not open yet."""
        return CustomerSession(self.account(gateway), retry=retry)

    def __enter__(self) -> Self:
        self.server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed = True
        self.server.stop()
        self.server.store.close()

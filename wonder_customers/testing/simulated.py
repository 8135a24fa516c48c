"""`CustomerSimulator`: the real simulator, with what tests ask of it."""

from types import TracebackType
from typing import Any, Self

from wonder_customers.dialects import names, package, simulator
from wonder_customers.dialects.base import Account
from wonder_customers.retry import RetryPolicy
from wonder_customers.session import CustomerSession
from wonder_customers.simulator import Faults, SimulatedGateway, SimulatorServer

__all__ = ["CustomerSimulator"]


class CustomerSimulator:
    """All installed gateways on a free loopback port, over real HTTP: what the fixture `customer_simulator` gives.

    Attributes:
        server: The server, for everything that is not here.
    """

    def __init__(self) -> None:
        self.server: SimulatorServer = SimulatorServer([simulator(name) for name in names()], faults=True)
        self._accounts: dict[str, Account] = {}

    @property
    def origin(self) -> str:
        """Where it listens, as ``http://127.0.0.1:PORT``."""
        return self.server.origin

    @property
    def faults(self) -> Faults:
        """Switches faults on: ``customer_simulator.faults.add("rate_limited", retry_after=1)``."""
        return self.server.faults

    def environment(self) -> dict[str, str]:
        """The environment variables with which ``from_environment`` and the command line use it."""
        return self.server.environment()

    def ledger(self, gateway: str) -> dict[str, int]:
        """How many customers were ever created per reference, in the gateway's own view."""
        return self.server.store.ledger(gateway)

    def customers(self, gateway: str) -> list[dict[str, Any]]:
        """The customers that the gateway holds, in its own words, the oldest first; deleted ones are flagged."""
        return self.server.store.customers(gateway)

    def gateway(self, name: str) -> Any:
        """The simulated gateway itself, for what only it can do (``add_payment_method`` at Monri, 3-D Secure …)."""
        found: SimulatedGateway = self.server.gateways[name]
        return found

    def account(self, gateway: str) -> Account:
        """An account at the simulated gateway."""
        if gateway not in self._accounts:
            self._accounts[gateway] = package(gateway).ACCOUNT.from_environment(self.environment())
        return self._accounts[gateway]

    def session(self, gateway: str, *, retry: RetryPolicy | None = None) -> CustomerSession[Any]:
        """A session that is not open yet, for an account at the simulated gateway."""
        return CustomerSession(self.account(gateway), retry=retry)

    def __enter__(self) -> Self:
        self.server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.server.stop()
        self.server.store.close()

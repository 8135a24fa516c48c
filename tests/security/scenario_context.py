"""The environment in which the scenarios of the canary test run."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from attrs import frozen
from mock_gateway import ACCOUNTS, monri_oauth, private_key
from security.canary_values import Canaries
from security.captured_output import CapturedOutput

import wonder_customers
from wonder_customers import RetryPolicy, WonderCustomersError
from wonder_customers.cli.app import run
from wonder_customers.dialects import package
from wonder_customers.simulator import SimulatorServer

SHORT_TIMEOUTS = RetryPolicy(
    attempts=2, deadline=0.5, connect_timeout=0.06, read_timeout=0.06, write_timeout=0.06,
    base=0.001, throttle_base=0.001, cap=0.002, confirmation_window=0.02,
)  # fmt: skip
GATEWAYS = tuple(ACCOUNTS)
MERCHANTS: tuple[tuple[str, Callable[[], Any]], ...] = (*ACCOUNTS.items(), ("monri", monri_oauth))
KEY = "sk-canary-4bf0e1d2c3"


@frozen
class ScenarioContext:
    """The environment of a scenario.

    Attributes:
        simulator: The gateways.
        folder: An empty folder.
        output: The collected output.
        processes: Whether commands run in separate processes.
    """

    simulator: SimulatorServer
    folder: Path
    output: CapturedOutput
    processes: bool = False

    @property
    def variables(self) -> dict[str, str]:
        return self.simulator.environment()

    def account(self, gateway: str) -> Any:
        return package(gateway).ACCOUNT.from_environment(self.variables)

    async def attempt(self, call: Callable[[], Any]) -> Any:
        """Await a call, record its result or its error in the output, and return the result."""
        try:
            result = await call()
        except WonderCustomersError as error:
            self.output.error(error)
            return None
        self.output.add(repr(result))
        return result


def keys(variables: Mapping[str, str]) -> dict[str, str]:
    """Return the canaries among a simulator's environment variables; of the PEM key, one line."""
    named = ("PAYDOCK_SECRET_KEY", "MONRI_MERCHANT_KEY", "MONRI_AUTHENTICITY_TOKEN")
    return {name: variables[name] for name in named} | {"WONDER_PRIVATE_KEY": _line(variables["WONDER_PRIVATE_KEY"])}


def _line(pem: str) -> str:
    return pem.splitlines()[3]


ALL_KEYS = {"invented key": KEY, "test key": _line(private_key())}


def command(context: ScenarioContext, *words: str, change: Mapping[str, str] | None = None) -> int:
    """Run a command in the scenario's folder with the simulator's credentials."""
    variables = context.variables | dict(change or {})
    if context.processes:
        variables["PYTHONPATH"] = str(Path(wonder_customers.__file__).parents[1])
        done = subprocess.run(
            [sys.executable, "-X", "dev", "-W", "default", "-m", "wonder_customers", *words],
            cwd=context.folder, env=os.environ | variables, capture_output=True, check=False, timeout=300,
        )  # fmt: skip
        context.output.add(done.stdout, done.stderr)
        return done.returncode
    folder, environment = Path.cwd(), dict(os.environ)
    os.chdir(context.folder)
    os.environ.update(variables)
    try:
        return run(words)
    finally:
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)


def run_scenario(
    scenario: Callable[[ScenarioContext], None], context: ScenarioContext, printed: Callable[[], tuple[str, str]]
) -> set[str]:
    """Run a scenario and search its output for canaries.

    Args:
        scenario: The scenario to run.
        context: The environment of the scenario.
        printed: Returns stdout and stderr since its last call.

    Returns:
        The names of the canaries in the output, and the texts with characters that control a terminal.
    """
    canaries = Canaries(keys(context.variables) | ALL_KEYS)
    printed()
    with context.output.watching():
        scenario(context)
    context.output.show(*printed())
    return canaries.found(*context.output.pieces) | context.output.control_characters()

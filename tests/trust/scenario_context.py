"""Where the scenarios of the canary test play, and what is gathered while they do."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from attrs import frozen
from mock_gateway import ACCOUNTS, monri_oauth, private_key
from trust.canary_values import (
    Canaries,
)
from trust.captured_output import CapturedOutput

import wonder_customers
from wonder_customers import (
    RetryPolicy,
    WonderCustomersError,
)
from wonder_customers.cli.app import run
from wonder_customers.dialects import package
from wonder_customers.simulator import SimulatorServer

HASTY = RetryPolicy(
    attempts=2, deadline=0.5, connect_timeout=0.06, read_timeout=0.06, write_timeout=0.06,
    base=0.001, throttle_base=0.001, cap=0.002, confirmation_window=0.02,
)  # fmt: skip
GATEWAYS = tuple(ACCOUNTS)
MERCHANTS: tuple[tuple[str, Callable[[], Any]], ...] = (*ACCOUNTS.items(), ("monri", monri_oauth))
KEY = "sk-canary-4bf0e1d2c3"


@frozen
class ScenarioContext:
    """Where a scenario plays.

    Attributes:
        simulator: The gateways.
        folder: An empty folder.
        written: What is written.
        processes: Run commands in processes of their own, as people do.
    """

    simulator: SimulatorServer
    folder: Path
    written: CapturedOutput
    processes: bool = False

    @property
    def variables(self) -> dict[str, str]:
        return self.simulator.environment()

    def account(self, gateway: str) -> Any:
        return package(gateway).ACCOUNT.from_environment(self.variables)

    async def tried(self, call: Callable[[], Any]) -> Any:
        """The result of a call; an error of it is written down."""
        try:
            result = await call()
        except WonderCustomersError as error:
            self.written.error(error)
            return None
        self.written.add(repr(result))
        return result


def keys(variables: Mapping[str, str]) -> dict[str, str]:
    """The canaries among a simulator's variables; of a PEM text, a line of its own."""
    named = ("PAYDOCK_SECRET_KEY", "MONRI_MERCHANT_KEY", "MONRI_AUTHENTICITY_TOKEN")
    return {name: variables[name] for name in named} | {"WONDER_PRIVATE_KEY": _line(variables["WONDER_PRIVATE_KEY"])}


def _line(pem: str) -> str:
    return pem.splitlines()[3]


ALL_KEYS = {"made-up key": KEY, "test key": _line(private_key())}


def command(stage: ScenarioContext, *words: str, change: Mapping[str, str] | None = None) -> int:
    """Run a command in the stage's folder with the simulator's credentials; it prints to the test's own streams."""
    variables = stage.variables | dict(change or {})
    if stage.processes:
        variables["PYTHONPATH"] = str(Path(wonder_customers.__file__).parents[1])
        done = subprocess.run(
            [sys.executable, "-X", "dev", "-W", "default", "-m", "wonder_customers", *words],
            cwd=stage.folder, env=os.environ | variables, capture_output=True, check=False, timeout=60,
        )  # fmt: skip
        stage.written.add(done.stdout, done.stderr)
        return done.returncode
    here, before = Path.cwd(), dict(os.environ)
    os.chdir(stage.folder)
    os.environ.update(variables)
    try:
        return run(words)
    finally:
        os.chdir(here)
        os.environ.clear()
        os.environ.update(before)


def play(
    scenario: Callable[[ScenarioContext], None], stage: ScenarioContext, printed: Callable[[], tuple[str, str]]
) -> set[str]:
    """Play a scenario with everything watched.

    Args:
        scenario: What happens.
        stage: Where.
        printed: What was printed since it was asked last.

    Returns:
        The canaries that got out.
    """
    birds = Canaries(keys(stage.variables) | ALL_KEYS)
    printed()
    with stage.written.watching():
        scenario(stage)
    stage.written.add(*printed())
    return birds.found(*stage.written.pieces)

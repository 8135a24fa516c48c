"""Fixtures for running the simulator and the command line."""

import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from wonder_customers.cli.app import run
from wonder_customers.dialects import names
from wonder_customers.simulator.server import SimulatorServer

ORIGIN = "WONDER_CUSTOMERS_SIMULATOR"
COMMAND = (sys.executable, "-W", "error", "-m", "wonder_customers")


def bare_environment(**variables: str) -> dict[str, str]:
    """Return the environment of this process without the variables of any gateway."""
    prefixes = tuple(f"{name.upper()}_" for name in names())
    kept = {name: value for name, value in os.environ.items() if not name.startswith(prefixes)}
    kept.pop("COLUMNS", None)
    return kept | variables


Command = Callable[..., tuple[int, str, str]]


def start(
    folder: Path, variables: dict[str, str], *words: str, out: int = subprocess.PIPE, err: int = subprocess.PIPE
) -> "subprocess.Popen[str]":
    """Start a command line in a new process, which can receive signals."""
    environment = {**os.environ, **variables, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return subprocess.Popen([*COMMAND, *words], cwd=folder, env=environment, text=True, stdout=out, stderr=err)


@pytest.fixture(scope="session")
def bare() -> dict[str, str]:
    """The environment without the variables of any gateway."""
    return bare_environment()


@pytest.fixture(scope="session")
def exports() -> Iterator[str]:
    """The output of a running ``wonder-customers simulator``."""
    with subprocess.Popen(
        [*COMMAND, "simulator"],
        env=bare_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        encoding="utf-8",
    ) as process:
        try:
            lines = []
            for line in process.stdout or ():
                lines.append(line)
                if line.startswith(f"export {ORIGIN}="):
                    break
            yield "".join(lines)
        finally:
            process.terminate()


def exported(text: str) -> dict[str, str]:
    """Return the variables in ``export`` lines."""
    return dict(word.split("=", 1) for word in shlex.split(text) if word != "export")


@pytest.fixture(scope="session")
def variables(exports: str) -> dict[str, str]:
    """The variables in the output of the simulator."""
    return exported(exports)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Change the working directory to a temporary folder, and return it."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run a command line in this process, with the given variables and no other variables of gateways."""

    def call(*arguments: str, env: Mapping[str, str] | None = None) -> tuple[int, str, str]:
        with monkeypatch.context() as patched:
            for name in set(os.environ) - set(bare_environment()):
                patched.delenv(name)
            for name, value in (env or {}).items():
                patched.setenv(name, value)
            code = run(arguments)
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return call


@pytest.fixture
def at_simulator(command: Command, server: SimulatorServer, folder: Path) -> Command:
    """Run a command line in a new folder, with the variables of the simulator and further variables."""
    return lambda *words, **more: command(*words, env=server.environment() | {"COLUMNS": "160"} | more)

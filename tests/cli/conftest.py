"""Fixtures for running the simulator and the command line."""

import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest
from attrs import define
from bulk.customers import write_csv

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


@define(eq=False)
class Terminal:
    """Runs command lines in a new folder, with the variables of the simulator."""

    folder: Path
    server: SimulatorServer
    command: Command
    variables: dict[str, str]

    def run(self, *words: str, **more: str) -> tuple[int, str, str]:
        """Run a command line with further variables; return its exit code, standard output and standard error."""
        return self.command(*words, env=self.variables | more)

    def ends(self, code: int, *words: str, **more: str) -> str:
        """Run a command line that ends with `code`, and return all of its output on one line."""
        found, out, err = self.run(*words, **more)
        assert found == code, f"{out}{err}"
        return " ".join(f"{out}{err}".split())

    def sync(self, gateway: str, rows: int = 3) -> str:
        """Send a new file ``c.csv`` of `rows` customers, and return the name of its journal."""
        write_csv(self.folder / "c.csv", rows)
        self.ends(0, "sync", "c.csv", "--to", gateway)
        return f"c.csv.{gateway}.journal"

    def change(self, old: str, new: str, name: str = "c.csv") -> None:
        """Replace a text in a file."""
        path = self.folder / name
        path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")

    def json(self, name: str) -> Any:
        """Return the contents of a JSON file."""
        return orjson.loads((self.folder / name).read_bytes())

    def lines(self, name: str) -> list[dict[str, Any]]:
        """Return the objects in a file of JSON lines."""
        return [orjson.loads(line) for line in (self.folder / name).read_bytes().splitlines()]


@pytest.fixture
def terminal(command: Command, server: SimulatorServer, folder: Path) -> Terminal:
    """Run command lines in a new folder, with the variables of the simulator."""
    return Terminal(folder, server, command, server.environment() | {"COLUMNS": "160"})

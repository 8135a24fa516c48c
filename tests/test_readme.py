"""The README says what is true."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from wonder_customers import dialects
from wonder_customers.dialects.base import Operation
from wonder_customers.simulator import SimulatorServer

README = Path(__file__).parent.parent / "README.md"
TEXT = README.read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


@pytest.mark.parametrize("code", blocks("python"))
def test_its_code_runs_against_the_simulator(simulator: SimulatorServer, code: str) -> None:
    environment = {**os.environ, **simulator.environment()}
    ran = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert "customer-1815" in ran.stdout


def test_its_two_commands_come_first() -> None:
    assert blocks("sh")[:2] == [
        "pip install '.[cli]' && wonder-customers demo\n",
        "pip install -e '.[dev]' && pytest\n",
    ]


def test_its_table_of_operations_is_the_dialects_own() -> None:
    rows = re.findall(r"^\| (`.*?) \| (.*?) \| (.*?) \| (.*?) \|$", TEXT, re.MULTILINE)
    told = {
        (gateway, operation): cell != "–"
        for names, *cells in rows
        for operation in _operations(names)
        for gateway, cell in zip(("wonder", "paydock", "monri"), cells, strict=True)
    }
    assert {operation for _, operation in told} == set(Operation)
    for (gateway, operation), offered in told.items():
        account = dialects.package(gateway)
        lacks = next(kind.lacks for name, kind in vars(account).items() if name == f"{gateway.title()}Dialect")
        assert offered == (operation not in lacks), f"{gateway} {operation}"


def _operations(names: str) -> list[str]:
    found = re.findall(r"`(\w+)`", names)
    tail = "payment_token" if found[-1].endswith("payment_token") else ""
    return [f"{name}{tail}" if name.endswith("_") else name for name in found]

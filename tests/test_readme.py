"""The commands, code, tables and pictures of the README."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pages import ROOT, Page, blocks
from projects import run_project, run_python

from wonder_customers import dialects
from wonder_customers.dialects.base import Operation
from wonder_customers.simulator import SimulatorServer

README = ROOT / "README.md"
TEXT = README.read_text(encoding="utf-8")
PROGRAM, TEST = blocks(README, "python")
CUSTOMERS = "reference,name,email\nc-1,Ada Lovelace,ada@example.org\nc-2,Grace Hopper,grace@example.org\n"


def test_program_runs_against_the_simulator(simulator: SimulatorServer) -> None:
    environment = {**os.environ, **simulator.environment()}
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM.code], env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert "customer-1815" in ran.stdout


def test_example_test_passes(tmp_path: Path) -> None:
    outcome = run_project(tmp_path, TEST.code)
    assert (outcome.code, outcome.count("passed")) == (0, 2), outcome.text


def test_commands_run(
    simulator: SimulatorServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "customers.csv").write_text(CUSTOMERS, encoding="utf-8")

    def printed() -> str:
        output = capsys.readouterr()
        return output.out + output.err

    Page(tmp_path, simulator.environment(), printed).try_all(blocks(README, "sh"), monkeypatch)
    assert (tmp_path / "report.html").exists()


def test_demo_and_tests_are_the_first_commands() -> None:
    assert [block.code for block in blocks(README, "sh")[:2]] == [
        "pip install '.[cli]' && wonder-customers demo\n",
        "pip install -e '.[dev]' && pytest\n",
    ]


def test_generated_tables_are_up_to_date(tmp_path: Path) -> None:
    checked = run_python(str(ROOT / "docs" / "figures.py"), "--check", folder=tmp_path)
    assert checked.code == 0, checked.text


def test_pictures_need_no_network() -> None:
    pictures = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", TEXT)
    assert len(pictures) == 2
    for name in pictures:
        drawn = (ROOT / name).read_text(encoding="utf-8")
        assert set(re.findall(r"https?://[^\s\"'<)]+", drawn)) <= {"http://www.w3.org/2000/svg"}


def test_operations_table_matches_the_dialects() -> None:
    rows = re.findall(r"^\| (`.*?) \| (.*?) \| (.*?) \| (.*?) \|$", TEXT, re.MULTILINE)
    listed = {
        (gateway, operation): cell != "–"
        for names, *cells in rows
        for operation in _operations(names)
        for gateway, cell in zip(("wonder", "paydock", "monri"), cells, strict=True)
    }
    assert {operation for _, operation in listed} == set(Operation)
    for (gateway, operation), offered in listed.items():
        account = dialects.package(gateway)
        unsupported_operations = next(
            kind.unsupported_operations for name, kind in vars(account).items() if name == f"{gateway.title()}Dialect"
        )
        assert offered == (operation not in unsupported_operations), f"{gateway} {operation}"


def _operations(names: str) -> list[str]:
    found = re.findall(r"`(\w+)`", names)
    tail = "payment_token" if found[-1].endswith("payment_token") else ""
    return [f"{name}{tail}" if name.endswith("_") else name for name in found]

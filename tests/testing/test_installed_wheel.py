"""A project outside the repository with only the built wheel and its extra ``pytest``."""

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from projects import ROOT

PROJECT = """
import pytest

from wonder_customers import CustomerPatch, CustomerSession
from wonder_customers.testing import make_draft

pytestmark = pytest.mark.anyio


async def test_mocked(gateway_mock, wonder_session, paydock_session, monri_session, no_waits):
    gateway_mock.wonder.update(name="Ada")
    gateway_mock.paydock.create(first_name="Ada")
    gateway_mock.monri.refuse("unavailable", operation="delete", times=1)
    assert (await wonder_session.update("c-1", CustomerPatch(name="Ada"))).name == "Ada"
    assert (await paydock_session.create(make_draft())).first_name == "Ada"
    await monri_session.delete("c-1")
    assert len(no_waits.waits) == 1


async def test_simulated(customer_session, customer_gateway, customer_simulator, customer_retry_policy):
    draft = make_draft()
    customer_simulator.faults.add("read_close", gateway=customer_gateway)
    assert (await customer_session.upsert(draft)).id
    assert customer_simulator.ledger(customer_gateway) == {draft.reference: 1}
    assert len(customer_simulator.customers(customer_gateway)) == 1


async def test_shared(shared_customer_simulator):
    async with CustomerSession(shared_customer_simulator.account("monri")) as session:
        await session.check()
"""

MISTAKES = """
import pytest

from wonder_customers import CustomerSession, Monri

pytestmark = pytest.mark.anyio


async def test_not_mocked(gateway_mock, monri_session):
    await monri_session.get("c-1")


async def test_not_called(gateway_mock, monri_session):
    gateway_mock.monri.get()


async def test_refused_signature(customer_simulator):
    async with CustomerSession(Monri("wrong", "wrong", base_url=customer_simulator.origin)) as session:
        await session.check()
"""


def run(*command: str | Path, folder: Path, code: int = 0) -> str:
    variables = {
        name: it for name, it in os.environ.items() if not name.startswith(("PYTHON", "PYTEST", "WONDER", "COV"))
    }
    done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the interpreter of a new environment with the wheel and its extra."""
    place = tmp_path_factory.mktemp("outside")
    source = place / "source"
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(".*", "__pycache__", "tests", "benchmarks"))
    wheel = (sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", place, source)
    run(*wheel, folder=place)
    venv.create(place / "venv", with_pip=True)
    made = place / "venv" / "bin" / "python"
    wheel_file = next(place.glob("*.whl"))
    run(made, "-m", "pip", "install", "--quiet", f"{wheel_file}[pytest]", "trio", folder=place)
    return made


@pytest.mark.long
def test_project_passes_on_both_backends(python: Path, tmp_path: Path) -> None:
    (tmp_path / "test_shop.py").write_text(PROJECT, encoding="utf-8")
    assert len([line for line in PROJECT.splitlines() if line]) <= 30
    assert "10 passed" in run(python, "-m", "pytest", "-q", folder=tmp_path)


@pytest.mark.long
def test_mistakes_name_their_fixes(python: Path, tmp_path: Path) -> None:
    (tmp_path / "test_shop.py").write_text(MISTAKES, encoding="utf-8")
    output = run(python, "-m", "pytest", "-q", folder=tmp_path, code=1)
    assert "Mock it with gateway_mock.monri.get(…)." in output
    assert "these routes are mocked but were never called: monri.get()." in output
    assert "Check that the credentials belong to this environment and that the clock of this m" in output
    assert "4 failed, 2 passed, 2 errors" in output

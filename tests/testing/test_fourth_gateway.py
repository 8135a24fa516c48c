"""A fourth gateway is one folder and an entry point. It is built from the blocks of docs/adding-a-gateway.md."""

import re
import shutil
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest
from pages import ROOT
from projects import FOURTH, install_fourth, run_project, run_python, write_fourth

CONFORMANCE = FOURTH["tests/test_acme.py"]

FIXTURES = """
import pytest

from wonder_customers import AuthenticationError, dialects
from wonder_customers.probing import probe
from wonder_customers.testing import make_draft

anyio = pytest.mark.anyio


def test_it_is_listed():
    assert dialects.names()[-1] == "acme"


@anyio
@pytest.mark.gateways("acme")
async def test_it_is_mocked(gateway_mock, customer_session):
    acme = gateway_mock.gateway("acme")
    acme.create(name="Grace")
    made = await customer_session.create(make_draft(reference="r-1"))
    assert (made.name, made.reference, made.extra) == ("Grace", "r-1", {"tier": "gold"})
    acme.list(name="Ada")
    assert [it.name async for it in customer_session.list(limit=1)] == ["Ada"]
    acme.refuse("bad_key", status=401)
    with pytest.raises(AuthenticationError, match="bad_key"):
        await customer_session.delete(made.id)


@anyio
async def test_it_is_among_all(customer_session, customer_gateway, customer_simulator):
    draft = make_draft()
    await customer_session.create(draft)
    assert customer_simulator.ledger(customer_gateway) == {draft.reference: 1}


@anyio
async def test_it_is_probed(customer_simulator):
    async with customer_simulator.session("acme") as session:
        report = await probe(session)
    assert (report.differences, report.failed) == ((), {})
    assert {"wrong_key", "unknown"} <= report.steps.keys()
"""


@pytest.fixture
def installed_fourth(tmp_path: Path) -> Path:
    folder = tmp_path / "site"
    folder.mkdir()
    install_fourth(folder)
    return folder


def test_example_dialect_passes_conformance_and_works_with_fixtures(tmp_path: Path, installed_fourth: Path) -> None:
    outcome = run_project(tmp_path, FIXTURES + CONFORMANCE, site=installed_fourth)
    assert outcome.code == 0, outcome.text
    assert outcome.count("passed") > 2 * 26 + 10


@pytest.mark.long
def test_broken_dialect_fails_conformance(tmp_path: Path, installed_fourth: Path) -> None:
    """Each of these changes is found by another test of the suite."""
    source = installed_fourth / "acme_gateway" / "dialect.py"
    text = source.read_text(encoding="utf-8")
    changes = {
        "path_segment(self.gateway, 'id', id)": ("id", "invalid_ids_are_refused"),
        "path_segment(self.gateway, 'reference', reference)": ("reference", "references_are_percent_encoded"),
        "raise_violations(self.gateway, codec.limit_violations(draft))": ("pass", "unsupported_fields_are_refused"),
        "raise_violations(self.gateway, codec.limit_violations(patch))": ("pass", "invalid_records_are_not_sent"),
        "Replay.NONE": ("Replay.IDEMPOTENT", "never_sent_twice"),
        ", not_found_is_success=True": ("", "id_or_reference_of_their_customer"),
        "codec.compare(draft, customer)": ("Comparison()", "customer_life_cycle"),
    }
    for before, (after, _) in changes.items():
        assert before in text
        text = text.replace(before, after)
    source.write_text(text, encoding="utf-8")
    names = [test for _, test in changes.values()]
    selected = f"TestAcme and not Trio and ({' or '.join(names)})"
    outcome = run_project(tmp_path, CONFORMANCE, "-k", selected, site=installed_fourth)
    assert outcome.code == 1
    for name in names:
        assert re.search(rf"FAILED test_project.py::TestAcme::test_\w*{name}", outcome.text), name


def test_command_line_lists_and_serves_example_gateway(tmp_path: Path, installed_fourth: Path) -> None:
    commands = (["simulator", "--until-input-ends"], ["check", "acme"], ["get", "beta", "1"])
    # One process runs the three commands, because each start takes a second.
    program = f"from wonder_customers.cli.app import run; print('codes', [run(words) for words in {commands}])"
    account = {"ACME_API_KEY": "k", "ACME_BASE_URL": "http://127.0.0.1:9"}
    done = run_python("-c", program, folder=tmp_path, site=installed_fourth, **account)
    text = " ".join(done.text.split())
    assert "codes [0, 2, 1]" in text
    assert "serves monri, paydock, wonder, acme at" in text
    assert "export ACME_API_KEY=" in text
    assert "It is safe to call again" in text
    assert "the installed gateways are monri, paydock, wonder, acme" in text


def test_example_gateway_is_one_folder(tmp_path: Path) -> None:
    """The page creates no other file, and a copy among the built-in dialects needs no entry point."""
    own = {"pyproject.toml", "tests/test_acme.py"}
    assert {name.partition("/")[0] for name in FOURTH.keys() - own} == {"acme_gateway"}
    tree = tmp_path / "tree"
    shutil.copytree(ROOT / "wonder_customers", tree / "wonder_customers", ignore=shutil.ignore_patterns("__pycache__"))
    write_fourth(tree / "wonder_customers" / "dialects" / "acme")
    listed = run_python(
        "-c", "from wonder_customers import dialects; print(dialects.names(), dialects.simulator('acme').__module__)",
        folder=tmp_path, PYTHONPATH=str(tree),
    )  # fmt: skip
    assert listed.text == "('acme', 'monri', 'paydock', 'wonder') wonder_customers.dialects.acme.simulator"


def test_example_gateway_includes_all_files_that_are_not_python() -> None:
    """Setuptools leaves out other files of a package, and without its examples the mock does not know the gateway."""
    patterns = tomllib.loads(FOURTH["pyproject.toml"])["tool"]["setuptools"]["package-data"]["acme_gateway"]
    others = [name for name in FOURTH if name.startswith("acme_gateway/") and not name.endswith(".py")]
    assert others
    assert all(any(fnmatch(name, f"acme_gateway/{pattern}") for pattern in patterns) for name in others)


def test_example_gateway_passes_ruff(tmp_path: Path) -> None:
    install_fourth(tmp_path)
    settings = ("--config", str(ROOT / "pyproject.toml"))
    for command in (("check", "--no-cache", "--ignore", "INP001"), ("format", "--check", "--no-cache")):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, *settings, str(tmp_path / "acme_gateway")],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.long
def test_example_gateway_passes_mypy(tmp_path: Path) -> None:
    install_fourth(tmp_path)
    command = ("-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), "-p", "acme_gateway")
    checked = run_python(*command, folder=tmp_path, MYPYPATH=str(ROOT))
    assert checked.code == 0, checked.text

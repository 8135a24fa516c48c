"""A fourth gateway is one folder and an entry point: everything else finds it."""

from pathlib import Path

import pytest
from projects import Outcome, install_fourth, run_project, run_python

CONFORMANCE = """
from wonder_customers.testing.conformance import DialectConformance


class TestAcme(DialectConformance):
    gateway = "acme"


class TestAcmeOnTrio(DialectConformance):
    gateway = "acme"
    backend = "trio"
"""

FIXTURES = """
import pytest

from wonder_customers import Unauthorized, dialects
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
    acme.refuse("bad_key", status=401)
    with pytest.raises(Unauthorized, match="bad_key"):
        await customer_session.delete(made.id)


@anyio
async def test_it_is_among_all(customer_session, customer_gateway, customer_simulator):
    draft = make_draft()
    await customer_session.create(draft)
    assert customer_simulator.ledger(customer_gateway) == {draft.reference: 1}
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    place = tmp_path / "site"
    place.mkdir()
    install_fourth(place)
    return place


def test_it_passes_the_conformance_suite_and_every_fixture_knows_it(tmp_path: Path, site: Path) -> None:
    outcome = run_project(tmp_path, FIXTURES + CONFORMANCE, site=site)
    assert outcome.code == 0, outcome.text
    assert outcome.count("passed") > 2 * 26 + 10


def test_a_broken_dialect_fails_it(tmp_path: Path, site: Path) -> None:
    """The suite is worth something: a dialect that sends an id as it is, and one that hides a field, do not pass."""
    source = site / "acme_gateway" / "__init__.py"
    honest = source.read_text(encoding="utf-8")
    broken = honest.replace("segment(self.gateway, 'id', id)", "id").replace(
        "refuse(self.gateway, convert.broken_limits(draft))", "pass"
    )
    assert broken != honest
    source.write_text(broken, encoding="utf-8")
    outcome = run_project(tmp_path, CONFORMANCE, "-k", "TestAcme and not Trio", site=site)
    assert outcome.code == 1
    for name in ("test_ids_are_encoded", "test_ids_that_would_change_the_path", "test_what_it_cannot_carry"):
        assert f"FAILED test_project.py::TestAcme::{name}" in outcome.text


def commanded(tmp_path: Path, site: Path, *arguments: str, **environment: str) -> Outcome:
    return run_python("-m", "wonder_customers", *arguments, folder=tmp_path, site=site, **environment)


def test_the_command_line_lists_and_serves_it(tmp_path: Path, site: Path) -> None:
    served = commanded(tmp_path, site, "simulator", "--until-input-ends")
    assert served.code == 0, served.text
    assert "serves monri, paydock, wonder, acme at" in served.text
    assert "export ACME_API_KEY=" in served.text
    asked = commanded(tmp_path, site, "check", "acme", ACME_API_KEY="k", ACME_BASE_URL="http://127.0.0.1:9")
    assert asked.text.startswith("gateway")
    assert "Calling again is safe" in asked.text
    unknown = commanded(tmp_path, site, "get", "beta", "1")
    assert "known are monri, paydock, wonder, acme" in unknown.text

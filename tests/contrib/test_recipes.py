"""The recipes of the page on web applications, each run by its own server with the simulated gateways."""

import importlib.util
import re
from pathlib import Path

import httpx
import pytest
from app_processes import run_app
from pages import ROOT, blocks
from projects import run_project

from wonder_customers import dialects
from wonder_customers.simulator import SimulatorServer
from wonder_customers.testing import CustomerSimulator

BLOCKS = blocks(ROOT / "docs" / "web-apps.md", "python")
RECIPES = {
    found[1]: block.code
    for block in BLOCKS
    if (found := re.match(r"# (\w+)_shop\.py: [^\n]*\n", block.code)) is not None
}


def test_all_recipes_are_tested() -> None:
    assert list(RECIPES) == ["fastapi", "tenants", "litestar", "django", "aiohttp"]
    assert len(BLOCKS) == len(RECIPES)


@pytest.mark.parametrize(
    "framework", [pytest.param(it, marks=[pytest.mark.long] * (it != "fastapi")) for it in RECIPES if it != "tenants"]
)
def test_recipe_serves_customers_and_problems(tmp_path: Path, simulator: SimulatorServer, framework: str) -> None:
    if importlib.util.find_spec(framework) is None:
        pytest.skip(f"{framework} is not installed")
    module = tmp_path / f"{framework}_shop.py"
    module.write_text(RECIPES[framework], encoding="utf-8")
    command: tuple[str, ...] = ("-m", "uvicorn", "--port", "0", "--app-dir", str(tmp_path), f"{framework}_shop:app")
    if framework == "aiohttp":
        command = (str(module),)
    account = dialects.package("monri").ACCOUNT.from_environment(simulator.environment())
    made = httpx.post(
        f"{account.base_url}/v2/oauth",
        json={
            "client_id": account.authenticity_token.reveal(),
            "client_secret": account.merchant_key.reveal(),
            "grant_type": "client_credentials",
        },
    ).json()
    bearer = {"Authorization": f"Bearer {made['access_token']}"}
    customer = httpx.post(f"{account.base_url}/v2/customers", json={"name": "Ada"}, headers=bearer).json()["uuid"]
    with run_app(*command, variables={**simulator.environment(), "PYTHONWARNINGS": "default"}) as shop:
        found = httpx.get(f"{shop.origin}/customers/{customer}")
        missing = httpx.get(f"{shop.origin}/customers/unknown")
    assert (found.status_code, found.json()) == (200, {"name": "Ada"}), shop.log
    assert (missing.status_code, missing.json()["status"]) == (404, 404), shop.log
    assert missing.headers["content-type"].startswith("application/problem+json")
    assert not re.search("Traceback|DeprecationWarning", shop.log)


def test_example_of_a_test_passes(tmp_path: Path) -> None:
    pytest.importorskip("fastapi")
    (example,) = blocks(ROOT / "docs" / "web-apps.md", "py")
    (tmp_path / "fastapi_shop.py").write_text(RECIPES["fastapi"], encoding="utf-8")
    outcome = run_project(tmp_path, example.code, "-W", "ignore")
    assert outcome.count("passed") == 2, outcome.text


def test_recipe_with_several_merchants(tmp_path: Path) -> None:
    pytest.importorskip("fastapi")
    (tmp_path / "tenants_shop.py").write_text(RECIPES["tenants"], encoding="utf-8")
    command = ("-m", "uvicorn", "--port", "0", "--app-dir", str(tmp_path), "tenants_shop:app")
    with CustomerSimulator() as simulated:
        second = {f"{name}_2": value for name, value in simulated.environment(merchant=2).items()}
        with run_app(*command, variables={**simulated.environment(), **second}) as shop:
            responses = [
                httpx.post(f"{shop.origin}/customers", json={"user_id": "u-1", "name": name}, headers=headers)
                for name, headers in (("Ada", {}), ("Grace", {"X-Merchant": "2"}), ("Ada", {}))
            ]
            document = httpx.get(f"{shop.origin}/openapi.json").json()
        assert simulated.ledger("monri") == {"u-1": 2}
        assert any(request.method == "GET" for request in simulated.requests)
    assert [it.status_code for it in responses] == [201, 201, 409], shop.log
    assert responses[1].json() == {"reference": "u-1", "name": "Grace"}
    assert set(document["components"]["schemas"]["CustomerOut"]["properties"]) == {"reference", "name"}
    assert not re.search("Traceback|DeprecationWarning", shop.log)

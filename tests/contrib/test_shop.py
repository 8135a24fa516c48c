"""The example shop, run by uvicorn in its own process, with clients that disconnect."""

import random
import signal
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from app_processes import AppProcess, run_app

from wonder_customers.simulator import SimulatorServer

pytestmark = pytest.mark.skipif(find_spec("fastapi") is None, reason="the shop is a FastAPI app")

GATEWAYS = ("wonder", "paydock", "monri")
VISITORS = 80
GONE = 0.3


@pytest.fixture(scope="module")
def shop(_simulator: SimulatorServer) -> Iterator[AppProcess]:
    patience = {"SHOP_SETTLE": "0.5", "SHOP_READ_TIMEOUT": "0.5"}
    command = ("-m", "uvicorn", "--port", "0", "--no-access-log", "--app-dir", str(Path(__file__).parent), "shop:app")
    with run_app(*command, variables=_simulator.environment() | patience) as running:
        yield running
    _simulator.faults.clear()


def visitor(shop: AppProcess) -> httpx.AsyncClient:
    """Return a client with its own connections, unaffected by other clients' cancellations."""
    return httpx.AsyncClient(base_url=shop.origin, verify=False, trust_env=False, timeout=120)


async def sign_up(shop: AppProcess, number: int, patience: float | None) -> httpx.Response | None:
    """Sign up; disconnect after `patience` seconds."""
    body = {"user": f"user-{number}", "name": f"Visitor {number}"}
    headers = {"X-Tenant": GATEWAYS[number % 3]}
    async with visitor(shop) as browser:
        with anyio.move_on_after(patience):
            return await browser.post("/customers", json=body, headers=headers)
    return None


async def crowd(shop: AppProcess, patience: dict[int, float | None]) -> list[httpx.Response]:
    """Sign up all visitors, twenty at a time; return the responses of those who stayed connected."""
    answers: list[httpx.Response] = []
    limit = anyio.Semaphore(20)

    async def one(number: int) -> None:
        async with limit:
            answer = await sign_up(shop, number, patience[number])
            if answer is not None:
                answers.append(answer)

    async with anyio.create_task_group() as group:
        for number in patience:
            group.start_soon(one, number)
    return answers


async def quiet(shop: AppProcess) -> dict[str, int]:
    """Return the shop's connections after the last call has ended."""
    async with visitor(shop) as browser:
        with anyio.fail_after(120):
            while True:
                connections: dict[str, int] = (await browser.get("/health")).json()
                if not connections["busy"]:
                    return connections
                await anyio.sleep(0.02)


def test_sign_up_and_card_confirmation(shop: AppProcess) -> None:
    with httpx.Client(base_url=shop.origin, trust_env=False) as browser:
        made = browser.post("/customers", json={"user": "ada", "name": "Ada Lovelace"})
        customer = made.json()["customer"]
        card = {
            "number": "4111111111111111",
            "expire_month": "12",
            "expire_year": "2034",
            "holder_name": "Ada Lovelace",
        }
        saved = browser.post(f"/customers/{customer}/cards", json=card)
        assert (saved.status_code, saved.json()["state"]) == (202, "pending")
        place = f"/customers/{customer}/cards/{saved.json()['token']}"
        assert browser.get(place).json()["state"] == "pending"
        browser.get(saved.json()["verify_url"])
        assert browser.get(place).json()["state"] == "success"


REFUSALS: dict[str, tuple[str, str, dict[str, Any] | None, str, int]] = {
    "an unknown customer": ("GET", "/customers/unknown/cards/none", None, "wonder", 404),
    "what the gateway cannot do": ("GET", "/customers/unknown/cards/none", None, "monri", 501),
    "what breaks its limits": ("POST", "/customers", {"user": "u", "name": "x" * 300}, "monri", 422),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_errors_become_problem_responses(shop: AppProcess, case: str) -> None:
    method, path, body, tenant, status = REFUSALS[case]
    with httpx.Client(base_url=shop.origin, trust_env=False) as browser:
        answer = browser.request(method, path, json=body, headers={"X-Tenant": tenant})
    assert (answer.status_code, answer.json()["status"]) == (status, status)
    assert answer.headers["content-type"] == "application/problem+json"


def test_sign_ups_with_disconnecting_clients(shop: AppProcess, simulator: SimulatorServer) -> None:
    rng = random.Random(7)
    leaving = set(rng.sample(range(VISITORS), int(VISITORS * GONE)))
    patience = {it: rng.uniform(0.002, 0.08) if it in leaving else None for it in range(VISITORS)}
    simulator.faults.add("drip", probability=0.25, seed=7, times=None, interval=0.0002)
    simulator.faults.add("read_hang", method="POST", probability=0.05, seed=8, times=None)

    stayed = anyio.run(crowd, shop, patience)
    assert [answer.status_code for answer in stayed if answer.status_code != 201] == []
    connections = anyio.run(quiet, shop)
    assert connections["left"] >= VISITORS // 20, "too few calls were cancelled for a meaningful test"
    assert connections["open"] <= 8

    simulator.faults.clear()
    back = anyio.run(crowd, shop, dict.fromkeys(sorted(leaving)))
    assert {answer.status_code for answer in back} == {201}
    made: dict[str, int] = {}
    for gateway in GATEWAYS:
        made |= {user: count for user, count in simulator.store.ledger(gateway).items() if user.startswith("user-")}
    assert made == {f"user-{number}": 1 for number in range(VISITORS)}

    # The last test of the module: it stops the shop, as an orchestrator does.
    shop.process.send_signal(signal.SIGTERM)
    shop.process.wait(60)
    time.sleep(0.05)
    assert "Traceback" not in shop.log
    assert "ERROR" not in shop.log
    assert "Application shutdown complete." in shop.log

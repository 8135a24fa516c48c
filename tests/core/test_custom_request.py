"""`session.request`: requests to any endpoint of a gateway, and the headers that identify the client."""

import re
import sys
import traceback
from dataclasses import dataclass
from enum import Enum
from typing import Any

import httpx
import pytest
import sniffio
from attrs import evolve
from fault_injection.sessions import fresh, session

from wonder_customers import (
    ConfigurationError,
    CustomerSession,
    InvalidRecordError,
    InvalidResponseError,
    Monri,
    NotFoundError,
    OutcomeUnknownError,
)
from wonder_customers.simulator import SimulatorServer


class Text(str, Enum):  # noqa: UP042 - unlike that of a StrEnum, `str` of a member is "Text.ONE"
    ONE = "billing & co"


class Stored(Enum):
    CARD = "4929735926140832"


@dataclass
class Card:
    number: str
    cvv: str = ""
    amount: float = 1.5


PATHS = {"monri": "/v2/customers", "paydock": "/v1/customers"}


def recording(requests: list[httpx.Request], **more: Any) -> CustomerSession[Monri]:
    """Return a session whose requests are recorded and receive HTTP 204."""

    def handle(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(204)

    return CustomerSession(Monri("k", "t"), transport=httpx.MockTransport(handle), **more)


@pytest.mark.parametrize("gateway", ["monri", "paydock"])
async def test_any_endpoint_can_be_read(gateway: str, simulator: SimulatorServer) -> None:
    async with session(simulator, gateway) as it:
        made = await it.create(fresh(gateway))
        response = await it.request("get", f"{PATHS[gateway]}/{made.id}")
        assert response.status == 200
        assert made.id in str(response.record)
        with pytest.raises(NotFoundError):
            await it.request("GET", f"{PATHS[gateway]}/000000000000000000000000", query={"a b": "c/d"})


async def test_reference_of_an_enum_is_its_value(gateway: str, simulator: SimulatorServer) -> None:
    async with session(simulator, gateway) as it:
        draft = evolve(fresh(gateway), reference=Text.ONE)
        made = [await it.upsert(draft) for _ in range(2)]
        assert await it.get_by_reference(Text.ONE) == made[1]
        kind: Any = Enum  # a type checker would not accept a member as a text
        assert (await it.get(kind("Id", {"ONE": made[0].id}, type=str).ONE)).id == made[1].id
    assert simulator.store.ledger(gateway)["billing & co"] == 1


async def test_query_with_a_member_of_an_enum_has_its_value() -> None:
    requests: list[httpx.Request] = []
    async with recording(requests) as it:
        await it.request("GET", "/v2", query={"a": Text.ONE, Text.ONE: 5})
    assert requests[0].url.raw_path == b"/v2?a=billing%20%26%20co&billing%20%26%20co=5"


async def test_write_is_repeated_only_if_it_is_idempotent(simulator: SimulatorServer) -> None:
    async with session(simulator, "monri") as it:
        made = await it.create(fresh("monri"))
        path, change = f"/v2/customers/{made.id}", {"name": "Changed"}
        simulator.faults.add("read_close", gateway="monri", method="POST")
        response = await it.request("POST", path, json=change, idempotent=True)
        assert (response.status, response.attempts) == (200, 2)
        simulator.faults.add("read_close", gateway="monri", method="POST")
        with pytest.raises(OutcomeUnknownError):
            await it.request("POST", path, json=change)
        assert (await it.get(made.id)).name == "Changed"


@pytest.mark.parametrize(
    ("method", "path", "more", "expected"),
    [
        ("TRACE", "/v2", {}, "method"),
        ("GET", "v2/customers", {}, "path"),
        ("GET", "/v2/customers?limit=1", {}, "path"),
        ("GET", "/v2/../admin", {}, "path"),
        ("GET", "/v2/%2E./admin", {}, "path"),
        ("GET", "/v2/..%2fadmin", {}, "path"),
        ("GET", "/v2/a b", {}, "path"),
        ("GET", "https://other.example/", {}, "path"),
        ("GET", "/v2\r\nHost: other", {}, "path"),
        ("GET", "/v2", {"query": {"a": object()}}, "query"),
        ("GET", "/v2", {"query": {"a": True}}, "query"),
        ("GET", "/v2", {"query": {"a": "Ada \udc80"}}, "query"),
        ("GET", "/v2", {"query": {"Ada \udc80": 1}}, "query"),
        ("GET", "/v2/Ada\udc80", {}, "path"),
        ("POST", "/v2", {"json": object()}, "json"),
        ("POST", "/v2", {"json": {"amount": float("nan")}}, "json"),
        ("POST", "/v2", {"json": {"name": "Ada \udc80"}}, "json"),
        ("POST", "/v2", {"json": [Card("1", amount=float("nan"))]}, "json"),
    ],
    ids=range(18),
)
async def test_invalid_request_is_refused(method: str, path: str, more: dict[str, Any], expected: str) -> None:
    requests: list[httpx.Request] = []
    async with recording(requests) as it:
        with pytest.raises(InvalidRecordError, match=expected) as caught:
            await it.request(method, path, **more)
    assert "Ada" not in "".join(traceback.format_exception(caught.value.with_traceback(None)))
    assert requests == []


@pytest.mark.parametrize(
    "more",
    [
        {"json": {"card": {"pan": "4929735926140832"}}},
        {"json": [[{"note": "4929 7359 2614 0832"}]]},
        {"json": {"source": {"cvv": "917"}}},
        {"json": {"number": 4929735926140832}},
        {"json": [Card("4929735926140832")]},
        {"json": Card("1", cvv="917")},
        {"json": {"number": Stored.CARD}},
        {"query": {"search": "4929735926140832"}},
    ],
    ids=range(8),
)
async def test_card_data_in_a_custom_request_is_refused(more: dict[str, Any]) -> None:
    requests: list[httpx.Request] = []
    async with recording(requests) as it:
        with pytest.raises(InvalidRecordError, match="must not be sent") as caught:
            await it.request("POST", "/v2/charges", **more)
    assert requests == []
    assert not any(text in str(caught.value) for text in ("4929", "917"))


@pytest.mark.parametrize("status", [200, 201, 202])
@pytest.mark.parametrize("idempotent", [False, True], ids=["once", "idempotent"])
async def test_page_of_a_proxy_does_not_show_that_a_write_was_applied(status: int, idempotent: bool) -> None:
    page = httpx.MockTransport(lambda request: httpx.Response(status, text="<html>Please log in</html>"))
    async with CustomerSession(Monri("k", "t"), transport=page) as it:
        with pytest.raises(InvalidResponseError, match="not JSON") as caught:
            await it.request("PUT", "/v2/customers/1", json={}, idempotent=idempotent)
        assert caught.value.applied == "unknown"
        with pytest.raises(InvalidResponseError, match="not JSON") as caught:
            await it.request("GET", "/v2/customers/1")
        assert caught.value.applied == "no"


async def test_long_integer_in_a_response_is_read_as_its_digits() -> None:
    found = httpx.MockTransport(lambda request: httpx.Response(200, text='{"id": 123456789012345678901234567890}'))
    async with CustomerSession(Monri("k", "t"), transport=found) as it:
        response = await it.request("POST", "/v2/charges")
        assert response.record == {"id": "123456789012345678901234567890"}
        assert sum(it.stats().drift.values()) == 1


async def test_response_without_a_body_is_none() -> None:
    requests: list[httpx.Request] = []
    async with recording(requests) as it:
        assert (await it.request("DELETE", "/v2/cards/1", query={"q": "a b&c"})).record is None
    assert [str(it.url) for it in requests] == ["https://ipgtest.monri.com/v2/cards/1?q=a%20b%26c"]
    assert requests[0].headers["Authorization"].startswith("WP3-v2.1 ")


async def test_user_agent_names_versions_and_the_application() -> None:
    requests: list[httpx.Request] = []
    async with recording(requests, app_info="shop/3.1 (billing)") as it:
        await it.request("GET", "/v2")
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    loop = sniffio.current_async_library()
    pattern = rf"wonder-customers(/[\d.]+)? \(Python/{re.escape(python)}; {loop}\) shop/3\.1 \(billing\)"
    assert re.fullmatch(pattern, requests[0].headers["User-Agent"])


@pytest.mark.parametrize("text", ["shop\r\nX: y", "Geschäft/1", "", "shop  3.1", 3, "a" * 201], ids=range(6))
def test_invalid_app_info_is_refused(text: Any) -> None:
    with pytest.raises(ConfigurationError, match="app_info must be a str of 1 to 200 printable ASCII characters"):
        CustomerSession(Monri("k", "t"), app_info=text)


@pytest.mark.parametrize(
    ("method", "length"), [("POST", "0"), ("PUT", "0"), ("PATCH", "0"), ("GET", None), ("DELETE", None)]
)
async def test_write_without_a_body_has_a_length(method: str, length: str | None) -> None:
    requests: list[httpx.Request] = []
    async with recording(requests) as it:
        await it.request(method, "/v2/customers/1/lock")
    assert requests[0].headers.get("content-length") == length

"""References: in paths, in Paydock's search, and in responses that show another one."""

from typing import Any
from weakref import ref

import pytest
from dialects.bodies import WONDER_PATH, skips
from gateway_responses import HEX24, monri_customer, paydock_customer, paydock_list
from mock_gateway import MockGateway, json_response

from scripted_transport import PAYDOCK
from wonder_customers import Customer, CustomerDraft, InvalidResponseError, NotFoundError, Page, Response


@pytest.mark.parametrize("reference", ["a/b?c#d é", "100%", "%2F", "a+b", "日本", "🙂", "a&b=c", " ", "...", "~._-"])
async def test_reference_is_percent_encoded_in_the_request_line(gateway: str, reference: str) -> None:
    refusal = json_response(404, {"status": 404, "error": {"message": "Not found"}})
    wire = MockGateway(json_response(200, paydock_list()) if gateway == "paydock" else refusal)
    async with wire.session(gateway) as session:
        with pytest.raises(NotFoundError):
            await session.get_by_reference(reference)
    encoded = "".join(
        chr(byte) if (chr(byte).isalnum() and byte < 128) or chr(byte) in "~._-" else f"%{byte:02X}"
        for byte in reference.encode()
    )
    assert wire.lines == [
        {
            "wonder": f"GET {WONDER_PATH}/ref/{encoded}",
            "paydock": f"GET /v1/customers?limit=1000&skip=0&reference={encoded}",
            "monri": f"GET /v2/merchants/customers/{encoded}",
        }[gateway]
    ]


FOUND = {"_id": HEX24, "reference": "35"}
OTHER = {"_id": "a" * 24, "reference": "36"}
ARCHIVED = {"_id": "a" * 24, "reference": "35", "archived": True}
OTHERS = [{"_id": f"{number:024x}", "reference": f"35{number}"} for number in range(1000)]
NAMELESS = [{"_id": f"{number:024x}"} for number in range(1000)]


@pytest.mark.parametrize(
    ("pages", "read"),
    [
        ([paydock_list(*OTHERS, count=1001), paydock_list(FOUND, count=1001)], [0, 1000]),
        ([paydock_list(*NAMELESS, count=1001), paydock_list(FOUND, count=1001)], [0, 1000]),
        ([paydock_list(*OTHERS[:2]), paydock_list(*OTHERS[2:4]), paydock_list(FOUND), paydock_list()], [0, 2, 4, 5]),
        ([paydock_list(ARCHIVED, FOUND)], [0]),
        ([paydock_list(FOUND, count=5), paydock_list(count=5)], [0, 1]),
    ],
    ids=["second page", "others without reference", "pages that count only themselves", "archived", "wrong count"],
)
async def test_paydock_search_finds_the_customer(pages: list[Any], read: list[int]) -> None:
    wire = MockGateway(*pages)
    async with wire.session("paydock") as session:
        assert (await session.get_by_reference("35")).id == HEX24
    assert skips(wire) == read


@pytest.mark.parametrize(
    "items", [[ARCHIVED], [{"_id": HEX24}, OTHER], [{"_id": HEX24, "archived": True}], [OTHER], []], ids=str
)
async def test_paydock_search_without_the_customer_is_not_found(items: list[Any]) -> None:
    async with MockGateway(paydock_list(*items), paydock_list()).session("paydock") as session:
        with pytest.raises(NotFoundError):
            await session.get_by_reference("35")


UNREADABLE: list[Any] = [
    None,
    {"reference": "35"},
    {"_id": {"$oid": HEX24}, "reference": "35"},
    {"_id": HEX24, "reference": {}},
]
UNCERTAIN: list[tuple[list[Any], str]] = [
    *(
        ([paydock_list(*others, item)], "found a customer that cannot be read")
        for item in UNREADABLE
        for others in ([], [OTHER], [FOUND])
    ),
    *(
        (
            [paydock_list({"_id": "c" * 24, "archived": True}, {"_id": HEX24, **nothing}), paydock_list()],
            "found only customers without a reference",
        )
        for nothing in ({}, {"reference": None}, {"reference": ""})
    ),
    *(([paydock_list(count=count)], f"reports {count} records, but the page") for count in (1, 5)),
]


@pytest.mark.parametrize(("pages", "words"), UNCERTAIN)
async def test_uncertain_paydock_search_is_not_a_missing_customer(pages: list[Any], words: str) -> None:
    wire = MockGateway(*pages * 2)
    async with wire.session("paydock") as session:
        for call in (session.get_by_reference("35"), session.upsert(CustomerDraft(reference="35", name="Ada"))):
            with pytest.raises(InvalidResponseError, match=words) as caught:
                await call
            assert (caught.value.applied, caught.value.reference) == ("no", "35")
    assert ({request.method for request in wire.requests}, wire.responses) == ({"GET"}, [])


CHANGED = [
    ("35 ", "35"),
    ("e\u0301", "\u00e9"),
    ("a  b", "a b"),
    ("C-1", "c-1"),
    ("c", "C"),
    ("07", "7"),
    ("00", "0"),
    ("ﬁ", "fi"),
]


@pytest.mark.parametrize(("sent", "stored"), CHANGED)
async def test_reference_that_the_gateway_changed_makes_no_second_customer(sent: str, stored: str) -> None:
    """The search finds the customer of an earlier upsert under the changed reference."""
    pages = [paydock_list({"_id": HEX24, "reference": stored}), paydock_list()]
    wire = MockGateway(*(page for page in pages))
    async with wire.session("paydock") as session:
        with pytest.raises(InvalidResponseError, match="found a reference that differs only in its form") as caught:
            await session.upsert(CustomerDraft(reference=sent, name="Ada"))
    assert (caught.value.applied, caught.value.id, wire.responses) == ("no", HEX24, [])


@pytest.mark.parametrize(("sent", "stored"), [("aBc", "abC"), ("7", "007"), ("c-007", "c-7"), ("0", ""), ("35", "350")])
async def test_other_reference_of_a_fuzzy_search_is_no_changed_reference(sent: str, stored: str) -> None:
    pages = [paydock_list({"_id": "d" * 24, "reference": stored}, OTHER), paydock_list()]
    created = {"resource": {"data": {"_id": HEX24, "reference": sent}}}
    async with MockGateway(*(it for it in (*pages, created))).session("paydock") as session:
        assert (await session.upsert(CustomerDraft(reference=sent, name="Ada"))).id == HEX24


@pytest.mark.parametrize(("sent", "stored"), CHANGED)
async def test_reference_that_the_gateway_changed_is_named(sent: str, stored: str) -> None:
    body = {"resource": {"data": {"_id": HEX24, "reference": stored}}}
    async with MockGateway(*(json_response(201, it) for it in (body, paydock_list()))).session("paydock") as session:
        with pytest.raises(InvalidResponseError, match="its reference differs") as caught:
            await session.create(CustomerDraft(reference=sent, name="Ada"))
    assert (caught.value.id, f"Read the customer {HEX24}," in str(caught.value)) == (HEX24, True)


async def test_upsert_without_reference_is_a_create() -> None:
    for gateway, made in (("paydock", paydock_customer(reference=None)), ("monri", monri_customer())):
        wire = MockGateway(made)
        async with wire.session(gateway) as session:
            await session.upsert(CustomerDraft(name="Test"))
        assert [request.method for request in wire.requests] == ["POST"]


def test_paydock_search_does_not_keep_other_customers() -> None:
    """A gateway that ignores the filter returns every customer."""
    steps, kept = PAYDOCK.dialect().get_by_reference("35"), []
    next(steps)
    for number in range(3):
        other = Customer(str(number), "other", name="Ada")
        kept.append(ref(other))
        steps.send(Response(Page((other,), str(number + 1), 9), 200, {}, "", 1, 0.0))
        del other
    assert [it() is None for it in kept] == [True, True, False]  # the last page is in use


@pytest.mark.parametrize("status", [200, 400, 404, 410])
async def test_refused_paydock_search_is_not_an_empty_list(status: int) -> None:
    """Paydock answers a search without results with an empty list, so "not found" is about something else."""
    refusal = {"status": 404, "error": {"message": "Not found", "code": "NotFound"}, "resource": {"type": "customer"}}
    wire = MockGateway(json_response(status, refusal))
    async with wire.session("paydock") as session:
        with pytest.raises(InvalidResponseError, match=f"HTTP {status} reports that something was not found"):
            await session.upsert(CustomerDraft(reference="35", name="Ada"))
    assert len(wire.requests) == 1


async def test_case_of_references_is_compared() -> None:
    async with MockGateway(monri_customer(merchant_customer_id="R-1")).session("monri") as session:
        with pytest.raises(InvalidResponseError, match="reference differs"):
            await session.create(CustomerDraft(reference="r-1", name="Ada"))

"""Lists with several pages, references in paths, and unsupported operations."""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import httpx
import pytest
from dialects.bodies import TOKEN, WONDER_PATH, ids_of
from gateway_responses import HEX24, UUID, monri_customer, paydock_customer, paydock_list
from mock_gateway import ACCOUNTS, MockGateway, Session, golden, json_response

from wonder_customers import (
    CustomerDraft,
    InvalidResponseError,
    NotFoundError,
    PaydockFilter,
    UnsupportedOperationError,
    VaultToken,
    WonderFilter,
)

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("gateway", "operation", "call"),
    [
        ("wonder", "delete", lambda s: s.delete(UUID)),
        ("monri", "create_payment_token", lambda s: s.create_payment_token(UUID, VaultToken(TOKEN))),
        ("monri", "check_payment_token", lambda s: s.check_payment_token(UUID, TOKEN)),
        ("monri", "delete_payment_token", lambda s: s.delete_payment_token(UUID, TOKEN)),
        ("monri", "filters on lists", lambda s: ids_of(s, filter=WonderFilter())),
        ("monri", "filters on lists", lambda s: s.raw.page(filter=PaydockFilter(search="Ada"))),
    ],
)
async def test_unsupported_operation_raises_without_a_request(
    gateway: str, operation: str, call: Callable[[Session], Awaitable[Any]]
) -> None:
    wire = MockGateway()
    async with wire.session(ACCOUNTS[gateway]()) as session:
        with pytest.raises(UnsupportedOperationError) as caught:
            await call(session)
    assert wire.requests == []
    assert (caught.value.gateway, caught.value.operation) == (gateway, operation)
    assert str(caught.value).endswith("Nothing was sent.")


@pytest.mark.parametrize("gateway", ACCOUNTS)
@pytest.mark.parametrize("reference", ["a/b?c#d é", "100%", "%2F", "a+b", "日本", "🙂", "a&b=c", " ", "...", "~._-"])
async def test_reference_is_percent_encoded_in_the_request_line(gateway: str, reference: str) -> None:
    refusal = json_response(404, {"status": 404, "error": {"message": "Not found"}})
    wire = MockGateway(json_response(200, paydock_list()) if gateway == "paydock" else refusal)
    async with wire.session(ACCOUNTS[gateway]()) as session:
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


async def test_paydock_lookup_reads_every_page() -> None:
    others = [{"_id": f"{number:024x}", "reference": "350"} for number in range(1000)]
    wire = MockGateway(
        json_response(200, paydock_list(*others, count=1001)),
        json_response(200, paydock_list({"_id": HEX24, "reference": "35"}, count=1001)),
    )
    async with wire.session(ACCOUNTS["paydock"]()) as session:
        assert (await session.get_by_reference("35")).id == HEX24
    assert wire.lines == [
        "GET /v1/customers?limit=1000&skip=0&reference=35",
        "GET /v1/customers?limit=1000&skip=1000&reference=35",
    ]


async def test_paydock_lookup_ignores_archived_customers() -> None:
    archived = {"_id": "a" * 24, "reference": "35", "archived": True}
    wire = MockGateway(
        json_response(200, paydock_list(archived, {"_id": HEX24, "reference": "35"})),
        json_response(200, paydock_list(archived)),
    )
    async with wire.session(ACCOUNTS["paydock"]()) as session:
        assert (await session.get_by_reference("35")).id == HEX24
        with pytest.raises(NotFoundError):
            await session.get_by_reference("35")


UNREADABLE: list[Any] = [
    None,
    {"reference": "35"},
    {"_id": {"$oid": HEX24}, "reference": "35"},
    {"_id": HEX24, "reference": {}},
]
OTHER = {"_id": "a" * 24, "reference": "36"}
MATCH = {"_id": "b" * 24, "reference": "35"}


@pytest.mark.parametrize("item", UNREADABLE)
@pytest.mark.parametrize("others", [[], [OTHER], [MATCH]])
async def test_unreadable_customer_in_a_paydock_search_is_not_a_missing_customer(item: Any, others: list[Any]) -> None:
    wire = MockGateway(json_response(200, paydock_list(*others, item)))
    async with wire.session(ACCOUNTS["paydock"]()) as session:
        with pytest.raises(InvalidResponseError, match="found a customer that cannot be read") as caught:
            await session.upsert(CustomerDraft(reference="35", name="Ada"))
    assert (caught.value.applied, caught.value.reference, len(wire.requests)) == ("no", "35", 1)


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
    wire = MockGateway(*(json_response(200, page) for page in pages))
    async with wire.session(ACCOUNTS["paydock"]()) as session:
        with pytest.raises(InvalidResponseError, match="found a reference that differs only in its form") as caught:
            await session.upsert(CustomerDraft(reference=sent, name="Ada"))
    assert (caught.value.applied, caught.value.id, wire.responses) == ("no", HEX24, [])


@pytest.mark.parametrize(("sent", "stored"), [("aBc", "abC"), ("7", "007"), ("c-007", "c-7"), ("0", ""), ("35", "350")])
async def test_other_reference_of_a_fuzzy_search_is_no_changed_reference(sent: str, stored: str) -> None:
    pages = [paydock_list({"_id": "d" * 24, "reference": stored}, OTHER), paydock_list()]
    created = {"resource": {"data": {"_id": HEX24, "reference": sent}}}
    wire = MockGateway(*(json_response(200, it) for it in (*pages, created)))
    async with wire.session(ACCOUNTS["paydock"]()) as session:
        assert (await session.upsert(CustomerDraft(reference=sent, name="Ada"))).id == HEX24


@pytest.mark.parametrize(("sent", "stored"), CHANGED)
async def test_reference_that_the_gateway_changed_is_named(sent: str, stored: str) -> None:
    body = {"resource": {"data": {"_id": HEX24, "reference": stored}}}
    wire = MockGateway(*(json_response(201, it) for it in (body, paydock_list())))
    async with wire.session(ACCOUNTS["paydock"]()) as session:
        with pytest.raises(InvalidResponseError, match="its reference differs") as caught:
            await session.create(CustomerDraft(reference=sent, name="Ada"))
    assert (caught.value.id, f"Read the customer {HEX24}," in str(caught.value)) == (HEX24, True)


@pytest.mark.parametrize("nothing", [{}, {"reference": None}, {"reference": ""}])
async def test_paydock_search_without_references_is_not_a_missing_customer(nothing: dict[str, Any]) -> None:
    archived = {"_id": "c" * 24, "archived": True}
    wire = MockGateway(
        json_response(200, paydock_list(archived, {"_id": HEX24, **nothing})), json_response(200, paydock_list())
    )
    async with wire.session(ACCOUNTS["paydock"]()) as session:
        with pytest.raises(InvalidResponseError, match="found only customers without a reference"):
            await session.upsert(CustomerDraft(reference="35", name="Ada"))
    assert [request.method for request in wire.requests] == ["GET", "GET"]


@pytest.mark.parametrize("items", [[{"_id": HEX24}, OTHER], [{"_id": HEX24, "archived": True}], [OTHER], []])
async def test_customer_without_reference_is_no_match_if_another_shows_its_reference(items: list[Any]) -> None:
    wire = MockGateway(json_response(200, paydock_list(*items)), json_response(200, paydock_list()))
    async with wire.session(ACCOUNTS["paydock"]()) as session:
        with pytest.raises(NotFoundError):
            await session.get_by_reference("35")


async def test_references_of_all_pages_of_a_paydock_search_count() -> None:
    without = [{"_id": f"{number:024x}"} for number in range(1000)]
    pages = (
        json_response(200, paydock_list(*without, count=1001)),
        json_response(200, paydock_list(MATCH, count=1001)),
    )
    async with MockGateway(*pages).session(ACCOUNTS["paydock"]()) as session:
        assert (await session.get_by_reference("35")).id == MATCH["_id"]


def _page(gateway: str, numbers: Iterable[int], total: int | None = None) -> httpx.Response:
    """Return a page of customers; `total` is reported by Paydock and Wonder."""
    if gateway == "paydock":
        return json_response(
            200, paydock_list(*({"_id": f"{it:024x}", "reference": f"{it}"} for it in numbers), count=total)
        )
    items = [{"uuid": f"id-{it}"} for it in numbers]
    if gateway == "monri":
        return json_response(200, {"status": "approved", "data": items})
    headers = {} if total is None else {"X_Total_Entries": str(total)}
    return json_response(200, {"code": 200, "data": {"customers": items}}, **headers)


@pytest.mark.parametrize("gateway", ["paydock", "wonder"])
async def test_list_that_ends_before_its_total_is_an_error(gateway: str) -> None:
    wire = MockGateway(_page(gateway, [1, 2], 5), _page(gateway, [], 5))
    async with wire.session(ACCOUNTS[gateway]()) as session:
        with pytest.raises(InvalidResponseError, match="reports 5 records, but the page after 2 records is empty"):
            await ids_of(session, limit=2)
    assert wire.responses == []


@pytest.mark.parametrize("gateway", ["paydock", "wonder"])
@pytest.mark.parametrize("total", [0, 2])
async def test_full_page_is_not_the_end_of_a_list_with_a_wrong_total(gateway: str, total: int) -> None:
    pages = [_page(gateway, [1, 2], total), _page(gateway, [3, 4], total), _page(gateway, [5], 1)]
    wire = MockGateway(*pages, _page(gateway, [], 0))
    async with wire.session(ACCOUNTS[gateway]()) as session:
        assert len(await ids_of(session, limit=2)) == 5
    assert wire.responses == []


async def test_count_of_a_page_with_a_reduced_limit_is_not_the_end_of_a_paydock_list() -> None:
    pages = [paydock_list(*({"_id": f"{it:024x}"} for it in numbers)) for numbers in ([1, 2], [3, 4], [5], [])]
    for page in pages:
        page["resource"]["limit"] = 2
    async with MockGateway(*(json_response(200, page) for page in pages)).session(ACCOUNTS["paydock"]()) as session:
        assert len(await ids_of(session)) == 5


@pytest.mark.parametrize("gateway", ["monri", "wonder"])
async def test_short_page_is_not_the_end_of_a_list_without_a_total(gateway: str) -> None:
    wire = MockGateway(_page(gateway, [1]), _page(gateway, [2, 3]), _page(gateway, [4]), _page(gateway, []))
    async with wire.session(ACCOUNTS[gateway]()) as session:
        assert await ids_of(session, limit=2) == ["id-1", "id-2", "id-3", "id-4"]
    assert [line.rpartition("=")[2] for line in wire.lines] == ["0", "1", "3", "4"]


async def test_short_page_that_is_repeated_ends_a_list() -> None:
    """A customer that was created meanwhile moves the last page."""
    wire = MockGateway(_page("monri", [1, 2]), _page("monri", [3]), _page("monri", [3]))
    async with wire.session(ACCOUNTS["monri"]()) as session:
        assert await ids_of(session, limit=2) == ["id-1", "id-2", "id-3"]
    wire = MockGateway(_page("monri", [1, 2]), _page("monri", [1, 2]))
    async with wire.session(ACCOUNTS["monri"]()) as session:
        with pytest.raises(InvalidResponseError, match="returned the same page twice"):
            await ids_of(session, limit=2)


@pytest.mark.parametrize("numbers", [[[1, 2], [3, 2]], [[None, None]]])
@pytest.mark.parametrize("pages", [False, True])
async def test_list_without_new_customers_is_not_read_forever(
    numbers: list[list[int | None]], pages: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gateway that ignores the offset may return the customers in another order, or customers without an id."""
    monkeypatch.setattr("wonder_customers._core.listing._MOST_UNREADABLE", 10)
    data = [[{"uuid": it and f"id-{it}"} for it in page] for page in numbers]
    wire = MockGateway(*[json_response(200, {"status": "approved", "data": it}) for it in data * 20])
    async with wire.session(ACCOUNTS["monri"]()) as session:
        listing = session.list()
        with pytest.raises(InvalidResponseError, match="10 successive pages contain no new customers"):
            [it async for it in (listing.pages() if pages else listing)]
    assert len(wire.requests) < 14


async def test_pages_with_only_unreadable_customers_do_not_end_a_list() -> None:
    unreadable = json_response(200, {"status": "approved", "data": [{"uuid": None}]})
    wire = MockGateway(
        *[unreadable] * 10, _page("monri", [1]), *[unreadable] * 10, _page("monri", [2]), _page("monri", [])
    )
    async with wire.session(ACCOUNTS["monri"]()) as session:
        assert await ids_of(session, limit=1) == ["id-1", "id-2"]


@pytest.mark.parametrize("gateway", ["paydock", "wonder"])
async def test_response_with_all_customers_may_be_repeated(gateway: str) -> None:
    """Mocks return one response to each request."""
    wire = MockGateway(*[_page(gateway, [1, 2], 2)] * 2)
    async with wire.session(ACCOUNTS[gateway]()) as session:
        assert len(await ids_of(session, limit=2)) == 2


async def test_list_that_shrinks_while_it_is_read_is_not_an_error() -> None:
    wire = MockGateway(_page("paydock", [1, 2], 4), _page("paydock", [4], 3))
    async with wire.session(ACCOUNTS["paydock"]()) as session:
        listing = session.list(limit=2)
        assert len([it async for it in listing]) == 3
        assert listing.possible_gap


@pytest.mark.parametrize("count", [1, 5])
async def test_paydock_search_that_reports_a_customer_without_it_is_not_a_missing_customer(count: int) -> None:
    wire = MockGateway(*[json_response(200, paydock_list(count=count))] * 2)
    async with wire.session(ACCOUNTS["paydock"]()) as session:
        for call in (session.get_by_reference("35"), session.upsert(CustomerDraft(reference="35", name="Ada"))):
            with pytest.raises(InvalidResponseError, match=f"reports {count} records, but the page"):
                await call
    assert [request.method for request in wire.requests] == ["GET", "GET"]


async def test_paydock_search_reads_on_until_an_empty_page_if_only_others_were_found() -> None:
    pages = [{"_id": f"{number:024x}", "reference": f"35{number}"} for number in range(4)]
    counted_by_page = [json_response(200, paydock_list(*pages[:2])), json_response(200, paydock_list(*pages[2:]))]
    match = json_response(200, paydock_list({"_id": HEX24, "reference": "35"}))
    wire = MockGateway(*counted_by_page, match, json_response(200, paydock_list()))
    async with wire.session(ACCOUNTS["paydock"]()) as session:
        assert (await session.get_by_reference("35")).id == HEX24
    assert [line.split("&")[1] for line in wire.lines] == ["skip=0", "skip=2", "skip=4", "skip=5"]


async def test_paydock_search_that_found_the_customer_ignores_a_wrong_count() -> None:
    wire = MockGateway(
        json_response(200, paydock_list({"_id": HEX24, "reference": "35"}, count=5)),
        json_response(200, paydock_list(count=5)),
    )
    async with wire.session(ACCOUNTS["paydock"]()) as session:
        assert (await session.get_by_reference("35")).id == HEX24


async def test_upsert_without_reference_is_a_create() -> None:
    for gateway, made in (("paydock", paydock_customer(reference=None)), ("monri", monri_customer())):
        wire = MockGateway(json_response(200, made))
        async with wire.session(ACCOUNTS[gateway]()) as session:
            await session.upsert(CustomerDraft(name="Test"))
        assert [request.method for request in wire.requests] == ["POST"]


@pytest.mark.parametrize("size", [50, 20])
async def test_monri_payment_methods_are_read_from_every_page(size: int) -> None:
    """The gateway may have a smaller limit than the requested one."""
    (method,) = golden("monri", "payment_methods_response")["data"]
    full = [{**method, "token": f"t{number}", "id": f"t{number}"} for number in range(size)]

    def page(request: httpx.Request) -> httpx.Response:
        return json_response(200, {"status": "approved", "data": full if "offset=0" in str(request.url) else [method]})

    wire = MockGateway(page, page)
    async with wire.session(ACCOUNTS["monri"]()) as session:
        tokens = await session.list_payment_tokens(UUID)
    assert [it.token for it in tokens] == [*(f"t{number}" for number in range(size)), method["token"]]
    assert [line.rpartition("?")[2] for line in wire.lines] == ["limit=50&offset=0", f"limit=50&offset={size}"]


@pytest.mark.parametrize("status", [200, 400, 404, 410])
async def test_refused_paydock_search_is_not_an_empty_list(status: int) -> None:
    """Paydock answers a search without results with an empty list, so "not found" is about something else."""
    refusal = {"status": 404, "error": {"message": "Not found", "code": "NotFound"}, "resource": {"type": "customer"}}
    wire = MockGateway(json_response(status, refusal))
    async with wire.session(ACCOUNTS["paydock"]()) as session:
        with pytest.raises(InvalidResponseError, match=f"HTTP {status} reports that something was not found"):
            await session.upsert(CustomerDraft(reference="35", name="Ada"))
    assert len(wire.requests) == 1


@pytest.mark.parametrize("value", [b'"A\\ud83d"', b"18446744073709551616"])
async def test_unusual_value_of_one_customer_does_not_hide_the_others(value: bytes) -> None:
    page = json_response(200, paydock_list(*({"_id": it * 24, "first_name": "@"} for it in "abc")))
    wire = MockGateway(json_response(200, page.content.replace(b'"@"', value, 1)))
    async with wire.session(ACCOUNTS["paydock"]()) as session:
        assert [it.id[0] async for it in session.list()] == ["a", "b", "c"]
        assert "paydock.(body)" in session.stats().drift

"""Lists with several pages: their end, repeated and missing customers, and pages that cannot be read."""

import warnings
from collections.abc import Iterable
from itertools import accumulate
from typing import Any

import httpx
import pytest
from dialects.bodies import ids_of, skips
from dialects.failures import failure
from gateway_responses import UUID, paydock_list
from mock_gateway import MockGateway, Session, golden, json_response

from wonder_customers import InvalidResponseError, PaydockFilter


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


Pages = list[tuple[list[int], int | None]]


LISTS: list[Any] = [
    *(
        (gateway, pages, result)
        for gateway in ("paydock", "wonder")
        for pages, result in (
            ([([1, 2], 5), ([], 5)], "reports 5 records, but the page after 2 records is empty"),
            ([([1, 2], 0), ([3, 4], 0), ([5], 1), ([], 0)], 5),
            ([([1, 2], 2), ([3, 4], 2), ([5], 1), ([], 0)], 5),
            ([([1, 2], 2), ([1, 2], 2)], 2),
        )
    ),
    *((it, [([1], None), ([2, 3], None), ([4], None), ([], None)], 4) for it in ("monri", "wonder")),
    # A customer that was created meanwhile moves the last page.
    ("monri", [([1, 2], None), ([3], None), ([3], None)], 3),
    ("monri", [([1, 2], None), ([2, 3], None), ([], None)], 3),
    ("monri", [([1, 2], None), ([1, 2], None), ([3, 4], None), ([], None)], 4),
    ("monri", [([1, 2], None)] * 3, "returned the same page three times"),
]


@pytest.mark.parametrize(("gateway", "pages", "result"), LISTS, ids=str)
async def test_list_is_read_until_its_end(gateway: str, pages: Pages, result: int | str) -> None:
    wire = MockGateway(*(_page(gateway, numbers, total) for numbers, total in pages))
    async with wire.session(gateway) as session:
        if isinstance(result, str):
            with pytest.raises(InvalidResponseError, match=result):
                await ids_of(session, limit=2)
        else:
            prefix = f"{0:023}" if gateway == "paydock" else "id-"
            assert await ids_of(session, limit=2) == [f"{prefix}{number}" for number in range(1, result + 1)]
    assert skips(wire) == list(accumulate((len(numbers) for numbers, _ in pages[:-1]), initial=0))
    assert wire.responses == []


async def test_count_of_a_page_with_a_reduced_limit_is_not_the_end_of_a_paydock_list() -> None:
    pages = [paydock_list(*({"_id": f"{it:024x}"} for it in numbers)) for numbers in ([1, 2], [3, 4], [5], [])]
    for page in pages:
        page["resource"]["limit"] = 2
    async with MockGateway(*(page for page in pages)).session("paydock") as session:
        assert len(await ids_of(session)) == 5


@pytest.mark.parametrize("numbers", [[[1, 2], [3, 2]], [[None, None]]])
@pytest.mark.parametrize("pages", [False, True])
async def test_list_without_new_customers_is_not_read_forever(
    numbers: list[list[int | None]], pages: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gateway that ignores the offset may return the customers in another order, or customers without an id."""
    monkeypatch.setattr("wonder_customers._core.listing._MOST_UNREADABLE", 10)
    data = [[{"uuid": it and f"id-{it}"} for it in page] for page in numbers]
    wire = MockGateway(*[json_response(200, {"status": "approved", "data": it}) for it in data * 20])
    async with wire.session("monri") as session:
        listing = session.list()
        with pytest.raises(InvalidResponseError, match="10 successive pages contain no new customers"):
            [it async for it in (listing.pages() if pages else listing)]
    assert len(wire.requests) < 14


async def test_pages_with_only_unreadable_customers_do_not_end_a_list() -> None:
    unreadable = json_response(200, {"status": "approved", "data": [{"uuid": None}]})
    wire = MockGateway(
        *[unreadable] * 10, _page("monri", [1]), *[unreadable] * 10, _page("monri", [2]), _page("monri", [])
    )
    async with wire.session("monri") as session:
        assert await ids_of(session, limit=1) == ["id-1", "id-2"]


@pytest.mark.parametrize(
    ("pages", "count", "gap"),
    [
        ([([1, 2], 4), ([4], 3)], 3, True),  # 1 was deleted
        ([([1, 2], 4), ([2, 1], 4)], 2, True),  # in another order
        ([([1, 2], 4), ([2, 3], 5), ([4], 5)], 4, False),  # a new customer has moved the others
    ],
)
async def test_list_that_changes_while_it_is_read_is_not_an_error(pages: Pages, count: int, gap: bool) -> None:
    async with MockGateway(*[_page("paydock", *it) for it in pages]).session("paydock") as session:
        listing = session.list(limit=2)
        assert (len([it async for it in listing]), listing.possible_gap) == (count, gap)


@pytest.mark.parametrize("size", [50, 20])
async def test_monri_payment_methods_are_read_from_every_page(size: int) -> None:
    """The gateway may have a smaller limit than the requested one."""
    (method,) = golden("monri", "payment_methods_response")["data"]
    full = [{**method, "token": f"t{number}", "id": f"t{number}"} for number in range(size)]

    def page(request: httpx.Request) -> httpx.Response:
        return json_response(200, {"status": "approved", "data": full if "offset=0" in str(request.url) else [method]})

    wire = MockGateway(page, page)
    async with wire.session("monri") as session:
        tokens = await session.list_payment_tokens(UUID)
    assert [it.token for it in tokens] == [*(f"t{number}" for number in range(size)), method["token"]]
    assert [line.rpartition("?")[2] for line in wire.lines] == ["limit=50&offset=0", f"limit=50&offset={size}"]


@pytest.mark.parametrize("value", [b'"A\\ud83d"', b"18446744073709551616"])
async def test_unusual_value_of_one_customer_does_not_hide_the_others(value: bytes) -> None:
    page = json_response(200, paydock_list(*({"_id": it * 24, "first_name": "@"} for it in "abc")))
    async with MockGateway(page.content.replace(b'"@"', value, 1)).session("paydock") as session:
        assert [it.id[0] async for it in session.list()] == ["a", "b", "c"]
        assert "paydock.(body)" in session.stats().drift


def paydock_page(*keys: str) -> dict[str, Any]:
    """Return a page of customers. Only the customer x has the e-mail address x@shop.test."""
    items = [{"_id": it * 24, "email": "x@shop.test" if it == "x" else f"{it}.x@shop.test"} for it in keys]
    return {"status": 200, "error": None, "resource": {"type": "customer", "data": items}}


async def test_customer_with_the_email_address_that_moves_to_the_next_page_is_returned_once() -> None:
    async with MockGateway(*(paydock_page(*it) for it in ("ax", "xb", ""))).session("paydock") as session:
        listing = session.list(limit=2, filter=PaydockFilter(email="x@shop.test"))
        assert [it.email async for it in listing] == ["x@shop.test"]


async def test_list_that_ignores_the_offset_raises_if_no_customer_has_the_email_address() -> None:
    async with MockGateway(*3 * [paydock_page("a", "b")]).session("paydock") as session:
        with pytest.raises(InvalidResponseError, match="the same page three times"):
            _ = [it async for it in session.list(limit=2, filter=PaydockFilter(email="x@shop.test"))]


@pytest.mark.parametrize(
    ("gateway", "body"),
    [
        ("wonder", {"code": 200, "data": {"customers": {}}}),
        ("paydock", {"status": 200, "error": None, "resource": {"data": {}}}),
        ("paydock", {"status": 200, "error": None, "resource": {"data": None}}),
        ("monri", {"status": "approved", "data": {}}),
        ("monri", {"status": "approved"}),
    ],
)
async def test_list_of_another_type_raises(gateway: str, body: Any) -> None:
    async def walk(session: Session) -> None:
        assert [it async for it in session.list()]

    assert isinstance(await failure(gateway, (200, body), operation=walk), InvalidResponseError)


@pytest.mark.parametrize("how", ["aclose", "async with", "exhausted"])
async def test_listing_that_is_left_early_warns_of_nothing(how: str) -> None:
    page = {"resource": {"data": [{"_id": f"{n:024x}"} for n in range(3)], "count": 3}, "error": None, "status": 200}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        async with MockGateway(page).session("paydock") as session:
            listing = session.list()
            if how == "async with":
                async with listing as customers:
                    async for _ in customers:
                        break
            else:
                async for _ in listing:
                    if how == "aclose":
                        break
            await listing.aclose()
            assert listing._open == []

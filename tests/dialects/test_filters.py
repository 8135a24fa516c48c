"""Filters of lists: query parameters, refused conditions, and the customers that the simulators find."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any

import pytest
from dialects.bodies import ids_of
from error_checks import invalid_record_errors

from wonder_customers import (
    CustomerDraft,
    CustomerFilter,
    CustomerSession,
    InvalidRecordError,
    PaydockFilter,
    Phone,
    WonderFilter,
)

AccountFactory = Callable[[str], Any]
LONG_AGO, LATER = datetime(2020, 1, 1, tzinfo=UTC), datetime(2099, 1, 1, tzinfo=timezone(timedelta(hours=8)))
PHONE = Phone("+44", "7911123456")

NO_OFFSET: Any = type("NoOffset", (tzinfo,), {"utcoffset": lambda *_: None})()
"""A time zone that does not know its offset, so that a datetime is naive."""


@pytest.mark.parametrize(
    ("found", "query"),
    [
        (WonderFilter(), {}),
        (WonderFilter(name=None), {}),
        (WonderFilter(name__contains="Ada"), {"filter[name][_contains]": "Ada"}),
        (WonderFilter(reference="c-1"), {"filter[reference_number][_eq]": "c-1"}),
        (WonderFilter(id__in=["a", "b"]), {"filter[uuid][_in]": "a,b"}),
        (WonderFilter(created_at__gt=LATER), {"filter[created_at][_gt]": "2099-01-01T00:00:00+08:00"}),
        (WonderFilter(linked_source_type="Store"), {"linked_source_type": "Store"}),
        (PaydockFilter(archived=True, search="Ada"), {"archived": "true", "search": "Ada"}),
        (PaydockFilter(archived=False, search=None), {"archived": "false"}),
        (PaydockFilter(email="ada@b.test"), {"search": "ada@b.test"}),
    ],
    ids=lambda it: repr(it) if isinstance(it, CustomerFilter) else "",
)
def test_filter_becomes_query_parameters(found: CustomerFilter[Any], query: dict[str, str]) -> None:
    assert found.query() == query


@pytest.mark.parametrize(
    ("kind", "name", "value", "words"),
    [
        (WonderFilter, "nam__contains", "Ada", "is unknown (did you mean name__contains or "),
        (WonderFilter, "limit", "5", "is unknown (the conditions of WonderFilter are reference, "),
        (WonderFilter, "name", 5, "must be a str, not int"),
        (WonderFilter, "name", "\ud800", "must be valid Unicode"),
        (WonderFilter, "name__in", "Ada", "must be a list of one or more strings"),
        (WonderFilter, "name__in", [], "must be a list of one or more strings"),
        (WonderFilter, "name__in", ["a,b"], "contain no comma"),
        (WonderFilter, "name__in", ["a", 5], "must be a list of one or more strings"),
        (WonderFilter, "name__in", 5, "must be a list of one or more strings"),
        (WonderFilter, "created_at__gt", LONG_AGO.replace(tzinfo=None), "must be a datetime with a time zone"),
        (WonderFilter, "created_at__gt", LONG_AGO.replace(tzinfo=NO_OFFSET), "must be a datetime with a time zone"),
        (WonderFilter, "created_at__gt", "2020-01-01", "must be a datetime with a time zone"),
        (WonderFilter, "linked_source_type", "Shop", "must be User or Store"),
        (PaydockFilter, "archived", "yes", "must be True or False"),
        (PaydockFilter, "archived", 1, "must be True or False"),
        (PaydockFilter, "sortdirection", "UP", "must be ASC or DESC"),
        (PaydockFilter, "skip", "5", "is unknown (the conditions of PaydockFilter are search, "),
    ],
    ids=str,
)
def test_invalid_condition_is_refused(kind: Any, name: str, value: Any, words: str) -> None:
    with pytest.raises(InvalidRecordError) as caught:
        kind(**{name: value})
    assert [it.field for it in caught.value.violations] == [f"filter.{name}"]
    assert words in str(caught.value)


def test_filters_are_compared_by_value() -> None:
    """Assertions of mocks compare arguments: ``listing.assert_called_with(filter=PaydockFilter(status="active"))``."""
    filters = [PaydockFilter(search="a"), PaydockFilter(search="a"), PaydockFilter(email="a"), WonderFilter(), None]
    assert [it == filters[0] for it in filters] == [True, True, False, False, False]
    assert len(set(filters)) == 4


def test_search_and_email_cannot_be_combined() -> None:
    with pytest.raises(InvalidRecordError, match=r"filter\.email .* must not be combined with search"):
        PaydockFilter(search="Ada", email="ada@b.test")


def test_repr_of_a_filter_has_no_values() -> None:
    assert repr(WonderFilter(name="Ada", email__contains="b.test")) == "WonderFilter(name=…, email__contains=…)"


@pytest.mark.parametrize(
    ("kind", "texts", "query"),
    [
        (PaydockFilter, {"archived": "True", "sortdirection": "ASC"}, {"archived": "true", "sortdirection": "ASC"}),
        (WonderFilter, {"name__in": "Ada,Bob"}, {"filter[name][_in]": "Ada,Bob"}),
        (
            WonderFilter,
            {"created_at__lt": "2020-01-01T00:00:00Z"},
            {"filter[created_at][_lt]": "2020-01-01T00:00:00+00:00"},
        ),
    ],
    ids=str,
)
def test_filter_is_parsed_from_strings(
    kind: type[CustomerFilter[Any]], texts: dict[str, str], query: dict[str, str]
) -> None:
    assert kind.parse(texts).query() == query


@pytest.mark.parametrize("texts", [{"archived": "perhaps"}, {"sortdirection": "up"}, {"color": "red"}], ids=str)
def test_invalid_strings_are_refused(texts: dict[str, str]) -> None:
    with pytest.raises(InvalidRecordError):
        PaydockFilter.parse(texts)
    with pytest.raises(InvalidRecordError):
        WonderFilter.parse({"created_at__lt": "yesterday"})


async def test_filter_of_another_gateway_is_refused_before_sending() -> None:
    other: dict[str, Any] = {"wonder": PaydockFilter(search="Ada"), "paydock": WonderFilter(name="Ada")}
    for gateway, wrong in other.items():
        values = [wrong, {"search": "Ada"}, "search=Ada"]
        for error in await invalid_record_errors(gateway, lambda session, it: ids_of(session, filter=it), values):
            assert [it.field for it in error.violations] == ["filter"]


async def references(session: CustomerSession[Any], found: CustomerFilter[Any]) -> list[str | None]:
    return sorted([customer.reference async for customer in session.list(filter=found)], key=str)


async def create_three(session: CustomerSession[Any]) -> list[str]:
    """Create the customers a, b and c."""
    ids = []
    for key, name in (("a", "Ada"), ("b", "Bob"), ("c", "Cleo")):
        email = f"{key}@shop.test"
        draft = CustomerDraft(reference=key, name=name, email=email, phone=PHONE, company_name=f"{name} Ltd")
        ids.append((await session.create(draft)).id)
    return ids


async def test_wonder_filters_select_customers(account: AccountFactory) -> None:
    async with CustomerSession(account("wonder")) as session:
        ids = await create_three(session)
        cases: list[tuple[WonderFilter, list[str]]] = [
            (WonderFilter(name="Ada"), ["a"]),
            (WonderFilter(name__contains="o"), ["b", "c"]),
            (WonderFilter(name__not_contains="o"), ["a"]),
            (WonderFilter(name__neq="Ada"), ["b", "c"]),
            (WonderFilter(name__in=["Ada", "Cleo"]), ["a", "c"]),
            (WonderFilter(reference__gte="b"), ["b", "c"]),
            (WonderFilter(reference__gt="b"), ["c"]),
            (WonderFilter(reference__lt="b"), ["a"]),
            (WonderFilter(reference__lte="b"), ["a", "b"]),
            (WonderFilter(id__in=ids[1:]), ["b", "c"]),
            (WonderFilter(id=ids[0]), ["a"]),
            (WonderFilter(company_name="Bob Ltd", email="b@shop.test"), ["b"]),
            (WonderFilter(company_name="Bob Ltd", email="a@shop.test"), []),
            (WonderFilter(phone=PHONE.number, dial_code="+44", default_payment_method__neq="Alipay"), ["a", "b", "c"]),
            (WonderFilter(created_at__gte=LONG_AGO, updated_at__lt=LATER), ["a", "b", "c"]),
            (WonderFilter(created_at__lt=LONG_AGO), []),
            (WonderFilter(linked_source_type="User"), ["a", "b", "c"]),
            (WonderFilter(linked_source_type="Store"), []),
        ]
        for found, expected in cases:
            assert await references(session, found) == expected, found.query()


async def test_paydock_filters_select_customers(account: AccountFactory) -> None:
    async with CustomerSession(account("paydock")) as session:
        ids = await create_three(session)
        await session.delete(ids[2])
        cases: list[tuple[PaydockFilter, list[str]]] = [
            (PaydockFilter(), ["a", "b"]),
            (PaydockFilter(search="shop"), ["a", "b"]),
            (PaydockFilter(search="bo"), ["b"]),
            (PaydockFilter(email="A@shop.test"), ["a"]),
            (PaydockFilter(email="shop.test"), []),
            (PaydockFilter(archived=True), ["c"]),
            (PaydockFilter(archived=False, status="active"), ["a", "b"]),
            (PaydockFilter(reference="b"), ["b"]),
            (PaydockFilter(company_name="Ada Ltd"), ["a"]),
            (PaydockFilter(id=ids[1]), ["b"]),
            (PaydockFilter(gateway_id="0" * 24), []),
            (PaydockFilter(payment_source_id="0" * 24), []),
        ]
        for found, expected in cases:
            assert await references(session, found) == expected, found.query()
        newest = PaydockFilter(sortkey="created_at", sortdirection="DESC")
        assert [it.reference async for it in session.list(filter=newest)] == ["b", "a"]


async def test_email_is_compared_on_every_page(account: AccountFactory) -> None:
    async with CustomerSession(account("paydock")) as session:
        for number in range(5):
            email = "ada@shop.test" if number == 4 else f"{number}.ada@shop.test"
            await session.create(CustomerDraft(reference=f"r{number}", first_name="Ada", email=email))
        listing = session.list(limit=2, filter=PaydockFilter(email="ada@shop.test"))
        assert [it.reference async for it in listing] == ["r4"]
        page = (await session.raw.page(limit=2, filter=PaydockFilter(email="ada@shop.test"))).record
        assert (page.items, page.total, page.cursor) == ((), None, "2")

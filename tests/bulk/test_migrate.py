"""Migrations: names are adapted to the target, deleted customers are left out, and losses are reported."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from bulk.customers import QUICK, AccountFactory, draft, drafts, once, send
from gateway_responses import monri_customer
from mock_gateway import ACCOUNTS, MockGateway, Session, json_response

from wonder_customers import Address, BulkError, ConfigurationError, CustomerDraft, CustomerSession, Listing, Phone
from wonder_customers.bulk import Journal, Options, losses, migrated, sync
from wonder_customers.bulk.migrate import adapted
from wonder_customers.dialects import names
from wonder_customers.simulator.server import SimulatorServer

pytestmark = pytest.mark.anyio

BOTH = CustomerDraft("c-1", "Ada King", first_name="Ada", last_name="Lovelace", phone=Phone("+385", "912345678"))


@pytest.mark.parametrize("gateway", names())
async def test_first_and_last_name_are_preferred_to_a_different_name(gateway: str, account: AccountFactory) -> None:
    async with CustomerSession(account(gateway), retry=QUICK) as target:
        taken, left = adapted(target, BOTH)
        target.validate(taken)
    assert (taken.name, taken.first_name, taken.last_name) == (None, "Ada", "Lovelace")
    assert left == []


@asynccontextmanager
async def between(account: AccountFactory, origin: str, goal: str) -> AsyncIterator[tuple[Session, Session]]:
    """Open the sessions of a migration."""
    async with (
        CustomerSession(account(origin), retry=QUICK) as source,
        CustomerSession(account(goal), retry=QUICK) as target,
    ):
        yield source, target


async def test_archived_customers_are_not_migrated(account: AccountFactory) -> None:
    async with between(account, "paydock", "monri") as (source, target):
        made = [await source.create(it) for it in drafts(3)]
        await source.delete(made[1].id)
        found = await losses(source, target)
        assert (found.customers, found.deleted) in {(3, 1), (2, 0)}
        assert [it.reference async for it in migrated(source, target)] == ["c-0", "c-2"]


@pytest.mark.parametrize(
    ("stored", "address"),
    [
        ({"city": "", "zip_code": "", "address": "", "country": ""}, None),
        ({"city": "Zagreb", "country": "hr"}, Address(city="Zagreb", country="HR")),
        ({"country": "Croatia"}, Address(country="HR")),
        ({"country": "Nowhere"}, Address(country="Nowhere")),
    ],
)
async def test_empty_parts_and_countries_of_an_address_are_adapted(
    stored: dict[str, str], address: Address | None
) -> None:
    listed = {"status": "approved", "data": [monri_customer(merchant_customer_id="c-1") | stored]}
    empty = {"status": "approved", "data": []}
    async with MockGateway(*[json_response(200, it) for it in (listed, empty)] * 2).session(
        ACCOUNTS["monri"]()
    ) as held:
        (taken,) = [it async for it in migrated(held, held)]
    assert taken.address == address


async def test_migration_reports_losses_and_sends_the_rest(account: AccountFactory, server: SimulatorServer) -> None:
    vienna = Address(city="Wien", country="AT")
    people = [
        evolve(draft(number), name="Ada Lovelace", description="met in Vienna", address=vienna if number % 2 else None)
        for number in range(10)
    ]
    async with between(account, "monri", "wonder") as (source, target):
        await send(source, people)
        gone = await source.create(CustomerDraft("m-gone", "Gone", email="g@example.com"))
        await source.delete(gone.id)
        found = await losses(source, target)
        # Monri's list does not contain deleted customers.
        assert (found.customers, found.deleted, found.without_reference) == (10, 0, 0)
        assert dict(found.fields) == {"description": 10, "address.city": 5, "address.country": 5}
        assert not found.refused
        assert server.store.ledger("wonder") == {}
        await send(target, migrated(source, target))
        assert server.store.ledger("wonder") == once(10)
        brought = await target.get_by_reference("c-3")
        assert (brought.name, brought.email) == ("Ada Lovelace", "ada.3@example.com")


async def test_values_that_cannot_be_read_are_losses(account: AccountFactory) -> None:
    """They are in `Customer.extra`, which is not migrated."""
    customer = monri_customer(merchant_customer_id="c-1") | {"email": ["a@example.com"], "phone": [], "city": {"x": 1}}
    pages = [{"status": "approved", "data": [customer]}, {"status": "approved", "data": []}]
    wire = MockGateway(*[json_response(200, it) for it in pages])
    async with wire.session(ACCOUNTS["monri"]()) as source, CustomerSession(account("monri"), retry=QUICK) as target:
        assert (await losses(source, target)).fields == {"email": 1, "address.city": 1}


@pytest.mark.parametrize(
    ("origin", "goal"),
    # By default, each gateway occurs once as source and once as target; with --long, all pairs are tested.
    [
        pytest.param(*pair, marks=[pytest.mark.long] * (place not in {0, 3, 4}))
        for place, pair in enumerate(permutations(sorted(names()), 2))
    ],
)
async def test_migration_between_pairs_of_gateways(
    origin: str, goal: str, account: AccountFactory, server: SimulatorServer
) -> None:
    async with between(account, origin, goal) as (source, target):
        await send(source, drafts(5))
        assert not (await losses(source, target)).any
        await send(target, migrated(source, target))
    assert server.store.ledger(goal) == once(5)


class ShortPages(CustomerSession[Any]):
    """A session whose lists have two customers per page."""

    def list(self, *, limit: int | None = None, cursor: str | None = None, filter: Any = None) -> Listing:
        return super().list(limit=limit or 2, cursor=cursor, filter=filter)


@pytest.mark.parametrize("gateway", ["monri", "paydock"])
async def test_migration_copies_every_customer_of_a_changing_list(
    gateway: str, account: AccountFactory, server: SimulatorServer
) -> None:
    """Invariant: each customer is migrated once, although customers are created and deleted while the list is read."""
    async with (
        ShortPages(account(gateway), retry=QUICK) as source,
        CustomerSession(account("wonder"), retry=QUICK) as target,
    ):
        made = [await source.create(draft(number)) for number in range(8)]
        found: list[str | None] = []
        async for taken in migrated(source, target):
            found.append(taken.reference)
            if len(found) == 2:
                first = made[7 if gateway == "monri" else 0]
                await source.delete(first.id)
                await source.create(draft(100))
    assert sorted(found, key=str) == sorted({*(f"c-{number}" for number in range(8)), "c-100"})


async def test_migration_of_a_list_that_always_grows_is_reported(account: AccountFactory) -> None:
    async with ShortPages(account("monri"), retry=QUICK) as source:
        numbers = iter(range(1000))
        await source.create(draft(next(numbers)))

        async def create_during_migration() -> None:
            async for _ in migrated(source, source):
                await source.create(draft(next(numbers)))

        with pytest.raises(ConfigurationError, match="still contained new customers"):
            await create_during_migration()


@pytest.mark.parametrize(
    ("facts", "next_step"),
    [
        ({}, r"continue with: the same program with the same journal$"),
        ({"source": "c.csv"}, r"run the same `sync` or `migrate` again, .* and have not changed are not sent again\.$"),
        (
            {"migrate": "paydock"},
            r"continue with: wonder-customers migrate --from paydock --to monri --journal '.*/a journal'$",
        ),
        ({"query": "digest", "on": "digest"}, r"run the same `sync` or `migrate` again, .* are not sent again\.$"),
        ({"temporary": True}, r"the list changed\. Nothing was sent\.$"),
    ],
)
async def test_stopped_job_states_how_to_continue(
    facts: dict[str, Any], next_step: str, account: AccountFactory, tmp_path: Path
) -> None:
    async def rows() -> AsyncIterator[CustomerDraft]:
        yield draft(0)
        raise ConfigurationError("the list changed")

    owner = account("monri")
    journal = Journal.open(tmp_path / "a journal", gateway="monri", endpoint=owner.base_url)
    async with (
        CustomerSession(owner) as session,
        sync(session, rows(), journal=journal, options=Options(facts=facts)) as job,
    ):
        with pytest.raises(BulkError, match=next_step):
            _ = [outcome async for outcome in job]


async def test_listing_reports_a_possible_gap(account: AccountFactory) -> None:
    async with CustomerSession(account("paydock"), retry=QUICK) as session:
        made = [await session.create(it) for it in drafts(5)]
        listing, found = session.list(limit=2), 0
        async for _ in listing:
            found += 1
            if found == 2:
                await session.delete(made[0].id)
    assert found in {4, 5}
    assert listing.possible_gap is (found == 4)

"""Drafts of a migration: names are adapted to the target, deleted customers are left out."""

from collections.abc import Callable
from typing import Any

import pytest
from bulk.customers import QUICK, draft

from wonder_customers import CustomerDraft, CustomerSession, Phone
from wonder_customers.bulk import losses, migrated
from wonder_customers.bulk.migrate import adapted
from wonder_customers.dialects import names
from wonder_customers.simulator.server import SimulatorServer

pytestmark = pytest.mark.anyio

Account = Callable[[str], Any]
BOTH = CustomerDraft("c-1", "Ada King", first_name="Ada", last_name="Lovelace", phone=Phone("+385", "912345678"))


@pytest.mark.parametrize("gateway", names())
async def test_first_and_last_name_are_preferred_to_a_different_name(gateway: str, account: Account) -> None:
    async with CustomerSession(account(gateway), retry=QUICK) as target:
        taken, left = adapted(target, BOTH)
        target.validate(taken)
    assert (taken.name, taken.first_name, taken.last_name) == (None, "Ada", "Lovelace")
    assert left == []


async def test_archived_customers_are_not_migrated(account: Account, server: SimulatorServer) -> None:
    async with (
        CustomerSession(account("paydock"), retry=QUICK) as source,
        CustomerSession(account("monri"), retry=QUICK) as target,
    ):
        made = [await source.create(draft(number)) for number in range(3)]
        await source.delete(made[1].id)
        found = await losses(source, target)
        assert (found.customers, found.deleted) in {(3, 1), (2, 0)}
        assert [it.reference async for it in migrated(source, target)] == ["c-0", "c-2"]

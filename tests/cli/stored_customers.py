"""Customers that a test of the command line creates at the simulator."""

from functools import partial

import anyio

from wonder_customers import Customer, CustomerDraft, CustomerSession
from wonder_customers.cli.accounts import account_from_environment


async def _store(gateway: str, variables: dict[str, str], draft: CustomerDraft) -> Customer:
    async with CustomerSession(account_from_environment(gateway, variables)) as session:
        return await session.upsert(draft)


def store_customer(gateway: str, variables: dict[str, str], draft: CustomerDraft) -> Customer:
    """Create or update a customer at the gateway that `variables` name."""
    return anyio.run(partial(_store, gateway, variables, draft))

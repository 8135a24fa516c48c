"""The client works with each deviation of the simulated gateways from their documentation, and with all of them."""

from collections.abc import Iterator
from typing import Any

import anyio
import pytest

from wonder_customers import Address, CustomerDraft, CustomerPatch, CustomerSession, NotFoundError, Phone, RetryPolicy
from wonder_customers.bulk import Options, migrate, sync, verify
from wonder_customers.dialects import names, simulator
from wonder_customers.dialects.base import Operation
from wonder_customers.dialects.paydock.quirks import STALE_SECONDS
from wonder_customers.simulator import Quirks, SimulatorServer
from wonder_customers.testing.conformance import DialectConformance
from wonder_customers.testing.simulated import CustomerSimulator


def _known(gateway: str) -> list[str]:
    return [quirk.name for quirk in simulator(gateway).known_quirks]


QUIRKS = sorted({quirk for name in names() for quirk in _known(name)})
GATEWAYS = ("wonder", "paydock", "monri")
POLICY = RetryPolicy(deadline=10, base=0.01, throttle_base=0.01, confirmation_window=0.5)


def draft(gateway: str, number: int, **changes: Any) -> CustomerDraft:
    """Return a customer whose fields every quirk changes."""
    address = Address(line1="Ferhadija  1", city="Sarajevo", postcode="71000", country="BA")
    more: dict[str, Any] = {"address": address} if gateway == "monri" else {}
    email = f"Ada.{number}@Example.COM"
    return CustomerDraft(
        f"c-{number}", "Ada  Lovelace", email=email, phone=Phone("+387", "61000111"), **{**more, **changes}
    )


async def _until_listed(simulated: CustomerSimulator) -> None:
    if "stale-index" in simulated.quirks:
        await anyio.sleep(STALE_SECONDS * 1.2)


def _pairs() -> Iterator[Any]:
    """Yield each gateway with all its quirks and with each of them; a quirk that an earlier gateway has is long."""
    seen = set[str]()
    for gateway in GATEWAYS:
        yield gateway, "all"
        for quirk in _known(gateway):
            yield pytest.param(gateway, quirk, marks=pytest.mark.long if quirk in seen else ())
            seen.add(quirk)


@pytest.mark.parametrize(("gateway", "quirk"), list(_pairs()))
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_every_operation_works_with_quirks(
    gateway: str, quirk: str, customer_simulator: CustomerSimulator
) -> None:
    customer_simulator.quirks.add(quirk)
    target = {"wonder": "paydock", "paydock": "monri", "monri": "wonder"}[gateway]
    rows = [draft(gateway, number) for number in range(3)]
    async with CustomerSession(customer_simulator.account(gateway), retry=POLICY) as session:
        made = await session.create(rows[0])
        await _until_listed(customer_simulator)
        assert session.compare(rows[0], await session.get_by_reference("c-0")).different == ()
        assert (await session.update(made.id, CustomerPatch(name="Grace Hopper"))).id == made.id
        assert (await session.upsert(rows[0])).id == made.id
        async with sync(session, rows) as job:
            assert [it.ok async for it in job] == [True] * 3
        await _until_listed(customer_simulator)
        async with sync(session, rows) as job:
            assert [it.ok async for it in job] == [True] * 3
        found = await verify(session, rows, options=Options(retry=POLICY))
        assert (found.checked, found.wrong) == (3, 0), found.findings
        assert {it.reference async for it in session.list()} == {row.reference for row in rows}
        other = session.for_account(customer_simulator.account(target))
        losses = await migrate.losses(session, other)
        assert (losses.customers, losses.unreadable, losses.without_reference) == (3, 0, 0)
        async with sync(other, migrate.migrated(session, other)) as job:
            assert [it.ok async for it in job] == [True] * 3
        with pytest.raises(NotFoundError):
            await session.get_by_reference("unknown")
        if Operation.DELETE not in session._dialect.unsupported_operations:
            await session.raw.delete(made.id)
    assert set(customer_simulator.ledger(gateway).values()) == {1}


class _WithAllQuirks(DialectConformance):
    @pytest.fixture
    def simulated(self) -> Iterator[CustomerSimulator]:
        with CustomerSimulator() as simulated:
            simulated.quirks.add("all")
            yield simulated


class TestWonderWithQuirks(_WithAllQuirks):
    gateway = "wonder"


class TestPaydockWithQuirks(_WithAllQuirks):
    gateway = "paydock"


class TestMonriWithQuirks(_WithAllQuirks):
    gateway = "monri"


@pytest.mark.parametrize("names", [["time-form", "x"], ["x", "all"]])
def test_unknown_quirk_is_refused_with_the_known_names(customer_simulator: CustomerSimulator, names: list[str]) -> None:
    with pytest.raises(ValueError, match=r"unknown quirk 'x'; use `all`, or names from .*time-form"):
        customer_simulator.quirks.add(*names)
    assert customer_simulator.quirks.active == ()
    customer_simulator.quirks.add("all")
    assert customer_simulator.quirks.active == tuple(QUIRKS)
    customer_simulator.quirks.clear()
    assert customer_simulator.quirks.active == Quirks().active == ()


@pytest.mark.parametrize("values", [{"active": ["unknown"]}, {"active": "all"}, {"other": []}, []])
def test_invalid_quirks_are_refused(server: SimulatorServer, values: Any) -> None:
    server.quirks.add("id-name")
    with pytest.raises(ValueError, match="quirk"):
        server.quirks.change(values)
    assert server.quirks.active == ("id-name",)

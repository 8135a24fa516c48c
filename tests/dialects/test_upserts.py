"""Upserts that look a reference up, then create or update: refused creates, and metadata that is replaced."""

from typing import Any

import httpx
import pytest
from attrs import evolve
from gateway_responses import HEX24, monri_customer, paydock_customer, paydock_list
from mock_gateway import ACCOUNTS as MOCKED
from mock_gateway import MockGateway, json_response, wonder

from scripted_transport import CREATED, MONRI, NOT_FOUND, PAYDOCK, draft, make_harness, respond
from wonder_customers import ConflictError, CustomerDraft, CustomerPatch, InvalidRequestError, InvalidResponseError
from wonder_customers.bulk import Options, sync
from wonder_customers.testing import CustomerSimulator

ABSENT = {"monri": NOT_FOUND, "paydock": respond(200, paydock_list())}
ACCOUNTS: dict[str, Any] = {"monri": MONRI, "paydock": PAYDOCK}


async def test_refused_upsert_is_never_a_missing_customer_at_wonder() -> None:
    with pytest.raises(InvalidRequestError):
        await make_harness(respond(404, {"message": "Not found"}), account=wonder()).upsert(draft())


@pytest.mark.parametrize("gateway", ACCOUNTS)
@pytest.mark.parametrize("status", [400, 404, 409, 422])
async def test_upsert_looks_up_once_after_a_refused_create_and_raises_the_refusal(gateway: str, status: int) -> None:
    absent = ABSENT[gateway]
    it = make_harness(absent, respond(status, {"message": "no"}), absent, account=ACCOUNTS[gateway])
    with pytest.raises(ConflictError if status == 409 else InvalidRequestError) as caught:
        await it.upsert(draft())
    assert [line.split(" ")[0] for line in it.script.lines()] == ["GET", "POST", "GET"]
    assert (caught.value.status, caught.value.applied) == (status, "no")
    assert "upsert" not in caught.value.hint


@pytest.mark.parametrize("status", [400, 404, 409, 422])
async def test_upsert_updates_the_customer_that_is_found_after_a_refused_create(status: int) -> None:
    it = make_harness(NOT_FOUND, respond(status, {"message": "no"}), CREATED, CREATED)
    await it.upsert(draft())
    assert [line.split(" ")[0] for line in it.script.lines()] == ["GET", "POST", "GET", "POST"]


async def test_upsert_whose_first_lookup_finds_a_deleted_customer_sends_no_write() -> None:
    it = make_harness(respond(200, monri_customer(merchant_customer_id="r-1", deleted=True)))
    with pytest.raises(ConflictError, match="the deleted customer"):
        await it.upsert(draft())
    assert len(it.script.sent) == 1


@pytest.mark.parametrize("gateway", ACCOUNTS)
async def test_upsert_whose_update_is_about_another_reference_is_not_successful(gateway: str) -> None:
    """Another program may have changed the reference after the lookup."""
    held, other = (
        [monri_customer(merchant_customer_id=it) for it in ("r-1", "r-2")]
        if gateway == "monri"
        else (paydock_list({"_id": HEX24, "reference": "r-1"}), paydock_customer(reference="r-2"))
    )
    it = make_harness(respond(200, held), respond(200, other), account=ACCOUNTS[gateway])
    with pytest.raises(InvalidResponseError, match="its reference differs") as caught:
        await it.upsert(draft())
    assert (caught.value.applied, caught.value.mismatch) == ("unknown", True)


@pytest.mark.parametrize("gateway", ACCOUNTS)
async def test_upsert_of_a_customer_that_a_late_lookup_shows_as_not_deleted_is_a_conflict(gateway: str) -> None:
    held, gone = (
        (monri_customer(merchant_customer_id="r-1"), monri_customer(merchant_customer_id="r-1", deleted=True))
        if gateway == "monri"
        else (paydock_list({"_id": HEX24, "reference": "r-1"}), paydock_customer(reference="r-1", archived=True))
    )
    it = make_harness(respond(200, held), respond(200, gone), account=ACCOUNTS[gateway])
    with pytest.raises(ConflictError, match="is deleted") as caught:
        await it.upsert(draft())
    assert caught.value.applied == "yes"


@pytest.mark.parametrize("gateway", ACCOUNTS)
async def test_upsert_removes_metadata_keys_that_the_draft_does_not_contain(
    gateway: str, customer_simulator: CustomerSimulator
) -> None:
    full = draft(metadata={"plan": "pro", "color": "red"})
    async with customer_simulator.session(gateway) as session:
        await session.upsert(full)
        less = evolve(full, metadata={"plan": "basic"})
        held = await session.upsert(less)
        assert held.metadata == {"plan": "basic"}
        assert session.compare(less, held).different == ()
        assert (await session.upsert(evolve(full, metadata=None))).metadata == {"plan": "basic"}


@pytest.mark.parametrize("gateway", ACCOUNTS)
async def test_upsert_that_clears_a_metadata_key_keeps_the_others(
    gateway: str, customer_simulator: CustomerSimulator
) -> None:
    async with customer_simulator.session(gateway) as session:
        await session.upsert(draft(metadata={"plan": "pro", "crm_id": "77"}))
        less = draft(clear={"metadata.plan"})
        assert session.compare(less, await session.get_by_reference("r-1")).different == ("metadata",)
        held = await session.upsert(less)
        assert held.metadata == {"crm_id": "77"}
        assert session.compare(less, held).different == ()
        held = await session.upsert(draft(clear={"metadata.crm_id"}))
        assert not held.metadata


async def test_upsert_does_not_replace_metadata_that_cannot_be_read() -> None:
    held = {"_id": "5f0c2f7a9b1e8d0012345678", "reference": "r-1", "meta": ["plan"]}
    it = make_harness(respond(200, paydock_list(held)), account=PAYDOCK)
    with pytest.raises(InvalidResponseError, match="meta"):
        await it.upsert(draft(clear={"metadata.plan"}))
    assert len(it.script.sent) == 1


async def test_single_name_replaces_the_first_and_the_last_name(customer_simulator: CustomerSimulator) -> None:
    both = CustomerDraft(reference="r-1", first_name="Ada", last_name="Lovelace")
    one = CustomerDraft(reference="r-1", name="Eve Adams")
    async with customer_simulator.session("paydock") as session:
        for change in (
            session.upsert(one),
            session.update((await session.upsert(both)).id, CustomerPatch(name="Eve Adams")),
        ):
            held = await session.upsert(both)
            assert session.compare(evolve(one, name="Ada"), held).different == ("last_name",)
            held = await change
            assert (held.first_name, held.last_name) == ("Eve Adams", None)
            assert session.compare(one, held).different == ()
        for change in (
            session.upsert(CustomerDraft(reference="r-1", clear={"name"})),
            session.update(held.id, CustomerPatch(name=None)),
        ):
            await session.upsert(both)
            held = await change
            assert (held.first_name, held.last_name) == (None, None)
        await session.upsert(both)
        held = await session.upsert(CustomerDraft(reference="r-1", first_name="Augusta"))
        assert (held.first_name, held.last_name) == ("Augusta", "Lovelace")


UNUSABLE = ["..", ".", "a/../b", "..\\b", "", "..\n", "a\tb", "a" * 5000]


@pytest.mark.parametrize("bad", UNUSABLE, ids=range(len(UNUSABLE)))
@pytest.mark.parametrize("gateway", ACCOUNTS)
async def test_unusable_id_in_a_response_is_an_invalid_response(gateway: str, bad: str) -> None:
    found = {
        "monri": monri_customer(merchant_customer_id="r-1", uuid=bad),
        "paydock": paydock_list({"_id": bad, "reference": "r-1"}),
    }
    it = make_harness(respond(200, found[gateway]), account=ACCOUNTS[gateway])
    with pytest.raises(InvalidResponseError, match=r"cannot be (used|read)") as caught:
        await it.upsert(draft())
    assert caught.value.applied == "no"
    assert len(it.script.sent) == 1


@pytest.mark.parametrize("gateway", ACCOUNTS)
async def test_unusable_id_fails_only_its_row_of_a_job(gateway: str) -> None:
    def found(request: httpx.Request) -> httpx.Response:
        reference = request.url.params.get("reference") or request.url.path.rpartition("/")[2]
        bad = ".." if reference == "r-3" else f"id-{reference.removeprefix('id-')}"
        reference = reference.removeprefix("id-")
        if gateway == "monri":
            return json_response(200, monri_customer(merchant_customer_id=reference, uuid=bad, name="Old"))
        if request.method == "GET":
            return json_response(200, paydock_list({"_id": bad, "reference": reference}))
        return json_response(200, paydock_customer(_id=bad, reference=reference))

    rows = [CustomerDraft(f"r-{number}", email="a@example.org", **_name(gateway)) for number in range(6)]
    session = MockGateway(*[found] * 40).session(MOCKED[gateway]())
    async with session, sync(session, rows, options=Options(failure_share=None)) as job:
        outcomes = {it.reference: it.status async for it in job}
    assert outcomes == {f"r-{number}": "failed" if number == 3 else "written" for number in range(6)}


def _name(gateway: str) -> dict[str, Any]:
    return {"first_name": "A", "last_name": "B"} if gateway == "paydock" else {"name": "Ada"}

"""Round trips over real HTTP to the simulators, which were written independently from the documentation."""

from collections.abc import Callable
from typing import Any

import pytest
from attrs import evolve
from examples import CARD

from wonder_customers import (
    Address,
    AmbiguousReferenceError,
    AuthenticationError,
    CardSource,
    ConflictError,
    Customer,
    CustomerDraft,
    CustomerPatch,
    CustomerSession,
    InvalidRecordError,
    Monri,
    NotFoundError,
    Page,
    Paydock,
    PermissionDeniedError,
    Phone,
    RetryPolicy,
    Wonder,
    dialects,
)
from wonder_customers.dialects.wonder import simulator_signature
from wonder_customers.simulator import SimulatorServer

REFERENCES = ["a/b?c#d é", "100%", "%2F", "a+b", "日本", "👩🏽‍💻", "..%2f..", "a b", "'\"\\<>&=;,", "é"]
SessionFactory = Callable[[str], CustomerSession[Any]]


@pytest.fixture
def open_session(simulator: SimulatorServer, monkeypatch: pytest.MonkeyPatch) -> SessionFactory:
    """Return a function that makes a session for a new merchant. All merchants share one RSA key, to save time."""
    monkeypatch.setattr(simulator_signature, "new_key", simulator_signature.first_key)

    def session(gateway: str) -> CustomerSession[Any]:
        variables = simulator.gateways[gateway].add_merchant(simulator.origin)
        account = dialects.package(gateway).ACCOUNT.from_environment(variables)
        return CustomerSession(account, retry=RetryPolicy(attempts=2, deadline=10))

    return session


def gateway_draft(gateway: str, reference: str, **changed: Any) -> CustomerDraft:
    """Return the smallest draft that the gateway accepts."""
    phone = {"phone": Phone("+852", "12345678")} if gateway == "wonder" else {}
    return CustomerDraft(**{"reference": reference, "name": "Ada Lovelace", **phone, **changed})


async def test_references_with_special_characters_round_trip(gateway: str, open_session: SessionFactory) -> None:
    async with open_session(gateway) as session:
        for reference in REFERENCES:
            made = await session.create(gateway_draft(gateway, reference))
            assert made.reference == reference
        ids = set()
        for reference in REFERENCES:
            found = await session.get_by_reference(reference)
            assert found.reference == reference
            again = await session.upsert(gateway_draft(gateway, reference, email="ada@example.com"))
            assert (again.id, again.reference, again.email) == (found.id, reference, "ada@example.com")
            assert (await session.get(found.id)).reference == reference
            ids.add(found.id)
        assert len(ids) == len(REFERENCES)


RICH = {
    "wonder": CustomerDraft(
        reference="rich/1",
        name="禚雨欣 O'Neill-Ünal",
        email="i8lv9r_gxn26@gmail.com",
        phone=Phone("+852", "013 9957 0539"),
        company_name="環球集團 Ltd.",
        default_payment_method="Credit Card",
    ),
    "paydock": CustomerDraft(
        reference="rich/1",
        first_name="禚雨欣",
        last_name="O'Neill-Ünal",
        email="i8lv9r_gxn26@gmail.com",
        phone=Phone("+39", "0612345678"),
        company_name="環球集團 Ltd.",
        description="A regular & friend",
        metadata={"tier": "gold", "ключ": "значение"},
        payment_source=CardSource(
            "4111111111111111",
            expire_month="05",
            expire_year="2030",
            holder_name="O'Neill",
            cvv="123",
            gateway_id="5f0c2f7a9b1e8d00aabbccdd",
            address=Address(line1="1 Main Street", line2="Suite 2", city="Sydney", postcode="2000", country="AU"),
        ),
    ),
    "monri": CustomerDraft(
        reference="rich/1",
        name="Đorđe Šešelj",
        email="djordje@example.ba",
        phone=Phone("+387", "61000111"),
        description="Stalna mušterija",
        metadata={"tier": "gold", "years": [1, 2.5, None, True], "nested": {"ž": "ć"}},
        address=Address(line1="Ferhadija 1", city="Sarajevo", postcode="71000", country="BA"),
    ),
}


async def test_customer_with_every_field_round_trips(gateway: str, open_session: SessionFactory) -> None:
    wanted = RICH[gateway]
    async with open_session(gateway) as session:
        made = await session.create(wanted)
        for customer in (made, await session.get(made.id), await session.get_by_reference("rich/1")):
            assert session.compare(wanted, customer).different == ()
            for name in ("reference", "name", "first_name", "last_name", "email", "phone", "description", "address"):
                expected = getattr(wanted, name)
                # Paydock stores the address with the payment source. Wonder does not return the company.
                assert getattr(customer, name) == expected, name
            if gateway != "wonder":
                assert customer.metadata == wanted.metadata
                assert customer.created_at is not None
        if gateway == "paydock":
            (token,) = made.payment_tokens
            assert token.card is not None
            assert (token.card.last4, token.card.holder_name, token.default) == ("1111", "O'Neill", True)
            assert token.address == wanted.payment_source.address  # type: ignore[union-attr]


async def test_update_changes_and_clears_only_the_given_fields(gateway: str, open_session: SessionFactory) -> None:
    async with open_session(gateway) as session:
        made = await session.create(RICH[gateway])
        changed = await session.update(made.id, CustomerPatch(email="new@example.com"))
        assert changed.email == "new@example.com"
        cleared = await session.update(made.id, CustomerPatch(email=None))
        assert not cleared.email
        for name in ("reference", "name", "first_name", "last_name", "phone", "metadata", "address"):
            assert getattr(cleared, name) == getattr(made, name), name


async def test_monri_address_is_updated_in_parts(open_session: SessionFactory) -> None:
    async with open_session("monri") as session:
        made = await session.create(RICH["monri"])
        moved = await session.update(made.id, CustomerPatch(address=Address(city="Mostar", postcode="88000")))
        assert moved.address == Address(line1="Ferhadija 1", city="Mostar", postcode="88000", country="BA")
        gone = await session.update(made.id, CustomerPatch(address=None, metadata={"tier": None}))
        assert gone.address is None
        assert gone.metadata == {"years": [1, 2.5, None, True], "nested": {"ž": "ć"}}


async def test_deleting_twice_succeeds(open_session: SessionFactory) -> None:
    for gateway in ("paydock", "monri"):
        async with open_session(gateway) as session:
            made = await session.create(gateway_draft(gateway, "gone"))
            await session.delete(made.id)
            await session.delete(made.id)
            assert (await session.get(made.id)).deleted is True
            unknown = "4b281da4-d145-4233-b957-2018cf9aa0fb" if gateway == "monri" else "f" * 24
            with pytest.raises(NotFoundError):
                await session.delete(unknown)


async def test_list_returns_every_customer_and_resumes_from_a_cursor(
    gateway: str, open_session: SessionFactory
) -> None:
    async with open_session(gateway) as session:
        assert [it async for it in session.list()] == []
        wanted = {f"r-{number}" for number in range(7)}
        for reference in wanted:
            await session.create(gateway_draft(gateway, reference))
        assert {it.reference async for it in session.list(limit=3)} == wanted
        pages: list[Page[Customer]] = [page async for page in session.list(limit=3).pages()]
        assert [len(page.items) for page in pages if page.items] == [3, 3, 1]
        assert [page.total for page in pages] == [None if gateway == "monri" else 7] * len(pages)
        rest = [it.reference async for it in session.list(limit=3, cursor=pages[0].cursor)]
        assert rest == [it.reference for page in pages[1:] for it in page.items]
        assert pages[-1].cursor is None


async def test_paydock_references_are_compared_exactly(
    open_session: SessionFactory, simulator: SimulatorServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(simulator.gateways["paydock"], "fuzzy_reference", True)
    async with open_session("paydock") as session:
        long = await session.create(gateway_draft("paydock", "customer-10"))
        with pytest.raises(NotFoundError):
            await session.get_by_reference("customer-1")
        short = await session.upsert(gateway_draft("paydock", "customer-1"))
        assert short.id != long.id
        assert (await session.get_by_reference("customer-1")).id == short.id
        with pytest.raises(NotFoundError):
            await session.get_by_reference("CUSTOMER-1")


async def test_paydock_duplicate_reference_is_ambiguous(open_session: SessionFactory) -> None:
    async with open_session("paydock") as session:
        one, two = [await session.create(gateway_draft("paydock", "twice")) for _ in range(2)]
        for operation in (session.get_by_reference("twice"), session.upsert(gateway_draft("paydock", "twice"))):
            with pytest.raises(AmbiguousReferenceError) as caught:
                await operation
            assert set(caught.value.ids) == {one.id, two.id}
            assert (caught.value.reference, caught.value.applied) == ("twice", "no")
        await session.delete(one.id)
        assert (await session.get_by_reference("twice")).id == two.id


async def test_monri_taken_reference_is_a_conflict_and_upsert_updates_it(open_session: SessionFactory) -> None:
    async with open_session("monri") as session:
        made = await session.create(gateway_draft("monri", "mine"))
        with pytest.raises(ConflictError):
            await session.create(gateway_draft("monri", "mine"))
        assert (await session.upsert(gateway_draft("monri", "mine", name="Augusta"))).id == made.id
        assert (await session.get(made.id)).name == "Augusta"


async def test_wonder_update_refused_after_its_read_does_not_claim_that_nothing_was_sent(
    open_session: SessionFactory, simulator: SimulatorServer
) -> None:
    simulator.store.requests.clear()
    async with open_session("wonder") as session:
        made = await session.create(gateway_draft("wonder", "mine"))
        with pytest.raises(InvalidRecordError, match=r"cannot be changed.*\. Nothing was changed\.$"):
            await session.update(made.id, CustomerPatch(reference="other"))
    assert "GET" in {method for _, method, _ in simulator.store.requests}


async def test_wonder_card_is_pending_until_verified(
    open_session: SessionFactory, simulator: SimulatorServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(simulator.gateways["wonder"], "checks_until_final", 1)
    card = evolve(CARD, cvv="123", transaction_type="recurring_payment")
    async with open_session("wonder") as session:
        customer = await session.create(gateway_draft("wonder", "payer"))
        token = await session.create_payment_token(customer.id, card)
        assert token.state == "pending"
        assert token.verify_url
        assert (await session.check_payment_token(customer.id, token)).state == "success"
        await session.update(customer.id, CustomerPatch(default_payment_token=token.token))
        (listed,) = await session.list_payment_tokens(customer.id)
        assert (listed.token, listed.state, listed.default) == (token.token, "success", True)
        await session.delete_payment_token(customer.id, token)
        assert await session.list_payment_tokens(customer.id) == ()
        with pytest.raises(NotFoundError):
            await session.check_payment_token(customer.id, token.token)


async def test_paydock_source_is_added_checked_and_archived(open_session: SessionFactory) -> None:
    async with open_session("paydock") as session:
        customer = await session.create(RICH["paydock"])
        source = RICH["paydock"].payment_source
        assert isinstance(source, CardSource)
        token = await session.create_payment_token(customer.id, source)
        assert {it.token for it in await session.list_payment_tokens(customer.id)} == {
            token.token,
            customer.payment_tokens[0].token,
        }
        assert (await session.check_payment_token(customer.id, token.token)).token == token.token
        await session.delete_payment_token(customer.id, token)
        with pytest.raises(NotFoundError):
            await session.check_payment_token(customer.id, token)


async def test_monri_saved_cards_are_listed(open_session: SessionFactory, simulator: SimulatorServer) -> None:
    async with open_session("monri") as session:
        customer = await session.create(gateway_draft("monri", "payer"))
        gateway: Any = simulator.gateways["monri"]
        bodies = [gateway.add_payment_method(customer.id) for _ in range(52)]
        listed = await session.list_payment_tokens(customer.id)
        assert {it.token for it in listed} == {body["token"] for body in bodies}
        assert {it.customer_id for it in listed} == {customer.id}


async def test_bearer_and_access_tokens_are_accepted(simulator: SimulatorServer) -> None:
    variables = simulator.environment()
    paydock: Any = simulator.gateways["paydock"]
    accounts: list[Any] = [
        Monri.from_environment({**variables, "MONRI_AUTH": "oauth"}),
        Paydock(access_token=paydock.access_token(), base_url=variables["PAYDOCK_BASE_URL"]),
    ]
    for account in accounts:
        async with CustomerSession(account) as session:
            await session.check()


async def test_check_raises_for_wrong_credentials(simulator: SimulatorServer) -> None:
    origin = simulator.origin
    key = simulator.environment()["WONDER_PRIVATE_KEY"]
    wrong: list[tuple[Any, type[Exception]]] = [
        (Wonder("00000000-0000-4000-8000-000000000000", key, base_url=origin), AuthenticationError),
        (Paydock("not-the-key", base_url=f"{origin}/v1/"), PermissionDeniedError),
        (Monri("not-the-key", "not-the-token", base_url=origin), AuthenticationError),
        (Monri("not-the-key", "not-the-token", auth="oauth", base_url=origin), AuthenticationError),
    ]
    for account, kind in wrong:
        async with CustomerSession(account) as session:
            with pytest.raises(kind):
                await session.check()

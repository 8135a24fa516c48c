# mypy: ignore-errors
"""Cases for type checkers. `test_typing` removes the first line and runs the type checkers; the code is never executed.

Type checkers must report the lines that end in ``# wrong`` and no other line.
"""

from collections.abc import Callable
from typing import Any, assert_type

from wonder_customers import (
    CardSource,
    Customer,
    CustomerDraft,
    CustomerPatch,
    CustomerSession,
    Listing,
    Monri,
    Page,
    Paydock,
    PaydockFilter,
    PaymentToken,
    Response,
    Secret,
    Wonder,
    WonderCard,
    WonderFilter,
)
from wonder_customers.dialects.base import Account
from wonder_customers.testing import GatewayMock, no_waits

CARD = CardSource("4111111111111111")
WONDER_CARD = WonderCard(
    "4111111111111111",
    expire_month="12",
    expire_year="2031",
    holder_name="Ada",
    transaction_type="no_show",
    success_return_url="https://a.test",
    fail_return_url="https://b.test",
)


async def results(session: CustomerSession[Paydock], draft: CustomerDraft) -> None:
    """Operations have precise result types."""
    assert_type(session.account, Paydock)
    assert_type(await session.create(draft), Customer)
    assert_type(await session.upsert(draft), Customer)
    assert_type(await session.update("c", CustomerPatch(name=None)), Customer)
    assert_type(await session.list_payment_tokens("c"), tuple[PaymentToken, ...])
    assert_type(await session.create_payment_token("c", CARD), PaymentToken)
    assert_type(await session.raw.get("c"), Response[Customer])
    async for customer in session.list(limit=10):
        assert_type(customer, Customer)
    async for page in session.list().pages():
        assert_type(page, Page[Customer])
    await session.create("Ada")  # wrong
    await session.update("c", draft)  # wrong
    await session.get(7)  # wrong
    (await session.get("c")).name = "Ada"  # wrong
    CustomerDraft(nickname="Ada")  # wrong


async def token() -> str:
    """A secret that a coroutine function returns."""
    return "token"


def functions() -> None:
    """Secrets are strings, `Secret` objects or functions that return them."""
    assert_type(Monri(lambda: "key", token).merchant_key, Secret)
    assert_type(Paydock(access_token=token).access_token, Secret | None)
    Wonder("app", lambda: Secret("pem"))
    Monri(lambda: 5, "token")  # wrong
    Paydock(token())  # wrong


async def wonder(session: CustomerSession[Wonder]) -> None:
    """Wonder cannot delete customers, and stores only its own cards."""
    assert_type(await session.create_payment_token("c", WONDER_CARD), PaymentToken)
    await session.create_payment_token("c", CARD)  # wrong
    WonderCard("4111111111111111", expire_month="12", expire_year="2031", holder_name="Ada")  # wrong
    CardSource("4111111111111111", transaction_type="gift")  # wrong
    await session.check_payment_token("c", "t")
    await session.delete_payment_token("c", "t")
    await session.delete("c")  # wrong


async def monri(session: CustomerSession[Monri]) -> None:
    """Monri cannot create payment tokens."""
    await session.delete("c")
    await session.list_payment_tokens("c")
    await session.create_payment_token("c", CARD)  # wrong
    await session.check_payment_token("c", "t")  # wrong
    await session.delete_payment_token("c", "t")  # wrong


async def filters(
    wonder: CustomerSession[Wonder], paydock: CustomerSession[Paydock], monri: CustomerSession[Monri]
) -> None:
    """A filter belongs to one gateway, and Monri has none."""
    assert_type(wonder.list(filter=WonderFilter(name__contains="Ada", id__in=["c"])), Listing)
    assert_type(paydock.list(limit=5, filter=PaydockFilter(search="Ada", archived=True)), Listing)
    paydock.list(filter=None)
    await wonder.raw.page(filter=WonderFilter(linked_source_type="User"))
    wonder.list(filter=PaydockFilter(search="Ada"))  # wrong
    paydock.list(filter=WonderFilter(name="Ada"))  # wrong
    monri.list(filter=PaydockFilter(search="Ada"))  # wrong
    paydock.list(filter={"search": "Ada"})  # wrong
    paydock.list(filters={"search": "Ada"})  # wrong
    WonderFilter(nickname="Ada")  # wrong
    WonderFilter(name__contains=5)  # wrong
    WonderFilter(linked_source_type="Shop")  # wrong
    PaydockFilter(archived="yes")  # wrong


async def views(session: CustomerSession[Wonder], tenant: Monri) -> None:
    """A view has the type of its own account."""
    view = session.for_account(tenant)
    assert_type(view, CustomerSession[Monri])
    await view.delete("c")
    await view.create_payment_token("c", CARD)  # wrong


async def unknown(anything: CustomerSession[Any], general: CustomerSession[Account]) -> None:
    """`Any` allows every operation; `Account` allows the operations that every gateway supports."""
    await anything.delete("c")
    await anything.create_payment_token("c", CARD)
    anything.list(filter=PaydockFilter(search="Ada"))
    general.list(limit=5)
    general.list(filter=PaydockFilter(search="Ada"))  # wrong
    await general.get("c")
    await general.delete("c")  # wrong


def widened(session: CustomerSession[Wonder]) -> CustomerSession[Account]:
    """A session of one gateway can be passed as a session of any gateway."""
    return session


def accounts(key: str) -> None:
    """Credentials are text, and a session requires an account."""
    assert_type(CustomerSession(Monri(key, key)), CustomerSession[Monri])
    Monri(key, key, auth="basic")  # wrong
    CustomerSession(key)  # wrong


def helpers(mock: GatewayMock, use: Callable[[float], None]) -> None:
    """The test helpers are typed."""
    with no_waits() as skipped:
        use(skipped.total)
    assert_type(mock.monri.session(), CustomerSession[Any])
    mock.adyen.create()  # wrong

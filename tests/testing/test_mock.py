"""The mock responds to each operation of each gateway with the documented example and the requested ids."""

import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from wonder_customers import (
    AuthenticationError,
    ConfigurationError,
    Customer,
    CustomerPatch,
    CustomerSession,
    GatewayError,
    GatewayUnavailableError,
    InvalidRequestError,
    InvalidResponseError,
    Monri,
    NotFoundError,
    PaymentToken,
    PermissionDeniedError,
    RateLimitError,
    RetryPolicy,
    dialects,
)
from wonder_customers.dialects.base import Operation
from wonder_customers.dialects.offline import offline_account
from wonder_customers.testing import GatewayMock, make_customer, make_draft, make_token, no_waits
from wonder_customers.testing.examples import examples
from wonder_customers.testing.factories import make_source
from wonder_customers.testing.mock import MockedGateway
from wonder_customers.testing.responses import STATUSES

GATEWAYS = ("wonder", "paydock", "monri")
DRAFT = make_draft(reference="mine/ä 1")
CALLS: dict[Operation, Callable[[CustomerSession[Any], Any], Awaitable[Any]]] = {
    Operation.CREATE: lambda session, _: session.create(DRAFT),
    Operation.UPSERT: lambda session, _: session.upsert(DRAFT),
    Operation.GET: lambda session, _: session.get("their id"),
    Operation.GET_BY_REFERENCE: lambda session, _: session.get_by_reference("mine/ä 1"),
    Operation.UPDATE: lambda session, _: session.update("their id", CustomerPatch(name="Grace")),
    Operation.DELETE: lambda session, _: session.delete("their id"),
    Operation.LIST: lambda session, _: anext(session.list()),
    Operation.LIST_PAYMENT_TOKENS: lambda session, _: session.list_payment_tokens("their id"),
    Operation.CREATE_PAYMENT_TOKEN: lambda session, source: session.create_payment_token("their id", source),
    Operation.CHECK_PAYMENT_TOKEN: lambda session, _: session.check_payment_token(
        "their id", examples(session.account.dialect().gateway).token or "t"
    ),
    Operation.DELETE_PAYMENT_TOKEN: lambda session, _: session.delete_payment_token("their id", "t-1"),
}


@pytest.fixture
def mock() -> GatewayMock:
    return GatewayMock()


def offered() -> list[tuple[str, Operation]]:
    accounts = {gateway: offline_account(gateway).dialect() for gateway in GATEWAYS}
    return [
        (gateway, it) for gateway in GATEWAYS for it in Operation if it not in accounts[gateway].unsupported_operations
    ]


@pytest.mark.parametrize(("gateway", "operation"), offered())
async def test_each_operation_is_mocked_in_one_line(gateway: str, operation: Operation, mock: GatewayMock) -> None:
    last = getattr(mock.gateway(gateway), operation)()
    source = make_source(offline_account(gateway))
    async with mock.gateway(gateway).session() as session:
        record = await CALLS[operation](session, source)
    assert last.call_count == 1
    assert mock.failure() is None
    if isinstance(record, Customer):
        asked_by_reference = operation in {Operation.CREATE, Operation.UPSERT, Operation.GET_BY_REFERENCE}
        if operation is not Operation.LIST:
            assert (record.reference if asked_by_reference else record.id) in {"mine/ä 1", "their id"}
        assert record.extra == examples(gateway).customer.extra
    else:
        assert record is None or isinstance(record, PaymentToken) or isinstance(record[0], PaymentToken)


async def test_changes_appear_in_the_response(mock: GatewayMock) -> None:
    mock.monri.create(name="Ada", metadata={"plan": "gold"})
    async with mock.monri.session() as session:
        made = await session.create(DRAFT)
    assert (made.name, made.metadata, made.reference) == ("Ada", {"plan": "gold"}, "mine/ä 1")


@pytest.mark.parametrize(("gateway", "requests"), [("wonder", 2), ("monri", 2), ("paydock", 1)])
async def test_mocked_list_has_one_customer(gateway: str, requests: int, mock: GatewayMock) -> None:
    """The number of requests is stated on the page about testing."""
    route = mock.gateway(gateway).list(email="ada@example.org")
    async with mock.gateway(gateway).session() as session:
        assert [it.email async for it in session.list()] == ["ada@example.org"]
        assert route.call_count == requests
        listing = session.list(limit=1)
        assert [len(page.items) async for page in listing.pages()] == [1, 0]
        assert not listing.possible_gap


@pytest.mark.parametrize("gateway", ["wonder", "paydock"])
async def test_changes_of_tokens_appear_in_the_response(gateway: str, mock: GatewayMock) -> None:
    """At Paydock, tokens are part of the customer."""
    token = "0f8fad5b-d9cb-469f-a165-70867728950e"
    source = make_source(offline_account(gateway))
    assert source is not None
    async with mock.gateway(gateway).session() as session:
        mock.gateway(gateway).list_payment_tokens(state="failed")
        assert (await session.list_payment_tokens("c-1"))[0].state == "failed"
        mock.gateway(gateway).check_payment_token(token=token, state="expired")
        assert (await session.check_payment_token("c-1", token)).state == "expired"
        mock.gateway(gateway).create_payment_token(token=token, state="pending")
        made = await session.create_payment_token("c-1", source)
        assert (made.token, made.state) == (token, "pending")


async def test_changed_id_overrides_the_requested_one(mock: GatewayMock) -> None:
    """Values of the test override requested values, so that the session's checks can be tested."""
    mock.monri.get(id="another-id")
    async with mock.monri.session() as session:
        with pytest.raises(InvalidResponseError, match="another customer"):
            await session.get("c-1")


async def test_second_helper_call_replaces_the_response(mock: GatewayMock) -> None:
    mock.paydock.get(first_name="Ada")
    route = mock.paydock.get(first_name="Grace")
    async with mock.paydock.session() as session:
        assert (await session.get("c-1")).first_name == "Grace"
    assert (len(mock.router.routes), route.call_count, len(mock.calls)) == (1, 1, 1)


REFUSALS: list[tuple[str, dict[str, Any], type[GatewayError], int]] = [
    ("invalid_token", {}, AuthenticationError, 401),
    ("token_required", {}, PermissionDeniedError, 403),
    ("not_found", {}, NotFoundError, 404),
    ("E000123", {"status": 404, "message": "gone"}, NotFoundError, 404),
    ("rate_limited", {"retry_after": 90}, RateLimitError, 429),
    ("unavailable", {}, GatewayUnavailableError, 503),
    ("web_server_down", {"status": 521}, GatewayUnavailableError, 521),  # a status without a standard phrase
]


@pytest.mark.parametrize(("code", "facts", "kind", "status"), REFUSALS)
async def test_refusals_use_the_gateway_format(
    gateway: str, code: str, facts: dict[str, Any], kind: type[GatewayError], status: int, mock: GatewayMock
) -> None:
    mock.gateway(gateway).refuse(code, **facts)
    async with mock.gateway(gateway).session(retry=RetryPolicy(attempts=1)) as session:
        with pytest.raises(kind) as refused:
            await session.get("c-1")
    error = refused.value
    assert (error.status, error.code, error.retry_after) == (status, code, facts.get("retry_after"))
    assert error.message == facts.get("message", error.message)


@pytest.mark.parametrize("gateway", ["monri", "paydock"])
async def test_refusals_name_fields(gateway: str, mock: GatewayMock) -> None:
    fields: dict[str, Any] = {"email": ["is not an e-mail address", "is too long"], "phone": "is missing"}
    mock.gateway(gateway).refuse("invalid", fields=fields, operation="update")
    async with mock.gateway(gateway).session() as session:
        with pytest.raises(InvalidRequestError) as refused:
            await session.update("c-1", CustomerPatch(description="new"))
    assert refused.value.fields == {"email": tuple(fields["email"]), "phone": ("is missing",)}
    assert refused.value.code == "invalid"


@pytest.mark.parametrize("first", [True, False])
async def test_refusals_with_times_end(mock: GatewayMock, first: bool) -> None:
    if first:
        mock.wonder.get(name="Ada")
    mock.wonder.refuse("server_error", operation="get", times=1)
    mock.wonder.refuse("rate_limited", operation="get", times=1)
    if not first:
        mock.wonder.get(name="Ada")
    with no_waits() as skipped:
        async with mock.wonder.session(retry=RetryPolicy(attempts=1)) as session:
            with pytest.raises(GatewayUnavailableError):
                await session.get("c-1")
        async with mock.wonder.session() as session:
            assert (await session.get("c-1")).name == "Ada"
    assert len(skipped.waits) == 1


async def test_helper_between_requests_ends_the_refusals(mock: GatewayMock) -> None:
    mock.monri.refuse("server_error", operation="get", times=9)
    async with mock.monri.session(retry=RetryPolicy(attempts=1)) as session:
        with pytest.raises(GatewayUnavailableError):
            await session.get("c-1")
        mock.monri.get(name="Ada")
        assert (await session.get("c-1")).name == "Ada"
        mock.monri.refuse("forbidden", operation="get", times=1)
        mock.monri.get(name="Eve")
        with pytest.raises(PermissionDeniedError):
            await session.get("c-1")
        assert (await session.get("c-1")).name == "Eve"


async def test_refusals_of_a_lookup_precede_the_lookup_of_an_operation(mock: GatewayMock) -> None:
    mock.monri.refuse("server_error", operation="get_by_reference", times=1)
    mock.monri.upsert()
    with no_waits() as skipped:
        async with mock.monri.session() as session:
            await session.upsert(DRAFT)
    assert len(skipped.waits) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"code": "server_error", "times": 2}, r"refuse\(times=…\) requires operation=…"),
        ({"code": "server_error", "times": 0, "operation": "get"}, "times must be at least 1, not 0"),
        ({"code": "invalid", "fields": {"email": ["is missing"]}}, "the error responses of wonder do not name fields"),
        ({"code": 404}, "code must be a str such as 'not_found', not 404. Pass an HTTP status as status="),
    ],
)
def test_invalid_arguments_of_a_refusal_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        GatewayMock().wonder.refuse(**arguments)


async def test_request_after_the_last_response_of_a_list(mock: GatewayMock) -> None:
    """A test often mocks the first page of a list only. Without the check, respx raises an obscure RuntimeError."""
    page = httpx.Response(200, json={"status": "approved", "data": [{"uuid": "c-1"}]})
    mock.router.get(path="/v2/customers").mock(side_effect=[page])
    async with mock.monri.session() as session:
        with pytest.raises(AssertionError, match="GET /v2/customers has no more responses") as raised:
            [it.id async for it in session.list()]
    assert mock.failure() == str(raised.value)


def test_every_code_with_its_own_status_is_documented() -> None:
    page = (Path(__file__).parents[2] / "docs" / "testing.md").read_text(encoding="utf-8")
    for text, mark in ((page, "`"), (MockedGateway.refuse.__doc__ or "", "``")):
        listed = re.search(r"These codes have their own.*?503\)", text, re.DOTALL)
        assert listed is not None
        found: dict[str, int] = {}
        for names, status in re.findall(r"([^()]+)\(([0-9]{3})\)", listed[0]):
            found |= dict.fromkeys(re.findall(rf"{mark}(\w+){mark}", names), int(status))
        assert found == STATUSES


def test_unknown_operation_is_refused_with_the_names_of_the_operations() -> None:
    with pytest.raises(
        ValueError, match=r"'gett' is unknown\. The operations are create, upsert, get, get_by_reference"
    ):
        GatewayMock().wonder.refuse("not_found", operation="gett")


async def test_skipped_waits_count_towards_the_deadline(mock: GatewayMock) -> None:
    mock.monri.refuse("rate_limited", retry_after=20)
    policy = RetryPolicy(attempts=100, deadline=60)
    with no_waits() as skipped:
        async with mock.monri.session(retry=policy) as session:
            with pytest.raises(RateLimitError) as limited:
                await session.get("c-1")
            assert limited.value.attempts == 3
            assert skipped.total <= 60
            assert limited.value.elapsed >= 40
    async with mock.monri.session(retry=RetryPolicy(attempts=2, throttle_base=0, deadline=5)) as session:
        with pytest.raises(RateLimitError, match=r"in 0\.\d\d s"):
            await session.get("c-1")


async def test_unmocked_request_raises_assertion_error(mock: GatewayMock) -> None:
    """The executor neither retries nor wraps errors that are not transport errors."""
    mock.router.get(path="/v2/customers/c-1").mock(side_effect=ZeroDivisionError)
    async with mock.monri.session() as session:
        with pytest.raises(ZeroDivisionError):
            await session.get("c-1")
        with pytest.raises(
            AssertionError, match=r"monri: GET /v2/customers/{uuid} is not mocked.*gateway_mock.monri.get"
        ):
            await session.get("c-2")
    assert mock.failure() is not None


async def test_unknown_request_message_names_the_router(mock: GatewayMock) -> None:
    async with httpx.AsyncClient(transport=mock.transport) as client:
        with pytest.raises(AssertionError, match=r"gateway_mock.router.route\(method='PUT', path=…\)"):
            await client.put("https://elsewhere.invalid/x?secret=1")


async def test_transport_mocks_sessions_of_code_under_test(mock: GatewayMock) -> None:
    account = dialects.package("monri").ACCOUNT("a-real-key", "a-real-token", base_url="https://ipg.monri.com")
    mock.monri.list()
    async with CustomerSession(account, transport=mock.transport) as session:
        await session.check()
    assert mock.calls.last.request.url.host == "ipg.monri.com"


def test_record_factories() -> None:
    assert make_customer(name="Grace").name == "Grace"
    assert make_token(state="pending").state == "pending"
    assert make_draft().reference != make_draft().reference
    assert make_draft(first_name="Ada", last_name="Lovelace").name is None


@pytest.mark.parametrize("gateway", ["paydock", "monri"])
async def test_upsert_of_a_new_customer(gateway: str, mock: GatewayMock) -> None:
    """The lookup finds no customer, so the customer is created."""
    mock.gateway(gateway).refuse("not_found", operation="get_by_reference")
    made = mock.gateway(gateway).create()
    async with mock.gateway(gateway).session() as session:
        with pytest.raises(NotFoundError):
            await session.get_by_reference("r-1")
        assert (await session.upsert(DRAFT)).reference == DRAFT.reference
    assert made.call_count == 1
    assert mock.failure() is None


async def test_optional_routes_need_not_be_called(mock: GatewayMock) -> None:
    mock.optional(mock.monri.get())
    mock.assert_all_called()
    mock.monri.delete()
    with pytest.raises(AssertionError, match=r"never called: monri.delete\(\)\. .* gateway_mock.optional\(route\)"):
        mock.assert_all_called()


async def test_call_order_is_checked(mock: GatewayMock) -> None:
    created, read = mock.monri.create(), mock.monri.get()
    async with mock.monri.session() as session:
        await session.create(DRAFT)
        await session.get("c-1")
        await session.get("c-2")
    mock.assert_called_in_order(created, read, read)
    mock.assert_called_in_order(created, read)
    with pytest.raises(AssertionError, match=r"call 2, monri.create\(\), is missing or out of order.*monri.get\(\)"):
        mock.assert_called_in_order(read, created)
    with pytest.raises(AssertionError, match=r"call 4, monri.get"):
        mock.assert_called_in_order(created, read, read, read)


@pytest.mark.parametrize(
    ("helper", "nearest"),
    [
        ("get", r"The most similar mocked route is monri.get\(\): GET /v2/customers/{uuid}\."),
        (None, r"No helper method has mocked a route\."),
    ],
)
async def test_unmocked_request_message_names_the_nearest_route(helper: str | None, nearest: str) -> None:
    mock = GatewayMock()
    mock.optional(mock.paydock.create())
    if helper is not None:
        getattr(mock.monri, helper)()
    else:
        mock = GatewayMock()
    async with mock.monri.session() as session:
        with pytest.raises(AssertionError, match=nearest) as raised:
            await session.delete("secret-id")
    assert "secret-id" not in str(raised.value)


@pytest.mark.parametrize(
    ("gateway", "changes"),
    [
        ("paydock", {"name": "Ada"}),
        ("monri", {"first_name": "Ada"}),
        ("monri", {"payment_tokens": (make_token(),)}),
        ("wonder", {"description": "A note"}),
    ],
)
def test_field_that_the_gateway_does_not_have_is_refused(gateway: str, changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=f"of {gateway} have no field for {next(iter(changes))}, so"):
        GatewayMock().gateway(gateway).get(**changes)
    GatewayMock().wonder.list_payment_tokens(error_code="E1")
    with pytest.raises(ConfigurationError, match="payment tokens in responses of paydock have no field for error_code"):
        GatewayMock().paydock.list_payment_tokens(error_code="E1")


@pytest.mark.parametrize("changes", [{"phone": "+44 7911 123456"}, {"address": "Ilica 1"}, {"created_at": "2026"}])
def test_value_of_another_type_is_refused(changes: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match=f"{next(iter(changes))}: a value has another type than"):
        GatewayMock().monri.get(**changes)
    with pytest.raises(ConfigurationError, match="card: a value has another type than the attribute of PaymentToken"):
        GatewayMock().wonder.check_payment_token(card="1111")


async def test_message_about_a_request_that_no_helper_mocks() -> None:
    mock = GatewayMock()
    account = Monri("key", "token", auth="oauth", base_url="https://monri.invalid")
    async with CustomerSession(account, transport=mock.transport) as session:
        with pytest.raises(AssertionError, match=r"POST /v2/oauth is not mocked, and no helper of a gateway mocks it"):
            await session.get("c-1")
    mock = GatewayMock()
    mock.router.post(path="/v2/oauth").respond(json={"status": "approved", "access_token": "t", "expires_in": 900})
    mock.monri.get()
    async with CustomerSession(account, transport=mock.transport) as session:
        assert (await session.get("c-1")).id == "c-1"


@pytest.mark.parametrize("changes", [{"metadata": {}}, {"email": ""}, {"email": None}, {"id": ""}])
def test_empty_and_invalid_values_can_be_mocked(gateway: str, changes: dict[str, Any]) -> None:
    GatewayMock().gateway(gateway).get(**changes)

"""Errors and events show neither the values of the call's record, which a gateway may repeat, nor secrets."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from error_checks import visible_text
from mock_gateway import ACCOUNTS, MockGateway, Session, json_response, monri_oauth

from scripted_transport import Step, draft, make_harness, respond
from wonder_customers import (
    Address,
    CallError,
    CardSource,
    CustomerDraft,
    CustomerPatch,
    Monri,
    Phone,
    RetryPolicy,
    WonderCard,
)
from wonder_customers._core.observers import ObserverGroup
from wonder_customers.bulk import Journal, Options, sync, verify
from wonder_customers.contrib.problems import problem

NAME, STREET = "Zebediah Quoxworth", "13 Canary Street"
TEXT = f"customer {NAME} ({STREET}, Zagreb) is locked"
REFUSAL: dict[str, Any] = {
    "status": 422, "message": TEXT, "error_code": "locked", "error": {"message": TEXT},
    "error_summary": {"message": TEXT, "code": "locked", "details": {"path": "reference", "messages": [TEXT]}},
}  # fmt: skip
UUID = "5b1c7e7a-9d3f-4c1e-8a6b-7f0e2d4c6b8a"
QUICK = RetryPolicy(attempts=1, deadline=5.0, base=0.0, confirmation_window=0.05)


def refuse(request: httpx.Request) -> httpx.Response:
    return json_response(422, REFUSAL, x_request_id=f"no {NAME}")


def fail_writes(request: httpx.Request) -> httpx.Response:
    return refuse(request) if request.method == "GET" else json_response(500, REFUSAL)


VALUES: dict[str, Any] = {
    "wonder": {"name": NAME, "company_name": STREET, "phone": Phone("+385", "912345678")},
    "paydock": {"first_name": NAME, "last_name": "Qx", "description": STREET},
    "monri": {"name": NAME, "address": Address(STREET, city="Zagreb")},
}


def person(gateway: str) -> CustomerDraft:
    return CustomerDraft("r-1", email="ada@example.org", **VALUES[gateway])


def card(gateway: str) -> Any:
    where: dict[str, Any] = {
        "success_return_url": "https://a",
        "fail_return_url": "https://b",
        "transaction_type": "no_show",
    }
    common: dict[str, Any] = {
        "expire_month": "11",
        "expire_year": "2031",
        "holder_name": NAME,
        "address": Address(STREET),
    }
    number = "4929735926140832"
    return (
        WonderCard(number, **common, **where)
        if gateway == "wonder"
        else CardSource(number, **common, gateway_id="a" * 24)
    )


CALLS: dict[str, Callable[[Session, str], Any]] = {
    "create": lambda it, gateway: it.create(person(gateway)),
    "upsert": lambda it, gateway: it.upsert(person(gateway)),
    "update": lambda it, gateway: it.update(UUID, CustomerPatch(**VALUES[gateway])),
    "create_payment_token": lambda it, gateway: it.create_payment_token(UUID, card(gateway)),
}


@pytest.mark.parametrize("respond", [refuse, fail_writes])
@pytest.mark.parametrize("call", CALLS)
async def test_error_shows_no_value_of_the_record(gateway: str, call: str, respond: Any) -> None:
    if (gateway, call) == ("monri", "create_payment_token"):
        return
    async with MockGateway(*[respond] * 20).session(gateway, confirmation_window=0.05) as session:
        with pytest.raises(CallError) as caught:
            await CALLS[call](session, gateway)
    error: BaseException | None = caught.value
    assert caught.value.history
    assert NAME not in str(problem(caught.value).body)
    while error is not None:
        assert not {it for it in (NAME, STREET) if it in visible_text(error)}
        error = error.__cause__ or error.__context__


async def test_error_of_a_token_request_shows_no_value_of_the_record() -> None:
    async with MockGateway(refuse).session(monri_oauth()) as session:
        with pytest.raises(CallError) as caught:
            await session.upsert(person("monri"))
    assert not {it for it in (NAME, STREET) if it in visible_text(caught.value)}


async def test_error_of_a_bulk_job_shows_no_value_of_the_row(gateway: str, tmp_path: Path) -> None:
    draft, account = person(gateway), ACCOUNTS[gateway]()
    journal = Journal.open(tmp_path / "j", gateway=gateway, endpoint=account.base_url)
    for resume, responses in ((False, fail_writes), (True, refuse)):
        # The second job looks up the customer, because the write of the first job is unconfirmed.
        options = Options(retry=QUICK, failure_share=None, resume=resume)
        session = MockGateway(*[responses] * 40).session(account)
        async with session, sync(session, [draft], journal=journal, options=options) as job:
            (outcome,) = [outcome async for outcome in job]
        assert outcome.status == "failed"
        assert not {it for it in (NAME, STREET) if it in f"{outcome.reason} {outcome.request_id}"}
    async with MockGateway(*[refuse] * 20).session(account) as session:
        with pytest.raises(CallError) as caught:
            await verify(session, [draft])
    assert NAME not in visible_text(caught.value)


@pytest.mark.parametrize("gateway", ["paydock", "monri"])
async def test_request_id_shows_no_card_number_and_no_email(gateway: str) -> None:
    for sent, left in (("4929735926140832", "…"), ("id-ada@example.org", "…"), ("1234567890123", "1234567890123")):
        async with MockGateway(json_response(400, {}, x_request_id=sent)).session(gateway) as session:
            with pytest.raises(CallError) as caught:
                await session.get_by_reference("r-1")
        assert (caught.value.request_id, caught.value.history[0].request_id) == (left, left)


HIDDEN = "s3cr3t-k3y"


TOKEN = respond(200, {"status": "approved", "access_token": "t-1", "expires_in": 900})


@pytest.mark.parametrize(
    ("auth", "steps"),
    [("digest", []), ("digest", [respond(401, {}), respond(429, {})]), ("oauth", [respond(401, {}), TOKEN])],
    ids=["fetched", "replaced", "replaced during the token request"],
)
async def test_message_does_not_show_a_secret_of_a_function(auth: Any, steps: list[Step]) -> None:
    keys = [f"{HIDDEN}-old", f"{HIDDEN}-new"][: 2 if steps else 1]
    echo, fetched = {"status": "invalid-request", "message": " or ".join(keys)}, iter(keys)
    account = Monri(lambda: next(fetched), "token", auth=auth)
    it = make_harness(*steps, respond(400, echo, x_request_id="r-9"), account=account)
    with pytest.raises(CallError) as caught:
        await it.create(draft())
    assert (HIDDEN in visible_text(caught.value), caught.value.request_id) == (False, "r-9")


async def test_request_id_of_a_response_does_not_show_a_provided_secret() -> None:
    events: list[Any] = []
    step = respond(404, {"message": "Customer not found"}, x_request_id=f"id-{HIDDEN}")
    it = make_harness(step, account=Monri(lambda: HIDDEN, "token"))
    it.executor.observers = ObserverGroup([events.append])
    with pytest.raises(CallError) as caught:
        await it.get("0b0f1f83-4e24-4f8a-8f0a-6d6d0c3b7a4d")
    assert events
    assert HIDDEN not in repr((events, caught.value.history))


@pytest.mark.parametrize("value", ["Bearer {}", "session={}; theme=dark", 'Token token="{}"', "user:{}", "a/{},b"])
async def test_message_does_not_show_a_secret_in_an_additional_header(value: str) -> None:
    echo = {"status": "invalid-request", "message": f"X-Tenant: Bearer {HIDDEN} of the customer is wrong in region eu"}
    async with MockGateway(json_response(400, echo)).session(Monri("key", "token")) as session:
        view = session.with_options(
            headers={"X-Tenant": value.format(HIDDEN), "X-Region": "eu", "X-App": "Customer sync"}
        )
        with pytest.raises(CallError, match="Bearer … of the customer is wrong in region eu") as caught:
            await view.create(draft())
    assert HIDDEN not in visible_text(caught.value)
    assert HIDDEN not in repr(vars(view))  # as tools that record local variables show it

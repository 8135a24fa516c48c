"""A response header that cannot be read counts as absent."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from gateway_responses import HEX24, UUID, monri_customer, paydock_list
from mock_gateway import wonder
from transports.sending import response_to, signed_request

from raw_sockets import Peer, RawServer
from scripted_transport import CREATED, MONRI, NO_RESPONSE, PAYDOCK, draft, make_harness, respond
from wonder_customers import Customer, Monri, RateLimitError, RetryPolicy
from wonder_customers._core.context import age_of
from wonder_customers.dialects.base import Account

LARGE = "9" * 5000
VALUES = [
    "Mon, 01 Jan 99999999999 00:00:00 GMT",
    f"Mon, {LARGE} Jan 2024 00:00:00 GMT",
    "Mon, 01 Jan 2024 00:00:00 +99999999999999",
    "Mon, 01 Jan 2024 00:00:00 +9999",
    "-",
    "²",
    "nan",
    "-1",
    f"1e{LARGE}",
    f"timeout={LARGE}",
]
EACH_VALUE = pytest.mark.parametrize("value", VALUES, ids=lambda it: it[:40])
CREATED_AT = datetime.now(UTC).isoformat()


@EACH_VALUE
@pytest.mark.parametrize(
    ("account", "found"),
    [
        (MONRI, monri_customer(merchant_customer_id="r-1", name="Ada", phone="+447911123456", created_at=CREATED_AT)),
        (
            PAYDOCK,
            paydock_list(
                {
                    "_id": HEX24,
                    "reference": "r-1",
                    "first_name": "Ada",
                    "phone": "+447911123456",
                    "created_at": CREATED_AT,
                }
            ),
        ),
    ],
    ids=["monri", "paydock"],
)
async def test_lookup_with_an_unreadable_date_recovers_the_create(account: Account, found: Any, value: str) -> None:
    it = make_harness(NO_RESPONSE, respond(200, found, date=value), account=account)
    assert (await it.create(draft())).recovered


@EACH_VALUE
@pytest.mark.parametrize("header", ["retry_after", "retry_after_ms"])
async def test_unreadable_time_of_a_refusal_counts_as_absent(header: str, value: str) -> None:
    it = make_harness(respond(429, {}, **{header: value}), policy=RetryPolicy(attempts=1))
    with pytest.raises(RateLimitError) as caught:
        await it.get(UUID)
    assert caught.value.retry_after is None


@EACH_VALUE
async def test_unreadable_total_and_times_in_a_body_count_as_absent(value: str) -> None:
    body = {"data": {"customers": [{"uuid": UUID, "created_at": value, "updated_at": value}]}}
    it = make_harness(respond(200, body, x_total_entries=value), account=wonder())
    page = (await it.executor.run(it.account_context, "list", it.dialect.page(10, None), None)).record
    assert (page.total, [item.created_at for item in page.items]) == (None, [None])


@pytest.mark.parametrize("lifetime", [2**64 - 1, -1, 0, 1e300, "9" * 50, "soon", None, True, [], [1], {}], ids=str)
async def test_any_lifetime_of_a_token_is_accepted(lifetime: object) -> None:
    token = respond(200, {"access_token": "t", "expires_in": lifetime, "status": "approved"})
    it = make_harness(token, CREATED, CREATED, account=Monri("key", "token", auth="oauth"))
    for _ in range(2):
        assert (await it.get(UUID)).record.id == UUID


@EACH_VALUE
async def test_unreadable_keep_alive_counts_as_absent(kind: Callable[..., Any], value: str) -> None:
    def script(peer: Peer) -> None:
        while peer.request():
            peer.say(b"HTTP/1.1 200 OK\r\nKeep-Alive: %s\r\nContent-Length: 2\r\n\r\n{}" % value.encode("latin-1"))

    transport = kind()
    with RawServer(script) as server:
        for _ in range(2):
            assert (await response_to(transport, signed_request(server.port))).status == 200
        assert server.connections == 1
        await transport.aclose()


def test_age_is_unknown_without_a_zone() -> None:
    customer = Customer(UUID, created_at=datetime(2024, 1, 1))  # noqa: DTZ001 - without a zone on purpose
    assert age_of(customer, {"date": "Mon, 01 Jan 2024 00:00:00 GMT"}) == 0.0


@pytest.mark.parametrize("headers", [{}, {"date": "yesterday"}])
def test_age_without_the_gateways_clock_is_the_smallest_by_the_own_clock(headers: dict[str, str]) -> None:
    now = datetime.now(UTC)
    assert age_of(Customer(UUID, created_at=now - timedelta(hours=23)), headers) <= 0
    assert age_of(Customer(UUID, created_at=now - timedelta(days=2)), headers) > 10

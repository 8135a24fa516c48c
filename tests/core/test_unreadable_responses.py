"""A response to a write that cannot be read leaves the write unconfirmed."""

from collections.abc import Callable
from typing import Any

import orjson
import pytest
from core.monri_responses import CREATE, FIND, OTHER
from gateway_responses import UUID, monri_customer, wonder_customer
from mock_gateway import wonder
from transports.sending import session_with

from raw_sockets import Peer
from scripted_transport import CREATED, NOT_FOUND, PAYDOCK, Step, draft, make_harness, respond
from wonder_customers import ConflictError, CustomerDraft, CustomerPatch, InvalidResponseError

UNREADABLE = {
    "201 without a body": respond(201),
    "204": respond(204),
    "202 text": respond(202, b"Accepted"),
    "page": respond(200, b"<html>"),
    "redirect": respond(307, location="/v2/customers"),
    "no id": respond(200, {"status": "approved"}),
}
ENDS = pytest.mark.parametrize("end", UNREADABLE.values(), ids=UNREADABLE)
MISMATCH = respond(200, monri_customer(uuid=UUID[::-1], merchant_customer_id="r-9"))
ALL_ENDS = pytest.mark.parametrize("end", [*UNREADABLE.values(), MISMATCH], ids=[*UNREADABLE, "another customer"])


@ENDS
async def test_create_is_looked_up_at_once(end: Step) -> None:
    it = make_harness(end, CREATED)
    response = await it.create(draft())
    assert (response.recovered, it.script.lines(), it.clock.waits) == (True, [CREATE, FIND], [0.0])
    assert it.executor.order.locks.unconfirmed.remaining([(1, "reference", "r-1")], b"other") == 0


@ENDS
async def test_create_is_not_sent_again_if_it_is_not_found(end: Step) -> None:
    it = make_harness(end, *[NOT_FOUND] * 6)
    with pytest.raises(InvalidResponseError) as caught:
        await it.create(draft())
    assert (caught.value.applied, caught.value.attempts) == ("unknown", 1)
    assert it.script.lines() == [CREATE, *[FIND] * 6]
    from_proxy = end in (UNREADABLE["page"], UNREADABLE["redirect"])
    assert ("Check base_url" in caught.value.hint) == from_proxy


async def test_lookup_compares_the_values_because_the_create_may_not_be_applied() -> None:
    with pytest.raises(ConflictError, match="differs in these fields: name") as caught:
        await make_harness(UNREADABLE["202 text"], OTHER).create(draft())
    assert caught.value.applied == "unknown"


@ALL_ENDS
async def test_different_update_waits_for_the_confirmation_window(end: Step) -> None:
    it = make_harness(end, CREATED)
    with pytest.raises(InvalidResponseError) as caught:
        await it.update(UUID, CustomerPatch(name="Grace"))
    assert (caught.value.applied, caught.value.attempts, it.clock.waits) == ("unknown", 1, [])
    await it.update(UUID, CustomerPatch(name="Ada"))
    assert it.clock.waits == [10.0]


@pytest.mark.parametrize(
    "end",
    [
        *(UNREADABLE[name] for name in ("202 text", "page", "redirect")),
        respond(404, b"<html>"),
        respond(200, {"status": "approved", "uuid": UUID[::-1]}),
    ],
)
async def test_update_waits_after_a_deletion_whose_response_cannot_be_read(end: Step) -> None:
    it = make_harness(end, CREATED)
    with pytest.raises(InvalidResponseError):
        await it.delete(UUID)
    await it.update(UUID, CustomerPatch(name="Ada"))
    assert it.clock.waits == [10.0]


async def test_create_about_another_customer_is_not_looked_up_and_delays_the_next_write() -> None:
    it = make_harness(MISMATCH, *[CREATED] * 2)
    with pytest.raises(InvalidResponseError, match="about another customer") as caught:
        await it.create(draft())
    assert (caught.value.mismatch, it.script.lines()) == (True, [CREATE])
    await it.upsert(draft())
    assert it.clock.waits == [10.0]


@ENDS
async def test_create_at_wonder_delays_a_different_create(end: Step) -> None:
    it = make_harness(end, respond(200, wonder_customer(name="Grace")), account=wonder())
    with pytest.raises(InvalidResponseError) as caught:
        await it.create(draft())
    assert (caught.value.applied, caught.value.mismatch) == ("unknown", False)
    await it.create(draft(name="Grace"))
    assert it.clock.waits == [10.0]


async def test_create_without_reference_is_raised() -> None:
    it = make_harness(UNREADABLE["204"], account=PAYDOCK)
    with pytest.raises(InvalidResponseError) as caught:
        await it.create(draft(reference=None))
    assert (caught.value.applied, len(it.script.sent)) == ("unknown", 1)


@pytest.mark.parametrize(
    "first",
    [
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 202 Accepted\r\nContent-Length: 8\r\n\r\nAccepted",
        b"HTTP/1.1 307 Temporary Redirect\r\nLocation: /v2/customers\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\n<html>\r\n0\r\n\r\n",
    ],
)
async def test_writes_over_sockets(kind: Callable[..., Any], first: bytes) -> None:
    body = orjson.dumps(monri_customer(merchant_customer_id="r-1", name="Ada"))
    seen: list[bytes] = []

    def script(peer: Peer) -> None:
        while request := peer.request():
            seen.append(request.split(b" ", 1)[0])
            usual = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
            peer.say(first if seen[-1] == b"POST" and seen.count(b"POST") <= 2 else usual)

    async with session_with(script, kind, confirmation_window=0.3) as session:
        assert (await session.raw.create(CustomerDraft(reference="r-1", name="Ada"))).recovered
        with pytest.raises(InvalidResponseError) as caught:
            await session.update(UUID, CustomerPatch(name="Grace"))
        assert caught.value.applied == "unknown"
        assert (await session.raw.update(UUID, CustomerPatch(name="Ada"))).elapsed > 0.2
    assert seen == [b"POST", b"GET", b"POST", b"POST"]

"""Doubts that outlive a call, answers nobody asked for, and peers that end connections in their own ways."""

import socket
import ssl
import threading
import time
from typing import Any

import anyio
import httpx
import pytest

from raw import OK, Peer, RawServer
from scripted import SILENT, STALE, UUID, bench, draft, hang, lost, monri_customer, real_time, reply
from wonder_customers import (
    ConfigurationError,
    CustomerDraft,
    CustomerPatch,
    CustomerSession,
    DeadlineExceeded,
    InvalidReply,
    Monri,
    NotFound,
    OutcomeUnknown,
    RetryPolicy,
)
from wonder_customers._scrub import scrub
from wonder_customers.transports.httpx import HttpxTransport

pytestmark = pytest.mark.anyio

MADE = reply(200, monri_customer(merchant_customer_id="r-1", name="Ada", phone="+447911123456"))
OTHER = reply(200, monri_customer(merchant_customer_id="r-1", name="ADA", phone="+447911123456"))
MISSING = reply(404, {"message": "Customer not found"})


async def test_a_create_on_a_stale_connection_is_sent_once_more_like_any_other() -> None:
    it = bench(STALE, *[MISSING] * 5, MADE)
    assert (await it.create(draft())).record.id == UUID
    assert it.script.lines().count("POST /v2/customers") == 2


async def test_a_doubtful_create_is_not_forgotten_by_the_reads_after_it() -> None:
    it = bench(MISSING, SILENT, OTHER, SILENT, SILENT, SILENT)
    with pytest.raises(OutcomeUnknown) as caught:
        await it.upsert(draft())
    error = caught.value
    assert (error.applied, error.reference, error.gateway, error.operation) == ("unknown", "r-1", "monri", "upsert")


async def test_a_refusal_after_a_doubtful_create_does_not_clear_it() -> None:
    it = bench(MISSING, SILENT, OTHER, reply(404, {"message": "Customer not found"}))
    with pytest.raises(NotFound) as caught:
        await it.upsert(draft())
    assert caught.value.applied == "unknown"


async def test_a_doubt_that_a_later_write_has_settled_is_none() -> None:
    it = bench(MISSING, SILENT, OTHER, OTHER, MADE)
    assert (await it.upsert(draft())).record.name == "Ada"


async def test_an_earlier_attempt_may_land_although_a_later_one_was_seen() -> None:
    it = bench(SILENT, lost(sent=True, status=200), MADE)
    await it.update(UUID, CustomerPatch(name="Ada"))
    assert it.exchange.turns.wait([(1, "id", UUID)], b"other") > 9


async def test_waiting_for_a_token_ends_with_the_callers_own_deadline() -> None:
    it = real_time(bench(hang(sent=True), endless=True, account=Monri("k", "t", auth="oauth")))

    async def young(*, task_status: Any) -> None:
        it.exchange.policy = RetryPolicy(deadline=5)
        task_status.started()
        with anyio.move_on_after(2):
            await it.get(UUID)

    async with anyio.create_task_group() as group:
        await group.start(young)
        await anyio.wait_all_tasks_blocked()
        it.exchange.policy = RetryPolicy(deadline=0.1)
        with anyio.fail_after(1), pytest.raises(DeadlineExceeded, match="bearer token"):
            await it.get(UUID)
        group.cancel_scope.cancel()


async def test_a_long_refusal_is_read_in_no_time() -> None:
    began = time.perf_counter()
    scrub("a" * 1_000_000, b"")
    assert time.perf_counter() - began < 1, "it once took time by the square"


async def test_a_time_that_utc_does_not_have_is_an_invalid_reply() -> None:
    with pytest.raises(InvalidReply, match="created_at"):
        await bench(reply(200, monri_customer(created_at="0001-01-01T00:00:00+08:00"))).get(UUID)


async def test_a_draft_of_a_class_of_ones_own_is_a_draft() -> None:
    class Ours(CustomerDraft):
        pass

    assert (await bench(MADE).create(Ours(reference="r-1", name="Ada"))).record.id == UUID


@pytest.mark.parametrize("wrong", [HttpxTransport, httpx.MockTransport])
async def test_a_class_is_no_transport(wrong: object) -> None:
    with pytest.raises(ConfigurationError, match="transport must be"):
        CustomerSession(Monri("k", "t"), transport=wrong)


async def test_an_httpx_client_is_no_transport() -> None:
    async with httpx.AsyncClient() as client:
        with pytest.raises(ConfigurationError, match="transport must be"):
            CustomerSession(Monri("k", "t"), transport=client)


async def test_what_comes_after_an_answer_is_not_the_answer_to_the_next_request() -> None:
    late = b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 2\r\n\r\n{}"
    asked: list[bytes] = []

    def script(peer: Peer) -> None:
        while request := peer.request():
            asked.append(request.split(b" ", 1)[0])
            body = b'{"status":"approved","uuid":"%s","merchant_customer_id":"r-1","name":"Ada"}' % UUID.encode()
            peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body) + late)

    with RawServer(script) as server:
        account = Monri("k", "t", base_url=f"http://127.0.0.1:{server.port}")
        async with CustomerSession(account) as session:
            for _ in range(3):
                assert (await session.get(UUID)).id == UUID
                made = await session.raw.create(CustomerDraft(reference="r-1", name="Ada"))
                assert made.attempts == 1
    assert asked == [b"GET", b"POST"] * 3


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n",
        b"HTTP/1.1 200 OK\r\nConnection: keep-alive, close\r\nContent-Length: 2\r\n",
    ],
)
async def test_connections_that_end_without_much_ado_are_replaced(head: bytes) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.say(head + b"\r\n{}")

    with RawServer(script) as server:
        account = Monri("k", "t", base_url=f"http://127.0.0.1:{server.port}")
        async with CustomerSession(account) as session:
            for _ in range(3):
                with pytest.raises(InvalidReply):
                    await session.get(UUID)


async def test_a_broken_tls_record_leaves_the_outcome_unknown() -> None:
    import trustme

    authority = trustme.CA()
    server_side, client_side = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(server_side)
    authority.configure_trust(client_side)

    def serve(listening: socket.socket) -> None:
        connection, _ = listening.accept()
        with connection:
            inside = server_side.wrap_socket(connection.dup(), server_side=True)
            inside.recv(65536)
            connection.sendall(b"\x17\x03\x03\x00\x20" + b"x" * 32)
            inside.detach()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve, args=(listening,))
        thread.start()
        transport = HttpxTransport(ssl_context=client_side)
        account = Monri("k", "t", base_url=f"https://127.0.0.1:{listening.getsockname()[1]}")
        async with CustomerSession(account, transport=transport) as session:
            with pytest.raises(OutcomeUnknown) as caught:
                await session.create(CustomerDraft(name="Ada"))
        thread.join()
    assert caught.value.applied == "unknown"
    assert (transport.open_lanes, transport.busy_lanes) == (0, 0)


def test_connections_of_another_event_loop_are_not_used() -> None:
    transport = HttpxTransport()

    def forever(peer: Peer) -> None:
        while peer.request():
            peer.say(OK)

    with RawServer(forever) as server:

        async def once() -> None:
            account = Monri("k", "t", base_url=f"http://127.0.0.1:{server.port}")
            async with CustomerSession(account, transport=transport) as session:
                with pytest.raises(InvalidReply):
                    await session.get(UUID)
            await transport.aclose()

        anyio.run(once)
        with pytest.raises(ConfigurationError, match="another event loop"):
            anyio.run(once)

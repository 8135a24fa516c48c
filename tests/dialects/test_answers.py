"""Every form in which the gateways say yes, no or something else, and the one meaning each is given."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from examples import CARD, DRAFT
from wired import ACCOUNTS, HEX24, UUID, Wire, answer, golden

from wonder_customers import (
    Ambiguous,
    CallFailed,
    CustomerDraft,
    CustomerPatch,
    CustomerSession,
    Duplicate,
    Forbidden,
    InvalidReply,
    NotFound,
    OutcomeUnknown,
    Phone,
    RateLimited,
    Refused,
    Rejected,
    Unauthorized,
    Unavailable,
    VaultToken,
)
from wonder_customers.dialects.monri import convert as monri
from wonder_customers.dialects.paydock import convert as paydock
from wonder_customers.dialects.wonder import convert as wonder

pytestmark = pytest.mark.anyio

IDS = {"wonder": UUID, "paydock": HEX24, "monri": UUID}
Session = CustomerSession[Any]
Verb = Callable[[Session], Awaitable[Any]]

TOKEN = "1b9d6bcd-bbfd-4b2d-9b5d-ab8dfbbd4bed"


async def failure(gateway: str, *answers: tuple[int, Any], verb: Verb | None = None, **headers: str) -> CallFailed:
    """The error of a get (or another verb) that the gateway answers so."""
    wire = Wire(*(answer(status, body, **headers) for status, body in answers))
    call: Verb = verb or (lambda session: session.get(IDS[gateway]))
    async with wire.session(ACCOUNTS[gateway]()) as session:
        with pytest.raises(CallFailed) as caught:
            await call(session)
    assert wire.answers == []
    assert caught.value.gateway == gateway
    return caught.value


def create(session: Session) -> Awaitable[Any]:
    return session.create(DRAFT)


REFUSALS: list[tuple[str, int, Any, type[Refused], str | None, str | None]] = [
    # Wonder: a number in good answers, a string in bad ones, two generations of names, refusals inside HTTP 200.
    ("wonder", 400, {"code": "E000001", "message": "name is required"}, Rejected, "E000001", "name is required"),
    (
        "wonder",
        401,
        {"code": "E000002", "message": "Invalid Credential Format."},
        Unauthorized,
        "E000002",
        "Invalid Credential Format.",
    ),
    ("wonder", 403, {"error_code": "E9", "error_message": "no", "data": {}}, Forbidden, "E9", "no"),
    ("wonder", 404, {"code": "E000404", "message": "Customer not found", "data": None}, NotFound, "E000404", None),
    ("wonder", 400, {"code": "E1", "message": "customer does not exist"}, NotFound, "E1", None),
    ("wonder", 500, {"code": "E000003", "message": "internal error"}, Unavailable, "E000003", None),
    ("wonder", 200, {"code": 400, "message": "bad phone"}, Rejected, "400", "bad phone"),
    ("wonder", 200, {"code": 401, "message": "who?"}, Unauthorized, "401", "who?"),
    ("wonder", 200, {"code": 404, "message": "Customer not found"}, NotFound, "404", None),
    ("wonder", 200, {"code": 500, "message": "oops"}, Unavailable, "500", "oops"),
    ("wonder", 200, {"code": "E000002", "message": "x", "data": {}}, Rejected, "E000002", "x"),
    ("wonder", 200, {"code": 0, "message": "string"}, Rejected, "0", "string"),
    ("wonder", 200, {"code": 200, "error_code": "E100", "message": "", "data": {}}, Rejected, "E100", None),
    ("wonder", 200, {"error_code": "E100", "error_message": "older", "data": {}}, Rejected, "E100", "older"),
    ("wonder", 200, {"code": 404, "data": None}, NotFound, "404", None),
    ("wonder", 403, b"<html><body>Forbidden</body></html>", Forbidden, None, None),
    ("wonder", 502, b"<html>Bad Gateway</html>", Unavailable, None, None),
    ("wonder", 503, None, Unavailable, None, None),
    ("wonder", 404, ["not", "an", "object"], NotFound, None, None),
    ("wonder", 429, {"message": "slow down"}, RateLimited, None, "slow down"),
    # Paydock: two error objects side by side, the older one irregular.
    ("paydock", 404, golden("paydock", "error_not_found"), NotFound, "not_found", "Not found"),
    (
        "paydock",
        400,
        golden("paydock", "error_validation"),
        Rejected,
        "validation_error",
        "param validation failed",
    ),
    (
        "paydock",
        403,
        golden("paydock", "error_wrong_key_older"),
        Forbidden,
        None,
        "No user with provided secret key",
    ),
    ("paydock", 403, golden("paydock", "error_forbidden"), Forbidden, "token_required", "Access forbidden"),
    ("paydock", 404, golden("paydock", "error_wrong_path_older"), NotFound, None, "Wrong Api path"),
    (
        "paydock",
        400,
        {
            "status": 400,
            "error": {"message": "older words", "code": "UnfulfilledCondition"},
            "error_summary": {"message": "newer words", "code": "unfulfilled_condition", "details": {"messages": []}},
        },
        Rejected,
        "unfulfilled_condition",
        "newer words",
    ),
    (
        "paydock",
        400,
        {"error": {"message": {"message": "inner", "http_status_code": 400, "errors": ["a", "b"]}}},
        Rejected,
        None,
        "inner",
    ),
    ("paydock", 400, {"error": {"message": {"errors": ["a", "b"]}}}, Rejected, None, "a; b"),
    ("paydock", 400, {"error": "just text"}, Rejected, None, "just text"),
    ("paydock", 400, {"error": ["odd"]}, Rejected, None, None),
    ("paydock", 200, {"status": 400, "error": {"message": "hidden"}, "resource": None}, Rejected, None, "hidden"),
    ("paydock", 200, {"status": 404, "error_summary": {"message": "gone"}}, NotFound, None, "gone"),
    ("paydock", 500, {"error": {"message": "internal"}}, Unavailable, None, "internal"),
    ("paydock", 408, b"", Unavailable, None, None),
    ("paydock", 401, {"message": "unauthorized"}, Unauthorized, None, None),
    ("paydock", 502, b"<html>", Unavailable, None, None),
    # Monri: the word in `status` decides, whatever HTTP says.
    ("monri", 200, {"status": "invalid-request", "message": "no good"}, Rejected, "invalid-request", "no good"),
    ("monri", 200, {"status": "error", "message": "broken"}, Rejected, "error", "broken"),
    ("monri", 200, {"status": "frozen", "uuid": UUID}, Rejected, "frozen", None),
    ("monri", 200, {"status": "invalid-request", "message": "Customer not found"}, NotFound, "invalid-request", None),
    ("monri", 401, {"status": "error", "message": "Invalid digest"}, Unauthorized, "error", "Invalid digest"),
    ("monri", 404, b"", NotFound, None, None),
    ("monri", 400, b"<html>", Rejected, None, None),
    ("monri", 500, {"status": "error"}, Unavailable, "error", None),
]


@pytest.mark.parametrize(
    ("gateway", "status", "body", "kind", "code", "message"),
    REFUSALS,
    ids=[f"{gateway} {status} {str(body)[:40]}" for gateway, status, body, *_ in REFUSALS],
)
async def test_each_documented_refusal_has_one_meaning(
    gateway: str, status: int, body: Any, kind: type[Refused], code: str | None, message: str | None
) -> None:
    error = await failure(gateway, (status, body))
    assert type(error) is kind
    assert isinstance(error, Refused)
    assert error.code == code
    if message is not None:
        assert error.message == message
        assert message in str(error)
    assert error.status == (status if status >= 400 else error.status)
    assert 400 <= error.status <= 599
    assert error.applied == "no"
    assert (error.attempts, error.operation, error.id) == (1, "get", IDS[gateway])


@pytest.mark.parametrize(
    ("details", "fields"),
    [
        ({"path": "id", "messages": ["id must be a mongodb id"]}, {"id": ("id must be a mongodb id",)}),
        ({"path": "", "messages": []}, {}),
        (None, {}),
        (["first", "second"], {"": ("first", "second")}),
        (
            [
                {"gateway_specific_code": "1", "param_name": "phone", "description": "must be E.164"},
                {"gateway_specific_code": "2", "gateway_specific_description": "declined"},
            ],
            {"phone": ("must be E.164",), "": ("declined",)},
        ),
        ({"gateway_specific_code": "51", "gateway_specific_description": "no funds"}, {"": ("no funds",)}),
        ("odd", {}),
        ({"path": 5, "messages": [None, 7]}, {"5": ("None", "7")}),
    ],
)
async def test_paydocks_details_are_read_in_each_of_their_forms(details: Any, fields: dict[str, Any]) -> None:
    for name in ("error", "error_summary"):
        body = {"status": 400, name: {"message": "no", "details": details}}
        error = await failure("paydock", (400, body))
        assert isinstance(error, Rejected)
        assert error.fields == fields


NO_REPLIES: list[tuple[str, int, Any]] = [
    (gateway, status, body)
    for gateway in ACCOUNTS
    for status, body in [
        (200, b""),
        (200, b"  \n"),
        (200, b"<!doctype html><title>Maintenance</title>"),
        (200, [1, 2]),
        (200, "text"),
        (200, 5),
        (200, b"null"),
        (200, b"\xff\xfe"),
        (200, b'{"code": 200, "status": "approved"'),
        (200, {}),
        (302, b""),
        (301, {"code": 200}),
        (307, b"<html>"),
    ]
] + [
    ("wonder", 200, {"code": 200, "message": "success", "data": None}),
    ("wonder", 200, {"code": 200, "message": "success"}),
    ("wonder", 200, {"code": 200, "data": []}),
    ("wonder", 200, {"code": [], "data": {}}),
    ("wonder", 200, {"code": {"a": 1}, "data": {}}),
    ("wonder", 200, {"code": True, "data": {}}),
    ("wonder", 200, {"code": 200, "data": {"customer": []}}),
    ("wonder", 200, {"code": 200, "data": {"customer": "Ada"}}),
    ("paydock", 200, {"status": 200, "error": None}),
    ("paydock", 200, {"status": 200, "error": None, "resource": []}),
    ("paydock", 200, {"status": 200, "error": None, "resource": {"type": "customer", "data": "Ada"}}),
    ("monri", 200, {"status": ["approved"]}),
    ("monri", 200, {"status": {"a": 1}, "uuid": UUID}),
    ("monri", 200, {"status": "approved", "uuid": None}),
    ("monri", 200, {"status": "approved", "uuid": 5}),
]


@pytest.mark.parametrize(
    ("gateway", "status", "body"), NO_REPLIES, ids=[f"{it[0]} {it[1]} {str(it[2])[:40]}" for it in NO_REPLIES]
)
async def test_what_no_document_knows_is_an_invalid_reply_and_no_write_is_said_to_have_failed(
    gateway: str, status: int, body: Any
) -> None:
    read = await failure(gateway, (status, body))
    assert isinstance(read, InvalidReply)
    assert read.status == status
    assert read.applied == "no"
    written = await failure(gateway, (status, body), verb=create)
    assert isinstance(written, InvalidReply)
    assert written.applied == "unknown"


@pytest.mark.parametrize(
    ("gateway", "body"),
    [
        ("wonder", {"code": 200, "data": {"customer": None}}),
        ("wonder", {"code": 200, "data": {}}),
        ("paydock", {"status": 200, "error": None, "resource": {"type": "customer", "data": None}}),
    ],
)
async def test_an_accepted_answer_without_a_customer_is_not_found_for_a_read_and_unknown_for_a_write(
    gateway: str, body: Any
) -> None:
    assert isinstance(await failure(gateway, (200, body)), NotFound)
    written = await failure(gateway, (200, body), verb=create)
    assert isinstance(written, InvalidReply)
    assert written.applied == "unknown"


async def test_a_made_token_that_is_not_shown_may_have_been_made() -> None:
    body = {"code": 200, "data": {"payment_token": None}}
    error = await failure("wonder", (200, body), verb=lambda s: s.create_payment_token(UUID, CARD))
    assert isinstance(error, InvalidReply)
    assert error.applied == "unknown"
    assert isinstance(await failure("wonder", (200, body), verb=lambda s: s.check_payment_token(UUID, "t")), NotFound)


async def test_wonder_says_inside_200_that_a_token_was_not_deleted() -> None:
    body = {"code": 200, "data": {"success": False}}
    error = await failure("wonder", (200, body), verb=lambda s: s.delete_payment_token(UUID, "t"))
    assert isinstance(error, Rejected)


async def test_monri_says_inside_200_that_a_customer_was_not_deleted() -> None:
    body = {"status": "approved", "id": UUID, "deleted": False}
    assert isinstance(await failure("monri", (200, body), verb=lambda s: s.delete(UUID)), Rejected)


@pytest.mark.parametrize("message", ["Merchant customer has already been taken", "merchant_customer_id duplicate"])
async def test_monris_400_for_a_taken_reference_is_a_duplicate(message: str) -> None:
    error = await failure("monri", (400, {"status": "invalid-request", "message": message}), verb=create)
    assert type(error) is Duplicate
    assert (error.applied, error.reference) == ("no", "35")


async def test_a_409_is_a_duplicate_everywhere() -> None:
    for gateway in ACCOUNTS:
        assert type(await failure(gateway, (409, None), verb=create)) is Duplicate


@pytest.mark.parametrize(
    ("text", "seconds"), [("7", 7.0), ("0.5", 0.5), ("-1", None), ("soon", None), ("nan", None), ("", None)]
)
async def test_a_throttled_call_tells_how_long_to_wait(text: str, seconds: float | None) -> None:
    error = await failure("monri", (429, None), Retry_After=text)
    assert isinstance(error, RateLimited)
    assert error.retry_after == seconds


OTHERS: dict[str, Any] = {
    "wonder": {"code": 200, "data": {"customer": {"uuid": "other", "reference_number": "other"}}},
    "paydock": {"status": 200, "error": None, "resource": {"data": {"_id": "other", "reference": "other"}}},
    "monri": {"status": "approved", "uuid": "other", "merchant_customer_id": "other"},
}


@pytest.mark.parametrize("gateway", ACCOUNTS)
@pytest.mark.parametrize("verb", ["get", "get_by_reference", "create", "update", "delete"])
async def test_another_customers_record_is_never_taken_for_the_one_asked_for(gateway: str, verb: str) -> None:
    calls: dict[str, Verb] = {
        "get": lambda s: s.get(IDS[gateway]),
        "get_by_reference": lambda s: s.get_by_reference("35"),
        "create": create,
        "update": lambda s: s.update(IDS[gateway], CustomerPatch(name="Ada")),
        "delete": lambda s: s.delete(IDS[gateway]),
    }
    if (gateway, verb) in {("wonder", "delete"), ("paydock", "get_by_reference")}:
        return  # the one is unsupported, the other a search, which compares by itself
    error = await failure(gateway, (200, OTHERS[gateway]), verb=calls[verb])
    assert isinstance(error, InvalidReply)
    assert "other" not in error.why.replace("another", "")
    assert error.applied == (
        "no" if verb.startswith("get") or (gateway == "wonder" and verb == "update") else "unknown"
    )


async def test_a_wonder_update_answered_with_another_uuid_says_that_it_was_applied() -> None:
    held = {"uuid": UUID, "reference_number": "35", "name": "Ada", "phone": "1"}
    good = {"code": 200, "data": {"customer": held}}
    other = {"code": 200, "data": {"customer": {**held, "uuid": "other"}}}
    error = await failure(
        "wonder", (200, good), (200, other), verb=lambda s: s.update(UUID, CustomerPatch(name="Augusta"))
    )
    assert isinstance(error, InvalidReply)
    assert error.applied == "yes"


async def test_two_paydock_customers_with_one_reference_are_ambiguous_and_nothing_is_written() -> None:
    data = [{"_id": "a" * 24, "reference": "35"}, {"_id": "b" * 24, "reference": "35"}]
    body = {"status": 200, "error": None, "resource": {"type": "customer", "data": data, "count": 2}}
    error = await failure("paydock", (200, body), verb=lambda s: s.upsert(DRAFT))
    assert isinstance(error, Ambiguous)
    assert error.ids == ("a" * 24, "b" * 24)
    assert error.reference == "35"


async def test_paydock_sources_that_do_not_show_the_new_one_may_not_be_asked_for_again() -> None:
    body = {"status": 200, "error": None, "resource": {"data": {"_id": HEX24, "payment_sources": []}}}
    verb: Verb = lambda s: s.create_payment_token(HEX24, VaultToken(TOKEN))  # noqa: E731
    error = await failure("paydock", (200, body), (200, body), verb=verb)
    assert isinstance(error, InvalidReply)
    assert error.applied == "yes"


async def test_a_token_that_the_customer_does_not_have_is_not_found() -> None:
    body = {"status": 200, "error": None, "resource": {"data": {"_id": HEX24, "payment_sources": [{"_id": "x"}]}}}
    assert isinstance(await failure("paydock", (200, body), verb=lambda s: s.check_payment_token(HEX24, "y")), NotFound)


async def test_a_list_that_ignores_the_offset_ends_with_an_error_and_not_never() -> None:
    page = {"status": "approved", "data": [{"uuid": f"u{number}"} for number in range(2)]}
    wire = Wire(answer(200, page), answer(200, page))
    async with wire.session(ACCOUNTS["monri"]()) as session:
        with pytest.raises(InvalidReply, match="does not heed the offset"):
            _ = [it async for it in session.list(limit=2)]


async def test_a_customer_that_moves_to_the_next_page_while_a_list_is_walked_is_given_once() -> None:
    pages = [["a", "b"], ["b", "c"], []]
    wire = Wire(*(answer(200, {"status": "approved", "data": [{"uuid": it} for it in page]}) for page in pages))
    async with wire.session(ACCOUNTS["monri"]()) as session:
        assert [it.id async for it in session.list(limit=2)] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("gateway", "body"),
    [
        ("wonder", {"code": 200, "data": {"customers": {}}}),
        ("paydock", {"status": 200, "error": None, "resource": {"data": {}}}),
        ("paydock", {"status": 200, "error": None, "resource": {"data": None}}),
        ("monri", {"status": "approved", "data": {}}),
        ("monri", {"status": "approved"}),
    ],
)
async def test_a_list_that_is_no_list_is_an_invalid_reply(gateway: str, body: Any) -> None:
    async def walk(session: Session) -> None:
        assert [it async for it in session.list()]

    assert isinstance(await failure(gateway, (200, body), verb=walk), InvalidReply)


async def test_personal_data_that_a_gateway_quotes_is_taken_out_of_its_words() -> None:
    draft = CustomerDraft(reference="35", name="Ada Lovelace", email="ada@example.com", phone=Phone("+1", "2345678901"))
    quoting = "name Ada Lovelace, email ada@example.com, phone +12345678901 are not good enough"
    bodies = {
        "wonder": {"code": "E1", "message": quoting},
        "paydock": {
            "error_summary": {"message": quoting, "details": {"path": "name", "messages": [quoting]}},
        },
        "monri": {"status": "invalid-request", "message": quoting},
    }
    for gateway, body in bodies.items():
        error = await failure(gateway, (400, body), verb=lambda s: s.create(draft))
        shown = f"{error} {error!r} {vars(error)}"
        for private in ("Lovelace", "ada@", "2345678901"):
            assert private not in shown


async def test_a_create_that_a_gateway_failed_over_may_have_been_applied() -> None:
    for gateway in ("paydock", "monri"):
        error = await failure(gateway, (500, None), verb=lambda s: s.create(CustomerDraft(name="Ada")))
        assert isinstance(error, OutcomeUnknown)
        assert error.applied == "unknown"


# Records out of answers


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2019-02-12T11:22:33Z", datetime(2019, 2, 12, 11, 22, 33, tzinfo=UTC)),
        ("2019-02-12T11:22:33.456Z", datetime(2019, 2, 12, 11, 22, 33, 456_000, UTC)),
        ("2019-02-12T12:22:33+01:00", datetime(2019, 2, 12, 11, 22, 33, tzinfo=UTC)),
        ("2019-02-12T11:22:33", datetime(2019, 2, 12, 11, 22, 33, tzinfo=UTC)),
    ],
)
async def test_times_come_out_as_moments_with_a_zone(text: str, expected: datetime) -> None:
    customer = monri.read_customer({"uuid": UUID, "created_at": text})
    assert customer.created_at == expected
    assert customer.created_at.tzinfo is not None


@pytest.mark.parametrize("text", ["yesterday", "2019-02-30T00:00:00Z", "", 1549970553, "2019-02-12T25:00:00Z"])
async def test_what_is_no_time_is_an_invalid_reply_without_the_value(text: object) -> None:
    with pytest.raises(InvalidReply, match="created_at: expected an RFC 3339 time") as caught:
        monri.read_customer({"uuid": UUID, "created_at": text})
    assert str(text) not in str(caught.value) or not text


async def test_null_is_never_the_text_none_and_false_is_never_true() -> None:
    customer = monri.read_customer({**golden("monri", "create_response"), "name": None, "deleted": False})
    assert (customer.name, customer.deleted) == (None, False)
    for wrong in ("false", 0, 1, "true"):
        with pytest.raises(InvalidReply, match="deleted: expected bool"):
            monri.read_customer({"uuid": UUID, "deleted": wrong})


async def test_monris_two_ids_are_told_apart_when_both_are_there() -> None:
    both = monri.read_customer({"uuid": UUID, "id": "12345"})
    assert (both.id, both.extra) == (UUID, {"id": "12345"})
    same = monri.read_customer({"uuid": UUID, "id": UUID})
    assert (same.id, same.extra) == (UUID, {})
    only = monri.read_customer({"uuid": None, "id": UUID})
    assert (only.id, only.extra) == (UUID, {})


async def test_monris_telephone_numbers_are_free_text_and_international_ones_are_split() -> None:
    for text, phone in {
        "+38761000111": Phone("+387", "61000111"),
        "00387000111": Phone(None, "00387000111"),
        "call my wife": Phone(None, "call my wife"),
        "+387 61 000 111 ext. 5": Phone(None, "+387 61 000 111 ext. 5"),
        "+1 800 FLOWERS": Phone(None, "+1 800 FLOWERS"),
    }.items():
        read = monri.read_customer({"uuid": UUID, "phone": text})
        assert read.phone == phone
        assert monri.customer_reply(read)["phone"] == text


async def test_unknown_words_of_enumerations_are_kept_as_they_are() -> None:
    token = wonder.read_token({"token": "t", "token_type": "ApplePay", "state": "in_review"})
    assert (token.token_type, token.state) == ("ApplePay", "in_review")
    customer = wonder.read_customer({"uuid": UUID, "default_payment_method": "credit_card"})
    assert customer.default_payment_method == "credit_card"
    assert paydock.read_customer({"_id": HEX24, "status": "on_hold"}).status == "on_hold"
    assert paydock.read_token({"_id": HEX24, "type": "crypto"}).token_type == "crypto"


async def test_a_default_source_that_is_not_listed_is_still_told() -> None:
    customer = paydock.read_customer({"_id": HEX24, "default_source": "5f0c2f7a9b1e8d0012345678"})
    assert customer.default_payment_token is not None
    assert customer.default_payment_token.token == "5f0c2f7a9b1e8d0012345678"
    assert paydock.customer_reply(customer) == {"_id": HEX24, "default_source": "5f0c2f7a9b1e8d0012345678"}
    for nothing in (None, ""):
        assert paydock.read_customer({"_id": HEX24, "default_source": nothing}).default_payment_token is None


async def test_a_whole_card_number_in_an_answer_is_cut_to_its_last_four_digits() -> None:
    token = wonder.read_token({"token": "t", "credit_card": {"number": "4111 1111 1111 1234"}})
    assert token.card is not None
    assert token.card.number == "***************1234"
    assert token.card.last4 == "1234"
    assert "4111" not in f"{token} {token.card!r}"

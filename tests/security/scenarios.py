"""Scenarios in which the library could reveal a canary.

The canary test runs each of them, and the mutation test requires that each removed redaction makes one of them fail.
"""

import copy
import pickle
import pprint
import string
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import anyio
import attrs
import cattrs
import httpx
import orjson
from gateway_responses import HEX24, UUID
from mock_gateway import MockGateway, golden, json_response, monri_oauth, private_key
from security.bulk_scenarios import cards_in_files, failed_query, missing_header, sync_commands
from security.canary_values import (
    CARD,
    CARD_SOURCE,
    CITY,
    CVV,
    EMAIL,
    MEMBER,
    NAME,
    NOTE,
    ONE_TIME,
    PAYMENT_TOKEN,
    VAULT,
    WONDER_CARD,
    WONDER_CARD_FIELDS,
    canary_draft,
    canary_filter,
)
from security.scenario_context import GATEWAYS, KEY, MERCHANTS, ScenarioContext, command
from security.transport_scenarios import broken, cancelled, illegal_header

from wonder_customers import (
    CardSource,
    CustomerDraft,
    CustomerPatch,
    CustomerSession,
    Monri,
    OneTimeToken,
    Paydock,
    PaydockFilter,
    PaymentToken,
    Secret,
    VaultToken,
    Wonder,
    WonderCard,
    WonderCustomersError,
    WonderFilter,
)
from wonder_customers.bulk.shared_limit import SharedLimit
from wonder_customers.cli.accounts import account_from_environment
from wonder_customers.dialects import package
from wonder_customers.transports.httpx import HttpxTransport

# Secrets and records


def secrets(context: ScenarioContext) -> None:
    """Apply the usual operations on values to a secret."""
    hidden = Secret(KEY)
    operations: tuple[Callable[[Any], object], ...] = (
        repr, str, format, "{:>30}".format, "%s".__mod__, pprint.pformat, len, iter, list, bytes, vars, orjson.dumps,
        lambda it: string.Template("$it").substitute(it=it), lambda it: f"{it!a}", lambda it: it.__getstate__(),
        lambda it: it.__reduce__(), copy.copy, copy.deepcopy, partial(orjson.dumps, default=str),
        lambda it: {name: getattr(it, name) for name in type(it).__slots__},
        *(partial(pickle.dumps, protocol=it) for it in range(6)), cattrs.Converter().unstructure,
        lambda it: setattr(it, "other", 1), lambda it: it < Secret("x"), lambda it: it + "x",
    )  # fmt: skip
    for operation in operations:
        _apply(context, operation, hidden)
    sources = (CardSource(CARD, cvv=CVV), OneTimeToken(ONE_TIME), VaultToken(VAULT))
    context.output.add(
        *map(repr, (*sources, WONDER_CARD, *(canary_draft(gateway, "r", CARD_SOURCE) for gateway in GATEWAYS)))
    )
    for holder in (*sources, CustomerDraft(payment_source=sources[0]), *(make() for _, make in MERCHANTS)):
        for show in (repr, attrs.asdict, attrs.astuple, cattrs.Converter().unstructure, pickle.dumps, copy.copy):
            _apply(context, show, holder)
    sessions = [CustomerSession(make()) for _, make in MERCHANTS]
    context.output.add(*(repr((it, vars(it), it.raw, it.account)) for it in sessions))


def _apply(context: ScenarioContext, operation: Callable[[Any], object], value: object) -> None:
    try:
        context.output.add(repr(operation(value)))
    except (TypeError, AttributeError, pickle.PicklingError) as error:
        context.output.error(error)


def constructors(context: ScenarioContext) -> None:
    """Call every constructor that takes a secret with an invalid argument."""
    attempts: tuple[Callable[[], object], ...] = (
        lambda: Monri(KEY, f"{KEY} blank"),
        lambda: Monri(KEY, KEY, auth=KEY),  # type: ignore[arg-type]
        lambda: Monri(KEY, KEY, base_url=f"https://user:{KEY}@host/"),
        lambda: Monri(KEY.encode(), KEY),  # type: ignore[arg-type]
        lambda: Paydock(KEY, access_token=KEY),
        lambda: Paydock(f"{KEY}\n"),
        lambda: Paydock(secret=KEY),  # type: ignore[call-arg]
        lambda: Paydock(KEY, KEY),  # type: ignore[call-arg]
        lambda: Wonder("app", KEY),
        lambda: Wonder("app/x", private_key()),
        lambda: Wonder("app", private_key(), base_url="http://gateway.example"),
        lambda: Wonder("app", private_key().replace("-----END", "END")),
        lambda: Secret(KEY.encode()),  # type: ignore[arg-type]
        lambda: CardSource(CARD.encode(), cvv=CVV),  # type: ignore[arg-type]
        lambda: CardSource(CARD, cvv=(CVV,)),  # type: ignore[arg-type]
        lambda: CardSource(CARD, pin=CVV),  # type: ignore[call-arg]
        lambda: WonderCard(CARD.encode(), **WONDER_CARD_FIELDS),  # type: ignore[arg-type]
        lambda: OneTimeToken([CARD]),  # type: ignore[arg-type]
        lambda: VaultToken({"token": VAULT}),  # type: ignore[arg-type]
        lambda: SharedLimit(f"redis://user:{KEY}@limits.example", 5.0),
        lambda: HttpxTransport(proxy=f"ftp://user:{KEY}@proxy.example"),
        lambda: HttpxTransport(proxy=Secret(f"gopher://user:{KEY}@proxy.example")),
    )
    for attempt in attempts:
        try:
            created = attempt()
        except (WonderCustomersError, TypeError) as error:
            context.output.error(error)
        else:
            raise AssertionError(f"{created!r} was created")


def environment(context: ScenarioContext) -> None:
    """Read credentials from an environment in which one is invalid."""
    invalid = {
        "wonder": ({"WONDER_BASE_URL": "http://gateway.example"}, {"WONDER_PRIVATE_KEY": f"-----BEGIN {KEY}"}),
        "paydock": ({"PAYDOCK_ACCESS_TOKEN": KEY}, {"PAYDOCK_SECRET_KEY": f"{KEY} {KEY}"}),
        "monri": ({"MONRI_AUTH": "none"}, {"MONRI_MERCHANT_KEY": ""}),
    }
    for gateway, changes in invalid.items():
        for change in changes:
            for make in (package(gateway).ACCOUNT.from_environment, partial(account_from_environment, gateway)):
                try:
                    make(context.variables | change)
                except WonderCustomersError as error:
                    context.output.error(error)
                else:
                    raise AssertionError(f"{gateway} accepted {change}")
            command(context, "get", gateway, "1", "--debug", change=change)


# Responses that repeat the request


def echo(context: ScenarioContext) -> None:
    """Call a gateway that rejects requests with messages that repeat the request."""
    anyio.run(_echo, context)


async def _echo(context: ScenarioContext) -> None:
    for gateway, make in MERCHANTS:
        token = json_response(200, {"status": "approved", "access_token": KEY, "expires_in": 60})
        first = [token] if make is monri_oauth else []
        for call in _calls(gateway):
            for upper in (False, True):
                wire = MockGateway(*first, *[partial(_echo_response, gateway, upper=upper)] * 3)
                async with wire.session(make()) as session:
                    await context.attempt(partial(call, session))


def _calls(gateway: str) -> Iterable[Callable[[CustomerSession[Any]], Any]]:
    card = WONDER_CARD if gateway == "wonder" else CARD_SOURCE
    yield lambda it: it.create(canary_draft(gateway, "r-1", None if gateway == "wonder" else CARD_SOURCE))
    yield lambda it: it.upsert(canary_draft(gateway, "r-1"))
    yield lambda it: it.update(UUID, CustomerPatch(email=EMAIL))
    yield lambda it: it.get(UUID)
    yield lambda it: it.get_by_reference("r-1")
    yield lambda it: it.raw.page(10, None, canary_filter(gateway))
    yield lambda it: it.raw.page(
        10, None, PaydockFilter(search=NAME) if gateway == "wonder" else WonderFilter(name=NAME)
    )
    yield lambda it: it.raw.page(10, None, PaydockFilter(search=NAME, archived=EMAIL))  # type: ignore[arg-type]
    yield lambda it: it.raw.page(10, None, WonderFilter(name=NAME, created_at__gt=EMAIL))  # type: ignore[arg-type]
    yield lambda it: it.raw.page(10, None, PaydockFilter.parse({"search": NAME, "archived": EMAIL, "page": EMAIL}))
    yield lambda it: it.request("POST", "/v2/customers", query={"search": NAME}, json={"email": EMAIL, "city": CITY})
    yield lambda it: it.request("POST", "no path", query={"search": NAME}, json={"email": EMAIL})
    yield lambda it: it.raw.request("POST", "no path", query={"search": NAME}, json={"email": EMAIL})
    yield lambda it: it.list_payment_tokens(UUID)
    if gateway != "monri":
        yield lambda it: it.create_payment_token(UUID, card)
        yield lambda it: it.check_payment_token(UUID, PaymentToken(PAYMENT_TOKEN))
        yield lambda it: it.delete_payment_token(UUID, PaymentToken(PAYMENT_TOKEN))
    if gateway != "wonder":
        yield lambda it: it.delete(UUID)


def _echo_response(gateway: str, request: httpx.Request, *, upper: bool = False) -> httpx.Response:
    sent = [value.decode("latin-1") for value in dict(request.headers.raw).values()]
    sent += [str(value) for value in httpx.QueryParams(request.url.query).values()]
    sent += _texts(orjson.loads(request.content)) if request.content else []
    # Constant header values carry no secret.
    sent = [value for value in sent if value not in {"application/json", "identity"}]
    sent = [value for value in sent if not value.startswith("wonder-customers")]
    plain = ", ".join(value.upper() if upper else value for value in sent)
    # The gateway also sends characters that control a terminal.
    words = "\x1b]0;\x07\x9b31m\u202e" + plain
    if request.method == "GET":
        words += f" (it belongs to {EMAIL}, call 7911 987654)"
    error: dict[str, Any]
    if gateway == "wonder":
        error = {"code": words, "error_code": words, "message": words}
    elif gateway == "monri":
        error = {"status": words, "message": words}
    else:
        details = {"path": words, "messages": [words, words]}
        error = {"status": 400, "error": {"message": words}, "error_summary": {"message": words, "code": words}}
        error["error_summary"]["details"] = details
    return json_response(400, error, x_request_id=plain.encode("ascii", "replace").decode()[:90])


def _texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for item in value.values() for text in _texts(item)]
    if isinstance(value, list):
        return [text for item in value for text in _texts(item)]
    return [str(value)]


_RESPONSES = {
    "wonder": ("create_response", ("data", "customer")),
    "paydock": ("customer_response", ("resource", "data")),
    "monri": ("create_response", ()),
}


def garbled(context: ScenarioContext) -> None:
    """Receive responses with customer data in which one field or byte is invalid."""
    anyio.run(_garbled, context)


_OPEN = {"uuid", "_id", "id", "reference", "reference_number", "merchant_customer_id", "status", "gateway_id"}
"""Fields that errors and records show intentionally, by their wire names."""


async def _garbled(context: ScenarioContext) -> None:
    for gateway, (name, path) in _RESPONSES.items():
        plain = _with_canaries(golden(gateway, name), path)
        fields = list(_at(plain, path))
        for number, field in enumerate(fields):
            wrong = ({"canary": NAME}, [EMAIL], 5 if field in _OPEN else NAME)[number % 3]
            body = copy.deepcopy(plain)
            _at(body, path)[field] = wrong
            await _receive(context, gateway, orjson.dumps(body))
        text = orjson.dumps(plain)
        for invalid in (text[:-1], text + b"x", text.replace(b'"', b'"name":"x","name":"y","', 1), b"[" * 70 + text):
            await _receive(context, gateway, invalid)


async def _receive(context: ScenarioContext, gateway: str, body: bytes) -> None:
    async with MockGateway(body).session(gateway) as session:
        await context.attempt(lambda: session.raw.get(UUID))


def _with_canaries(body: Any, path: tuple[str, ...]) -> Any:
    body = copy.deepcopy(body)
    held = _at(body, path)
    held |= {"name": NAME, "email": EMAIL, "first_name": NAME, "description": NOTE, "city": CITY, "number": CARD}
    held |= {"masked_pan": CARD, "meta": {"member": MEMBER}, "metadata": {"member": MEMBER}, "later": MEMBER}
    return body


def _at(body: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        body = body[name]
    return body


def masked(context: ScenarioContext) -> None:
    """Receive unmasked card numbers: records may show the last four digits only."""
    anyio.run(_masked, context)


async def _masked(context: ScenarioContext) -> None:
    card = {"number": CARD, "masked_pan": CARD, "card_number_last4": CARD}
    wonder = {"code": 200, "data": {"payment_tokens": [{"token": "t", "credit_card": card}]}}
    monri = {"status": "approved", "data": [{"token": "t", **card}]}
    paydock = {"status": 200, "resource": {"data": {"_id": HEX24, "payment_sources": [{"_id": "t", **card}]}}}
    for gateway, body in (("wonder", wonder), ("monri", monri), ("paydock", paydock)):
        async with MockGateway(body).session(gateway) as session:
            (token,) = await session.list_payment_tokens(HEX24)
            context.output.add(repr(token), repr(token.card), str(attrs.asdict(token.card)) if token.card else "")
            assert token.card is not None
            assert token.card.last4 == CARD[-4:]


SCENARIOS: dict[str, Callable[[ScenarioContext], None]] = {
    it.__name__: it
    for it in (
        secrets, constructors, environment, echo, garbled, masked, cancelled, broken, illegal_header, sync_commands,
        cards_in_files, missing_header, failed_query,
    )
}  # fmt: skip

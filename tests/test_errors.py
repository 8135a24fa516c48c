"""The error tree, the attributes and message of each class, copying and pickling."""

import copy
import inspect
import pickle
from collections.abc import Iterator
from typing import Any

import pytest
from gateway_responses import HEX24, UUID
from mock_gateway import ACCOUNTS, MockGateway, json_response

import wonder_customers
from wonder_customers import (
    AmbiguousReferenceError,
    AttemptRecord,
    CallError,
    ConfigurationError,
    ConflictError,
    CustomerPatch,
    DeadlineExceededError,
    GatewayError,
    GatewayUnavailableError,
    InvalidRecordError,
    InvalidRequestError,
    InvalidResponseError,
    MissingExtraError,
    NoResponseError,
    NotFoundError,
    NotSentError,
    OutcomeUnknownError,
    Paydock,
    RateLimitError,
    UnsupportedOperationError,
    Violation,
    WonderCustomersError,
    errors,
)


def tree(kind: type[WonderCustomersError] = WonderCustomersError) -> Iterator[type[WonderCustomersError]]:
    yield kind
    for below in kind.__subclasses__():
        yield from tree(below)


SHIPPED = sorted({kind for kind in tree() if kind.__module__ == errors.__name__}, key=lambda kind: kind.__name__)
CALLS = [kind for kind in SHIPPED if issubclass(kind, CallError)]

FACTS: dict[str, Any] = {
    "gateway": "monri",
    "operation": "create",
    "applied": "unknown",
    "attempts": 3,
    "history": (AttemptRecord("not sent", "no connection", 0.5, "abc"), AttemptRecord("HTTP 500", "oops", 1.0)),
    "request_id": "5c3b",
    "elapsed": 12.345,
    "reference": "35",
    "id": UUID,
    "status": 500,
    "code": "E1",
    "message": "gateway's message",
    "retry_after": 7.5,
    "ids": ("a", "b"),
    "fields": {"phone": ("bad",)},
    "rate_limit_headers": {"retry-after": "8"},
}


def full(kind: type[WonderCustomersError]) -> WonderCustomersError:
    """Return an error with every field set."""
    if kind is UnsupportedOperationError:
        return UnsupportedOperationError("wonder", "delete", "there is none")
    if kind is MissingExtraError:
        return MissingExtraError("this", ["that"], "fast")
    if kind is InvalidRecordError:
        return InvalidRecordError(
            "monri", [Violation("address.city", "city", "must be text"), Violation("x", None, "no")]
        )
    if issubclass(kind, CallError):
        accepted: set[str] = set()
        for base in kind.__mro__:
            if "__init__" in vars(base) and issubclass(base, CallError):
                accepted |= inspect.signature(base.__init__).parameters.keys()
        return kind("what happened", **{name: value for name, value in FACTS.items() if name in accepted})
    return kind("what happened")


def test_module_docstring_and_all_name_every_error() -> None:
    documented = errors.__doc__ or ""
    for kind in SHIPPED:
        assert kind.__name__ in documented
        assert kind.__doc__
    assert {kind.__name__ for kind in SHIPPED} | {"AttemptRecord", "Violation"} == set(errors.__all__)


def test_every_error_is_exported_by_the_package() -> None:
    for kind in SHIPPED:
        assert getattr(wonder_customers, kind.__name__) is kind


@pytest.mark.parametrize("kind", SHIPPED)
def test_copied_and_pickled_error_keeps_its_fields_and_notes(kind: type[WonderCustomersError]) -> None:
    error = full(kind)
    error.add_note("row 7")
    pickled = (pickle.loads(pickle.dumps(error, protocol)) for protocol in range(pickle.HIGHEST_PROTOCOL + 1))
    for again in (copy.copy(error), copy.deepcopy(error), *pickled):
        assert type(again) is kind
        assert (str(again), again.args, vars(again)) == (str(error), error.args, vars(error))
        assert again.__notes__ == ["row 7"]
        if kind.__init__ is not WonderCustomersError.__init__:
            assert len(vars(again)) > 1


@pytest.mark.parametrize("kind", CALLS)
def test_call_error_attributes_are_the_constructor_arguments(kind: type[CallError]) -> None:
    error = full(kind)
    for name, value in vars(error).items():
        assert value == ("what happened" if name == "reason" else FACTS[name]), name
    assert {"gateway", "operation", "applied", "attempts", "history", "request_id", "elapsed"} <= vars(error).keys()


@pytest.mark.parametrize("kind", CALLS)
@pytest.mark.parametrize(
    ("applied", "words"),
    [("no", "Nothing was applied."), ("yes", "The call was applied"), ("unknown", "may have been applied")],
)
def test_message_states_reason_attempts_applied_and_hint(kind: type[CallError], applied: Any, words: str) -> None:
    error = full(kind)
    assert isinstance(error, CallError)
    error.applied = applied
    text = str(error)
    assert text.startswith("monri create: what happened (3 attempts in 12.35 s, request id 5c3b)")
    assert words in text
    assert error.hint
    assert text.endswith(error.hint)


def test_each_error_class_has_its_own_hint() -> None:
    hints = [kind.hint for kind in CALLS if kind not in {CallError, GatewayError}]
    assert len(set(hints)) == len(hints)
    assert CallError.hint not in hints


@pytest.mark.parametrize("kind", CALLS)
def test_error_with_its_own_hint(kind: type[CallError]) -> None:
    error = kind("what happened", hint="Ask the gateway.")
    assert str(error).endswith("Ask the gateway.")
    assert pickle.loads(pickle.dumps(error)).hint == "Ask the gateway."
    error.hint = "Ask again."
    assert str(error).endswith("Ask again.")


def test_message_of_one_attempt_and_of_an_error_without_facts() -> None:
    assert "(1 attempt in 0.00 s)" in str(NotSentError("x", attempts=1))
    assert str(NotFoundError("gone")).startswith("call: gone (0 attempts in 0.00 s). Nothing was applied.")


def test_invalid_record_error_lists_all_violations_in_order() -> None:
    error = InvalidRecordError("monri", [Violation("a", "A", "x"), Violation("b", None, "y")])
    assert str(error) == "monri does not accept this input: a (sent as A): x; b: y. Nothing was changed."
    assert [it.field for it in error.violations] == ["a", "b"]
    assert str(Violation("address.city", "city", "must be text")) == "address.city: must be text"


def test_gateway_errors_keep_the_gateways_details() -> None:
    error = InvalidRequestError(
        "no", status=400, code="E1", message="bad phone", retry_after=1.5, fields={"phone": ["bad", "odd"]}
    )
    assert (error.status, error.code, error.message, error.retry_after) == (400, "E1", "bad phone", 1.5)
    assert error.fields == {"phone": ("bad", "odd")}
    assert ConflictError("x", ids=["a"]).ids == AmbiguousReferenceError("x", ids=["a"]).ids == ("a",)
    assert InvalidResponseError("x", status=200).status == 200


@pytest.mark.parametrize(("wait", "shown"), [(1.23456789, "after 1.2346 s."), (1e300, "later."), (None, "later.")])
def test_rate_limit_error_shows_a_wait_of_at_most_a_day(wait: float | None, shown: str) -> None:
    error = RateLimitError("no", retry_after=wait)
    assert (error.hint, error.retry_after) == (f"Call again {shown}", wait)


async def test_resolve_looks_up_by_id_before_reference_and_returns_none_if_absent() -> None:
    held = {"status": "approved", "uuid": UUID, "merchant_customer_id": "35"}
    wire = MockGateway(held, held, json_response(404, {}))
    async with wire.session("monri") as session:
        by_id = OutcomeUnknownError("x", operation="update", id=UUID, reference="35")
        by_reference = OutcomeUnknownError("x", operation="create", reference="35")
        first, second = await session.resolve(by_id), await session.resolve(by_reference)
        assert first == second
        assert await session.resolve(by_reference) is None
    assert wire.lines == [
        f"GET /v2/customers/{UUID}",
        "GET /v2/merchants/customers/35",
        "GET /v2/merchants/customers/35",
    ]


async def test_resolve_after_token_write_lists_payment_tokens() -> None:
    body = {"status": 200, "error": None, "resource": {"data": {"_id": HEX24, "payment_sources": [{"_id": "s"}]}}}
    async with MockGateway(body).session("paydock") as session:
        found = await session.resolve_payment_tokens(OutcomeUnknownError("x", id=HEX24))
    assert [it.token for it in found] == ["s"]


def test_error_that_a_queue_restores_from_its_args_does_not_deny_the_write() -> None:
    error = OutcomeUnknownError("no response", applied="unknown", reference="customer-1")
    restored = OutcomeUnknownError(*error.args)
    assert restored.applied == "unknown"
    assert "The call may have been applied." in str(restored)


@pytest.mark.parametrize("method", ["resolve", "resolve_payment_tokens"])
async def test_errors_are_resolved_only_with_their_account(method: str) -> None:
    held = {"status": 200, "error": None, "resource": {"data": {"_id": HEX24, "payment_sources": []}}}
    wire = MockGateway(json_response(503, None), *[held] * 5)
    async with wire.session(Paydock("tenant-a")) as session:
        tenant = session.for_account(Paydock("tenant-b"))
        with pytest.raises(OutcomeUnknownError) as caught:
            await tenant.update(HEX24, CustomerPatch(email="b@example.org"))
        error, count = caught.value, len(wire.requests)
        with pytest.raises(ConfigurationError, match=r"another paydock account\. Nothing was sent"):
            await getattr(session, method)(error)
        with pytest.raises(ConfigurationError, match="expected the CallError of a write, not ValueError"):
            await getattr(session, method)(ValueError())
        with pytest.raises(ConfigurationError, match="a call to paydock, but this session or view uses monri"):
            await getattr(session.for_account(ACCOUNTS["monri"]()), method)(pickle.loads(pickle.dumps(error)))
        assert (len(wire.requests), "tenant-b" in repr(vars(error))) == (count, False)
        for same in (tenant, tenant.with_options(deadline=5), session.for_account(Paydock("tenant-b"))):
            assert await getattr(same, method)(error) is not None
        assert await getattr(session, method)(pickle.loads(pickle.dumps(error))) is not None
    async with wire.session(Paydock("tenant-b")) as later:  # a session with another transport
        assert await getattr(later, method)(error) is not None


async def test_resolve_without_id_and_reference_raises_and_sends_nothing() -> None:
    wire = MockGateway()
    error = OutcomeUnknownError("x", operation="create")
    async with wire.session("monri") as session:
        with pytest.raises(OutcomeUnknownError) as caught:
            await session.resolve(error)
    assert caught.value is error
    assert wire.requests == []


@pytest.mark.parametrize("method", ["resolve", "resolve_payment_tokens"])
async def test_resolve_whose_read_fails_raises_the_unconfirmed_write_again(method: str) -> None:
    wire = MockGateway(json_response(503, None))
    error = OutcomeUnknownError("no response arrived", operation="update", applied="unknown", id=UUID)
    async with wire.session("monri", attempts=1) as session:
        with pytest.raises(OutcomeUnknownError) as caught:
            await getattr(session, method)(error)
    assert caught.value is error
    assert (type(error.__cause__), error.applied) == (GatewayUnavailableError, "unknown")


async def test_resolve_reports_that_several_customers_have_the_reference() -> None:
    page = {"status": 200, "error": None, "resource": {"data": [{"_id": it * 24, "reference": "35"} for it in "ab"]}}
    async with MockGateway(page).session("paydock") as session:
        with pytest.raises(AmbiguousReferenceError):
            await session.resolve(OutcomeUnknownError("x", operation="create", reference="35"))


async def test_error_of_a_call_pickles_with_its_history() -> None:
    wire = MockGateway(json_response(503, None), json_response(503, None, X_Request_ID="from-gateway"))
    async with wire.session("monri", attempts=2) as session:
        with pytest.raises(CallError) as caught:
            await session.get(UUID)
    error = caught.value
    assert (error.attempts, len(error.history), error.request_id) == (2, 2, "from-gateway")
    assert [it.outcome for it in error.history] == ["HTTP 503", "HTTP 503"]
    again = pickle.loads(pickle.dumps(error))
    assert vars(again) == vars(error)
    assert str(again) == str(error)


def test_connection_and_deadline_errors_are_not_gateway_errors() -> None:
    for kind in (DeadlineExceededError, NoResponseError, NotSentError, OutcomeUnknownError, InvalidResponseError):
        assert not issubclass(kind, GatewayError)

"""The OpenAPI documents of the simulator: complete, and valid for every response."""

import re
import time
from collections import Counter
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any
from urllib.parse import urlsplit

import anyio
import httpx
import pytest
from fault_injection.sessions import fresh
from hypothesis import HealthCheck, Phase, given, settings
from security import entry_points
from starlette.responses import Response

from wonder_customers import CustomerSession, WonderCustomersError
from wonder_customers.dialects import package
from wonder_customers.dialects.base import LockCustomer
from wonder_customers.dialects.monri.simulator import MonriSimulator
from wonder_customers.errors import CallError
from wonder_customers.simulator import ReceivedRequest, SimulatorServer
from wonder_customers.simulator.gateway import json_response
from wonder_customers.simulator.openapi import document
from wonder_customers.wire import HttpRequest, HttpResponse

HIDDEN = {"/svc/payment/api/v1/echo", "/svc/payment/api/v1/openapi/echo", "/svc/payment/3ds/{verify_uuid}"}
"""Routes that are not documented: Wonder's connection test and the 3-D Secure page."""


def _document(simulator: SimulatorServer, gateway: str) -> Any:
    found = document(type(simulator.gateways[gateway]))
    assert found is not None
    return found


def _shape(path: str) -> str:
    return re.sub(r"\{[^}]*\}", "{}", path)


def _served(simulator: SimulatorServer, gateway: str) -> set[tuple[str, str]]:
    return {
        (method, _shape(route.path))
        for route in simulator.gateways[gateway].routes
        for method in route.methods or ()
        if method != "HEAD" and route.path not in HIDDEN
    }


def _documented(published: Any) -> set[tuple[str, str]]:
    return {
        (method.upper(), _shape(path))
        for path, item in published["paths"].items()
        for method in item
        if method != "parameters"
    }


def test_simulator_publishes_the_document_with_its_url(simulator: SimulatorServer, gateway: str) -> None:
    response = httpx.get(f"{simulator.origin}/_simulator/openapi/{gateway}.json", verify=False)
    assert response.status_code == 200
    assert response.json() == {**_document(simulator, gateway), "servers": [{"url": simulator.origin}]}
    assert httpx.get(f"{simulator.origin}/_simulator/openapi/unknown.json", verify=False).status_code == 404


def test_document_lists_exactly_the_served_endpoints(simulator: SimulatorServer, gateway: str) -> None:
    assert _documented(_document(simulator, gateway)) == _served(simulator, gateway)


def test_document_covers_every_request_of_the_library(simulator: SimulatorServer, gateway: str) -> None:
    published = _document(simulator, gateway)
    known = {(method, re.compile(re.escape(path).replace(r"\{\}", "[^/]+"))) for method, path in _documented(published)}
    sent = list(_requests(gateway))
    assert len(sent) > 8
    for request in sent:
        path = urlsplit(request.target).path
        assert any(request.method == method and shape.fullmatch(path) for method, shape in known), request


def _requests(gateway: str) -> Any:
    """Yield the first request of each operation, and the requests that follow a 404."""
    for name, dialect in entry_points.account_contexts():
        for operation in entry_points.OPERATIONS if name == gateway else ():
            try:
                steps = operation(dialect, gateway)
                step = next(steps)
                for _ in range(3):
                    if not isinstance(step, LockCustomer):
                        yield step.request
                        try:
                            step.decode(HttpResponse(404, {}, b"{}"))
                        except CallError as error:
                            step = steps.throw(error)
            except (WonderCustomersError, StopIteration):
                continue


def test_document_references_resolve_and_operations_name_their_source(simulator: SimulatorServer, gateway: str) -> None:
    published = _document(simulator, gateway)
    for reference in _references(published):
        target = published
        for name in reference.removeprefix("#/").split("/"):
            target = target[name]
    for item in published["paths"].values():
        for method, operation in item.items():
            assert method == "parameters" or operation["description"].startswith("Source: ")


def _references(value: Any) -> Any:
    if isinstance(value, dict):
        for name, item in value.items():
            yield from [item] if name == "$ref" else _references(item)
    elif isinstance(value, list):
        for item in value:
            yield from _references(item)


def _held(simulator: SimulatorServer, gateway: str) -> dict[str, str]:
    """Create a customer and return its id and reference by the names of path parameters."""
    account = package(gateway).ACCOUNT.from_environment(simulator.environment())

    async def create() -> Any:
        async with CustomerSession(account) as session:
            return await session.create(fresh(gateway))

    customer = anyio.run(create)
    names = {"uuid": customer.id, "id": customer.id, "reference": customer.reference}
    return names | dict.fromkeys(("reference_number", "merchant_customer_id"), customer.reference)


SOME = settings(
    max_examples=20,
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


fuzzed = pytest.mark.skipif(find_spec("schemathesis") is None, reason="the extra `fuzz` is not installed")


@pytest.mark.long
@fuzzed
@pytest.mark.parametrize("mode", ["positive", "negative"])
@pytest.mark.filterwarnings("default")  # raised by libraries of schemathesis
def test_simulator_responses_match_the_document(simulator: SimulatorServer, gateway: str, mode: str) -> None:
    seen = _fuzz(simulator, gateway, mode)
    assert sum(seen.values()) > 100
    succeeded = {operation for operation, status in seen if status < 300}
    assert succeeded >= ({"create", "get", "update", "list"} if mode == "positive" else {"list"})


@pytest.mark.long
@fuzzed
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize(
    "wrong",
    [
        json_response(200, {"status": "approved"}),
        json_response(418, {"status": "error", "message": "no"}),
        json_response(500, {"status": "error", "message": "no"}),
        Response("<html>", 200, media_type="text/html"),
    ],
    ids=["schema", "status", "fault", "type"],
)
def test_responses_that_differ_from_the_document_are_detected(wrong: Response) -> None:
    from schemathesis.core.failures import FailureGroup

    class Wrong(MonriSimulator):
        __module__ = MonriSimulator.__module__

        def _get(self, request: ReceivedRequest, merchant: str) -> Response:
            return wrong

    with SimulatorServer([Wrong]) as server, pytest.raises(FailureGroup):
        _fuzz(server, "monri", "positive", only="get")


def _fuzz(simulator: SimulatorServer, gateway: str, mode: str, only: str | None = None) -> "Counter[tuple[str, int]]":
    """Send generated requests to a gateway and count the statuses of each operation.

    Raises:
        FailureGroup: A response differs from the document or is a server error.
    """
    import schemathesis
    from schemathesis.specs.openapi import checks

    schema = schemathesis.openapi.from_url(f"{simulator.origin}/_simulator/openapi/{gateway}.json", verify=False)
    # Like the gateways, the simulator decides which input it ignores and which it rejects.
    excluded = [
        checks.negative_data_rejection,
        checks.positive_data_acceptance,
        checks.unsupported_method,
        checks.ignored_auth,
        checks.missing_required_header,
    ]
    seen: Counter[tuple[str, int]] = Counter()
    known_ids, signer = _held(simulator, gateway), _signer(simulator, gateway)

    def fuzz_operation(operation: Any, name: str) -> None:
        @SOME
        @given(case=operation.as_strategy(schemathesis.GenerationMode(mode)))
        def check_response(case: Any) -> None:
            if sum(seen.values()) % 2:
                # Without known ids, nearly every response would be 404.
                case.path_parameters |= {it: known_ids[it] for it in case.path_parameters if it in known_ids}
            response = case.call_and_validate(auth=signer, excluded_checks=excluded)
            seen[name, response.status_code] += 1

        check_response()

    for result in schema.get_all_operations():
        operation = result.ok()
        name = operation.definition.raw["operationId"]
        if only in {None, name}:
            fuzz_operation(operation, name)
    return seen


def _signer(simulator: SimulatorServer, gateway: str) -> Callable[[Any], Any]:
    """Return a function that signs the requests of schemathesis as the library does."""
    dialect = package(gateway).ACCOUNT.from_environment(simulator.environment()).dialect()

    def sign(prepared: Any) -> Any:
        body = prepared.body or b""
        request = HttpRequest(
            prepared.method, prepared.path_url, "", body if isinstance(body, bytes) else body.encode()
        )
        for name, value in dialect.headers(request, time.time(), "0123456789abcdef", None):
            prepared.headers[name.decode()] = value.decode()
        return prepared

    return sign

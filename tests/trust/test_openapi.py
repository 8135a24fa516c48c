"""The OpenAPI documents that the simulator publishes: complete, and kept by the simulator whatever it is sent."""

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
from hypothesis import HealthCheck, Phase, given, settings
from mock_gateway import ACCOUNTS
from starlette.responses import Response
from trust import entry_points

from chaos.gateways import fresh
from wonder_customers import CustomerSession, WonderCustomersError
from wonder_customers.dialects import package
from wonder_customers.dialects.base import LockReference
from wonder_customers.dialects.monri.simulator import Simulator
from wonder_customers.errors import CallError
from wonder_customers.simulator import Call, SimulatorServer
from wonder_customers.simulator.gateway import reply
from wonder_customers.simulator.openapi import document
from wonder_customers.wire import HttpRequest, HttpResponse

GATEWAYS = pytest.mark.parametrize("gateway", ACCOUNTS)
HIDDEN = {"/svc/payment/api/v1/echo", "/svc/payment/api/v1/openapi/echo", "/svc/payment/3ds/{verify_uuid}"}
"""What the simulator serves besides the customers: Wonder's connection test and the page that a cardholder sees."""


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


@GATEWAYS
def test_the_simulator_publishes_it_and_says_where_it_listens(simulator: SimulatorServer, gateway: str) -> None:
    answer = httpx.get(f"{simulator.origin}/_simulator/openapi/{gateway}.json")
    assert answer.status_code == 200
    assert answer.json() == {**_document(simulator, gateway), "servers": [{"url": simulator.origin}]}
    assert httpx.get(f"{simulator.origin}/_simulator/openapi/nobody.json").status_code == 404


@GATEWAYS
def test_it_names_every_endpoint_that_is_served_and_no_other(simulator: SimulatorServer, gateway: str) -> None:
    assert _documented(_document(simulator, gateway)) == _served(simulator, gateway)


@GATEWAYS
def test_every_request_of_the_library_is_in_it(simulator: SimulatorServer, gateway: str) -> None:
    published = _document(simulator, gateway)
    known = {(method, re.compile(re.escape(path).replace(r"\{\}", "[^/]+"))) for method, path in _documented(published)}
    sent = list(_requests(gateway))
    assert len(sent) > 8
    for request in sent:
        path = urlsplit(request.target).path
        assert any(request.method == method and shape.fullmatch(path) for method, shape in known), request


def _requests(gateway: str) -> Any:
    """The requests that the operations begin with, and those that follow a "not found"."""
    for name, dialect in entry_points.speakers():
        for operation in entry_points.OPERATIONS if name == gateway else ():
            try:
                steps = operation(dialect, gateway)
                step = next(steps)
                for _ in range(3):
                    if not isinstance(step, LockReference):
                        yield step.request
                        try:
                            step.decode(HttpResponse(404, {}, b"{}"))
                        except CallError as error:
                            step = steps.throw(error)
            except (WonderCustomersError, StopIteration):
                continue


@GATEWAYS
def test_its_references_lead_somewhere_and_it_names_its_sources(simulator: SimulatorServer, gateway: str) -> None:
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
    """Somebody whom the gateway knows, by the names of path parameters."""
    account = package(gateway).ACCOUNT.from_environment(simulator.environment())

    async def made() -> Any:
        async with CustomerSession(account) as session:
            return await session.create(fresh(gateway))

    customer = anyio.run(made)
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
@GATEWAYS
@pytest.mark.parametrize("mode", ["positive", "negative"])
@pytest.mark.filterwarnings("default")  # of the tool's own libraries
def test_the_simulator_keeps_to_it_whatever_it_is_sent(simulator: SimulatorServer, gateway: str, mode: str) -> None:
    seen = _tried(simulator, gateway, mode)
    assert sum(seen.values()) > 100
    done = {operation for operation, status in seen if status < 300}
    assert done >= ({"create", "get", "update", "list"} if mode == "positive" else {"list"})


@pytest.mark.long
@fuzzed
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize(
    "wrong",
    [
        reply(200, {"status": "approved"}),
        reply(418, {"status": "error", "message": "no"}),
        reply(500, {"status": "error", "message": "no"}),
        Response("<html>", 200, media_type="text/html"),
    ],
    ids=["schema", "status", "fault", "type"],
)
def test_a_simulator_that_does_not_is_noticed(wrong: Response) -> None:
    from schemathesis.core.failures import FailureGroup

    class Wrong(Simulator):
        __module__ = Simulator.__module__

        def _get(self, call: Call, merchant: str) -> Response:
            return wrong

    with SimulatorServer([Wrong]) as server, pytest.raises(FailureGroup):
        _tried(server, "monri", "positive", only="get")


def _tried(simulator: SimulatorServer, gateway: str, mode: str, only: str | None = None) -> "Counter[tuple[str, int]]":
    """Send a gateway all kinds of requests; how its operations answered.

    Raises:
        FailureGroup: An answer is not what the document says, or is a fault of the server's.
    """
    import schemathesis
    from schemathesis.specs.openapi import checks

    schema = schemathesis.openapi.from_url(f"{simulator.origin}/_simulator/openapi/{gateway}.json")
    # The simulator chooses what it disregards and what it refuses, as the gateways do.
    left_out = [
        checks.negative_data_rejection,
        checks.positive_data_acceptance,
        checks.unsupported_method,
        checks.ignored_auth,
        checks.missing_required_header,
    ]
    seen: Counter[tuple[str, int]] = Counter()
    held, sign = _held(simulator, gateway), _signer(simulator, gateway)

    def tried(operation: Any, name: str) -> None:
        @SOME
        @given(case=operation.as_strategy(schemathesis.GenerationMode(mode)))
        def keeps_to_it(case: Any) -> None:
            if sum(seen.values()) % 2:
                # Else nearly every id would be nobody's.
                case.path_parameters |= {it: held[it] for it in case.path_parameters if it in held}
            response = case.call_and_validate(auth=sign, excluded_checks=left_out)
            seen[name, response.status_code] += 1

        keeps_to_it()

    for result in schema.get_all_operations():
        operation = result.ok()
        name = operation.definition.raw["operationId"]
        if only in {None, name}:
            tried(operation, name)
    return seen


def _signer(simulator: SimulatorServer, gateway: str) -> Callable[[Any], Any]:
    """Signs what the tool sends, as the library signs its own."""
    dialect = package(gateway).ACCOUNT.from_environment(simulator.environment()).dialect()

    def signed(prepared: Any) -> Any:
        body = prepared.body or b""
        request = HttpRequest(
            prepared.method, prepared.path_url, "", body if isinstance(body, bytes) else body.encode()
        )
        for name, value in dialect.headers(request, time.time(), "0123456789abcdef", None):
            prepared.headers[name.decode()] = value.decode()
        return prepared

    return signed

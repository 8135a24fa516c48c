"""The inspector page, in a headless browser."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from chromium import NEEDS_CHROMIUM, Browser
from projects import run_python
from simulator.conftest import OPENAPI, Caller
from simulator.raw_http import connect, read_all
from simulator.test_wonder import DRAFT

from wonder_customers.simulator import SimulatorServer

REQUESTS = "document.querySelectorAll('#requests tr')"


@pytest.fixture
def browser(server: SimulatorServer, chromium: Browser) -> Iterator[Browser]:
    """Return a browser that shows the inspector."""
    chromium.messages.clear()
    chromium.open(server.origin, f"location.origin === '{server.origin}' && document.body?.dataset.ready === 'yes'")
    yield chromium
    assert chromium.messages == []
    chromium.open("about:blank", "location.origin === 'null'")


def details_of(browser: Browser, number: int) -> str:
    """Open the newest of `number` requests and return what the page shows about it."""
    browser.wait(f"{REQUESTS}.length === {number}")
    browser.run(f"{REQUESTS}[0].querySelector('summary').click()")
    browser.wait(f"{REQUESTS}[0].querySelector('pre')")
    text: str = browser.run(f"{REQUESTS}[0].querySelector('details').innerText")
    return text


@NEEDS_CHROMIUM
def test_page_shows_requests_faults_and_data(server: SimulatorServer, caller: Caller, browser: Browser) -> None:
    caller.monri("POST", "/customers", {"merchant_customer_id": "<b>r-1</b>"})
    server.faults.add("rate_limited", gateway="paydock")
    caller.paydock("GET", "/customers")
    browser.wait(f"{REQUESTS}.length === 2 && document.querySelector('#customers tr')")
    cells = f"[...{REQUESTS}].map(row => [...row.cells].map(cell => cell.innerText))"
    newest, oldest = browser.run(cells)
    assert newest == ["GET", "/v1/customers", "paydock", "no response", "", "rate_limited"]
    assert oldest[:4] == ["POST", "/v2/customers", "monri", "200"]
    assert browser.run("document.getElementById('customers').innerText").startswith("monri\t<b>r-1</b>\t")
    assert "monri: 1 customers created" in browser.run("document.getElementById('ledger').innerText")
    browser.run("Object.assign(document.getElementById('only'), {value: 'monri'}).dispatchEvent(new Event('change'))")
    browser.wait(f"{REQUESTS}.length === 1")
    assert "/" not in {path for _, _, path in server.faults.requests}


@NEEDS_CHROMIUM
def test_page_explains_signatures(server: SimulatorServer, caller: Caller, browser: Browser) -> None:
    caller.monri("GET", "/customers")
    shown = details_of(browser, 1)
    assert "The digest is valid." in shown
    assert "(merchant key)" in shown
    assert caller.environment["MONRI_MERCHANT_KEY"] not in shown

    caller.monri("GET", "/customers", key="wrong")
    assert "Either the merchant key is wrong" in details_of(browser, 2)

    headers = caller.monri_headers("/v2/customers", b"")
    caller.send("GET", "/v2/customers?limit=1", None, headers)
    expected = "The client signed the path without its query: /v2/customers was signed, /v2/customers?limit=1 was sent."
    assert expected in details_of(browser, 3)

    caller.wonder("GET", "/customers", age=7200)
    shown = details_of(browser, 4)
    expected = "The request time, in UTC, is 2 hours behind the simulator's clock. At most 30 minutes are allowed."
    assert expected in shown
    assert server.request_log.all()[-1].status == 401


@NEEDS_CHROMIUM
def test_switches_of_the_page_change_the_simulator(server: SimulatorServer, caller: Caller, browser: Browser) -> None:
    browser.run("document.forms.faults.elements.name.value = 'server_error'")
    browser.run("document.forms.faults.elements.gateway.value = 'paydock'")
    browser.run("document.forms.faults.requestSubmit()")
    browser.wait("document.getElementById('active').innerText.includes('server_error, paydock, 1 left')")
    assert caller.paydock("GET", "/customers").status_code == 503
    assert caller.paydock("GET", "/customers").status_code == 200

    browser.run("document.querySelector('input[name=lower-case-email]').click()")
    browser.run("document.forms.conditions.elements.rate.value = '50'")
    browser.run("document.forms.conditions.requestSubmit()")
    conditions, quirks = f"{server.origin}/_simulator/conditions", f"{server.origin}/_simulator/quirks"
    browser.wait(f"fetch('{conditions}').then(it => it.json()).then(it => it.rate_limit === 50)")
    browser.wait(f"fetch('{quirks}').then(it => it.json()).then(it => it.active.includes('lower-case-email'))")
    assert server.quirks.active == ("lower-case-email",)

    caller.monri("POST", "/customers", {"merchant_customer_id": "r-1"})
    browser.wait("document.querySelector('#customers tr')")
    browser.run("document.getElementById('clear-state').click()")
    browser.wait("!document.querySelector('#customers tr')")
    assert server.store.ledger("monri") == {}


@NEEDS_CHROMIUM
def test_request_is_copied_as_a_test_that_passes(caller: Caller, browser: Browser, tmp_path: Path) -> None:
    sent = [
        ("wonder", "POST", "/customers", {"customer": DRAFT}),
        ("paydock", "GET", "/customers?limit=5&reference=r-1", None),
        ("monri", "POST", "/customers", {"merchant_customer_id": "r-1", "metadata": {"plan": "gold ✓", "n": None}}),
    ]
    codes = []
    for number, (gateway, method, path, body) in enumerate(sent, start=1):
        getattr(caller, gateway)(method, path, body)
        details_of(browser, number)
        codes.append(browser.run(f"{REQUESTS}[0].querySelector('pre.pytest').textContent"))
    for gateway, code in zip(("wonder", "paydock", "monri"), codes, strict=True):
        (tmp_path / f"test_{gateway}.py").write_text(code, encoding="utf-8")
    plugins = ("-p", "no:cacheprovider", "-p", "anyio.pytest_plugin", "-p", "pytest_wonder_customers")
    result = run_python("-m", "pytest", "-q", *plugins, folder=tmp_path, PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")
    assert "6 passed" in result.text


@pytest.mark.parametrize(
    ("method", "target", "body", "signed", "reason"),
    [
        ("POST", "/customers", b'{"a":1}', ("/customers", b'{"a": 1}'), "a body whose spaces"),
        ("POST", "/customers", b'{"a":1}', ("/customers", b""), "no body, although a body was sent"),
        ("POST", "/customers", b'{"a":1}', ("/customers/", b'{"a":1}'), "the path with a trailing slash"),
        ("GET", "/customers?limit=1", b"", ("ORIGIN/customers?limit=1", b""), "the whole URL instead of the path"),
        ("GET", "/customers", b"", ("/customers", b"{}"), "a body of {}, although a GET request has none"),
    ],
)
@pytest.mark.parametrize("gateway", ["wonder", "monri"])
def test_mistakes_in_signed_requests_are_explained(
    server: SimulatorServer,
    caller: Caller,
    gateway: str,
    method: str,
    target: str,
    body: bytes,
    signed: tuple[str, bytes],
    reason: str,
) -> None:
    prefix = OPENAPI if gateway == "wonder" else "/v2"
    origin, path = ("ORIGIN" in signed[0]) * server.origin, signed[0].removeprefix("ORIGIN")
    signed_target = f"{origin}{prefix}{path}"
    if gateway == "wonder":
        headers = caller.wonder_headers(method, signed_target, signed[1])
    else:
        headers = caller.monri_headers(signed_target, signed[1])
    assert caller.send(method, prefix + target, body, headers).status_code == 401
    shown = _reason(server)
    assert f"The client signed {reason}" in shown
    assert (" was signed, " in shown) is (signed[0] != target)


def test_generated_test_quotes_the_path(server: SimulatorServer) -> None:
    path = '/v1/customers/"+print()+"\\'
    with connect(server) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        read_all(connection)
    code = httpx.get(f"{server.origin}/_simulator/log/1").json()["pytest"]
    called = [it for it in ast.walk(ast.parse(code)) if isinstance(it, ast.Call)]
    assert [[ast.literal_eval(it) for it in call.args] for call in called] == [["GET", path]]


def test_other_mistakes_in_credentials_are_explained(server: SimulatorServer, caller: Caller) -> None:
    headers = caller.wonder_headers("GET", f"{OPENAPI}/customers", b"")
    for changed, reason in (
        ({"Nonce": "ABCDEFGHabcdefgh"}, "The private key is correct, but another message was signed"),
        ({"Nonce": "short"}, "The Nonce header must be 16 ASCII letters or digits."),
        ({"Signature": "!"}, "The Signature header is not base64."),
        ({"Signature": ""}, "The Signature header is missing or empty."),
        ({"Signature": "AAAA"}, "Either the private key is not the key of this AppID"),
        ({"Credential": "x/20260101000000/Wonder-RSA-SHA256"}, "The AppID belongs to no merchant"),
        ({"Credential": "x"}, "The Credential header must be"),
    ):
        caller.send("GET", f"{OPENAPI}/customers", None, headers | changed)
        assert reason in _reason(server)
    for header, key, reason in (
        ("x-user-secret-key", "PAYDOCK_PUBLIC_KEY", "The request contains a public key."),
        ("x-access-token", "PAYDOCK_SECRET_KEY", "contains a secret key. Send it as x-user-secret-key."),
        ("x-user-secret-key", "PATH", "No merchant of this simulator has the credentials in x-user-secret-key."),
        ("x-other", "PAYDOCK_SECRET_KEY", "The request has no header with credentials."),
    ):
        caller.paydock("GET", "/customers", **{header: caller.environment.get(key, "unknown")})
        assert reason in _reason(server)
    for headers, reason in (
        ({}, "The Authorization header must be WP3-v2.1"),
        (caller.monri_headers("/v2/customers", b"", token="x"), "The authenticity token belongs to no merchant"),
        (caller.monri_headers("/v2/customers", b"", timestamp="now"), "The timestamp must be Unix seconds"),
        ({"Authorization": "Bearer unknown"}, "The gateway refused the request with status 401."),
    ):
        caller.send("GET", "/v2/customers", None, headers)
        assert reason in _reason(server)


def _reason(server: SimulatorServer) -> str:
    newest = server.request_log.latest()[0]
    shown = httpx.get(f"{server.origin}/_simulator/log/{newest.number}", trust_env=False, verify=False).json()
    assert shown["authentication"]["accepted"] is False
    reason: str = shown["authentication"]["reason"]
    return reason


def test_page_is_self_contained_and_refused_for_other_hosts(server: SimulatorServer) -> None:
    with httpx.Client(trust_env=False, verify=False) as client:
        page = client.get(server.origin)
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert not re.search(r"(src|href)\s*=", page.text)
        assert "http:" not in page.text
        assert "https:" not in page.text
        for path in ("/", "/_simulator/log", "/_simulator/log/1", "/_simulator/data", "/_simulator/info"):
            assert client.get(server.origin + path, headers={"Host": "evil.example"}).status_code == 403
            assert client.get(server.origin + path, headers={"Origin": "https://evil.example"}).status_code == 403


def test_other_origins_cannot_change_anything(server: SimulatorServer, caller: Caller) -> None:
    caller.monri("POST", "/customers", {"merchant_customer_id": "r-1"})
    origin = {"Origin": "https://evil.example"}
    for method, path, body in (
        ("POST", "faults", {"name": "server_error"}),
        ("POST", "quirks", {"active": ["id-name"]}),
        ("POST", "conditions", {"rate_limit": 1}),
        ("DELETE", "state", None),
        ("DELETE", "log", None),
    ):
        address = f"{server.origin}/_simulator/{path}"
        assert caller.client.request(method, address, json=body, headers=origin).status_code == 403
    assert (server.faults.active(), server.quirks.active, server.conditions.rate_limit) == ([], (), None)
    assert server.store.ledger("monri") == {"r-1": 1}
    assert len(server.request_log.all()) == 1


def test_log_can_be_cleared(server: SimulatorServer, caller: Caller) -> None:
    caller.monri("GET", "/customers")
    address = f"{server.origin}/_simulator/log"
    assert [it["route"] for it in caller.client.get(address).json()["requests"]] == ["/v2/customers"]
    assert caller.client.delete(address).json() == {"requests": []}
    caller.monri("GET", "/customers")
    assert [it["number"] for it in caller.client.get(address).json()["requests"]] == [2]
    assert caller.client.get(f"{address}/1").status_code == 404

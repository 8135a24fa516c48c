"""The inspector page, in a headless browser."""

import re
from pathlib import Path
from typing import Any

import httpx
from chromium import NEEDS_CHROMIUM, dump_dom

from wonder_customers.simulator import SimulatorServer


@NEEDS_CHROMIUM
def test_page_shows_requests_faults_and_data(server: SimulatorServer, caller_of: Any, tmp_path: Path) -> None:
    caller = caller_of(server)
    caller.monri("POST", "/customers", {"merchant_customer_id": "<b>r-1</b>"})
    server.faults.add("rate_limited", gateway="paydock")
    caller.paydock("GET", "/customers")
    server.faults.add("drip", gateway="wonder", times=3)
    shown, log = dump_dom(server.origin, tmp_path, "--virtual-time-budget=3000")
    assert 'data-ready="yes"' in shown
    assert "CONSOLE" not in log
    cell = r"</td><td[^>]*>"
    pattern = rf"<tr[^>]*><td[^>]*>(\w+){cell}<details.*?</details>{cell}(\w+){cell}([\w ]+)</td>"
    rows = re.findall(pattern, shown, re.DOTALL)
    assert rows == [("GET", "paydock", "no response"), ("POST", "monri", "200")]
    assert "&lt;b&gt;r-1&lt;/b&gt;" in shown
    assert "drip, wonder, 3 left" in shown
    assert "monri: 1 customers created" in shown
    assert "/" not in {path for _, _, path in server.faults.requests}


def test_page_is_self_contained_and_refused_for_other_hosts(server: SimulatorServer) -> None:
    with httpx.Client(trust_env=False) as client:
        page = client.get(server.origin)
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert not re.search(r"(src|href)\s*=", page.text)
        assert "http:" not in page.text
        assert "https:" not in page.text
        for path in ("/", "/_simulator/log", "/_simulator/info"):
            assert client.get(server.origin + path, headers={"Host": "evil.example"}).status_code == 403
            assert client.get(server.origin + path, headers={"Origin": "https://evil.example"}).status_code == 403


def test_log_can_be_cleared(server: SimulatorServer, caller_of: Any) -> None:
    caller = caller_of(server)
    caller.monri("GET", "/customers")
    address = f"{server.origin}/_simulator/log"
    assert [it["route"] for it in caller.client.get(address).json()["requests"]] == ["/v2/customers"]
    assert caller.client.delete(address, headers={"Origin": "https://evil.example"}).status_code == 403
    assert caller.client.delete(address).json() == {"requests": []}

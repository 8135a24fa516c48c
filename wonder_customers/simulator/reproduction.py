"""Generates the code of a pytest test that repeats a received request."""

from pprint import pformat
from typing import Final
from urllib.parse import parse_qsl

from wonder_customers.simulator.request_log import RecordedRequest

__all__ = ["pytest_code"]

_WIDTH: Final = 90


def pytest_code(recorded: RecordedRequest) -> str:
    """Return a pytest test that sends a request again, with the fixtures of the pytest plug-in.

    Args:
        recorded: The request. Its card data is masked. A comment in the test says to replace it.
    """
    lines = ["import pytest", "", "pytestmark = pytest.mark.anyio", "", ""]
    gateway = recorded.gateway
    fixtures = f"{gateway}_session" + (", customer_simulator" if recorded.fault else "")
    lines.append(f"async def test_request({fixtures}):")
    if recorded.fault:
        lines.append(f'    customer_simulator.faults.add("{recorded.fault}", gateway="{gateway}")')
    if b"***" in recorded.body:
        lines.append("    # Replace the masked card data with the data of a test card.")
    lines += [
        f"    response = await {gateway}_session.request(",
        f'        "{recorded.method}",',
        f'        "{recorded.path}",',
    ]
    if recorded.query:
        lines.append(_argument("query", dict(parse_qsl(recorded.query, keep_blank_values=True))))
    if recorded.body:
        lines.append(_argument("json", recorded.json))
    lines.append("    )")
    if recorded.status is not None and recorded.status < 400:
        lines.append(f"    assert response.status == {recorded.status}")
    return "\n".join(lines) + "\n"


def _argument(name: str, value: object) -> str:
    text = pformat(value, width=_WIDTH - len(name), sort_dicts=False)
    return f"        {name}=" + text.replace("\n", "\n" + " " * (9 + len(name))) + ","

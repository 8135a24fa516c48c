"""The loopback guard: which hosts are allowed and which are refused."""

import httpx
import pytest

from wonder_customers import ConfigurationError, CustomerSession, Monri, NotSentError, RetryPolicy
from wonder_customers.transports import loopback_guard

ONCE = RetryPolicy(attempts=1, deadline=5)


class RedirectedList(list[str]):
    """Redirects appended refusals, so that the intended refusals of these tests do not fail the run."""

    def __init__(self, kept: list[str]) -> None:
        super().__init__()
        self._kept = kept

    def append(self, refusal: str) -> None:
        self._kept.append(refusal)


@pytest.fixture
def refusals(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the refusals of this test."""
    kept: list[str] = []
    monkeypatch.setenv(loopback_guard.VARIABLE, "1")
    monkeypatch.setattr(loopback_guard, "refused", RedirectedList(kept))
    return kept


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost", "shop.localhost"])
def test_loopback_hosts_are_allowed(refusals: list[str], host: str) -> None:
    loopback_guard.check(host)
    assert refusals == []


@pytest.mark.parametrize("host", ["gateway.wonder.today", "10.0.0.1", "localhost.example", "2001:db8::1"])
def test_other_hosts_are_refused(refusals: list[str], host: str) -> None:
    with pytest.raises(ConfigurationError, match="allows only loopback addresses") as error:
        loopback_guard.check(host)
    assert refusals == [str(error.value)]
    assert "test_loopback_guard.py::test_other_hosts_are_refused" in refusals[0]


@pytest.mark.parametrize("value", ["", "0", None])
def test_guard_is_disabled_without_the_variable(monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    if value is None:
        monkeypatch.delenv(loopback_guard.VARIABLE, raising=False)
    else:
        monkeypatch.setenv(loopback_guard.VARIABLE, value)
    loopback_guard.check("gateway.wonder.today")


@pytest.mark.parametrize("own", [False, True], ids=["default transport", "own transport"])
async def test_refused_calls_release_their_connection(refusals: list[str], own: bool) -> None:
    """Each refused call ends at once and releases the only connection."""
    transport = (lambda: httpx.AsyncHTTPTransport(trust_env=False)) if own else None
    account = Monri("key", "token", base_url="https://unknown.invalid")
    async with CustomerSession(account, retry=ONCE, transport=transport, max_connections=1) as session:
        for _ in range(3):
            with pytest.raises(ConfigurationError, match=r"tried to connect to unknown\.invalid"):
                await session.check()
        with pytest.raises(NotSentError):
            await session.for_account(Monri("key", "token", base_url="http://127.0.0.1:9")).check()
    assert len(refusals) == 3

"""The guard itself: who may be called while requests may not leave this machine."""

import httpx
import pytest

from wonder_customers import ConfigurationError, CustomerSession, Monri, NotSentError, RetryPolicy
from wonder_customers.transports import loopback_guard

ONCE = RetryPolicy(attempts=1, deadline=5)


class Elsewhere(list[str]):
    """Keeps what is appended somewhere else, so that the run does not fail for what these tests refuse on purpose."""

    def __init__(self, kept: list[str]) -> None:
        super().__init__()
        self._kept = kept

    def append(self, refusal: str) -> None:
        self._kept.append(refusal)


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was refused in this test."""
    kept: list[str] = []
    monkeypatch.setenv(loopback_guard.VARIABLE, "1")
    monkeypatch.setattr(loopback_guard, "refused", Elsewhere(kept))
    return kept


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost", "shop.localhost"])
def test_this_machine_may_be_called(refused: list[str], host: str) -> None:
    loopback_guard.check(host)
    assert refused == []


@pytest.mark.parametrize("host", ["gateway.wonder.today", "10.0.0.1", "localhost.example", "2001:db8::1"])
def test_others_may_not(refused: list[str], host: str) -> None:
    with pytest.raises(ConfigurationError, match="no request may leave this machine") as error:
        loopback_guard.check(host)
    assert refused == [str(error.value)]
    assert "test_border.py::test_others_may_not" in refused[0]


@pytest.mark.parametrize("value", ["", "0", None])
def test_without_the_variable_everybody_may_be_called(monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    if value is None:
        monkeypatch.delenv(loopback_guard.VARIABLE, raising=False)
    else:
        monkeypatch.setenv(loopback_guard.VARIABLE, value)
    loopback_guard.check("gateway.wonder.today")


@pytest.mark.anyio
@pytest.mark.parametrize("own", [False, True], ids=["the default transport", "a transport of one's own"])
async def test_nothing_is_sent_and_no_place_is_lost(refused: list[str], own: bool) -> None:
    """Each refused call ends at once; the next one finds a free lane, although there is only one."""
    transport = httpx.AsyncHTTPTransport(trust_env=False) if own else None
    account = Monri("key", "token", base_url="https://nobody.invalid")
    async with CustomerSession(account, retry=ONCE, transport=transport, max_connections=1) as session:
        for _ in range(3):
            with pytest.raises(ConfigurationError, match=r"about to call nobody\.invalid"):
                await session.check()
        with pytest.raises(NotSentError):
            await session.for_account(Monri("key", "token", base_url="http://127.0.0.1:9")).check()
    assert len(refused) == 3
    if transport is not None:
        await transport.aclose()

"""The state of each account in a session: identified by its values, and forgotten when no view uses it."""

import threading
from typing import Any

import pytest

from wonder_customers import CustomerSession, Monri, Paydock, Secret
from wonder_customers._core.account_state import AccountState, AccountStates, identity
from wonder_customers._support import clock


def test_accounts_without_views_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    now, states = 0.0, AccountStates(500)
    monkeypatch.setattr(clock, "monotonic", lambda: now)

    def made(number: int) -> AccountState:
        account = Monri("key", f"token-{number}", auth="oauth")
        return states.of(account, account.dialect())

    for number in range(1200):
        made(number).counts.started += 1
        assert states.several == (number > 0)
    assert len(states) == 1000
    made(200)
    made(1201)
    assert made(200).counts.started == 1, "the account that was used last is kept"
    kept = made(1199)
    assert kept is made(1199)
    now = 301.0
    last = made(1200)
    assert len(states) == 2, "the account in use, and the last one"
    assert last.credentials is not kept.credentials
    assert states.totals().started == 1200, "the calls of forgotten accounts still count"


def test_calls_of_a_removed_account_are_counted_once_if_another_thread_uses_the_account() -> None:
    states, account, used = AccountStates(500), Monri("key", "token"), list[AccountState]()

    class Interrupted(dict[str, int]):
        def items(self) -> Any:
            used.append(states.of(account, account.dialect()))
            return super().items()

    state = states.of(account, account.dialect())
    state.counts.started, state.counts.failed = 1, Interrupted()
    states.forget_views()
    del state
    assert len(used) == 1
    assert states.totals().started == 1


def test_accounts_are_identified_by_their_values() -> None:
    states = AccountStates(500)
    accounts: list[Any] = [
        Monri("a", "bc"),
        Monri("ab", "c"),
        Monri("a", "bc", auth="oauth"),
        Paydock("a"),
        Monri("a", "bc"),
    ]
    found = [states.of(it, it.dialect()) for it in accounts]
    assert [found.index(it) for it in found] == [0, 1, 2, 3, 0]


@pytest.mark.parametrize("closed", [False, True])
def test_views_can_be_created_in_several_threads(monkeypatch: pytest.MonkeyPatch, *, closed: bool) -> None:
    """Web frameworks call functions that are not async in threads, such as one that selects a tenant."""
    order: list[str] = []
    account = Monri("key", "token")

    def change(name: str, *, close: bool = False) -> None:
        if close:
            session._shared.accounts.forget_views()
        else:
            session.for_account(account)
        order.append(name)

    other = threading.Thread(target=change, args=["second"], kwargs={"close": closed})

    def now() -> float:  # called while the first view is created
        if other.ident is None:
            other.start()
            other.join(0.05)
        return 0.0

    session = CustomerSession(account)
    monkeypatch.setattr(clock, "monotonic", now)
    change("first")
    other.join()
    assert order == ["first", "second"]


def test_identity_does_not_depend_on_the_value_of_a_provided_secret() -> None:
    first, second = lambda: "one", lambda: "two"
    assert identity(Paydock(first)) == identity(Paydock(first)) != identity(Paydock(second))
    assert identity(Monri("key", first)) != identity(Monri("other", first))
    assert Monri(first, "token").dialect().merchant == Secret("token")
    assert Monri("key", first).dialect().merchant == Monri("other", first).dialect().merchant


def test_identity_of_an_account_contains_no_secret() -> None:
    found = identity(Monri("key", "token"))
    assert isinstance(found, str)
    assert "token" not in found
    assert identity("a customer") != "a customer"
    assert identity(7) == 7, "without a secret, the value identifies itself"
